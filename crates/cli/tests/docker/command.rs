//! The `docker` command: containers from their making to their end.

use crate::{Engine, dockers};
use sampan_testing::{finish, http_get};
use std::fs;
use std::io::Write;

#[test]
fn programs_run_in_the_foreground() {
    let engine = Engine::start();
    for docker in dockers() {
        assert_eq!(engine.good(&docker, &["run", "--rm", "guests"]), "0\n1\n2");
        assert_eq!(engine.good(&docker, &["run", "--rm", "guests", "lines", "1"]), "0");
        let both = engine.docker(&docker, &["run", "--rm", "guests", "both", "1"]);
        assert_eq!((&*both.stdout, &*both.stderr), ("out 0\n", "err 0\n"));
        let exit = engine.docker(&docker, &["run", "--rm", "--entrypoint", "/exit.wasm", "guests", "9"]);
        assert_eq!(exit.code, 9, "{}", exit.stderr);
        // Input ends with the client's, and output comes after that.
        let mut count = engine.client(&docker);
        count.args(["run", "--rm", "-i", "guests", "count"]);
        assert_eq!(finish(&mut count, "12345").stdout, "5\n");
        assert_eq!(engine.good(&docker, &["ps", "-aq"]), "", "all were removed at their end");
    }
}

#[test]
fn a_served_image() {
    let engine = Engine::start();
    fs::create_dir(engine.path().join("shared")).unwrap();
    fs::write(engine.path().join("shared/seen"), "").unwrap();
    let bind = format!("{}:/data:ro", engine.path().join("shared").display());
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        let run = ["run", "-d", "--name", "web", "-p", "127.0.0.1::8080", "--expose", "8080", "-v", &bind];
        let id = good(&[&run[..], &["--label", "role=web", "--entrypoint", "/cgi.wasm", "guests"]].concat());
        assert_eq!(id.len(), 64, "{id}");
        let address = good(&["port", "web", "8080"]);
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{address}");
        let answer = || http_get(address.as_str(), "/files").map(|answer| answer.text());
        crate::until("the container serves", || answer().is_ok());
        assert_eq!(answer().unwrap(), "seen\n");

        let row = good(&["ps", "--format", "{{.Names}} {{.Ports}} {{.Status}}", "-f", "label=role=web"]);
        assert!(row.starts_with(&format!("web {address}->8080/tcp Up ")), "{row}");
        let stats =
            good(&["stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}"]);
        assert!(stats.starts_with("web ") && stats.contains("MiB / ") && stats.ends_with(" 1"), "{stats}");
        let network = good(&["stats", "--no-stream", "--format", "{{.NetIO}}"]);
        assert!(!network.starts_with("0B") && !network.ends_with(" 0B"), "{network}");
        assert!(good(&["top", "web"]).contains("/cgi.wasm"));
        let about = "{{.State.Status}} {{.Config.Image}} {{.HostConfig.Binds}} {{.RestartCount}}";
        assert_eq!(good(&["inspect", "-f", about, "web"]), format!("running guests [{bind}] 0"));

        good(&["pause", "web"]);
        assert!(good(&["ps", "--format", "{{.Status}}"]).ends_with("(Paused)"));
        good(&["unpause", "web"]);
        good(&["rename", "web", "site"]);
        good(&["stop", "site"]);
        let state = ["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "site"];
        assert_eq!(good(&state), "exited 0");
        good(&["start", "site"]);
        good(&["restart", "-t", "1", "site"]);
        good(&["kill", "site"]);
        assert_eq!(good(&["wait", "site"]), "137");
        assert_eq!(good(&["container", "prune", "-f"]).lines().nth(1), Some(id.as_str()));
        assert_eq!(good(&["ps", "-aq"]), "");
    }
}

