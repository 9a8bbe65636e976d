//! One store, many faces: what a guest writes by wasi:keyvalue, Dapr's clients read, and the reverse.

use crate::python::{packages, run};
use crate::{Site, check, component};
use sampan_testing::servers::Redis;
use sampan_testing::{finish, guest_for, temp_dir};
use std::process::Command;

#[test]
fn guests_and_clients_of_dapr_see_the_same_keys() {
    let (Some(packages), Some(redis)) = (packages(), Redis::start()) else { return };
    let folder = temp_dir();
    let database = format!("connectionString={}", folder.path().join("state.db").display());
    let host = format!("redisHost=127.0.0.1:{}", redis.port);
    let guest = guest_for("wasm32-wasip2", "serve-keyvalue");
    let up = Site::new(&[
        component("memory", "state.in-memory", &[]),
        component("sqlite", "state.sqlite", &[&database]),
        component("redis", "state.redis", &[&host]),
        component("hidden", "state.in-memory", &[]),
    ])
    .manifest(&format!(
        "[component.keys]\nsource = {guest:?}\ngrant = {{ keyvalue = [\"memory\", \"sqlite\", \"redis\"] }}\n"
    ))
    .up();
    for store in ["memory", "sqlite", "redis"] {
        let of_guest = format!("PUT /v1.0/invoke/keys/method/{store}/guest");
        check(&up, &[(&of_guest, "of the guest", 204, "")]);
        run(&up, &packages, "shared.py", &[store]);
        let of_sdk = format!("GET /v1.0/invoke/keys/method/{store}/sdk");
        check(&up, &[(&of_sdk, "", 200, r#"{"of": "the SDK"}"#)]);
    }
    for (key, value, version) in [("guest", "of the guest", 1), ("sdk", r#"{"of": "the SDK"}"#, 1)] {
        let mut client = Command::new("redis-cli");
        client.args(["-p", &redis.port.to_string(), "HGETALL", &format!("shop||{key}")]);
        assert_eq!(finish(&mut client, "").stdout, format!("data\n{value}\nversion\n{version}\n"));
    }
    // A store that is not granted is there for Dapr only.
    let refused = "Error::AccessDenied";
    check(&up, &[("GET /v1.0/invoke/keys/method/hidden/any", "", 502, refused)]);
}
