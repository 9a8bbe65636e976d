//! A library without `_start`: plain functions over each number type, and state between calls, which
//! `_initialize` prepares.

use std::sync::atomic::{AtomicI32, Ordering};

static CALLS: AtomicI32 = AtomicI32::new(0);

#[unsafe(no_mangle)]
pub extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

#[unsafe(no_mangle)]
pub extern "C" fn multiply(a: i64, b: i64) -> i64 {
    a.wrapping_mul(b)
}

#[unsafe(no_mangle)]
pub extern "C" fn half(number: f32) -> f32 {
    number / 2.0
}

#[unsafe(no_mangle)]
pub extern "C" fn root(number: f64) -> f64 {
    number.sqrt()
}

#[unsafe(no_mangle)]
pub extern "C" fn calls() -> i32 {
    CALLS.fetch_add(1, Ordering::Relaxed) + 1
}

/// Needs what `_initialize` prepares: the environment and standard output.
#[unsafe(no_mangle)]
pub extern "C" fn greet() {
    println!("hello {}", std::env::var("NAME").unwrap_or_else(|_| "nobody".to_owned()));
}

#[unsafe(no_mangle)]
pub extern "C" fn fail() {
    core::arch::wasm32::unreachable()
}
