//! Host calls of Easegress on the data that all instances share.

use super::data::{Data, from_base64, from_float, from_integer};
use super::instance::{give, parts, state};
use super::wire;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sampan_capabilities::{Definer, Host};
use wasmtime::{Caller, Func, Result, format_err};

type Guest<'a> = Caller<'a, Host>;

pub fn define(d: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "cluster_get_binary" => d.wrap_async(|mut guest: Guest<'_>, (key,): (i32,)| {
            Box::new(async move {
                let value = get(&mut guest, key).await?;
                give(&mut guest, &wire::bytes(&from_base64(value.as_deref()))).await
            })
        }),
        "cluster_put_binary" => d.wrap_async(|mut guest: Guest<'_>, (key, value): (i32, i32)| {
            Box::new(async move {
                let (memory, _) = parts(&mut guest)?;
                let value = STANDARD.encode(wire::read_bytes(memory, value as u32)?);
                put(&mut guest, key, value.into_bytes()).await
            })
        }),
        "cluster_get_string" => d.wrap_async(|mut guest: Guest<'_>, (key,): (i32,)| {
            Box::new(async move {
                let value = get(&mut guest, key).await?;
                give(&mut guest, &wire::string(&value.unwrap_or_default())).await
            })
        }),
        "cluster_put_string" => d.wrap_async(|mut guest: Guest<'_>, (key, value): (i32, i32)| {
            Box::new(async move {
                let (memory, _) = parts(&mut guest)?;
                let value = wire::read_string(memory, value as u32)?.to_vec();
                put(&mut guest, key, value).await
            })
        }),
        "cluster_count_key" => d.wrap_async(|mut guest: Guest<'_>, (prefix,): (i32,)| {
            Box::new(async move {
                let (data, prefix) = addressed(&mut guest, prefix)?;
                Ok::<_, wasmtime::Error>(i32::try_from(data.count(&prefix).await?).unwrap_or(i32::MAX))
            })
        }),
        _ => return numbers(d, name),
    })
}

fn numbers(d: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "cluster_get_integer" => d.wrap_async(|mut guest: Guest<'_>, (key,): (i32,)| {
            Box::new(
                async move { Ok::<_, wasmtime::Error>(from_integer(get(&mut guest, key).await?.as_deref())) },
            )
        }),
        "cluster_put_integer" => d.wrap_async(|mut guest: Guest<'_>, (key, value): (i32, i64)| {
            Box::new(async move { put(&mut guest, key, value.to_string().into_bytes()).await })
        }),
        "cluster_add_integer" => d.wrap_async(|mut guest: Guest<'_>, (key, more): (i32, i64)| {
            Box::new(async move {
                let (data, key) = addressed(&mut guest, key)?;
                Ok::<_, wasmtime::Error>(data.add_integer(&key, more).await?)
            })
        }),
        "cluster_get_float" => d.wrap_async(|mut guest: Guest<'_>, (key,): (i32,)| {
            Box::new(
                async move { Ok::<_, wasmtime::Error>(from_float(get(&mut guest, key).await?.as_deref())) },
            )
        }),
        "cluster_put_float" => d.wrap_async(|mut guest: Guest<'_>, (key, value): (i32, f64)| {
            Box::new(async move { put(&mut guest, key, super::data::float(value).into_bytes()).await })
        }),
        "cluster_add_float" => d.wrap_async(|mut guest: Guest<'_>, (key, more): (i32, f64)| {
            Box::new(async move {
                let (data, key) = addressed(&mut guest, key)?;
                Ok::<_, wasmtime::Error>(data.add_float(&key, more).await?)
            })
        }),
        _ => return None,
    })
}

/// The data, and the guest's key.
fn addressed(guest: &mut Guest<'_>, key: i32) -> Result<(Data, String)> {
    let (memory, _) = parts(guest)?;
    let key = std::str::from_utf8(wire::read_string(memory, key as u32)?);
    let key = key.map_err(|_| format_err!("it uses a key that is not UTF-8"))?.to_owned();
    Ok((state(guest.data_mut())?.data.clone(), key))
}

async fn get(guest: &mut Guest<'_>, key: i32) -> Result<Option<Vec<u8>>> {
    let (data, key) = addressed(guest, key)?;
    Ok(data.get(&key).await?)
}

async fn put(guest: &mut Guest<'_>, key: i32, value: Vec<u8>) -> Result<()> {
    let (data, key) = addressed(guest, key)?;
    Ok(data.put(&key, value).await?)
}
