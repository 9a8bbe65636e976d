//! What a container's OCI runtime spec says beside what the specification has words for: annotations of ours, which
//! the supervisor writes and whoever runs the guest reads. Containers of containerd may have them too, from a pod's or
//! a container's labels.

/// `[ADDRESS:]HOST:GUEST[/udp]`, with commas between.
pub const PORTS: &str = "dev.sampan.ports";
/// `8080/tcp`, with commas between: what the image EXPOSEs.
pub const EXPOSED: &str = "dev.sampan.exposed";
/// The ports that a pod's container declares, in JSON: the kubelet's (kubernetes, `pkg/kubelet/kuberuntime/labels.go`).
pub const KUBERNETES_PORTS: &str = "io.kubernetes.container.ports";
/// `HOST:PORT`, with commas between.
pub const ALLOW_TCP: &str = "dev.sampan.allow-tcp";
pub const ALLOW_UDP: &str = "dev.sampan.allow-udp";
/// Origins, with commas between.
pub const ALLOW_HTTP: &str = "dev.sampan.allow-http";
/// What the guest's memories may take: `64m`.
pub const MEMORY: &str = "dev.sampan.memory";
/// Wall time until the guest is stopped: `2s`.
pub const TIMEOUT: &str = "dev.sampan.timeout";
pub const FUEL: &str = "dev.sampan.fuel";
/// What the entry is, where its file does not say: `command`, `http`, `cgi`, `app`.
pub const KIND: &str = "dev.sampan.kind";
/// All begin so.
pub const PREFIX: &str = "dev.sampan.";

/// The parts of a list.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}
