//! examples/dapr-state: a program in AssemblyScript saves values and reads them back.

use crate::run;
use sampan_testing::{dapr_example, finish, servers::Redis, temp_dir};
use std::process::Command;

const SAID: &str = "saved weapon and planets to statestore\n\
                    read weapon: \"Death Star\"\n\
                    read planets: [\"Alderaan\",\"Tatooine\",\"Hoth\"]\n\
                    Test successfully!\n";

#[test]
fn the_example_in_memory() {
    let Some(example) = dapr_example() else { return };
    let (home, wasm) = (temp_dir(), example.join("build/main.wasm"));
    let wasm = wasm.to_str().unwrap();
    let finished = run(&["--dapr", wasm], home.path());
    assert_eq!((finished.code, &*finished.stdout, &*finished.stderr), (0, SAID, ""), "{finished:?}");
    // Without Dapr there is nobody to ask.
    let refused = run(&["--explain", wasm], home.path());
    assert_eq!((refused.code, &*refused.stdout), (1, ""), "{refused:?}");
    let named = "grant it with --dapr, or, for another server there, --allow-http http://127.0.0.1:3500";
    assert!(refused.stderr.contains("the destination is not allowed"), "{refused:?}");
    assert!(refused.stderr.contains(named), "{refused:?}");
}

#[test]
fn the_example_on_redis_in_daprs_layout() {
    let Some(redis) = Redis::start() else { return };
    let Some(example) = dapr_example() else { return };
    let home = temp_dir();
    let yaml = std::fs::read_to_string(example.join("components/statestore.yaml")).unwrap();
    let yaml = yaml.replace("localhost:6379", &format!("127.0.0.1:{}", redis.port));
    std::fs::create_dir(home.path().join("components")).unwrap();
    std::fs::write(home.path().join("components/statestore.yaml"), yaml).unwrap();
    let (folder, wasm) = (home.path().join("components"), example.join("build/main.wasm"));
    let args = ["--dapr", folder.to_str().unwrap(), wasm.to_str().unwrap()];
    for version in 1..=2 {
        let finished = run(&args, home.path());
        assert_eq!((finished.code, &*finished.stdout, &*finished.stderr), (0, SAID, ""), "{finished:?}");
        // The app's id is the program's name; every write is a version.
        for (key, value) in
            [("weapon", "\"Death Star\""), ("planets", "[\"Alderaan\",\"Tatooine\",\"Hoth\"]")]
        {
            let mut client = Command::new("redis-cli");
            client.args(["-p", &redis.port.to_string(), "HGETALL", &format!("main||{key}")]);
            let hash = finish(&mut client, "").stdout;
            assert_eq!(hash, format!("data\n{value}\nversion\n{version}\n"), "{key}");
        }
    }
}
