//! Pods, by containerd's CRI plug-in, as Kubernetes drives it: a guest beside a native side-car.

use crate::{image, import_busybox, import_guest, wait_until};
use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sampan_testing::oci::{Image, busybox};
use sampan_testing::servers::Containerd;
use sampan_testing::{finish, guest, guest_for, http_get};
use std::fs;
use std::net::TcpStream;
use std::path::Path;

/// As much as is asked here of the interface that kubelets speak (k8s.io/cri-api, `pkg/apis/runtime/v1/api.proto`).
pub mod cri {
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
        #[prost(map = "string, string", tag = "10")]
        pub annotations: std::collections::HashMap<String, String>,
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
pub fn call<A: Message + Default>(server: &Containerd, method: &str, request: &impl Message) -> A {
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

const APP: &str = r#"[app]
name = "packed"
[[listen]]
address = "127.0.0.1:8083"
[component.script]
source = "cgi.wasm"
kind = "cgi"
[[route]]
path = "/script"
to = "script"
[[route]]
path = "/..."
to = "static:site"
"#;

pub struct Pod {
    pub server: Containerd,
    config: cri::Sandbox,
    sandbox: cri::Id,
}

impl Pod {
    pub fn run() -> Option<Pod> {
        let server = Containerd::start(true)?;
        import_busybox(&server)?;
        import_pause(&server)?;
        import_guest(&server, "endless");
        import_guest(&server, "hello");
        import_guest(&server, "web-server");
        server.import(&Image {
            name: &image("app"),
            files: vec![
                ("cgi.wasm", fs::read(guest("cgi")).unwrap()),
                ("sampan.toml", APP.as_bytes().to_vec()),
                ("site/index.html", b"a file of the app".to_vec()),
            ],
            entrypoint: vec!["/sampan.toml"],
            ..Image::default()
        });
        crate::import_file(&server, "serve-hello", &guest_for("wasm32-wasip2", "serve-hello"));
        let metadata =
            cri::SandboxMetadata { name: "pod".into(), uid: "uid-1".into(), namespace: "default".into() };
        let config = cri::Sandbox {
            metadata: Some(metadata),
            hostname: "pod".into(),
            log_directory: server.folder.path().join("logs").display().to_string(),
            linux: Some(cri::LinuxSandbox { cgroup_parent: "/sampan-test-pods".into() }),
        };
        let asked = cri::RunPodSandbox { config: Some(config.clone()), runtime_handler: "sampan".into() };
        let sandbox = call(&server, "RunPodSandbox", &asked);
        Some(Pod { server, config, sandbox })
    }

    pub fn start(&self, name: &str, image_name: &str, command: &[&str]) -> cri::Id {
        self.start_declared(name, image_name, command, None)
    }

    /// As the kubelet starts what declares a port.
    fn start_declared(&self, name: &str, image_name: &str, command: &[&str], port: Option<u16>) -> cri::Id {
        let ports = |port| format!(r#"[{{"containerPort":{port},"protocol":"TCP"}}]"#);
        let annotations = port.map(|port| ("io.kubernetes.container.ports".to_owned(), ports(port)));
        let container = cri::Container {
            metadata: Some(cri::Id { id: name.into() }),
            image: Some(cri::Id { id: image(image_name) }),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            annotations: annotations.into_iter().collect(),
            log_path: format!("{name}.log"),
        };
        let asked = cri::CreateContainer {
            sandbox: self.sandbox.id.clone(),
            config: Some(container),
            sandbox_config: Some(self.config.clone()),
        };
        let made: cri::Id = call(&self.server, "CreateContainer", &asked);
        let _: cri::Id = call(&self.server, "StartContainer", &made);
        made
    }

    fn status(&self, container: &cri::Id) -> cri::Status {
        call::<cri::StatusAnswer>(&self.server, "ContainerStatus", container).status.expect("a status")
    }

    /// What a component answers at the pod's address, as a server in a container of Linux would.
    fn get(&self, port: u16) -> String {
        let answer = call::<cri::SandboxStatusAnswer>(&self.server, "PodSandboxStatus", &self.sandbox);
        let address = answer.status.and_then(|status| status.network).expect("a network").id;
        wait_until("an answer", || TcpStream::connect((address.as_str(), port)).is_ok());
        let response = http_get((address.as_str(), port), "/").unwrap();
        String::from_utf8_lossy(&response.body).into_owned()
    }

    pub fn remove(&self) {
        let _: cri::Id = call(&self.server, "StopPodSandbox", &self.sandbox);
        let _: cri::Id = call(&self.server, "RemovePodSandbox", &self.sandbox);
    }

    fn shims(&self) -> usize {
        let address = self.server.address().display().to_string();
        crate::rounds::processes(&format!("-address\0{address}\0-socket"))
    }
}

#[test]
fn a_guest_and_a_native_side_car_share_a_pod() {
    let Some(pod) = Pod::run() else { return };
    let guest = pod.start("guest", "endless", &["/endless.wasm"]);
    let side_car = pod.start("side-car", "busybox", &["/bin/sleep", "1000000"]);
    let short = pod.start("short", "hello", &["/hello.wasm"]);
    let web = pod.start("web", "serve-hello", &["/serve-hello.wasm"]);
    assert_eq!(pod.shims(), 1, "one shim serves all of them");

    let log = Path::new(&pod.config.log_directory).join("short.log");
    wait_until("the log", || fs::read_to_string(&log).is_ok_and(|text| text.contains("Hello from a guest!")));
    wait_until("the end of the short one", || pod.status(&short).state == 2);
    assert_eq!(pod.status(&short).exit_code, 0);
    for running in [&guest, &side_car, &web] {
        assert_eq!(pod.status(running).state, 1);
    }
    assert!(pod.get(80).contains("Hello, world!"));
    pod.start_declared("declared", "serve-hello", &["/serve-hello.wasm"], Some(8082));
    assert!(pod.get(8082).contains("Hello, world!"));
    // An app is served where its manifest says, unless the pod says otherwise.
    pod.start("app", "app", &["/sampan.toml"]);
    assert_eq!(pod.get(8083), "a file of the app");
    pod.start_declared("app-2", "app", &["/sampan.toml"], Some(8084));
    assert_eq!(pod.get(8084), "a file of the app");
    let metrics =
        finish(pod.server.command("k8s.io").args(["task", "metrics", "--format=json", &web.id]), "");
    let metrics: serde_json::Value = serde_json::from_str(&metrics.stdout).unwrap();
    let network = &metrics["network"][0];
    assert_eq!(network["name"], "eth0", "{metrics}");
    assert!(network["rx_bytes"].as_u64() > Some(0) && network["tx_bytes"].as_u64() > Some(0), "{network}");
    // A program that listens by itself does so in the pod's network.
    let listening = pod.start("sockets", "web-server", &["/web-server.wasm", "0.0.0.0:8080", "/"]);
    assert!(!pod.get(8080).is_empty(), "{listening:?}");
    statistics_limits_and_processes(&pod, &guest, &side_car);

    // A stop is quick, though the grace period is long.
    let begun = std::time::Instant::now();
    let _: cri::Id =
        call(&pod.server, "StopContainer", &cri::Stop { id: guest.id.clone(), timeout_seconds: 60 });
    assert!(begun.elapsed().as_secs() < 20);
    assert_eq!(pod.status(&guest).exit_code, 143);
    pod.remove();
    wait_until("the shim ends", || pod.shims() == 0);
    assert!(!Path::new("/run/sampan/shim/k8s.io").join(&pod.sandbox.id).exists());
}

fn statistics_limits_and_processes(pod: &Pod, guest: &cri::Id, side_car: &cri::Id) {
    for id in [guest, side_car] {
        wait_until("statistics", || {
            let stats = call::<cri::StatsAnswer>(&pod.server, "ContainerStats", id).stats.unwrap();
            let value = |usage: Option<cri::Usage>| {
                usage.and_then(|usage| usage.amount).map_or(0, |amount| amount.value)
            };
            value(stats.cpu) > 0 && value(stats.memory) > 0
        });
    }

    // Limits that change.
    let memory_limit_bytes = 64 << 20;
    let linux = Some(cri::LinuxResources { memory_limit_bytes });
    let update = cri::Update { id: guest.id.clone(), linux };
    let _: cri::Id = call(&pod.server, "UpdateContainerResources", &update);
    let metrics = finish(pod.server.command("k8s.io").args(["task", "metrics", &guest.id]), "").stdout;
    let limit = metrics.lines().find(|line| line.starts_with("memory.limit_in_bytes")).expect("a limit");
    assert!(limit.trim_end().ends_with(&memory_limit_bytes.to_string()), "{limit}");

    // A process that joins.
    let command = ["/bin/sh", "-c", "echo joined; exit 3"].map(str::to_owned).to_vec();
    let asked = cri::ExecSync { id: side_car.id.clone(), command, timeout_seconds: 20 };
    let joined: cri::ExecSyncAnswer = call(&pod.server, "ExecSync", &asked);
    assert_eq!((joined.stdout.as_slice(), joined.exit_code), (b"joined\n".as_slice(), 3));
}