#[test]
fn programs_beside_the_first() {
    let engine = Engine::start();
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        good(&["run", "-d", "--name", "one", "--entrypoint", "/endless.wasm", "guests", "sleep"]);
        assert_eq!(good(&["exec", "one", "/streams.wasm", "lines", "2"]), "0\n1");
        assert_eq!(engine.docker(&docker, &["exec", "one", "/exit.wasm", "7"]).code, 7);
        let mut upper = engine.client(&docker);
        upper.args(["exec", "-i", "one", "/streams.wasm", "upper"]);
        assert_eq!(finish(&mut upper, "abc\n").stdout, "ABC\n");
        good(&["exec", "-d", "one", "/files.wasm", "write", "/made", "text"]);
        crate::until("the detached program has written", || {
            engine.docker(&docker, &["exec", "one", "/files.wasm", "cat", "/made"]).stdout == "cat: text\n"
        });
        good(&["rm", "-f", "one"]);
        let gone = engine.docker(&docker, &["exec", "one", "/exit.wasm"]);
        assert!(gone.code != 0 && gone.stderr.contains("No such container: one"), "{}", gone.stderr);
    }
}

#[test]
fn restart_policies_and_names() {
    let engine = Engine::start();
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        let run = ["run", "-d", "--name", "again", "--restart", "on-failure:2", "--entrypoint", "/exit.wasm"];
        good(&[&run[..], &["guests", "3"]].concat());
        assert_eq!(good(&["wait", "again"]), "3");
        assert_eq!(good(&["inspect", "-f", "{{.RestartCount}}", "again"]), "2");
        good(&["update", "--restart", "no", "again"]);
        assert_eq!(good(&["inspect", "-f", "{{.HostConfig.RestartPolicy.Name}}", "again"]), "no");
        let same = engine.docker(&docker, &["create", "--name", "again", "guests"]);
        assert!(same.code != 0 && same.stderr.contains("already in use by container"), "{}", same.stderr);
        good(&["rm", "again"]);
    }
}

/// With `start -a`, the client attaches to what does not run yet.
#[test]
fn a_container_that_was_made_before() {
    let engine = Engine::start();
    for docker in dockers() {
        let id = engine.good(&docker, &["create", "-i", "guests", "upper"]);
        let mut start = engine.client(&docker);
        start.args(["start", "-ai", &id]);
        assert_eq!(finish(&mut start, "typed\n").stdout, "TYPED\n");
        assert_eq!(engine.good(&docker, &["logs", &id]), "TYPED");
        engine.good(&docker, &["rm", &id]);
    }
}

#[test]
fn volumes_networks_and_events() {
    let engine = Engine::start();
    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        assert_eq!(good(&["volume", "create", "--label", "a=b", "kept"]), "kept");
        let write = ["run", "--rm", "-v", "kept:/kept", "--entrypoint", "/files.wasm", "guests"];
        good(&[&write[..], &["write", "/kept/x", "1"]].concat());
        assert_eq!(good(&[&write[..], &["cat", "/kept/x"]].concat()), "cat: 1");
        let list = ["volume", "ls", "-q", "-f", "label=a=b"];
        assert_eq!(good(&list), "kept");
        good(&["volume", "rm", "kept"]);
        assert_eq!(good(&list), "");

        good(&["network", "create", "front"]);
        good(&["create", "--name", "member", "--network", "front", "guests"]);
        assert_eq!(
            good(&[
                "inspect",
                "-f",
                "{{range $name, $one := .NetworkSettings.Networks}}{{$name}} {{end}}",
                "member"
            ]),
            "front"
        );
        good(&["network", "connect", "bridge", "member"]);
        good(&["network", "disconnect", "front", "member"]);
        good(&["rm", "member"]);
        good(&["network", "rm", "front"]);
        let builtin = engine.docker(&docker, &["network", "rm", "bridge"]);
        assert!(builtin.stderr.contains("pre-defined network"), "{}", builtin.stderr);

        // The present second counts, once it is over.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let until = (now + 1).to_string();
        let events =
            ["events", "--since", "1h", "--until", &until, "-f", "type=container", "-f", "event=die"];
        let events =
            good(&[&events[..], &["--format", "{{.Action}} {{.Actor.Attributes.exitCode}}"]].concat());
        assert!(events.lines().all(|line| line == "die 0") && events.contains("die"), "{events}");
    }
}

