//! Spin's `inbound-redis`: one function from a message's bytes to whether they were handled. Its two generations are
//! `fermyon:spin/inbound-redis`, of spin-sdk 2 to 5, and `spin:redis/inbound-redis@3.0.0`, of 6 and later
//! (spinframework/spin, wit/deps).

use sampan_capabilities::messaging::host::Handled;
use sampan_capabilities::{Host, link_component};
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, InstancePre, Lift};
use wasmtime::{Engine, Result, Store};

const UNVERSIONED: &str = "fermyon:spin/inbound-redis";
const VERSION_3: &str = "spin:redis/inbound-redis@3.0.0";

/// The handler of a component that is linked.
pub struct SpinRedis {
    pre: InstancePre<Host>,
    handle_message: ComponentExportIndex,
    version: Version,
}

#[derive(Clone, Copy)]
enum Version {
    Unversioned,
    /// The function is asynchronous.
    V3,
}

/// `fermyon:spin/redis-types.error`.
#[allow(dead_code, reason = "guests make them")]
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
enum ErrorUnversioned {
    #[component(name = "success")]
    Success,
    #[component(name = "error")]
    Error,
}

/// `spin:redis/redis.error`.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(variant)]
enum ErrorV3 {
    #[component(name = "invalid-address")]
    InvalidAddress,
    #[component(name = "too-many-connections")]
    TooManyConnections,
    #[component(name = "type-error")]
    TypeError,
    #[component(name = "other")]
    Other(String),
}

impl SpinRedis {
    /// `None` where the component does not export the interface.
    pub(super) fn of(engine: &Engine, component: &Component) -> Result<Option<Self>> {
        let found = [(VERSION_3, Version::V3), (UNVERSIONED, Version::Unversioned)];
        let found = found
            .into_iter()
            .find_map(|(name, version)| Some((name, version, component.get_export_index(None, name)?)));
        let Some((name, version, interface)) = found else { return Ok(None) };
        let handle_message = component.get_export_index(Some(&interface), "handle-message");
        let handle_message = handle_message
            .ok_or_else(|| wasmtime::format_err!("its {name} has no function handle-message"))?;
        let pre = link_component(engine, component)?.instantiate_pre(component)?;
        Ok(Some(SpinRedis { pre, handle_message, version }))
    }

    pub(super) async fn handle(&self, store: &mut Store<Host>, payload: &[u8]) -> Result<Handled> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        match self.version {
            Version::Unversioned => {
                let function = instance.get_typed_func::<(&[u8],), (Result<(), ErrorUnversioned>,)>(
                    &mut *store,
                    self.handle_message,
                )?;
                let (handled,) = function.call_async(store, (payload,)).await?;
                // The interface has an error that means none.
                Ok(match handled {
                    Ok(()) | Err(ErrorUnversioned::Success) => Ok(()),
                    Err(ErrorUnversioned::Error) => Err("it returned an error".to_owned()),
                })
            }
            Version::V3 => {
                let function = instance
                    .get_typed_func::<(Vec<u8>,), (Result<(), ErrorV3>,)>(&mut *store, self.handle_message)?;
                let payload = payload.to_vec();
                let called = store.run_concurrent(async |accessor| {
                    let handled = function.call_concurrent(accessor, (payload,)).await?;
                    // What it has begun beside goes on to its end.
                    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    wasmtime::error::Ok(handled)
                });
                let (handled,) = called.await??;
                Ok(handled.map_err(|error| match error {
                    ErrorV3::Other(why) => why,
                    other => format!("{other:?}"),
                }))
            }
        }
    }
}
