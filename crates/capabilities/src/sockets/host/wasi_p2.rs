//! wasi:sockets 0.2: the calls that differ from wasmtime-wasi's.

use super::counted;
use super::lookup::Lookup;
use crate::Host;
use crate::link_component::WASI_0_2;
use crate::sockets::LookupError;
use sampan_app::Protocol;
use std::net::IpAddr;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket;
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagramStream,
    OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::{DynPollable, Network, SocketResult, TcpSocket, UdpSocket, subscribe};
use wasmtime_wasi::sockets::WasiSocketsView;

/// What a function of WASI returns: a result for the guest.
pub(crate) type ToGuest<T> = Result<(Result<T, ErrorCode>,)>;

/// Replaces calls of `wasi:sockets/tcp`, which is already defined.
pub(crate) fn replace_tcp(linker: &mut Linker<Host>) -> Result<()> {
    let mut tcp = linker.instance(&format!("wasi:sockets/tcp@{WASI_0_2}"))?;
    tcp.func_wrap_async(
        "[method]tcp-socket.start-bind",
        |mut store: StoreContextMut<'_, Host>,
         (socket, network, local): (Resource<TcpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move {
                let host = store.data_mut();
                let Some(address) = host.sockets.bind_address(Protocol::Tcp, local.into()) else {
                    return Ok((Err(ErrorCode::AccessDenied),));
                };
                let mut sockets = WasiSocketsView::sockets(host);
                to_guest(HostTcpSocket::start_bind(&mut sockets, socket, network, address.into()).await)
            })
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.local-address",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<TcpSocket>,)| {
            let host = store.data_mut();
            let bound = HostTcpSocket::local_address(&mut WasiSocketsView::sockets(host), socket);
            to_guest(bound.map(|bound| guest_address(host, Protocol::Tcp, bound)))
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<TcpSocket>,)| {
            let host = store.data_mut();
            match HostTcpSocket::finish_connect(&mut WasiSocketsView::sockets(host), socket) {
                Ok(streams) => counted::streams(host, &streams.0, &streams.1).map(|()| (Ok(streams),)),
                Err(error) => Ok((Err(error.downcast()?),)),
            }
        },
    )?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<TcpSocket>,)| {
            let host = store.data_mut();
            match HostTcpSocket::accept(&mut WasiSocketsView::sockets(host), socket) {
                Ok(accepted) => counted::streams(host, &accepted.1, &accepted.2).map(|()| (Ok(accepted),)),
                Err(error) => Ok((Err(error.downcast()?),)),
            }
        },
    )
}

/// Replaces calls of `wasi:sockets/udp`, which is already defined.
pub(crate) fn replace_udp(linker: &mut Linker<Host>) -> Result<()> {
    let mut udp = linker.instance(&format!("wasi:sockets/udp@{WASI_0_2}"))?;
    udp.func_wrap_async(
        "[method]udp-socket.start-bind",
        |mut store: StoreContextMut<'_, Host>,
         (socket, network, local): (Resource<UdpSocket>, Resource<Network>, IpSocketAddress)| {
            Box::new(async move {
                let host = store.data_mut();
                let Some(address) = host.sockets.bind_address(Protocol::Udp, local.into()) else {
                    return Ok((Err(ErrorCode::AccessDenied),));
                };
                let mut sockets = WasiSocketsView::sockets(host);
                to_guest(HostUdpSocket::start_bind(&mut sockets, socket, network, address.into()).await)
            })
        },
    )?;
    udp.func_wrap(
        "[method]udp-socket.local-address",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<UdpSocket>,)| {
            let host = store.data_mut();
            let bound = HostUdpSocket::local_address(&mut WasiSocketsView::sockets(host), socket);
            to_guest(bound.map(|bound| guest_address(host, Protocol::Udp, bound)))
        },
    )?;
    udp.func_wrap(
        "[method]incoming-datagram-stream.receive",
        |mut store: StoreContextMut<'_, Host>, (stream, max): (Resource<IncomingDatagramStream>, u64)| {
            let host = store.data_mut();
            let received =
                HostIncomingDatagramStream::receive(&mut WasiSocketsView::sockets(host), stream, max);
            if let (Ok(datagrams), Some(traffic)) = (&received, host.sockets.traffic()) {
                traffic.received(datagrams.iter().map(|datagram| datagram.data.len()).sum());
            }
            to_guest(received)
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.send",
        |mut store: StoreContextMut<'_, Host>,
         (stream, datagrams): (Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>)| {
            let host = store.data_mut();
            let lens: Vec<usize> = datagrams.iter().map(|datagram| datagram.data.len()).collect();
            let sent =
                HostOutgoingDatagramStream::send(&mut WasiSocketsView::sockets(host), stream, datagrams);
            if let (Ok(count), Some(traffic)) = (&sent, host.sockets.traffic()) {
                // Those that were sent are the first ones.
                traffic.sent(lens.iter().take(usize::try_from(*count).unwrap_or(usize::MAX)).sum());
            }
            to_guest(sent)
        },
    )
}

/// Defines `wasi:sockets/ip-name-lookup`, all of it: the stream of addresses is ours.
pub(crate) fn define_lookup(linker: &mut Linker<Host>) -> Result<()> {
    let mut lookup = linker.instance(&format!("wasi:sockets/ip-name-lookup@{WASI_0_2}"))?;
    lookup.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut store, rep| {
        store.data_mut().ctx().table.delete(Resource::<Lookup>::new_own(rep))?;
        Ok(())
    })?;
    lookup.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, Host>, (network, name): (Resource<Network>, String)| {
            resolve_addresses(store.data_mut(), &network, name, |_| true)
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, Host>, (lookup,): (Resource<Lookup>,)| {
            let next = store.data_mut().ctx().table.get_mut(&lookup)?.next();
            Ok((match next {
                None => Err(ErrorCode::WouldBlock),
                Some(Ok(address)) => Ok(address.map(IpAddress::from)),
                Some(Err(error)) => Err(error_code(&error)),
            },))
        },
    )?;
    lookup.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, Host>, (lookup,): (Resource<Lookup>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, lookup)?;
            Ok((pollable,))
        },
    )
}

pub(crate) fn resolve_addresses(
    host: &mut Host,
    network: &Resource<Network>,
    name: String,
    wanted: fn(&IpAddr) -> bool,
) -> ToGuest<Resource<Lookup>> {
    let sockets = host.sockets.clone();
    let table = host.ctx().table;
    // The network is the right to use this call; there is only one, which everybody gets.
    table.get(network)?;
    match Lookup::start(sockets, name, wanted) {
        Ok(lookup) => Ok((Ok(table.push(lookup)?),)),
        Err(error) => Ok((Err(error_code(&error)),)),
    }
}

fn guest_address(host: &Host, protocol: Protocol, bound: IpSocketAddress) -> IpSocketAddress {
    host.sockets.guest_address(protocol, bound.into()).into()
}

fn error_code(error: &LookupError) -> ErrorCode {
    match error {
        LookupError::Refused => ErrorCode::AccessDenied,
        LookupError::Invalid => ErrorCode::InvalidArgument,
        LookupError::NotFound => ErrorCode::NameUnresolvable,
    }
}

fn to_guest<T>(result: SocketResult<T>) -> ToGuest<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}