#[test]
fn limits_and_what_is_refused() {
    let engine = Engine::start();
    for docker in dockers() {
        for (arguments, why) in [
            (&["--privileged"][..], "Privileged cannot be had"),
            (&["--cap-add", "NET_ADMIN"], "CapAdd cannot be had"),
            (&["--device", "/dev/null"], "Devices cannot be had"),
            (&["--pid", "host"], "PidMode cannot be had"),
            (&["--log-driver", "syslog"], "log driver syslog"),
            (&["--network", "nowhere"], "network nowhere not found"),
            (&["--mount", "type=bind,src=/nowhere,dst=/x"], "does not exist"),
        ] {
            let run = engine.docker(&docker, &[&["run"], arguments, &["guests"]].concat());
            assert!(run.code == 125 && run.stderr.contains(why), "{arguments:?}: {}", run.stderr);
        }
        let ignored = engine.docker(&docker, &["run", "--rm", "--dns", "1.1.1.1", "guests", "lines", "1"]);
        assert!(
            ignored.stdout == "0\n" && ignored.stderr.contains("Dns has no meaning"),
            "{}",
            ignored.stderr
        );
        let run = ["create", "-m", "64m", "--cpus", "0.5", "--tmpfs", "/t", "--read-only", "guests"];
        let id = engine.good(&docker, &run);
        let about = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.ReadonlyRootfs}}";
        assert_eq!(engine.good(&docker, &["inspect", "-f", about, &id]), "67108864 500000000 true");
        let update = engine.docker(&docker, &["update", "-m", "32m", "--memory-swap", "64m", &id]);
        assert!(update.code != 0 && update.stderr.contains("cannot be changed"), "{}", update.stderr);
    }
}

/// An image has no say in what its guests may reach; who runs it has.
#[test]
fn grants_come_from_the_command_line_alone() {
    let engine = Engine::start();
    let dockerfile = "FROM guests\nLABEL dev.sampan.allow-tcp=* other=kept\n";
    fs::write(engine.path().join("Dockerfile"), dockerfile).unwrap();
    let Some(docker) = dockers().pop() else { return };
    engine.good(&docker, &["build", "-t", "greedy", "."]);
    let label = "dev.sampan.allow-http=http://127.0.0.1:1";
    let id = engine.good(&docker, &["create", "--label", label, "greedy"]);
    let config = engine.path().join("data/containers").join(&id).join("config.json");
    let spec = fs::read_to_string(config).unwrap();
    assert!(!spec.contains("allow-tcp") && spec.contains("dev.sampan.allow-http"), "{spec}");
    assert_eq!(engine.good(&docker, &["inspect", "-f", "{{.Config.Labels.other}}", &id]), "kept");
}

/// A terminal: what `script` gives a program is one.
#[test]
fn a_terminal() {
    let engine = Engine::start();
    for docker in dockers() {
        let mut script = engine.client("script");
        let command = format!("{} run --rm -it guests tty", docker.display());
        let shown = finish(script.args(["-qec", &command, "/dev/null"]), "");
        assert!(shown.stdout.contains("stdin true stdout true stderr true\r\n"), "{}", shown.stdout);
        let mut script = engine.client("script");
        let command = format!("{} run --rm -it guests ask", docker.display());
        script.args(["-qec", &command, "/dev/null"]);
        let mut asking = sampan_testing::Running::start(&mut script);
        asking.stdin.as_mut().unwrap().write_all(b"somebody\n").unwrap();
        let shown = asking.finish().stdout;
        assert!(shown.contains("hello somebody"), "{shown}");
    }
}
