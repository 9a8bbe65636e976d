//! wasi:io and the monotonic clock of 0.2.0-rc-2023-10-18: where they differ from 0.2.

use crate::Host;
use crate::link_component::WASI_0_2;
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as MonotonicClock;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

/// What a function of streams returns: a result for the guest.
type ToGuest<T> = Result<(Result<T, streams::StreamError>,)>;

type Splice = (Resource<DynOutputStream>, Resource<DynInputStream>, u64);

/// The functions that became `poll` and the methods of a pollable.
pub(super) fn extend_poll(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance(&format!("wasi:io/poll@{WASI_0_2}"))?;
    instance.func_wrap_async(
        "poll-list",
        |mut store: StoreContextMut<'_, Host>, (pollables,): (Vec<Resource<DynPollable>>,)| {
            Box::new(async move { Ok((poll::Host::poll(store.data_mut().ctx().table, pollables).await?,)) })
        },
    )?;
    instance.func_wrap_async(
        "poll-one",
        |mut store: StoreContextMut<'_, Host>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move { poll::HostPollable::block(store.data_mut().ctx().table, pollable).await })
        },
    )
}

/// `error` was a resource of this interface; splicing consumed the stream that it read.
pub(super) fn extend_streams(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance(&format!("wasi:io/streams@{WASI_0_2}"))?;
    instance.resource("error", ResourceType::host::<streams::Error>(), |mut store, rep| {
        error::HostError::drop(store.data_mut().ctx().table, Resource::new_own(rep))
    })?;
    instance.func_wrap(
        "[method]error.to-debug-string",
        |mut store: StoreContextMut<'_, Host>, (this,): (Resource<streams::Error>,)| {
            Ok((error::HostError::to_debug_string(store.data_mut().ctx().table, this)?,))
        },
    )?;
    instance.func_wrap_async(
        "[method]output-stream.splice",
        |mut store: StoreContextMut<'_, Host>, (to, from, bytes): Splice| {
            Box::new(async move {
                let host = store.data_mut();
                let source = Resource::new_borrow(from.rep());
                let spliced = streams::HostOutputStream::splice(host.ctx().table, to, source, bytes);
                finish(host, from, spliced).await
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |mut store: StoreContextMut<'_, Host>, (to, from, bytes): Splice| {
            Box::new(async move {
                let host = store.data_mut();
                let source = Resource::new_borrow(from.rep());
                let table = host.ctx().table;
                let spliced = streams::HostOutputStream::blocking_splice(table, to, source, bytes).await;
                finish(host, from, spliced).await
            })
        },
    )?;
    instance.func_wrap_async(
        "[method]output-stream.forward",
        |mut store: StoreContextMut<'_, Host>,
         (to, from): (Resource<DynOutputStream>, Resource<DynInputStream>)| {
            Box::new(async move {
                let host = store.data_mut();
                let forwarded = forward(host, &to, &from).await;
                finish(host, from, forwarded).await
            })
        },
    )
}

/// Copies until the source ends.
async fn forward(
    host: &mut Host,
    to: &Resource<DynOutputStream>,
    from: &Resource<DynInputStream>,
) -> StreamResult<u64> {
    let mut total = 0;
    loop {
        let (to, from) = (Resource::new_borrow(to.rep()), Resource::new_borrow(from.rep()));
        match streams::HostOutputStream::blocking_splice(host.ctx().table, to, from, u64::MAX).await {
            Ok(bytes) => total += bytes,
            Err(StreamError::Closed) if total > 0 => return Ok(total),
            Err(error) => return Err(error),
        }
    }
}

/// Drops the stream that the guest gave away, and turns the outcome into the guest's.
async fn finish<T>(host: &mut Host, from: Resource<DynInputStream>, outcome: StreamResult<T>) -> ToGuest<T> {
    let table = host.ctx().table;
    streams::HostInputStream::drop(table, from).await?;
    Ok((match outcome {
        Ok(value) => Ok(value),
        Err(error) => Err(streams::Host::convert_stream_error(table, error)?),
    },))
}

/// One function that became two.
pub(super) fn extend_monotonic_clock(linker: &mut Linker<Host>) -> Result<()> {
    let mut instance = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI_0_2}"))?;
    instance.func_wrap("subscribe", |mut store: StoreContextMut<'_, Host>, (when, absolute): (u64, bool)| {
        let mut clocks = store.data_mut().clocks();
        let pollable = match absolute {
            true => MonotonicClock::subscribe_instant(&mut clocks, when)?,
            false => MonotonicClock::subscribe_duration(&mut clocks, when)?,
        };
        Ok((pollable,))
    })
}
