//! A guest that calls everything with anything: no panic, no trap from a socket call, no end of a wait lost.

use crate::Flags;
use sampan_capabilities::{Host, resolve_module_imports};
use std::time::Duration;
use wasmtime::{Engine, Instance, Memory, Module, Store, StoreLimits, Val};
use wasmtime_wasi::WasiCtxBuilder;

const CALLS: [(&str, usize); 33] = [
    ("sock_open", 3),
    ("sock_open_v2", 3),
    ("sock_bind", 3),
    ("sock_bind_v2", 3),
    ("sock_connect", 3),
    ("sock_connect_v2", 3),
    ("sock_listen", 2),
    ("sock_accept", 2),
    ("sock_accept_v2", 3),
    ("sock_recv", 6),
    ("sock_recv_from", 7),
    ("sock_recv_from_v2", 8),
    ("sock_send", 5),
    ("sock_send_to", 7),
    ("sock_send_to_v2", 7),
    ("sock_shutdown", 2),
    ("sock_getsockopt", 5),
    ("sock_setsockopt", 5),
    ("sock_getlocaladdr", 4),
    ("sock_getlocaladdr_v2", 3),
    ("sock_getpeeraddr", 4),
    ("sock_getpeeraddr_v2", 3),
    ("sock_getaddrinfo", 8),
    ("epoll_oneoff", 4),
    ("poll_oneoff", 4),
    ("fd_close", 1),
    ("fd_renumber", 2),
    ("fd_fdstat_get", 2),
    ("fd_fdstat_set_flags", 2),
    ("fd_filestat_get", 2),
    ("fd_read", 4),
    ("fd_write", 4),
    ("fd_sync", 1),
];

/// A module that hands each import on.
fn module() -> String {
    let mut wat = "(module\n".to_owned();
    let mut exports = String::new();
    for (name, count) in CALLS {
        let ty = format!("(param {}) (result i32)", "i32 ".repeat(count));
        wat += &format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {ty}))\n");
        let arguments: String = (0..count).map(|index| format!("(local.get {index})")).collect();
        exports += &format!("(func (export \"{name}\") {ty} (call ${name} {arguments}))\n");
    }
    wat + "(memory (export \"memory\") 1)\n" + &exports + ")"
}

/// SplitMix64: the same calls in every run of the test.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A descriptor, a small number, a pointer, or nonsense.
    fn argument(&mut self) -> u32 {
        let value = match self.below(16) {
            0..4 => 3 + self.below(6),
            4..8 => self.below(4),
            8..14 => self.below(64) * 8,
            14 => u64::from(u32::MAX) - self.below(64),
            _ => self.next(),
        };
        value as u32
    }
}

/// Where there is always an address struct, for what the guest has written behind it; and room for an answer.
const ADDRESS: u32 = 1024;
const ROOM: u32 = 2048;

impl Random {
    /// Mostly nonsense; now and then a call that makes sense, so that the nonsense meets sockets in every state.
    fn call(&mut self) -> (&'static str, Vec<u32>) {
        let fd = 3 + self.below(6) as u32;
        match self.below(24) {
            0 | 1 => ("sock_open", vec![1 + self.below(2) as u32, 1 + self.below(2) as u32, ROOM]),
            2 => ("sock_bind", vec![fd, ADDRESS, 4]),
            3 => ("sock_listen", vec![fd, 1]),
            4 => ("sock_send_to", vec![fd, 0, 0, ADDRESS, 1, 0, ROOM]),
            5 => ("fd_fdstat_set_flags", vec![fd, 4]),
            _ => {
                let (name, count) = CALLS[self.below(CALLS.len() as u64) as usize];
                (name, (0..count).map(|_| self.argument()).collect())
            }
        }
    }
}

/// Makes structs that are plausible here and there: pointers, lengths, addresses of four bytes, tags.
fn scribble(random: &mut Random, memory: &mut [u8]) {
    for word in memory[..512].chunks_exact_mut(4) {
        let value = match random.below(6) {
            0 => 512 + random.below(1024) as u32,
            1 => [4, 16, 128][random.below(3) as usize],
            2 => random.below(3) as u32,
            3 => u32::from_le_bytes([127, 0, 0, 1]),
            4 => random.argument(),
            _ => 0,
        };
        word.copy_from_slice(&value.to_le_bytes());
    }
}

async fn storm(seed: u64, flags: &Flags<'_>) {
    let engine = Engine::default();
    let module = Module::new(&engine, module()).unwrap();
    let host = Host::new(&flags.program(), WasiCtxBuilder::new(), Box::new(StoreLimits::default())).unwrap();
    let mut store = Store::new(&engine, host);
    let imports = resolve_module_imports(&mut store, &module).unwrap();
    let instance = Instance::new_async(&mut store, &module, &imports).await.unwrap();
    let memory: Memory = instance.get_memory(&mut store, "memory").unwrap();
    let mut random = Random(seed);
    let address = [ADDRESS + 8, 4].map(u32::to_le_bytes).concat();
    let mut succeeded = 0;
    for _ in 0..5000 {
        scribble(&mut random, memory.data_mut(&mut store));
        memory.write(&mut store, ADDRESS as usize, &address).unwrap();
        let (name, arguments) = random.call();
        let arguments: Vec<Val> = arguments.into_iter().map(|argument| Val::I32(argument as i32)).collect();
        let func = instance.get_func(&mut store, name).unwrap();
        let mut results = [Val::I32(-1)];
        let call = func.call_async(&mut store, &arguments, &mut results);
        match tokio::time::timeout(Duration::from_millis(1), call).await {
            Ok(Ok(())) => {
                let errno = results[0].unwrap_i32();
                assert!((0..=87).contains(&errno), "{name}{arguments:?} returned {errno}");
                succeeded += usize::from(errno == 0);
            }
            // The standard lets other calls trap where a pointer is outside of the memory.
            Ok(Err(error)) => assert!(name.starts_with("fd_"), "{name}{arguments:?}: {error:?}"),
            // It waits, as a blocking call does.
            Err(_) => {}
        }
    }
    assert!(succeeded > 100, "only {succeeded} calls did anything");
}

#[test]
fn random_calls_are_survived() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in 0..4 {
        let flags = Flags {
            tcp: &["127.0.0.1:1"],
            udp: &["127.0.0.1:1"],
            ports: &["127.0.0.1:0:4", "127.0.0.1:0:4/udp"],
            ..Flags::default()
        };
        runtime.block_on(storm(seed, &flags));
    }
}
