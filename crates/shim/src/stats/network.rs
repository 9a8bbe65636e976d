//! Interfaces of a container with a network of its own, which all containers of a pod share.
//!
//! Source: Linux, `proc_pid_net(5)`, `/proc/PID/net/dev`.

use std::fs;
use std::path::Path;

/// Whoever may make interfaces could make many; a pod has one.
const INTERFACES_MAX: usize = 64;

/// What an interface received and sent: bytes, packets, errors, dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub received: [u64; 4],
    pub sent: [u64; 4],
}

/// None of a container in this process's network, whose figures are not the container's.
pub fn read(proc: &Path, pid: u32) -> Vec<Interface> {
    let folder = proc.join(pid.to_string());
    let network = |folder: &Path| fs::read_link(folder.join("ns/net")).ok();
    let (own, theirs) = (network(&proc.join("self")), network(&folder));
    if theirs.is_none() || theirs == own {
        return Vec::new();
    }
    let text = fs::read_to_string(folder.join("net/dev")).unwrap_or_default();
    text.lines().filter_map(interface).filter(|one| one.name != "lo").take(INTERFACES_MAX).collect()
}

/// A line `name: number number …`; the heads have no colon.
fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let four = |at: usize| numbers.get(at..)?.first_chunk::<4>().copied();
    Some(Interface { name: name.trim().to_owned(), received: four(0)?, sent: four(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn interfaces_of_another_network_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let text = "Inter-|   Receive                            |  Transmit\n \
            face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls\n    \
            lo:     100       2    0    0    0     0          0         0      100       2    0    0    0     0\n  \
            eth0: 1500000 1200    1    2    0     0          0         0   900000     800    3    4    0     0\n  \
            bad: 1 2 3\n";
        for (pid, network) in [("self", "net:[1]"), ("7", "net:[2]"), ("8", "net:[1]")] {
            let folder = dir.path().join(pid);
            fs::create_dir_all(folder.join("ns")).unwrap();
            fs::create_dir_all(folder.join("net")).unwrap();
            symlink(network, folder.join("ns/net")).unwrap();
            fs::write(folder.join("net/dev"), text).unwrap();
        }
        let eth0 = Interface {
            name: "eth0".to_owned(),
            received: [1_500_000, 1200, 1, 2],
            sent: [900_000, 800, 3, 4],
        };
        assert_eq!(read(dir.path(), 7), [eth0]);
        assert_eq!(read(dir.path(), 8), []);
        assert_eq!(read(dir.path(), 9), []);
    }
}
