//! The servers of an upstream at one moment, and which of them gets a request.

use super::server::Server;
use sampan_app::Balance;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A schedule has no more entries; finer weights are rounded.
const SCHEDULE_MAX: usize = 4096;
/// Points of a server of weight 1 on the ring, as long as all together are not too many.
const POINTS: usize = 160;
const POINTS_MAX: usize = 65_536;

pub struct Cluster {
    pub servers: Vec<Arc<Server>>,
    /// Indices, each as often as its weight says, spread evenly.
    schedule: Vec<u32>,
    /// Sorted points and whose they are; empty unless requests are hashed.
    ring: Vec<(u64, u32)>,
    next: AtomicUsize,
}

impl Cluster {
    pub fn new(servers: Vec<Arc<Server>>, balance: &Balance) -> Cluster {
        let weights: Vec<usize> = servers.iter().map(|server| server.weight as usize).collect();
        let weights = simplified(weights);
        let ring = match balance {
            Balance::RingHash(_) => ring(&servers, &weights),
            _ => Vec::new(),
        };
        Cluster { schedule: schedule(&weights), ring, servers, next: AtomicUsize::new(0) }
    }

    /// A server for a request with this hash (ring), or the next in turn. `avoid` has just failed, and gets it
    /// only if there is no other.
    pub fn pick(
        &self,
        balance: &Balance,
        key: Option<u64>,
        avoid: Option<&Server>,
        now_ms: impl Fn() -> u64 + Copy,
    ) -> Option<&Arc<Server>> {
        let other = |server: &Server| avoid.is_none_or(|avoid| !std::ptr::eq(avoid, server));
        let fresh = |server: &Server| server.available(now_ms) && other(server);
        let found = match balance {
            Balance::RingHash(_) if key.is_some() => self.on_ring(key.unwrap_or_default(), fresh),
            Balance::LeastRequest => self.of_two(fresh),
            _ => None,
        };
        found.or_else(|| self.in_turn(fresh)).or_else(|| {
            // Better the one that has just failed, or was left out for failing, than none.
            self.in_turn(|server| server.available(now_ms)).or_else(|| self.in_turn(Server::healthy))
        })
    }

    fn in_turn(&self, good: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let count = self.schedule.len();
        if count == 0 {
            return None;
        }
        let first = self.next.fetch_add(1, Relaxed);
        let mut slots =
            (0..count).map(|step| &self.servers[self.schedule[first.wrapping_add(step) % count] as usize]);
        slots.find(|server| good(server))
    }

    /// "The power of two choices" (Mitzenmacher 2001): almost as good as comparing all, and no herd runs to one.
    fn of_two(&self, good: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let count = self.schedule.len();
        if count == 0 {
            return None;
        }
        let dice = mix(self.next.fetch_add(1, Relaxed) as u64);
        let (one, other) = (dice as u32 as usize % count, (dice >> 32) as usize % count);
        let [one, other] = [one, other].map(|slot| &self.servers[self.schedule[slot] as usize]);
        match (good(one), good(other)) {
            (true, true) => Some(if other.load() < one.load() { other } else { one }),
            (true, false) => Some(one),
            (false, true) => Some(other),
            (false, false) => None,
        }
    }

    /// The first good server at or after a place on the ring: if one goes, only its own requests move.
    fn on_ring(&self, key: u64, good: impl Fn(&Server) -> bool) -> Option<&Arc<Server>> {
        let start = self.ring.partition_point(|(point, _)| *point < key);
        let (before, after) = self.ring.split_at(start);
        let mut points = after.iter().chain(before).map(|(_, index)| &self.servers[*index as usize]);
        points.find(|server| good(server))
    }
}

/// Divided by what divides all.
fn simplified(weights: Vec<usize>) -> Vec<usize> {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let total: usize = weights.iter().map(|weight| weight / divisor).sum();
    let scale = |weight: usize| match total {
        0..=SCHEDULE_MAX => weight,
        _ => (weight * SCHEDULE_MAX / total).max(1),
    };
    weights.into_iter().map(|weight| scale(weight / divisor)).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Smooth weighted round-robin, as nginx does: a heavy server's turns lie apart.
fn schedule(weights: &[usize]) -> Vec<u32> {
    let total: usize = weights.iter().sum();
    let mut credit = vec![0_i64; weights.len()];
    let turn = |_| {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += *weight as i64;
        }
        // Of equal ones the first.
        let best = (0..credit.len()).rev().max_by_key(|&index| credit[index]).unwrap_or_default();
        credit[best] -= total as i64;
        best as u32
    };
    (0..total).map(turn).collect()
}

