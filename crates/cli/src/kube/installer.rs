//! What brings the shim to the nodes: a pod on each that copies this binary and tells containerd of it.

use super::HANDLER;
use serde_json::{Value, json};

/// Copies the shim, adds the handler to containerd's configuration unless it is there, restarts containerd, and labels
/// nothing: nodes that are to run guests are labelled by who runs the cluster.
const SCRIPT: &str = r#"set -eu
install -m 0755 /usr/local/bin/sampan /host/usr/local/bin/sampan
ln -sf sampan /host/usr/local/bin/containerd-shim-sampan-v1
config=/host/etc/containerd/config.toml
if ! grep -q 'io.containerd.sampan.v1' "$config"; then
  if grep -q '^version *= *3' "$config"; then plugin=io.containerd.cri.v1.runtime; else plugin=io.containerd.grpc.v1.cri; fi
  if grep -q 'SystemdCgroup *= *true' "$config"; then systemd=true; else systemd=false; fi
  cat >> "$config" <<END

[plugins."$plugin".containerd.runtimes.sampan]
  runtime_type = "io.containerd.sampan.v1"
  pod_annotations = ["dev.sampan.*"]
  container_annotations = ["dev.sampan.*", "io.kubernetes.container.ports"]
[plugins."$plugin".containerd.runtimes.sampan.options]
  SystemdCgroup = $systemd
END
  nsenter --mount=/proc/1/ns/mnt systemctl restart containerd
fi
"#;

/// The DaemonSet for nodes that are labelled for it.
pub fn daemon_set(image: &str) -> Value {
    let name = format!("{HANDLER}-installer");
    let labels = json!({ "app.kubernetes.io/name": name });
    json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": name, "namespace": "kube-system", "labels": labels },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "nodeSelector": { "sampan.dev/shim": "true" },
                    "hostPID": true,
                    "initContainers": [{
                        "name": "install",
                        "image": image,
                        "command": ["/bin/sh", "-c", SCRIPT],
                        "securityContext": { "privileged": true },
                        "volumeMounts": [{ "name": "host", "mountPath": "/host" }],
                    }],
                    "containers": [{ "name": "done", "image": "registry.k8s.io/pause:3.10" }],
                    "volumes": [{ "name": "host", "hostPath": { "path": "/" } }],
                },
            },
        },
    })
}
