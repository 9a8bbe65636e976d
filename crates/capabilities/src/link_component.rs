//! A component's imports: which interface is answered by whom.
//!
//! Only what the component imports is defined: a linker with all of WASI takes longer to fill than a small
//! program takes to run. Most interfaces are wasmtime-wasi's as they are; in those where our policy says
//! more than its hooks can, single calls are replaced afterwards.

use crate::link::UnknownImports;
use crate::{Host, absent, config, files, http, keyvalue, messaging, redis, snapshots, sockets, sql};
use sampan_app::Protocol;
use wasmtime::component::{Component, HasData, Linker, ResourceTable, types::ComponentItem};
use wasmtime::{Engine, Result};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiView as _, p2, p3};

/// The patch versions under which wasmtime-wasi defines its interfaces; a replaced call must go into the
/// same instance. A component that asks for another patch version of the same minor one gets these.
pub(crate) const WASI_0_2: &str = "0.2.12";
pub(crate) const WASI_0_3: &str = "0.3.0";

/// Defines the interfaces that `component` imports, and no others.
///
/// # Errors
///
/// [`UnknownImports`], with all of them at once.
pub fn link_component(engine: &Engine, component: &Component) -> Result<Linker<Host>> {
    link_component_with(engine, component, &|_, _| Ok(false))
}

/// Defines an interface by its whole name that is nobody else's; `false` where it does not know it.
pub type MoreInterfaces<'a> = &'a dyn Fn(&mut Linker<Host>, &str) -> Result<bool>;

/// The same, where `more` is asked first.
pub fn link_component_with(
    engine: &Engine,
    component: &Component,
    more: MoreInterfaces<'_>,
) -> Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let mut unknown = Vec::new();
    let mut defined: Vec<(&str, Track)> = Vec::new();
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        if only_types(engine, &import.ty) || more(&mut linker, name)? {
            continue;
        }
        let Some((interface, version, track)) = interface_of(name, &import.ty) else {
            if !define_other(&mut linker, name)? {
                unknown.push(name.to_owned());
            }
            continue;
        };
        // Two patch versions of an interface are one definition.
        if !defined.contains(&(interface, track)) {
            defined.push((interface, track));
            let known = match track {
                Track::Wasi02 => define_0_2(&mut linker, interface)?,
                Track::Wasi03 => define_0_3(&mut linker, interface)?,
            };
            if !known {
                unknown.push(name.to_owned());
                continue;
            }
        }
        snapshots::host::extend(&mut linker, interface, version)?;
    }
    if unknown.is_empty() { Ok(linker) } else { Err(UnknownImports(unknown).into()) }
}

/// Whether nothing has to be provided: a type other than a resource is the same everywhere.
fn only_types(engine: &Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, export)| matches!(export.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

/// The versions of WASI that are answered. Versions of one track are compatible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Track {
    Wasi02,
    Wasi03,
}

/// The name without its version, the version, and the track; `None` for anything but a released interface.
fn interface_of<'a>(name: &'a str, item: &ComponentItem) -> Option<(&'a str, &'a str, Track)> {
    if !matches!(item, ComponentItem::ComponentInstance(_)) {
        return None;
    }
    let (interface, version) = name.split_once('@')?;
    // A pre-release ("0.2.0-rc-2023-12-05") has other functions under the same names. The engine has given
    // those that have not a number of 15 digits.
    let patch = |prefix| version.strip_prefix(prefix).is_some_and(|patch: &str| patch.parse::<u64>().is_ok());
    let track = if patch("0.2.") {
        Track::Wasi02
    } else if patch("0.3.") {
        Track::Wasi03
    } else {
        return None;
    };
    Some((interface, version, track))
}

/// What is no released interface of WASI: the capabilities' own interfaces, each under its exact version.
fn define_other(l: &mut Linker<Host>, name: &str) -> Result<bool> {
    Ok(keyvalue::host::define(l, name)?
        || messaging::host::define(l, name)?
        || sql::host::define(l, name)?
        || redis::host::define(l, name)?
        || config::host::define(l, name)?
        || http::host::spin::define(l, name)?
        || snapshots::host::define(l, name)?
        || absent::host::define(l, name)?)
}

struct HasIo;

impl HasData for HasIo {
    type Data<'a> = &'a mut ResourceTable;
}

