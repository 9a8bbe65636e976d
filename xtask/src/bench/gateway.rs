//! Requests per second through `sampan up` and through nginx, both in front of the same native hyper, in turn. nginx
//! has two workers, keeps connections to the server and writes no access log; Sampan has its defaults.

use super::serve::{self, Server};
use crate::Result;
use crate::paths::target;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NGINX: &str = "/usr/sbin/nginx";
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(sampan: &Path) -> Result {
    serve::wrk()?;
    if !Path::new(NGINX).exists() {
        return Err("nginx is not installed (Debian's package nginx)".into());
    }
    let behind = serve::native()?;
    let address = behind.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let folder = target().join("bench/gateway");
    fs::create_dir_all(&folder)?;
    let (nginx, _running) = nginx(&folder, &address)?;
    let servers = [nginx, own(sampan, &folder, &address)?, direct(&behind)];
    let rounds = serve::rounds(&servers)?;
    serve::print("nginx", &servers, &rounds);
    Ok(())
}

/// A running nginx. Its workers outlive a master that is killed, so it is asked to end.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        // Where it cannot be asked, it has ended.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn nginx(folder: &Path, behind: &str) -> Result<(Server, Nginx)> {
    let address = serve::free_address()?;
    let at = folder.display();
    let config = format!(
        "daemon off;\nworker_processes 2;\npid {at}/pid;\nerror_log {at}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  proxy_temp_path {at}/proxy;\n  client_body_temp_path {at}/body;\n  \
         fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
         keepalive_requests 1000000000;\n  \
         upstream back {{ server {behind}; keepalive 64; keepalive_requests 1000000000; }}\n  \
         server {{\n    listen {address};\n    location / {{\n      proxy_pass http://back;\n      \
         proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      \
         proxy_set_header Host $http_host;\n      \
         proxy_set_header X-Forwarded-For $remote_addr;\n    }}\n  }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, config)?;
    let mut command = Command::new(NGINX);
    command.arg("-p").arg(folder).arg("-c").arg(&path).stdin(Stdio::null());
    let running = Nginx(command.spawn()?);
    let server = Server { title: "nginx", url: format!("http://{address}/"), child: None };
    // It says nothing when it is ready.
    let begun = Instant::now();
    while TcpStream::connect(&address).is_err() {
        if begun.elapsed() > PATIENCE {
            return Err(format!("nginx does not start; see {at}/error.log").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((server, running))
}

fn own(sampan: &Path, folder: &Path, behind: &str) -> Result<Server> {
    let address = serve::free_address()?;
    let manifest = format!(
        "[app]\nname = \"bench\"\n[[listen]]\naddress = \"{address}\"\n\
         [upstream.back]\nservers = [\"{behind}\"]\n[[route]]\npath = \"/...\"\nto = \"upstream:back\"\n"
    );
    let path = folder.join("sampan.toml");
    fs::write(&path, manifest)?;
    let mut command = Command::new(sampan);
    command.args(["up", "--admin", "off", "-f"]).arg(&path).stdout(Stdio::piped());
    serve::start("sampan up", &mut command, &address, "/")
}

/// What both stand in front of.
fn direct(behind: &Server) -> Server {
    Server { title: "the server itself", url: behind.url.clone(), child: None }
}
