//! wasi:http of 0.2.0-rc-2023-11-10: where it differs from 0.2.

use crate::Host;
use crate::link_component::WASI_0_2;
use std::time::Duration;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, HostFutureTrailers, Trailers};
use wasmtime_wasi_http::p2::body::HostFutureTrailers as FutureTrailers;
use wasmtime_wasi_http::{RequestOptions, WasiHttpView};

type Get = fn(&RequestOptions) -> Option<Duration>;
type Set = fn(&mut RequestOptions, Option<Duration>);

/// Each timeout of a request: its name, and where it is kept.
const TIMEOUTS: &[(&str, Get, Set)] = &[
    ("connect-timeout-ms", |all| all.connect_timeout, |all, new| all.connect_timeout = new),
    ("first-byte-timeout-ms", |all| all.first_byte_timeout, |all, new| all.first_byte_timeout = new),
    ("between-bytes-timeout-ms", |all| all.between_bytes_timeout, |all, new| all.between_bytes_timeout = new),
];

/// Timeouts had names that end in `-ms`; trailers could not say that they were already taken.
pub(super) fn extend_types(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:http/types@{WASI_0_2}"))?;
    for (name, get, set) in TIMEOUTS {
        types.func_wrap(
            &format!("[method]request-options.{name}"),
            move |mut store: StoreContextMut<'_, Host>, (options,): (Resource<RequestOptions>,)| {
                let timeout = get(store.data_mut().ctx().table.get(&options)?);
                Ok((timeout.map(|timeout| timeout.as_millis().try_into().unwrap_or(u64::MAX)),))
            },
        )?;
        types.func_wrap(
            &format!("[method]request-options.set-{name}"),
            move |mut store: StoreContextMut<'_, Host>,
                  (options, timeout): (Resource<RequestOptions>, Option<u64>)| {
                set(store.data_mut().ctx().table.get_mut(&options)?, timeout.map(Duration::from_millis));
                Ok((Ok::<(), ()>(()),))
            },
        )?;
    }
    types.func_wrap(
        "[method]future-trailers.get",
        |mut store: StoreContextMut<'_, Host>, (trailers,): (Resource<FutureTrailers>,)| {
            let got = HostFutureTrailers::get(&mut store.data_mut().http(), trailers)?;
            let got: Option<Result<Option<Resource<Trailers>>, ErrorCode>> =
                got.map(|got| got.unwrap_or(Ok(None)));
            Ok((got,))
        },
    )
}
