//! Files, sockets and the time zone of the snapshots of 2023: where they differ from 0.2.

use super::refuse;
use crate::Host;
use crate::files::host::wasi_p2::open_at;
use crate::link_component::WASI_0_2;
use crate::sockets::host::wasi_p2::resolve_addresses;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p2::Network;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};
use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;

// Permissions of a file to be made, which nothing ever honoured.
wasmtime::component::flags! {
    Modes {
        #[component(name = "readable")]
        const READABLE;
        #[component(name = "writable")]
        const WRITABLE;
        #[component(name = "executable")]
        const EXECUTABLE;
    }
}

type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags, Modes);

/// `open-at` had one parameter more. Locks and permissions were specified and in no runtime.
pub(super) fn extend_filesystem(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI_0_2}"))?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, Host>, (dir, follow, path, open, flags, _): OpenAt| {
            Box::new(async move { open_at(store.data_mut(), dir, follow, path, open, flags).await })
        },
    )?;
    let functions = [
        "[method]descriptor.access-at",
        "[method]descriptor.change-file-permissions-at",
        "[method]descriptor.change-directory-permissions-at",
        "[method]descriptor.lock-shared",
        "[method]descriptor.lock-exclusive",
        "[method]descriptor.try-lock-shared",
        "[method]descriptor.try-lock-exclusive",
        "[method]descriptor.unlock",
    ];
    refuse(&mut types, &functions, "unsupported")
}

/// Options that were renamed or dropped.
pub(super) fn extend_tcp(linker: &mut Linker<Host>) -> Result<()> {
    let mut tcp = linker.instance(&format!("wasi:sockets/tcp@{WASI_0_2}"))?;
    let functions = [
        "[method]tcp-socket.ipv6-only",
        "[method]tcp-socket.set-ipv6-only",
        "[method]tcp-socket.keep-alive",
        "[method]tcp-socket.set-keep-alive",
        "[method]tcp-socket.no-delay",
        "[method]tcp-socket.set-no-delay",
        "[method]tcp-socket.unicast-hop-limit",
        "[method]tcp-socket.set-unicast-hop-limit",
    ];
    refuse(&mut tcp, &functions, "not-supported")
}

/// Datagrams went over the socket itself before there were streams of them.
pub(super) fn extend_udp(linker: &mut Linker<Host>) -> Result<()> {
    let mut udp = linker.instance(&format!("wasi:sockets/udp@{WASI_0_2}"))?;
    let functions = [
        "[method]udp-socket.ipv6-only",
        "[method]udp-socket.set-ipv6-only",
        "[method]udp-socket.start-connect",
        "[method]udp-socket.finish-connect",
        "[method]udp-socket.receive",
        "[method]udp-socket.send",
    ];
    refuse(&mut udp, &functions, "not-supported")
}

type Resolve = (Resource<Network>, String, Option<IpAddressFamily>, bool);

/// The caller could ask for one family of addresses.
pub(super) fn extend_lookup(linker: &mut Linker<Host>) -> Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_2}"))?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Host>, (network, name, family, _): Resolve| {
            let wanted: fn(&std::net::IpAddr) -> bool = match family {
                None => |_| true,
                Some(IpAddressFamily::Ipv4) => |address| address.is_ipv4(),
                Some(IpAddressFamily::Ipv6) => |address| address.is_ipv6(),
            };
            resolve_addresses(store.data_mut(), &network, name, wanted)
        },
    )
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct TimezoneDisplay {
    #[component(name = "utc-offset")]
    utc_offset: i32,
    name: String,
    #[component(name = "in-daylight-saving-time")]
    in_daylight_saving_time: bool,
}

/// A guest is not told where the machine is: the interface prescribes UTC where the zone is not known.
pub(super) fn define_timezone(linker: &mut Linker<Host>, name: &str) -> Result<()> {
    let mut timezone = linker.instance(name)?;
    timezone.func_wrap("display", |_: StoreContextMut<'_, Host>, (_,): (Datetime,)| {
        let name = "UTC".to_owned();
        Ok((TimezoneDisplay { utc_offset: 0, name, in_daylight_saving_time: false },))
    })?;
    timezone.func_wrap("utc-offset", |_: StoreContextMut<'_, Host>, (_,): (Datetime,)| Ok((0_i32,)))
}
