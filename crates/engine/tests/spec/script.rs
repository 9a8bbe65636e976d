//! Runs one script: modules, calls, and what is asserted of them. The language is described at
//! <https://github.com/WebAssembly/spec/tree/main/interpreter#scripts>.

use crate::values;
use std::collections::HashMap;
use wasmtime::{Engine, Error, Extern, Instance, Linker, Module, Result, Store, Trap, bail, format_err};
use wast::lexer::Lexer;
use wast::parser::{ParseBuffer, parse};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

/// The module that every script may import.
const SPECTEST: &str = r#"(module
    (func (export "print"))
    (func (export "print_i32") (param i32))
    (func (export "print_i64") (param i64))
    (func (export "print_f32") (param f32))
    (func (export "print_f64") (param f64))
    (func (export "print_i32_f32") (param i32 f32))
    (func (export "print_f64_f64") (param f64 f64))
    (global (export "global_i32") i32 (i32.const 666))
    (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6))
    (global (export "global_f64") f64 (f64.const 666.6))
    (table (export "table") 10 20 funcref)
    (table (export "table64") i64 10 20 funcref)
    (memory (export "memory") 1 2))"#;

struct Context {
    store: Store<()>,
    linker: Linker<()>,
    /// The instance that was made last.
    current: Option<Instance>,
    instances: HashMap<String, Instance>,
    definitions: HashMap<Option<String>, Module>,
}

/// Runs a script on a store of its own. Returns how many commands it has, or the line and what is wrong.
pub fn run(engine: &Engine, text: &str) -> Result<usize, String> {
    let located = |error: wast::Error| error.to_string();
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(located)?;
    let script: Wast = parse(&buffer).map_err(located)?;
    let mut context = Context::new(engine).map_err(|error| format!("{error:?}"))?;
    let count = script.directives.len();
    for directive in script.directives {
        let (line, _) = directive.span().linecol_in(text);
        context.directive(directive).map_err(|error| format!("{}: {error:?}", line + 1))?;
    }
    Ok(count)
}

impl Context {
    fn new(engine: &Engine) -> Result<Self> {
        let mut store = Store::new(engine, ());
        let mut linker = Linker::new(engine);
        // Scripts give a name to one module after another.
        linker.allow_shadowing(true);
        let spectest = Instance::new(&mut store, &Module::new(engine, SPECTEST)?, &[])?;
        linker.instance(&mut store, "spectest", spectest)?;
        Ok(Context { store, linker, current: None, instances: HashMap::new(), definitions: HashMap::new() })
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<()> {
        match directive {
            WastDirective::Module(mut wat) => {
                let name = wat.name();
                let module = self.compile(&mut wat)?;
                self.instantiate(name, &module)
            }
            WastDirective::ModuleDefinition(mut wat) => {
                let name = wat.name().map(text);
                let module = self.compile(&mut wat)?;
                self.definitions.insert(name, module);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let module = self.definitions.get(&module.map(text)).cloned();
                self.instantiate(instance, &module.ok_or_else(|| format_err!("no such definition"))?)
            }
            WastDirective::Register { name, module, .. } => {
                let instance = self.instance(module)?;
                self.linker.instance(&mut self.store, name, instance)?;
                Ok(())
            }
            WastDirective::Invoke(call) => self.invoke(call).map(drop),
            WastDirective::AssertReturn { exec, results, .. } => {
                let found = self.execute(exec)?;
                if found.len() != results.len() {
                    bail!("{} results instead of {}", found.len(), results.len());
                }
                for (found, expected) in found.iter().zip(&results) {
                    let WastRet::Core(expected) = expected else { bail!("a component's value") };
                    if !values::matches(&mut self.store, found, expected)? {
                        bail!("{found:?} instead of {expected:?}");
                    }
                }
                Ok(())
            }
            WastDirective::AssertTrap { exec, message, .. } => expect_trap(self.execute(exec), message),
            WastDirective::AssertExhaustion { call, message, .. } => expect_trap(self.invoke(call), message),
            WastDirective::AssertException { exec, .. } => {
                let thrown = self.execute(exec).is_err_and(|error| error.is::<wasmtime::ThrownException>());
                // Taken, so that the next call finds none.
                let pending = self.store.take_pending_exception();
                if thrown && pending.is_some() { Ok(()) } else { bail!("no exception was thrown") }
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                expect_refusal(self.linker.instantiate(&mut self.store, &module))
            }
            WastDirective::AssertMalformed { mut module, .. }
            | WastDirective::AssertInvalid { mut module, .. } => expect_refusal(self.compile(&mut module)),
            other => bail!("a command that is not known: {other:?}"),
        }
    }

    fn compile(&self, wat: &mut QuoteWat<'_>) -> Result<Module> {
        Module::from_binary(self.store.engine(), &wat.encode().map_err(Error::new)?)
    }

    fn instantiate(&mut self, name: Option<Id<'_>>, module: &Module) -> Result<()> {
        let instance = self.linker.instantiate(&mut self.store, module)?;
        if let Some(name) = name {
            self.instances.insert(text(name), instance);
        }
        self.current = Some(instance);
        Ok(())
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        let instance = match name {
            Some(name) => self.instances.get(name.name()).copied(),
            None => self.current,
        };
        instance.ok_or_else(|| format_err!("no such instance"))
    }

    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Vec<wasmtime::Val>> {
        match exec {
            WastExecute::Invoke(call) => self.invoke(call),
            WastExecute::Wat(module) => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                self.linker.instantiate(&mut self.store, &module).map(|_| Vec::new())
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module)?;
                let global = instance.get_export(&mut self.store, global).and_then(Extern::into_global);
                let global = global.ok_or_else(|| format_err!("no such global"))?;
                Ok(vec![global.get(&mut self.store)])
            }
        }
    }

    fn invoke(&mut self, call: WastInvoke<'_>) -> Result<Vec<wasmtime::Val>> {
        let instance = self.instance(call.module)?;
        let function = instance.get_func(&mut self.store, call.name);
        let function = function.ok_or_else(|| format_err!("no function `{}`", call.name))?;
        let mut args = Vec::new();
        for arg in &call.args {
            let WastArg::Core(arg) = arg else { bail!("a component's value") };
            args.push(values::argument(&mut self.store, arg)?);
        }
        let mut results = vec![wasmtime::Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &args, &mut results)?;
        Ok(results)
    }
}

fn text(id: Id<'_>) -> String {
    id.name().to_owned()
}

fn expect_refusal<T>(result: Result<T>) -> Result<()> {
    match result {
        Ok(_) => bail!("accepted, although the script says that it is wrong"),
        // A trap would mean that it was accepted and run.
        Err(error) if error.is::<Trap>() => Err(error),
        Err(_) => Ok(()),
    }
}

/// The words of the specification's interpreter where Wasmtime uses others.
const OTHER_WORDS: [(&str, &str); 4] = [
    ("uninitialized element", "uninitialized element"),
    ("null function", "null reference"),
    ("null", "null reference"),
    ("null", "uninitialized element"),
];

fn expect_trap<T>(result: Result<T>, message: &str) -> Result<()> {
    let Err(error) = result else { bail!("no trap, instead of `{message}`") };
    let Some(trap) = error.downcast_ref::<Trap>() else { return Err(error) };
    let trap = trap.to_string();
    let other = |(theirs, ours): &(&str, &str)| message.starts_with(theirs) && trap.contains(ours);
    if trap.contains(message) || OTHER_WORDS.iter().any(other) {
        return Ok(());
    }
    bail!("`{trap}` instead of `{message}`")
}
