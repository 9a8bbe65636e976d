//! Pods, by containerd's CRI plug-in, as Kubernetes drives it: a guest beside a native side-car.

use crate::{image, import_busybox, import_guest, wait_until};
use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sampan_testing::oci::{Image, busybox};
use sampan_testing::servers::Containerd;
use sampan_testing::{finish, guest_for};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

/// As much as is asked here of the interface that kubelets speak (k8s.io/cri-api, `pkg/apis/runtime/v1/api.proto`).
mod cri {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sandbox {
        #[prost(message, tag = "1")]
        pub metadata: Option<SandboxMetadata>,
        #[prost(string, tag = "2")]
        pub hostname: String,
        #[prost(string, tag = "3")]
        pub log_directory: String,
        #[prost(message, tag = "8")]
        pub linux: Option<LinuxSandbox>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SandboxMetadata {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub uid: String,
        #[prost(string, tag = "3")]
        pub namespace: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct LinuxSandbox {
        #[prost(string, tag = "1")]
        pub cgroup_parent: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct RunPodSandbox {
        #[prost(message, tag = "1")]
        pub config: Option<Sandbox>,
        #[prost(string, tag = "2")]
        pub runtime_handler: String,
    }
    /// Also every request and answer whose first field is a name.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Id {
        #[prost(string, tag = "1")]
        pub id: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CreateContainer {
        #[prost(string, tag = "1")]
        pub sandbox: String,
        #[prost(message, tag = "2")]
        pub config: Option<Container>,
        #[prost(message, tag = "3")]
        pub sandbox_config: Option<Sandbox>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Container {
        /// Its first field is the name.
        #[prost(message, tag = "1")]
        pub metadata: Option<Id>,
        #[prost(message, tag = "2")]
        pub image: Option<Id>,
        #[prost(string, repeated, tag = "3")]
        pub command: Vec<String>,
        #[prost(string, tag = "11")]
        pub log_path: String,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct StatsAnswer {
        #[prost(message, tag = "1")]
        pub stats: Option<Stats>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Stats {
        #[prost(message, tag = "2")]
        pub cpu: Option<Usage>,
        #[prost(message, tag = "3")]
        pub memory: Option<Usage>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Usage {
        #[prost(message, tag = "2")]
        pub amount: Option<Number>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Number {
        #[prost(uint64, tag = "1")]
        pub value: u64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ExecSync {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(string, repeated, tag = "2")]
        pub command: Vec<String>,
        #[prost(int64, tag = "3")]
        pub timeout_seconds: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ExecSyncAnswer {
        #[prost(bytes = "vec", tag = "1")]
        pub stdout: Vec<u8>,
        #[prost(int32, tag = "3")]
        pub exit_code: i32,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Update {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(message, tag = "2")]
        pub linux: Option<LinuxResources>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct LinuxResources {
        #[prost(int64, tag = "4")]
        pub memory_limit_bytes: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Stop {
        #[prost(string, tag = "1")]
        pub id: String,
        #[prost(int64, tag = "2")]
        pub timeout_seconds: i64,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SandboxStatusAnswer {
        #[prost(message, tag = "1")]
        pub status: Option<SandboxStatus>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SandboxStatus {
        /// Its first field is the address.
        #[prost(message, tag = "5")]
        pub network: Option<Id>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct StatusAnswer {
        #[prost(message, tag = "1")]
        pub status: Option<Status>,
    }
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Status {
        /// 1 runs, 2 has ended.
        #[prost(int32, tag = "3")]
        pub state: i32,
        #[prost(int32, tag = "7")]
        pub exit_code: i32,
    }
}

/// One call of gRPC, on a connection of its own.
#[track_caller]
fn call<A: Message + Default>(server: &Containerd, method: &str, request: &impl Message) -> A {
    let mut body = vec![0];
    body.extend((request.encoded_len() as u32).to_be_bytes());
    request.encode(&mut body).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::UnixStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post(format!("http://localhost/runtime.v1.RuntimeService/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().unwrap_or(&head.headers).clone();
        assert_eq!(trailers.get("grpc-status").unwrap(), "0", "{method}: {trailers:?}");
        let mut answer = collected.to_bytes();
        answer.advance(5);
        A::decode(answer).unwrap()
    })
}

/// The pod's own container, which Kubernetes has from a registry.
fn import_pause(server: &Containerd) -> Option<()> {
    let files = vec![("bin/sleep", busybox()?)];
    let entrypoint = vec!["/bin/sleep", "1000000"];
    server.import(&Image {
        name: "docker.io/test/pause:1",
        files,
        entrypoint,
        env: vec!["PATH=/bin"],
        ..Image::default()
    });
    Some(())
}

fn sandbox_config(server: &Containerd) -> cri::Sandbox {
    cri::Sandbox {
        metadata: Some(cri::SandboxMetadata {
            name: "pod".into(),
            uid: "uid-1".into(),
            namespace: "default".into(),
        }),
        hostname: "pod".into(),
        log_directory: server.folder.path().join("logs").display().to_string(),
        linux: Some(cri::LinuxSandbox { cgroup_parent: "/sampan-test-pods".into() }),
    }
}

/// What a server in the pod answers.
fn get(address_of_pod: &str) -> String {
    wait_until("an answer", || TcpStream::connect((address_of_pod, 80)).is_ok());
    let mut stream = TcpStream::connect((address_of_pod, 80)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Whether processor time and memory are told.
fn has_statistics(server: &Containerd, id: &cri::Id) -> bool {
    let stats = call::<cri::StatsAnswer>(server, "ContainerStats", id).stats.unwrap();
    let value =
        |usage: Option<cri::Usage>| usage.and_then(|usage| usage.amount).map_or(0, |amount| amount.value);
    value(stats.cpu) > 0 && value(stats.memory) > 0
}

#[test]
fn a_guest_and_a_native_side_car_share_a_pod() {
    let Some(server) = Containerd::start(true) else { return };
    let (Some(()), Some(())) = (import_busybox(&server), import_pause(&server)) else { return };
    import_guest(&server, "endless");
    import_guest(&server, "hello");
    crate::import_file(&server, "serve-hello", &guest_for("wasm32-wasip2", "serve-hello"));
    let config = sandbox_config(&server);
    let asked = cri::RunPodSandbox { config: Some(config.clone()), runtime_handler: "sampan".into() };
    let sandbox: cri::Id = call(&server, "RunPodSandbox", &asked);

    let create = |name: &str, image_name: &str, command: &[&str]| {
        let container = cri::Container {
            metadata: Some(cri::Id { id: name.into() }),
            image: Some(cri::Id { id: image(image_name) }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            log_path: format!("{name}.log"),
        };
        let asked = cri::CreateContainer {
            sandbox: sandbox.id.clone(),
            config: Some(container),
            sandbox_config: Some(config.clone()),
        };
        let made: cri::Id = call(&server, "CreateContainer", &asked);
        let _: cri::Id = call(&server, "StartContainer", &made);
        made
    };
    let guest = create("guest", "endless", &["/endless.wasm"]);
    let side_car = create("side-car", "busybox", &["/bin/sleep", "1000000"]);
    let short = create("short", "hello", &["/hello.wasm"]);

    let web = create("web", "serve-hello", &["/serve-hello.wasm"]);

    // One shim serves all of them.
    let address = server.address().display().to_string();
    assert_eq!(crate::rounds::processes(&format!("-address\0{address}\0-socket")), 1);

    // The guest's output is in its log.
    let log = Path::new(&config.log_directory).join("short.log");
    wait_until("the log", || fs::read_to_string(&log).is_ok_and(|text| text.contains("Hello from a guest!")));
    let status = |id: &cri::Id| call::<cri::StatusAnswer>(&server, "ContainerStatus", id).status.unwrap();
    wait_until("the end of the short one", || status(&short).state == 2);
    assert_eq!(status(&short).exit_code, 0);
    assert_eq!((status(&guest).state, status(&side_car).state), (1, 1));

    // A component answers at the pod's address, as a server in a container of Linux would.
    let address_of_pod = call::<cri::SandboxStatusAnswer>(&server, "PodSandboxStatus", &sandbox);
    let address_of_pod = address_of_pod.status.and_then(|status| status.network).expect("a network").id;
    let answer = get(&address_of_pod);
    assert!(answer.contains("Hello, world!"), "{answer}");
    assert_eq!(status(&web).state, 1);

    // Statistics of both kinds.
    for (id, name) in [(&guest, "guest"), (&side_car, "side-car")] {
        wait_until(name, || has_statistics(&server, id));
    }

    // Limits that change.
    let memory_limit_bytes = 64 << 20;
    let linux = Some(cri::LinuxResources { memory_limit_bytes });
    let _: cri::Id = call(&server, "UpdateContainerResources", &cri::Update { id: guest.id.clone(), linux });
    let metrics = finish(server.command("k8s.io").args(["task", "metrics", &guest.id]), "").stdout;
    let limit = metrics.lines().find(|line| line.starts_with("memory.limit_in_bytes")).expect("a limit");
    assert!(limit.trim_end().ends_with(&memory_limit_bytes.to_string()), "{limit}");

    // Processes that join: a native one, and a guest.
    let exec = |id: &cri::Id, command: &[&str]| -> cri::ExecSyncAnswer {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        call(&server, "ExecSync", &cri::ExecSync { id: id.id.clone(), command, timeout_seconds: 20 })
    };
    let native = exec(&side_car, &["/bin/sh", "-c", "echo joined; exit 3"]);
    assert_eq!((native.stdout.as_slice(), native.exit_code), (b"joined\n".as_slice(), 3));

    // A stop is quick, though the grace period is long.
    let begun = std::time::Instant::now();
    let _: cri::Id = call(&server, "StopContainer", &cri::Stop { id: guest.id.clone(), timeout_seconds: 60 });
    assert!(begun.elapsed().as_secs() < 20);
    assert_eq!(status(&guest).exit_code, 143);
    let _: cri::Id = call(&server, "StopPodSandbox", &sandbox);
    let _: cri::Id = call(&server, "RemovePodSandbox", &sandbox);
    wait_until("the shim ends", || crate::rounds::processes(&format!("-address\0{address}\0-socket")) == 0);
    assert!(!Path::new("/run/sampan/shim/k8s.io").join(&sandbox.id).exists());
}
