//! wasi:sockets 0.3: the calls that differ from wasmtime-wasi's.

use super::counted_p3;
use crate::Host;
use crate::link_component::WASI_0_3;
use crate::sockets::LookupError;
use sampan_app::Protocol;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupErrorCode;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocket, HostUdpSocket, IpAddress, IpAddressFamily, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{TcpSocket, UdpSocket, WasiSocketsView};

/// What a function of WASI returns: a result for the guest.
type ToGuest<T> = Result<(Result<T, ErrorCode>,)>;

/// Replaces calls of `wasi:sockets/types`, which is already defined.
pub(crate) fn replace_types(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:sockets/types@{WASI_0_3}"))?;
    // As the crate makes them, but a refusal is explained.
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, Host>, (family,): (IpAddressFamily,)| {
            let host = store.data_mut();
            host.sockets.may_open(Protocol::Tcp);
            to_guest(HostTcpSocket::create(&mut WasiSocketsView::sockets(host), family))
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, Host>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let host = store.data_mut();
                host.sockets.may_open(Protocol::Udp);
                to_guest(HostUdpSocket::create(&mut WasiSocketsView::sockets(host), family).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]tcp-socket.bind",
        |mut store: StoreContextMut<'_, Host>, (socket, local): (Resource<TcpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let host = store.data_mut();
                let Some(address) = host.sockets.bind_address(Protocol::Tcp, local.into()) else {
                    return Ok((Err(ErrorCode::AccessDenied),));
                };
                let mut sockets = WasiSocketsView::sockets(host);
                to_guest(HostTcpSocket::bind(&mut sockets, socket, address.into()).await)
            })
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.get-local-address",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<TcpSocket>,)| {
            let host = store.data_mut();
            let bound = HostTcpSocket::get_local_address(&mut WasiSocketsView::sockets(host), socket);
            to_guest(bound.map(|bound| guest_address(host, Protocol::Tcp, bound)))
        },
    )?;
    types.func_wrap_async(
        "[method]udp-socket.bind",
        |mut store: StoreContextMut<'_, Host>, (socket, local): (Resource<UdpSocket>, IpSocketAddress)| {
            Box::new(async move {
                let host = store.data_mut();
                let Some(address) = host.sockets.bind_address(Protocol::Udp, local.into()) else {
                    return Ok((Err(ErrorCode::AccessDenied),));
                };
                let mut sockets = WasiSocketsView::sockets(host);
                to_guest(HostUdpSocket::bind(&mut sockets, socket, address.into()).await)
            })
        },
    )?;
    types.func_wrap(
        "[method]udp-socket.get-local-address",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<UdpSocket>,)| {
            let host = store.data_mut();
            let bound = HostUdpSocket::get_local_address(&mut WasiSocketsView::sockets(host), socket);
            to_guest(bound.map(|bound| guest_address(host, Protocol::Udp, bound)))
        },
    )?;
    counted_p3::replace_transfer(&mut types)
}

/// Defines `wasi:sockets/ip-name-lookup`, all of it.
pub(crate) fn define_lookup(linker: &mut Linker<Host>) -> Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_3}"))?;
    lookup.func_wrap_concurrent("resolve-addresses", |store: &Accessor<Host>, (name,): (String,)| {
        Box::pin(async move {
            let sockets = store.with(|mut store| store.get().sockets.clone());
            Ok((match sockets.resolve(&name).await {
                Ok(addresses) => Ok(addresses.into_iter().map(IpAddress::from).collect::<Vec<_>>()),
                Err(LookupError::Refused) => Err(LookupErrorCode::AccessDenied),
                Err(LookupError::Invalid) => Err(LookupErrorCode::InvalidArgument),
                Err(LookupError::NotFound) => Err(LookupErrorCode::NameUnresolvable),
            },))
        })
    })
}

fn guest_address(host: &Host, protocol: Protocol, bound: IpSocketAddress) -> IpSocketAddress {
    host.sockets.guest_address(protocol, bound.into()).into()
}

fn to_guest<T>(result: SocketResult<T>) -> ToGuest<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}