fn define_0_2(l: &mut Linker<Host>, interface: &str) -> Result<bool> {
    use p2::bindings::{cli, clocks, filesystem, random, sockets as net};
    use wasmtime_wasi_io::bindings::wasi::io;
    match interface {
        "wasi:io/error" => io::error::add_to_linker::<_, HasIo>(l, |host: &mut Host| host.ctx().table)?,
        "wasi:io/poll" => io::poll::add_to_linker::<_, HasIo>(l, |host: &mut Host| host.ctx().table)?,
        "wasi:io/streams" => io::streams::add_to_linker::<_, HasIo>(l, |host: &mut Host| host.ctx().table)?,
        "wasi:cli/environment" => cli::environment::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/exit" => cli::exit::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stdin" => cli::stdin::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stdout" => cli::stdout::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stderr" => cli::stderr::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-input" => cli::terminal_input::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-output" => cli::terminal_output::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stdin" => cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stdout" => cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stderr" => cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:clocks/monotonic-clock" => {
            clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, Host::clocks)?
        }
        "wasi:clocks/wall-clock" => clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, Host::clocks)?,
        "wasi:random/random" => random::random::add_to_linker::<_, WasiRandom>(l, Host::random)?,
        "wasi:random/insecure" => random::insecure::add_to_linker::<_, WasiRandom>(l, Host::random)?,
        "wasi:random/insecure-seed" => {
            random::insecure_seed::add_to_linker::<_, WasiRandom>(l, Host::random)?
        }
        "wasi:filesystem/types" => {
            filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Host::filesystem)?;
            replacing(l, files::host::wasi_p2::replace_types)?;
        }
        "wasi:filesystem/preopens" => files::host::wasi_p2::define_preopens(l)?,
        "wasi:sockets/network" => {
            let mut options = net::network::LinkOptions::default();
            options.network_error_code(true);
            net::network::add_to_linker::<_, WasiSockets>(l, &options, sockets_of)?;
        }
        "wasi:sockets/instance-network" => {
            net::instance_network::add_to_linker::<_, WasiSockets>(l, sockets_of)?
        }
        "wasi:sockets/tcp-create-socket" => {
            net::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, new_tcp_socket)?
        }
        "wasi:sockets/udp-create-socket" => {
            net::udp_create_socket::add_to_linker::<_, WasiSockets>(l, new_udp_socket)?
        }
        "wasi:sockets/tcp" => {
            net::tcp::add_to_linker::<_, WasiSockets>(l, sockets_of)?;
            replacing(l, sockets::host::wasi_p2::replace_tcp)?;
        }
        "wasi:sockets/udp" => {
            net::udp::add_to_linker::<_, WasiSockets>(l, sockets_of)?;
            replacing(l, sockets::host::wasi_p2::replace_udp)?;
        }
        "wasi:sockets/ip-name-lookup" => sockets::host::wasi_p2::define_lookup(l)?,
        other => return http::host::wasi_http::define_0_2(l, other),
    }
    Ok(true)
}

fn define_0_3(l: &mut Linker<Host>, interface: &str) -> Result<bool> {
    use p3::bindings::{cli, clocks, filesystem, random, sockets as net};
    match interface {
        "wasi:cli/environment" => cli::environment::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/exit" => cli::exit::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stdin" => cli::stdin::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stdout" => cli::stdout::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/stderr" => cli::stderr::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-input" => cli::terminal_input::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-output" => cli::terminal_output::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stdin" => cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stdout" => cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:cli/terminal-stderr" => cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, Host::cli)?,
        "wasi:clocks/types" => clocks::types::add_to_linker::<_, WasiClocks>(l, Host::clocks)?,
        "wasi:clocks/monotonic-clock" => {
            clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, Host::clocks)?
        }
        "wasi:clocks/system-clock" => clocks::system_clock::add_to_linker::<_, WasiClocks>(l, Host::clocks)?,
        "wasi:random/random" => random::random::add_to_linker::<_, WasiRandom>(l, Host::random)?,
        "wasi:random/insecure" => random::insecure::add_to_linker::<_, WasiRandom>(l, Host::random)?,
        "wasi:random/insecure-seed" => {
            random::insecure_seed::add_to_linker::<_, WasiRandom>(l, Host::random)?
        }
        "wasi:filesystem/types" => {
            filesystem::types::add_to_linker::<_, WasiFilesystem>(l, Host::filesystem)?;
            replacing(l, files::host::wasi_p3::replace_types)?;
        }
        "wasi:filesystem/preopens" => files::host::wasi_p3::define_preopens(l)?,
        "wasi:sockets/types" => {
            net::types::add_to_linker::<_, WasiSockets>(l, sockets_of)?;
            replacing(l, sockets::host::wasi_p3::replace_types)?;
        }
        "wasi:sockets/ip-name-lookup" => sockets::host::wasi_p3::define_lookup(l)?,
        other => return http::host::wasi_http::define_0_3(l, other),
    }
    Ok(true)
}

/// `Host` has a field of this name, which is something else.
fn sockets_of(host: &mut Host) -> wasmtime_wasi::sockets::WasiSocketsCtxView<'_> {
    host.sockets()
}

/// For an interface whose only call makes a socket: the crate refuses it where nothing is granted, in silence.
fn new_tcp_socket(host: &mut Host) -> wasmtime_wasi::sockets::WasiSocketsCtxView<'_> {
    host.sockets.may_open(Protocol::Tcp);
    host.sockets()
}

/// As [`new_tcp_socket`].
fn new_udp_socket(host: &mut Host) -> wasmtime_wasi::sockets::WasiSocketsCtxView<'_> {
    host.sockets.may_open(Protocol::Udp);
    host.sockets()
}

/// Lets `replace` define calls again. Elsewhere a second definition is a mistake and stays an error.
fn replacing(l: &mut Linker<Host>, replace: fn(&mut Linker<Host>) -> Result<()>) -> Result<()> {
    l.allow_shadowing(true);
    let done = replace(l);
    l.allow_shadowing(false);
    done
}
