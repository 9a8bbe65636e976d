//! Sampan with the filters of an Envoy.

use sampan_testing::servers::EnvoyFilter;
use sampan_testing::{Running, sampan, temp_dir};
use std::fmt::Write;
use std::net::SocketAddr;
use tempfile::TempDir;

/// A running `sampan up`: a chain of filters for each host `chain-NUMBER.test`.
pub struct Site {
    pub address: SocketAddr,
    pub process: Running,
    _folder: TempDir,
}

impl Site {
    pub fn start(chains: &[Vec<EnvoyFilter>], upstreams: &[(&str, SocketAddr)]) -> Site {
        let folder = temp_dir();
        let path = folder.path().join("sampan.toml");
        std::fs::write(&path, manifest(chains, upstreams)).expect("a file in our own folder");
        let mut command = sampan();
        command.arg("up").arg("-f").arg(path).args(["--listen", "127.0.0.1:0", "--admin", "off"]);
        let mut process = Running::start(&mut command);
        let line = process.wait_for_line("listening on http://");
        let address = line.trim_start_matches("listening on http://").trim_end_matches('/');
        Site { address: address.parse().expect("an address"), process, _folder: folder }
    }
}

fn manifest(chains: &[Vec<EnvoyFilter>], upstreams: &[(&str, SocketAddr)]) -> String {
    let mut text = String::from("[app]\nname = \"site\"\n");
    for (name, address) in upstreams {
        write!(text, "\n[upstream.{name}]\nservers = [\"{address}\"]\n").expect("a string grows");
    }
    for (number, chain) in chains.iter().enumerate() {
        let names: Vec<String> = (0..chain.len()).map(|place| format!("filter-{number}-{place}")).collect();
        for (name, filter) in names.iter().zip(chain) {
            let EnvoyFilter { wasm, root_id, vm_id, vm_configuration, configuration } = filter;
            write!(
                text,
                "\n[filter.{name}]\nsource = {wasm:?}\nroot_id = {root_id:?}\nvm_id = {vm_id:?}\n\
                 vm_config = {vm_configuration:?}\nconfig = {configuration:?}\n"
            )
            .expect("a string grows");
        }
        write!(
            text,
            "\n[[route]]\nhost = \"chain-{number}.test\"\npath = \"/...\"\nto = \"upstream:upstream\"\n\
             filters = {names:?}\n"
        )
        .expect("a string grows");
    }
    text
}
