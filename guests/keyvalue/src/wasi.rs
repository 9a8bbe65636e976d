//! The two drafts of wasi:keyvalue.

use crate::{Said, owned, pairs, sorted, text};

mod of_draft {
    wit_bindgen::generate!({
        path: "../../wit/wasi-keyvalue-0.2.0-draft",
        world: "wasi:keyvalue/imports",
        generate_all,
    });
}

mod of_draft2 {
    wit_bindgen::generate!({
        path: "../../wit/wasi-keyvalue-0.2.0-draft2",
        world: "wasi:keyvalue/imports",
        generate_all,
    });
}

pub fn draft(store: &str, call: &[&str]) -> Said {
    use of_draft::wasi::keyvalue::{atomics, batch, store as kv};
    let said = |error: kv::Error| format!("{error:?}");
    let bucket = kv::open(store).map_err(said)?;
    match *call {
        ["open"] => Ok("open".to_owned()),
        ["get", key] => bucket.get(key).map(text).map_err(said),
        ["set", key, value] => bucket.set(key, value.as_bytes()).map(|()| "set".to_owned()).map_err(said),
        ["delete", key] => bucket.delete(key).map(|()| "deleted".to_owned()).map_err(said),
        ["exists", key] => bucket.exists(key).map(|there| there.to_string()).map_err(said),
        ["list"] => {
            let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, None);
            loop {
                let page = bucket.list_keys(cursor).map_err(said)?;
                keys.extend(page.keys);
                pages += 1;
                cursor = page.cursor;
                if cursor.is_none() {
                    return Ok(format!(
                        "{} keys, {}",
                        keys.len(),
                        if pages > 1 { "pages" } else { "a page" }
                    ));
                }
            }
        }
        // With a number that this bucket never gave.
        ["list-at", from] => {
            let page = bucket.list_keys(from.parse().ok()).map_err(said)?;
            Ok(format!("{} keys, then {:?}", page.keys.len(), page.cursor))
        }
        ["increment", key, delta] => {
            let delta = delta.parse().map_err(|_| "no number".to_owned())?;
            atomics::increment(&bucket, key, delta).map(|sum| sum.to_string()).map_err(said)
        }
        ["get-many", ref keys @ ..] => {
            let found = batch::get_many(&bucket, &owned(keys)).map_err(said)?;
            let shown = found.into_iter().map(|pair| match pair {
                Some((key, value)) => format!("{key}={}", text(Some(value))),
                None => "-".to_owned(),
            });
            Ok(shown.collect::<Vec<_>>().join(" "))
        }
        ["set-many", ref entries @ ..] => {
            batch::set_many(&bucket, &pairs(entries)).map(|()| "set".to_owned()).map_err(said)
        }
        ["delete-many", ref keys @ ..] => {
            batch::delete_many(&bucket, &owned(keys)).map(|()| "deleted".to_owned()).map_err(said)
        }
        _ => panic!("no such call: {call:?}"),
    }
}

pub fn draft2(store: &str, call: &[&str]) -> Said {
    use of_draft2::wasi::keyvalue::{atomics, batch, store as kv};
    let said = |error: kv::Error| format!("{error:?}");
    let bucket = kv::open(store).map_err(said)?;
    match *call {
        ["open"] => Ok("open".to_owned()),
        ["open-many"] => {
            let mut buckets = vec![bucket];
            loop {
                match kv::open(store) {
                    Ok(bucket) => buckets.push(bucket),
                    Err(error) => return Ok(format!("{} and {error:?}", buckets.len())),
                }
            }
        }
        ["get", key] => bucket.get(key).map(text).map_err(said),
        ["set", key, value] => bucket.set(key, value.as_bytes()).map(|()| "set".to_owned()).map_err(said),
        ["delete", key] => bucket.delete(key).map(|()| "deleted".to_owned()).map_err(said),
        ["exists", key] => bucket.exists(key).map(|there| there.to_string()).map_err(said),
        ["list"] => {
            let (mut keys, mut cursor) = (Vec::new(), None);
            loop {
                let page = bucket.list_keys(cursor.as_deref()).map_err(said)?;
                keys.extend(page.keys);
                cursor = page.cursor;
                if cursor.is_none() {
                    return Ok(sorted(keys));
                }
            }
        }
        ["increment", key, delta] => {
            let delta = delta.parse().map_err(|_| "no number".to_owned())?;
            atomics::increment(&bucket, key, delta).map(|sum| sum.to_string()).map_err(said)
        }
        // Between look and swap, somebody else writes; the handle that comes back knows it, and wins.
        ["swap", key, value, ref meanwhile @ ..] => {
            let cas = atomics::Cas::new(&bucket, key).map_err(said)?;
            let before = text(cas.current().map_err(said)?);
            if let [other] = meanwhile {
                bucket.set(key, other.as_bytes()).map_err(said)?;
            }
            match atomics::swap(cas, value.as_bytes()) {
                Ok(()) => Ok(format!("{before} became {value}")),
                Err(atomics::CasError::StoreError(error)) => Err(said(error)),
                Err(atomics::CasError::CasFailed(again)) => {
                    let now = text(again.current().map_err(said)?);
                    atomics::swap(again, value.as_bytes()).map_err(|error| format!("{error:?}"))?;
                    Ok(format!("{before}, no: {now} became {value}"))
                }
            }
        }
        ["get-many", ref keys @ ..] => {
            let found = batch::get_many(&bucket, &owned(keys)).map_err(said)?;
            let shown = found.into_iter().map(|(key, value)| format!("{key}={}", text(value)));
            Ok(shown.collect::<Vec<_>>().join(" "))
        }
        ["set-many", ref entries @ ..] => {
            batch::set_many(&bucket, &pairs(entries)).map(|()| "set".to_owned()).map_err(said)
        }
        ["delete-many", ref keys @ ..] => {
            batch::delete_many(&bucket, &owned(keys)).map(|()| "deleted".to_owned()).map_err(said)
        }
        _ => panic!("no such call: {call:?}"),
    }
}
