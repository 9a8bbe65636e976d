//! Version 1: a folder for each controller, times in nanoseconds.

use super::network::Interface;
use super::{device, number, table};
use containerd_shim_protos::cgroups::metrics::{
    BlkIOEntry, BlkIOStat, CPUStat, CPUUsage, MemoryEntry, MemoryOomControl, MemoryStat, Metrics,
    NetworkStat, PidsStat, Throttle,
};
use containerd_shim_protos::protobuf::MessageField;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// `cpuacct.stat` counts in these; Linux has shown users no other for decades (`time(7)`).
const NS_PER_TICK: u64 = 1_000_000_000 / 100;

pub fn read(folders: &HashMap<String, PathBuf>, interfaces: Vec<Interface>) -> Metrics {
    let folder = |name: &str| folders.get(name).map(PathBuf::as_path);
    Metrics {
        // moby reads both parts without asking whether they are there.
        cpu: MessageField::some(cpu(folder("cpuacct"), folder("cpu"))),
        memory: folder("memory").map(memory).into(),
        memory_oom_control: folder("memory").map(oom).into(),
        pids: folder("pids").map(pids).into(),
        blkio: folder("blkio").map(blkio).into(),
        network: interfaces.into_iter().map(network).collect(),
        ..Metrics::default()
    }
}

fn network(one: Interface) -> NetworkStat {
    let Interface { name, received, sent } = one;
    let [rx_bytes, rx_packets, rx_errors, rx_dropped] = received;
    let [tx_bytes, tx_packets, tx_errors, tx_dropped] = sent;
    NetworkStat {
        name,
        rx_bytes,
        rx_packets,
        rx_errors,
        rx_dropped,
        tx_bytes,
        tx_packets,
        tx_errors,
        tx_dropped,
        ..NetworkStat::default()
    }
}

