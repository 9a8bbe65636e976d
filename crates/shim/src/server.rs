//! The shim's server: one process for a container or a pod, from `start` until its last container is deleted.

use crate::Guests;
use crate::args::Args;
use crate::container::Shared;
use crate::events::Publisher;
use crate::fail::{Context, Result};
use crate::pod::Pod;
use crate::reaper::{self, Reaper};
use crate::service;
use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use sampan_telemetry::traces;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

/// Events that are still to be delivered when the last container is gone.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Spans that are still to be sent then. Nobody waits for this process any more, but it should not linger.
const TRACES_MAX: Duration = Duration::from_secs(2);

/// One thread does everything; what blocks has threads that go when they are idle.
pub fn run(args: &Args, guests: Guests) -> Result<()> {
    reaper::adopt_orphans().context("cannot adopt orphans")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_secs(1))
        .build()
        .context("cannot start")?;
    runtime.block_on(serve(args, guests))
}

async fn serve(args: &Args, guests: Guests) -> Result<()> {
    let is_traced = traces::start("containerd-shim-sampan-v1", "containerd", crate::complain);
    let listener = take_listener()?;
    let address = std::env::var("TTRPC_ADDRESS").unwrap_or_default();
    let (events, delivery) = Publisher::start(address, args.namespace.clone());
    let reaper = Reaper::default();
    tokio::spawn(reaper.run().context("cannot wait for children")?);
    let (namespace, address) = (args.namespace.clone(), args.address.clone());
    let pod = Arc::new(Pod::new(Shared { namespace, address, guests, events, reaper }));

    let listener = Listener::try_from(listener).context("cannot listen")?;
    let mut server =
        Server::new().add_listener(listener).register_service(service::services(&pod, is_traced));
    server.start().await.context("cannot serve")?;
    pod.ending.notified().await;

    // Nobody finds this shim any more; those who are connected get their answers.
    if let Some(path) = args.socket.strip_prefix("unix://") {
        let _ = std::fs::remove_file(path);
    }
    let _ = server.shutdown().await;
    drop((server, pod));
    let _ = tokio::time::timeout(FLUSH_MAX, delivery).await;
    traces::finish(TRACES_MAX);
    Ok(())
}

/// `start` hands it over as standard input, which is nothing's from then on.
fn take_listener() -> Result<UnixListener> {
    let listener =
        rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).context("no socket was passed")?;
    let null = std::fs::File::open("/dev/null").context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("cannot leave standard input")?;
    let listener = UnixListener::from(listener);
    listener.local_addr().context("no socket was passed; containerd starts this program by `start`")?;
    listener.set_nonblocking(true).context("the socket")?;
    Ok(listener)
}