fn ring(servers: &[Arc<Server>], weights: &[usize]) -> Vec<(u64, u32)> {
    let total: usize = weights.iter().sum();
    let each = (POINTS_MAX / total.max(1)).clamp(1, POINTS);
    let mut ring = Vec::with_capacity(total * each);
    for (index, (server, weight)) in servers.iter().zip(weights).enumerate() {
        let name = server.address.to_string();
        let point = |number: usize| mix(hash(name.as_bytes()) ^ mix(number as u64));
        ring.extend((0..weight * each).map(|number| (point(number), index as u32)));
    }
    ring.sort_unstable();
    ring
}

/// FNV-1a (draft-eastlake-fnv), then mixed: the same in every process and version, so that several gateways
/// agree.
pub fn hash(bytes: &[u8]) -> u64 {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

/// The finisher of SplitMix64 (Vigna, public domain).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::HashKey;
    use std::collections::HashMap;

    fn cluster(weights: &[u32], balance: &Balance) -> Cluster {
        let server = |(index, weight): (usize, &u32)| {
            Arc::new(Server::for_test(([127, 0, 0, 1], 1000 + index as u16).into(), *weight))
        };
        Cluster::new(weights.iter().enumerate().map(server).collect(), balance)
    }

    fn port(server: Option<&Arc<Server>>) -> u16 {
        server.expect("a server").address.port() - 1000
    }

    #[test]
    fn turns_follow_weights_and_lie_apart() {
        assert_eq!(schedule(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(simplified(vec![100, 50, 50]), [2, 1, 1]);
        assert!(simplified(vec![1_000_000, 7]).iter().sum::<usize>() <= SCHEDULE_MAX + 1);
        let cluster = cluster(&[2, 1], &Balance::RoundRobin);
        let turns: Vec<_> =
            (0..6).map(|_| port(cluster.pick(&Balance::RoundRobin, None, None, || 0))).collect();
        assert_eq!(turns, [0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn whoever_is_ill_or_has_just_failed_is_passed_over() {
        let balance = Balance::RoundRobin;
        let cluster = cluster(&[1, 1, 1], &balance);
        cluster.servers[0].set_healthy(false);
        let avoid = cluster.servers[1].clone();
        for _ in 0..4 {
            assert_eq!(port(cluster.pick(&balance, None, Some(&avoid), || 0)), 2);
        }
        cluster.servers[2].set_healthy(false);
        assert_eq!(port(cluster.pick(&balance, None, Some(&avoid), || 0)), 1, "better than none");
        cluster.servers[1].set_healthy(false);
        assert!(cluster.pick(&balance, None, None, || 0).is_none());
    }

    #[test]
    fn of_two_the_less_busy_gets_it() {
        let balance = Balance::LeastRequest;
        let cluster = cluster(&[1, 1], &balance);
        let busy = (0..10).map(|_| cluster.servers[0].enter()).collect::<Vec<_>>();
        let got = (0..1000).filter(|_| port(cluster.pick(&balance, None, None, || 0)) == 0).count();
        // Only when both draws are the busy one.
        assert!((150..350).contains(&got), "{got}");
        drop(busy);
    }

    #[test]
    fn a_ring_moves_only_the_requests_of_who_is_gone() {
        let balance = Balance::RingHash(HashKey::SourceIp);
        let cluster = cluster(&[1, 1, 2, 1], &balance);
        let all = |cluster: &Cluster| -> Vec<u16> {
            let key = |number: u32| Some(hash(&number.to_le_bytes()));
            (0..10_000).map(|number| port(cluster.pick(&balance, key(number), None, || 0))).collect()
        };
        let before = all(&cluster);
        let mut counts: HashMap<u16, usize> = HashMap::new();
        before.iter().for_each(|port| *counts.entry(*port).or_default() += 1);
        for (port, count) in &counts {
            let fair = if *port == 2 { 4000 } else { 2000 };
            assert!((fair * 7 / 10..fair * 13 / 10).contains(count), "{port}: {count}");
        }
        cluster.servers[1].set_healthy(false);
        for (before, after) in before.iter().zip(all(&cluster)) {
            assert!(after != 1 && (*before == 1 || *before == after));
        }
        cluster.servers[1].set_healthy(true);
        assert_eq!(all(&cluster), before);
    }
}
