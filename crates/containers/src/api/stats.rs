//! `GET /containers/ID/stats`: what a container uses, in the form of Linux's control groups, from which clients
//! compute percentages (docker/cli, `cli/command/container/stats_helpers.go`).

use super::answer::{Answered, Out, streamed};
use super::call::{Call, outside};
use super::inspect::time;
use super::system::{memory_total_bytes, processors};
use crate::stats::Sample;
use crate::{Container, Error};
use chrono::{DateTime, Utc};
use futures::future::select;
use serde_json::{Value, json};
use std::fs;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);
/// Linux tells times of processors in hundredths of a second (`USER_HZ`; `proc_stat(5)`).
const TICK_NS: u64 = 10_000_000;

/// What a container, and the machine, had used at one moment.
struct Moment {
    at: DateTime<Utc>,
    sample: Sample,
    /// All processors together, idle time too.
    system_ns: u64,
}

pub async fn stats(call: Call, name: &str) -> Answered {
    let asked = call.read().await?;
    let stream = asked.query.flag_or("stream", true);
    let one_shot = asked.query.flag("one-shot") && !stream;
    let (api, name) = (Arc::clone(&asked.api), name.to_owned());
    let (container, about) = outside(move || {
        let container = api.containers.find(&name)?;
        let config = container.config()?;
        let about = About {
            name: format!("/{}", config.name),
            limit_bytes: config.memory_bytes.unwrap_or_else(memory_total_bytes),
        };
        Ok((container, about))
    })
    .await?;
    let (out, response) = streamed("application/json");
    tokio::spawn(async move {
        let telling = tell(&container, &about, stream, one_shot, &out);
        select(pin!(telling), pin!(out.closed())).await;
    });
    Ok(response)
}

struct About {
    name: String,
    limit_bytes: u64,
}

async fn tell(container: &Container, about: &About, stream: bool, one_shot: bool, out: &Out) {
    let mut clock = tokio::time::interval(EVERY);
    clock.tick().await;
    let mut before = moment(container).await;
    if one_shot || before.is_none() {
        out.line(&about.described(container, None, before.as_ref())).await;
        return;
    }
    loop {
        clock.tick().await;
        let now = moment(container).await;
        let line = about.described(container, before.as_ref(), now.as_ref());
        // One that has ended uses nothing, and is told so once.
        if !out.line(&line).await || !stream || now.is_none() {
            return;
        }
        before = now;
    }
}

/// `None` where it does not run.
async fn moment(container: &Container) -> Option<Moment> {
    let container = container.clone();
    let sample = outside(move || {
        let sample = match container.sample() {
            Err(Error::NotFound(_)) => None,
            other => other?,
        };
        Ok(sample.map(|sample| Moment { at: Utc::now(), sample, system_ns: system_ns() }))
    });
    sample.await.ok().flatten()
}

fn system_ns() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    // User, nice, system, idle, iowait, irq, softirq, steal; guests' time is in the first two.
    let ticks = line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>().saturating_mul(TICK_NS)
}

impl About {
    fn described(&self, container: &Container, before: Option<&Moment>, now: Option<&Moment>) -> Value {
        let read = |moment: Option<&Moment>| time(moment.map(|moment| moment.at));
        let mut all = json!({
            "id": container.id,
            "name": self.name,
            "read": read(now),
            "preread": read(before),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": cpu(now),
            "precpu_stats": cpu(before),
            "pids_stats": {},
            "memory_stats": {},
            "blkio_stats": { "io_service_bytes_recursive": null },
        });
        let Some(Moment { sample, .. }) = now else { return all };
        all["pids_stats"] = json!({ "current": sample.processes });
        all["memory_stats"] = json!({
            "usage": sample.memory_bytes, "limit": self.limit_bytes,
            // What of it is a cache of files: clients take that off.
            "stats": { "inactive_file": 0, "anon": sample.memory_bytes },
        });
        let entry = |op: &str, value: u64| json!({ "major": 0, "minor": 0, "op": op, "value": value });
        all["blkio_stats"]["io_service_bytes_recursive"] =
            json!([entry("read", sample.read_bytes), entry("write", sample.written_bytes)]);
        let guest = sample.guest.unwrap_or_default();
        all["networks"] = json!({ "eth0": {
            "rx_bytes": guest.received_bytes, "rx_packets": 0, "rx_errors": 0, "rx_dropped": 0,
            "tx_bytes": guest.sent_bytes, "tx_packets": 0, "tx_errors": 0, "tx_dropped": 0,
        } });
        all
    }
}

fn cpu(moment: Option<&Moment>) -> Value {
    let throttling = json!({ "periods": 0, "throttled_periods": 0, "throttled_time": 0 });
    let Some(Moment { sample, system_ns, .. }) = moment else {
        let none = json!({ "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 });
        return json!({ "cpu_usage": none, "throttling_data": throttling });
    };
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "cpu_usage": {
            "total_usage": ns(sample.cpu),
            "usage_in_kernelmode": ns(sample.cpu.saturating_sub(sample.user_cpu)),
            "usage_in_usermode": ns(sample.user_cpu),
        },
        "system_cpu_usage": system_ns,
        "online_cpus": processors(),
        "throttling_data": throttling,
    })
}
