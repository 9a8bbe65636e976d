//! Spin's key-value without version, and 2.0.0.

use crate::{Said, sorted, text};

mod of_v1 {
    wit_bindgen::generate!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:guest; world v1 { import fermyon:spin/key-value; }",
        generate_all,
    });
}

mod of_v2 {
    wit_bindgen::generate!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:guest; world v2 { import fermyon:spin/key-value@2.0.0; }",
        generate_all,
    });
}

pub fn v1(store: &str, call: &[&str]) -> Said {
    use of_v1::fermyon::spin::key_value as kv;
    let said = |error: kv::Error| format!("{error:?}");
    let handle = kv::open(store).map_err(said)?;
    let done = match *call {
        ["open"] => Ok("open".to_owned()),
        ["get", key] => kv::get(handle, key).map(|value| text(Some(value))),
        ["set", key, value] => kv::set(handle, key, value.as_bytes()).map(|()| "set".to_owned()),
        ["delete", key] => kv::delete(handle, key).map(|()| "deleted".to_owned()),
        ["exists", key] => kv::exists(handle, key).map(|there| there.to_string()),
        ["list"] => kv::get_keys(handle).map(sorted),
        ["open-many"] => {
            let mut count = 1;
            while kv::open(store).inspect_err(|error| println!("{error:?}")).is_ok() {
                count += 1;
            }
            Ok(count.to_string())
        }
        ["forged"] => kv::get(handle + 1, "key").map(|value| text(Some(value))),
        ["closed"] => {
            kv::close(handle);
            kv::close(handle);
            kv::get(handle, "key").map(|value| text(Some(value)))
        }
        _ => panic!("no such call: {call:?}"),
    };
    kv::close(handle);
    done.map_err(said)
}

pub fn v2(store: &str, call: &[&str]) -> Said {
    use of_v2::fermyon::spin::key_value as kv;
    let said = |error: kv::Error| format!("{error:?}");
    let store = kv::Store::open(store).map_err(said)?;
    let done = match *call {
        ["open"] => Ok("open".to_owned()),
        ["get", key] => store.get(key).map(text),
        ["set", key, value] => store.set(key, value.as_bytes()).map(|()| "set".to_owned()),
        ["delete", key] => store.delete(key).map(|()| "deleted".to_owned()),
        ["exists", key] => store.exists(key).map(|there| there.to_string()),
        ["list"] => store.get_keys().map(sorted),
        ["set-large", key, bytes] => {
            let value = vec![0; bytes.parse().map_err(|_| "no number".to_owned())?];
            store.set(key, &value).map(|()| "set".to_owned())
        }
        _ => panic!("no such call: {call:?}"),
    };
    done.map_err(said)
}
