//! `sampan kube`: what Kubernetes needs to run an image, or an app that is packed into one, by Sampan's containerd shim.
//!
//! The fields are those of Kubernetes' API reference: `node.k8s.io/v1` RuntimeClass, `apps/v1` Deployment and DaemonSet,
//! `v1` Service.

mod installer;
mod yaml;

use crate::fail::{Fail, print_stdout};
use crate::images;
use sampan_app::parse_size;
use sampan_images::{Form, Image, Images, Reference};
use serde_json::{Value, json};
use std::process::ExitCode;
use yaml::documents;

/// How nodes know the shim: `io.containerd.sampan.v1`.
const HANDLER: &str = "sampan";
/// Where an image's HTTP is, if nothing says otherwise: as the shim has it.
const PORT: u16 = 80;
/// Lower ones need a capability.
const FIRST_FREE_PORT: u16 = 1024;
/// Of names in Kubernetes (RFC 1123 labels).
const NAME_MAX_BYTES: usize = 63;

/// Print what Kubernetes needs to run an image: RuntimeClass, Deployment, Service
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The image, as nodes pull it
    #[arg(required_unless_present = "installer")]
    image: Option<String>,

    /// Arguments of its program, instead of the image's
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,

    /// What everything is called [default: the last part of the image's name]
    #[arg(long)]
    name: Option<String>,

    /// The namespace
    #[arg(short, long)]
    namespace: Option<String>,

    /// How many pods there are
    #[arg(long, default_value_t = 2)]
    replicas: u32,

    /// The port at which the guest is reached [default: the one that the image exposes, else 80]; 0: none
    #[arg(short, long)]
    port: Option<u16>,

    /// What all memory of the guest may take
    #[arg(short, long, default_value = "128m", value_parser = parse_size, value_name = "SIZE")]
    memory: u64,

    /// Processors that the guest may use, such as 0.5
    #[arg(long, default_value = "1", value_parser = cpus, value_name = "COUNT")]
    cpus: String,

    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Ask this path whether the guest is well [default: ask whether the port is open]
    #[arg(long, value_name = "PATH")]
    health: Option<String>,

    /// Only what the nodes need: the RuntimeClass, and a DaemonSet that installs the shim from this image
    #[arg(long, value_name = "IMAGE", conflicts_with = "image")]
    installer: Option<String>,

    /// Print JSON, a list
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
sampan kube --installer IMAGE | kubectl apply -f -      once for a cluster
sampan kube registry.example/shop:1 | kubectl apply -f -";

fn cpus(text: &str) -> Result<String, String> {
    let count: f64 = text.parse().map_err(|_| "write a number of processors, such as 0.5".to_owned())?;
    let millis = (count * 1000.0).round();
    if (1.0..=1e9).contains(&millis) {
        Ok(format!("{millis}m"))
    } else {
        Err("it must be at least 0.001".to_owned())
    }
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let all = match &args.installer {
        Some(image) => vec![runtime_class(), installer::daemon_set(image)],
        None => of_image(args)?,
    };
    if args.json {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": all });
        return print_stdout(&format!("{list:#}\n"));
    }
    print_stdout(&documents(&all))
}

fn runtime_class() -> Value {
    json!({
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": { "name": HANDLER },
        "handler": HANDLER,
        "scheduling": { "nodeSelector": { "sampan.dev/shim": "true" } },
    })
}

fn of_image(args: &Args) -> Result<Vec<Value>, Fail> {
    let image = args.image.as_deref().unwrap_or_default();
    let reference = images::reference(image)?;
    let name = name(args, &reference)?;
    let known = Images::of_user().and_then(|images| images.find(image).ok());
    let port = match args.port {
        Some(0) => None,
        Some(port) => Some(port),
        None => Some(known.as_ref().and_then(exposed).unwrap_or(PORT)),
    };
    let mut deployment = deployment(args, &name, image, port)?;
    if known.is_some_and(|image| image.form != Form::Layers) {
        // An artifact has no command, without which containerd starts nothing. The shim knows what this means.
        deployment["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["/"]);
    }
    let mut all = vec![runtime_class(), deployment];
    all.extend(port.map(|port| service(args, &name, port)));
    Ok(all)
}

fn name(args: &Args, reference: &Reference) -> Result<String, Fail> {
    let text = match &args.name {
        Some(name) => name.clone(),
        None => reference.repository.rsplit('/').next().unwrap_or_default().replace(['_', '.'], "-"),
    };
    let good = text.len() <= NAME_MAX_BYTES
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
        && !text.ends_with('-');
    if good {
        return Ok(text);
    }
    Err(Fail::new(format!("`{text}` is no name for Kubernetes"))
        .help("give one by --name: lower case letters, digits and `-`, at most 63 of them, a letter first"))
}

/// The first TCP port of the image.
fn exposed(image: &Image) -> Option<u16> {
    let ports = image.config.config().as_ref()?.exposed_ports().clone()?;
    ports.iter().find_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
}

fn metadata(args: &Args, name: &str) -> Value {
    let mut metadata = json!({ "name": name, "labels": { "app.kubernetes.io/name": name } });
    if let Some(namespace) = &args.namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn deployment(args: &Args, name: &str, image: &str, port: Option<u16>) -> Result<Value, Fail> {
    let labels = json!({ "app.kubernetes.io/name": name });
    let mut container = json!({
        "name": name,
        "image": image,
        "resources": {
            "requests": { "cpu": "10m", "memory": "16Mi" },
            "limits": { "cpu": args.cpus, "memory": args.memory.to_string() },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
    });
    if !args.args.is_empty() {
        container["args"] = json!(args.args);
    }
    let env = args.env.iter().map(|line| variable(line)).collect::<Result<Vec<_>, _>>()?;
    if !env.is_empty() {
        container["env"] = json!(env);
    }
    if let Some(port) = port {
        container["ports"] = json!([{ "name": "main", "containerPort": port }]);
        if port < FIRST_FREE_PORT {
            container["securityContext"]["capabilities"]["add"] = json!(["NET_BIND_SERVICE"]);
        }
        let mut probe = match &args.health {
            Some(path) => json!({ "httpGet": { "path": path, "port": "main" } }),
            None => json!({ "tcpSocket": { "port": "main" } }),
        };
        probe["periodSeconds"] = json!(5);
        container["readinessProbe"] = probe.clone();
        // Compiling a large program at the first start takes its time.
        probe["initialDelaySeconds"] = json!(60);
        container["livenessProbe"] = probe;
    }
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(args, name),
        "spec": {
            "replicas": args.replicas,
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "runtimeClassName": HANDLER, "containers": [container] },
            },
        },
    }))
}

fn variable(line: &str) -> Result<Value, Fail> {
    match line.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({ "name": name, "value": value })),
        _ => Err(Fail::new(format!("`{line}` is not a variable")).help("write NAME=VALUE")),
    }
}

fn service(args: &Args, name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(args, name),
        "spec": {
            "selector": { "app.kubernetes.io/name": name },
            "ports": [{ "name": "main", "port": port, "targetPort": "main" }],
        },
    })
}