fn cpu(account: Option<&Path>, control: Option<&Path>) -> CPUStat {
    let mut usage = CPUUsage::default();
    if let Some(folder) = account {
        let ticks = table(folder, "cpuacct.stat");
        let ns = |name| ticks.get(name).copied().unwrap_or_default() * NS_PER_TICK;
        usage.total = number(folder, "cpuacct.usage").unwrap_or_default();
        usage.user = ns("user");
        usage.kernel = ns("system");
        let each = fs::read_to_string(folder.join("cpuacct.usage_percpu")).unwrap_or_default();
        usage.per_cpu = each.split_whitespace().filter_map(|one| one.parse().ok()).collect();
    }
    let counts = control.map(|folder| table(folder, "cpu.stat")).unwrap_or_default();
    let count = |name| counts.get(name).copied().unwrap_or_default();
    let throttling = Throttle {
        periods: count("nr_periods"),
        throttled_periods: count("nr_throttled"),
        throttled_time: count("throttled_time"),
        ..Throttle::default()
    };
    CPUStat {
        usage: MessageField::some(usage),
        throttling: MessageField::some(throttling),
        ..CPUStat::default()
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let counts = table(folder, "memory.stat");
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    MemoryStat {
        cache: count("cache"),
        rss: count("rss"),
        rss_huge: count("rss_huge"),
        mapped_file: count("mapped_file"),
        dirty: count("dirty"),
        writeback: count("writeback"),
        pg_pg_in: count("pgpgin"),
        pg_pg_out: count("pgpgout"),
        pg_fault: count("pgfault"),
        pg_maj_fault: count("pgmajfault"),
        inactive_anon: count("inactive_anon"),
        active_anon: count("active_anon"),
        inactive_file: count("inactive_file"),
        active_file: count("active_file"),
        unevictable: count("unevictable"),
        hierarchical_memory_limit: count("hierarchical_memory_limit"),
        hierarchical_swap_limit: count("hierarchical_memsw_limit"),
        total_cache: count("total_cache"),
        total_rss: count("total_rss"),
        total_rss_huge: count("total_rss_huge"),
        total_mapped_file: count("total_mapped_file"),
        total_dirty: count("total_dirty"),
        total_writeback: count("total_writeback"),
        total_pg_pg_in: count("total_pgpgin"),
        total_pg_pg_out: count("total_pgpgout"),
        total_pg_fault: count("total_pgfault"),
        total_pg_maj_fault: count("total_pgmajfault"),
        total_inactive_anon: count("total_inactive_anon"),
        total_active_anon: count("total_active_anon"),
        total_inactive_file: count("total_inactive_file"),
        total_active_file: count("total_active_file"),
        total_unevictable: count("total_unevictable"),
        usage: MessageField::some(entry(folder, "memory")),
        swap: MessageField::some(entry(folder, "memory.memsw")),
        kernel: MessageField::some(entry(folder, "memory.kmem")),
        kernel_tcp: MessageField::some(entry(folder, "memory.kmem.tcp")),
        ..MemoryStat::default()
    }
}

fn entry(folder: &Path, prefix: &str) -> MemoryEntry {
    let count = |name: &str| number(folder, &format!("{prefix}.{name}")).unwrap_or_default();
    MemoryEntry {
        limit: count("limit_in_bytes"),
        usage: count("usage_in_bytes"),
        max: count("max_usage_in_bytes"),
        failcnt: count("failcnt"),
        ..MemoryEntry::default()
    }
}

fn oom(folder: &Path) -> MemoryOomControl {
    let counts = table(folder, "memory.oom_control");
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    MemoryOomControl {
        oom_kill_disable: count("oom_kill_disable"),
        under_oom: count("under_oom"),
        oom_kill: count("oom_kill"),
        ..MemoryOomControl::default()
    }
}

/// No limit is 0 here.
fn pids(folder: &Path) -> PidsStat {
    PidsStat {
        current: number(folder, "pids.current").unwrap_or_default(),
        limit: number(folder, "pids.max").unwrap_or_default(),
        ..PidsStat::default()
    }
}

fn blkio(folder: &Path) -> BlkIOStat {
    BlkIOStat {
        io_service_bytes_recursive: operations(folder, "blkio.throttle.io_service_bytes_recursive"),
        io_serviced_recursive: operations(folder, "blkio.throttle.io_serviced_recursive"),
        ..BlkIOStat::default()
    }
}

/// Lines are `major:minor operation number`.
fn operations(folder: &Path, file: &str) -> Vec<BlkIOEntry> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let op = words.next()?.to_owned();
        let value = words.next()?.parse().ok()?;
        Some(BlkIOEntry { op, major, minor, value, ..BlkIOEntry::default() })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpuacct.usage", "1500000000\n"),
            ("cpuacct.usage_percpu", "1000000000 500000000 \n"),
            ("cpuacct.stat", "user 120\nsystem 30\n"),
            ("cpu.stat", "nr_periods 10\nnr_throttled 3\nthrottled_time 777\n"),
            ("memory.usage_in_bytes", "4096\n"),
            ("memory.limit_in_bytes", "65536\n"),
            ("memory.stat", "cache 1024\nrss 2048\ntotal_inactive_file 512\n"),
            ("pids.current", "2\n"),
            ("pids.max", "max\n"),
            ("blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\n8:0 Write 0\nTotal 4096\n"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let names = ["cpu", "cpuacct", "memory", "pids", "blkio"];
        let folders = names.map(|name| (name.to_owned(), dir.path().to_owned()));
        let metrics = read(&HashMap::from(folders), Vec::new());
        let usage = &metrics.cpu.usage;
        assert_eq!((usage.total, usage.user, usage.kernel), (1_500_000_000, 1_200_000_000, 300_000_000));
        assert_eq!(usage.per_cpu, [1_000_000_000, 500_000_000]);
        assert_eq!(
            (metrics.cpu.throttling.throttled_periods, metrics.cpu.throttling.throttled_time),
            (3, 777)
        );
        assert_eq!((metrics.memory.usage.usage, metrics.memory.usage.limit), (4096, 65536));
        assert_eq!((metrics.memory.rss, metrics.memory.total_inactive_file), (2048, 512));
        assert_eq!((metrics.pids.current, metrics.pids.limit), (2, 0));
        assert_eq!(metrics.blkio.io_service_bytes_recursive.len(), 2);
    }

    #[test]
    fn a_machine_without_controllers_still_answers() {
        let metrics = read(&HashMap::new(), Vec::new());
        assert!(metrics.cpu.usage.is_some() && metrics.cpu.throttling.is_some());
        assert!(metrics.memory.is_none());
    }
}
