//! Version 2: one folder, times in microseconds.

use super::network::Interface;
use super::{device, limit, number, table};
use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, NetworkStat, PidsStat,
};
use containerd_shim_protos::protobuf::MessageField;
use std::fs;
use std::path::Path;

pub fn read(folder: &Path, interfaces: Vec<Interface>) -> Metrics {
    let pids = PidsStat {
        current: number(folder, "pids.current").unwrap_or_default(),
        limit: limit(folder, "pids.max"),
        ..PidsStat::default()
    };
    Metrics {
        pids: MessageField::some(pids),
        cpu: MessageField::some(cpu(folder)),
        memory: MessageField::some(memory(folder)),
        memory_events: MessageField::some(events(folder)),
        io: MessageField::some(io(folder)),
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

fn cpu(folder: &Path) -> CPUStat {
    let counts = table(folder, "cpu.stat");
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    CPUStat {
        usage_usec: count("usage_usec"),
        user_usec: count("user_usec"),
        system_usec: count("system_usec"),
        nr_periods: count("nr_periods"),
        nr_throttled: count("nr_throttled"),
        throttled_usec: count("throttled_usec"),
        nr_bursts: count("nr_bursts"),
        burst_usec: count("burst_usec"),
        ..CPUStat::default()
    }
}

fn memory(folder: &Path) -> MemoryStat {
    let counts = table(folder, "memory.stat");
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    MemoryStat {
        anon: count("anon"),
        file: count("file"),
        kernel_stack: count("kernel_stack"),
        slab: count("slab"),
        sock: count("sock"),
        shmem: count("shmem"),
        file_mapped: count("file_mapped"),
        file_dirty: count("file_dirty"),
        file_writeback: count("file_writeback"),
        anon_thp: count("anon_thp"),
        inactive_anon: count("inactive_anon"),
        active_anon: count("active_anon"),
        inactive_file: count("inactive_file"),
        active_file: count("active_file"),
        unevictable: count("unevictable"),
        slab_reclaimable: count("slab_reclaimable"),
        slab_unreclaimable: count("slab_unreclaimable"),
        pgfault: count("pgfault"),
        pgmajfault: count("pgmajfault"),
        pgrefill: count("pgrefill"),
        pgscan: count("pgscan"),
        pgsteal: count("pgsteal"),
        pgactivate: count("pgactivate"),
        pgdeactivate: count("pgdeactivate"),
        pglazyfree: count("pglazyfree"),
        pglazyfreed: count("pglazyfreed"),
        thp_fault_alloc: count("thp_fault_alloc"),
        thp_collapse_alloc: count("thp_collapse_alloc"),
        usage: number(folder, "memory.current").unwrap_or_default(),
        usage_limit: limit(folder, "memory.max"),
        max_usage: number(folder, "memory.peak").unwrap_or_default(),
        swap_usage: number(folder, "memory.swap.current").unwrap_or_default(),
        swap_limit: limit(folder, "memory.swap.max"),
        swap_max_usage: number(folder, "memory.swap.peak").unwrap_or_default(),
        ..MemoryStat::default()
    }
}

fn events(folder: &Path) -> MemoryEvents {
    let counts = table(folder, "memory.events");
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    MemoryEvents {
        low: count("low"),
        high: count("high"),
        max: count("max"),
        oom: count("oom"),
        oom_kill: count("oom_kill"),
        oom_group_kill: count("oom_group_kill"),
        ..MemoryEvents::default()
    }
}

/// Lines are `major:minor rbytes=1 wbytes=2 …`.
fn io(folder: &Path) -> IOStat {
    let text = fs::read_to_string(folder.join("io.stat")).unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let mut entry = IOEntry { major, minor, ..IOEntry::default() };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or_default();
            match name {
                "rbytes" => entry.rbytes = value,
                "wbytes" => entry.wbytes = value,
                "rios" => entry.rios = value,
                "wios" => entry.wios = value,
                _ => {}
            }
        }
        Some(entry)
    });
    IOStat { usage: entries.collect(), ..IOStat::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cpu.stat", "usage_usec 1500000\nuser_usec 1200000\nsystem_usec 300000\nnr_throttled 2\n"),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "0\n"),
            ("memory.stat", "anon 2048\nfile 1024\ninactive_file 512\n"),
            ("memory.events", "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n"),
            ("pids.current", "2\n"),
            ("pids.max", "100\n"),
            ("io.stat", "8:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=0 dios=0\nbroken\n"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let metrics = read(dir.path(), Vec::new());
        assert_eq!((metrics.cpu.usage_usec, metrics.cpu.nr_throttled), (1_500_000, 2));
        assert_eq!((metrics.memory.usage, metrics.memory.usage_limit), (4096, u64::MAX));
        assert_eq!(
            (metrics.memory.anon, metrics.memory.inactive_file, metrics.memory.swap_limit),
            (2048, 512, 0)
        );
        assert_eq!((metrics.memory_events.oom, metrics.memory_events.oom_kill), (3, 4));
        assert_eq!((metrics.pids.current, metrics.pids.limit), (2, 100));
        assert_eq!(metrics.io.usage.len(), 1);
        assert_eq!((metrics.io.usage[0].rbytes, metrics.io.usage[0].wios), (4096, 3));
    }
}
