//! Traps in the way that its argument names, three named functions deep, so that a backtrace has something
//! to show. Built with line tables.

use std::hint::black_box;

fn main() {
    let kind = std::env::args().nth(1).unwrap_or_default();
    outer(&kind);
}

#[inline(never)]
fn outer(kind: &str) {
    middle(kind);
    black_box(());
}

#[inline(never)]
fn middle(kind: &str) {
    match kind {
        "unreachable" => core::arch::wasm32::unreachable(),
        "panic" => panic!("the guest panicked on purpose"),
        "bounds" => out_of_bounds(),
        "indirect" => missing_function(),
        "recursion" => println!("{}", recursion(1)),
        _ => eprintln!("trap unreachable|panic|bounds|indirect|recursion"),
    }
    black_box(());
}

#[inline(never)]
fn out_of_bounds() {
    let address = black_box(0xffff_fff0 as *const u32);
    // SAFETY: not sound on purpose: the address lies outside of the memory, so the engine must trap.
    black_box(unsafe { address.read_volatile() });
}

#[inline(never)]
fn missing_function() {
    // SAFETY: not sound on purpose: no table has this index, so the engine must trap.
    let function: fn() = unsafe { std::mem::transmute(black_box(0x7fff_fff0_usize)) };
    function();
}

/// Built without optimisation, it uses up the stack in linear memory; wat/recursion.wat the engine's own.
#[inline(never)]
fn recursion(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX { 0 } else { recursion(depth + 1).wrapping_add(depth) }
}
