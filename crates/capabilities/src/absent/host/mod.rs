//! Language models and MQTT of Spin refuse; what wasi:otel is told is accepted and forgotten.

use crate::Host;
use wasmtime::component::{Accessor, Linker, LinkerInstance, ResourceType, Val};
use wasmtime::{Result, StoreContextMut};

/// What a guest is told that wants a broker.
const NO_MQTT: &str = "Sampan has no MQTT";

/// Nothing ever makes one of these.
enum Never {}

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of these.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    match name {
        "fermyon:spin/llm" | "fermyon:spin/llm@2.0.0" => {
            let mut llm = linker.instance(name)?;
            for function in ["infer", "generate-embeddings"] {
                answer(&mut llm, function, || refusal("model-not-supported", None))?;
            }
        }
        "fermyon:spin/mqtt@2.0.0" => {
            let mut mqtt = linker.instance(name)?;
            mqtt.resource("connection", ResourceType::host::<Never>(), |_, _| Ok(()))?;
            for function in ["[static]connection.open", "[method]connection.publish"] {
                answer(&mut mqtt, function, no_mqtt)?;
            }
        }
        "spin:mqtt/mqtt@3.0.0" => {
            let mut mqtt = linker.instance(name)?;
            mqtt.resource("connection", ResourceType::host::<Never>(), |_, _| Ok(()))?;
            for function in ["[static]connection.open", "[method]connection.publish"] {
                mqtt.func_new_concurrent(function, |_: &Accessor<Host>, _, _, results| {
                    results[0] = no_mqtt();
                    Box::pin(async { Ok(()) })
                })?;
            }
        }
        "wasi:otel/tracing@0.2.0-rc.2" => {
            let mut tracing = linker.instance(name)?;
            accept(&mut tracing, "on-start")?;
            accept(&mut tracing, "on-end")?;
            answer(&mut tracing, "outer-span-context", no_span)?;
        }
        "wasi:otel/metrics@0.2.0-rc.2" => {
            answer(&mut linker.instance(name)?, "export", || Val::Result(Ok(None)))?;
        }
        "wasi:otel/logs@0.2.0-rc.2" => accept(&mut linker.instance(name)?, "on-emit")?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn answer(instance: &mut LinkerInstance<'_, Host>, function: &str, value: fn() -> Val) -> Result<()> {
    instance.func_new(function, move |_: StoreContextMut<'_, Host>, _, _, results| {
        results[0] = value();
        Ok(())
    })
}

fn accept(instance: &mut LinkerInstance<'_, Host>, function: &str) -> Result<()> {
    instance.func_new(function, |_: StoreContextMut<'_, Host>, _, _, _| Ok(()))
}

fn no_mqtt() -> Val {
    refusal("connection-failed", Some(Val::String(NO_MQTT.to_owned())))
}

fn refusal(error: &str, detail: Option<Val>) -> Val {
    Val::Result(Err(Some(Box::new(Val::Variant(error.to_owned(), detail.map(Box::new))))))
}

/// The context of no span: W3C Trace Context's invalid identifiers, all zeros (§3.2.2.3 and §3.2.2.4).
fn no_span() -> Val {
    let field = |name: &str, value| (name.to_owned(), value);
    Val::Record(vec![
        field("trace-id", Val::String("0".repeat(32))),
        field("span-id", Val::String("0".repeat(16))),
        field("trace-flags", Val::Flags(Vec::new())),
        field("is-remote", Val::Bool(false)),
        field("trace-state", Val::List(Vec::new())),
    ])
}
