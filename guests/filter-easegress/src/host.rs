//! Easegress's ABI: its host calls, and the memory that the host fills and this side frees.

use std::alloc::{Layout, alloc, dealloc};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

/// What a host call answers with: an address.
pub type Get = unsafe extern "C" fn() -> i32;
pub type GetOf = unsafe extern "C" fn(*const u8) -> i32;
pub type Take = unsafe extern "C" fn(*const u8);
pub type TakeTwo = unsafe extern "C" fn(*const u8, *const u8);

#[link(wasm_import_module = "easegress")]
unsafe extern "C" {
    pub fn host_req_get_real_ip() -> i32;
    pub fn host_req_get_scheme() -> i32;
    pub fn host_req_get_proto() -> i32;
    pub fn host_req_get_method() -> i32;
    pub fn host_req_set_method(at: *const u8);
    pub fn host_req_get_host() -> i32;
    pub fn host_req_set_host(at: *const u8);
    pub fn host_req_get_path() -> i32;
    pub fn host_req_set_path(at: *const u8);
    pub fn host_req_get_escaped_path() -> i32;
    pub fn host_req_get_query() -> i32;
    pub fn host_req_set_query(at: *const u8);
    pub fn host_req_get_fragment() -> i32;
    pub fn host_req_get_header(name: *const u8) -> i32;
    pub fn host_req_get_all_header() -> i32;
    pub fn host_req_set_header(name: *const u8, value: *const u8);
    pub fn host_req_set_all_header(at: *const u8);
    pub fn host_req_add_header(name: *const u8, value: *const u8);
    pub fn host_req_del_header(name: *const u8);
    pub fn host_req_get_cookie(name: *const u8) -> i32;
    pub fn host_req_get_all_cookie() -> i32;
    pub fn host_req_add_cookie(at: *const u8);
    pub fn host_req_get_body() -> i32;
    pub fn host_req_set_body(at: *const u8);
    pub fn host_resp_get_status_code() -> i32;
    pub fn host_resp_set_status_code(code: i32);
    pub fn host_resp_get_header(name: *const u8) -> i32;
    pub fn host_resp_get_all_header() -> i32;
    pub fn host_resp_set_header(name: *const u8, value: *const u8);
    pub fn host_resp_set_all_header(at: *const u8);
    pub fn host_resp_add_header(name: *const u8, value: *const u8);
    pub fn host_resp_del_header(name: *const u8);
    pub fn host_resp_set_cookie(at: *const u8);
    pub fn host_resp_get_body() -> i32;
    pub fn host_resp_set_body(at: *const u8);
    pub fn host_cluster_get_binary(key: *const u8) -> i32;
    pub fn host_cluster_put_binary(key: *const u8, value: *const u8);
    pub fn host_cluster_get_string(key: *const u8) -> i32;
    pub fn host_cluster_put_string(key: *const u8, value: *const u8);
    pub fn host_cluster_get_integer(key: *const u8) -> i64;
    pub fn host_cluster_put_integer(key: *const u8, value: i64);
    pub fn host_cluster_add_integer(key: *const u8, more: i64) -> i64;
    pub fn host_cluster_get_float(key: *const u8) -> f64;
    pub fn host_cluster_put_float(key: *const u8, value: f64);
    pub fn host_cluster_add_float(key: *const u8, more: f64) -> f64;
    pub fn host_cluster_count_key(prefix: *const u8) -> i32;
    pub fn host_add_tag(at: *const u8);
    pub fn host_log(level: i32, at: *const u8);
    pub fn host_get_unix_time_in_ms() -> i64;
    pub fn host_rand() -> f64;
}

/// Before each piece stands its size.
const SIZE: usize = 8;
/// Pieces that the host was given and that are not freed.
static LIVE: AtomicI32 = AtomicI32::new(0);

#[unsafe(no_mangle)]
extern "C" fn wasm_alloc(size: i32) -> *mut u8 {
    LIVE.fetch_add(1, Relaxed);
    unsafe {
        let at = alloc(Layout::from_size_align(size as usize + SIZE, SIZE).unwrap());
        at.cast::<usize>().write(size as usize);
        at.add(SIZE)
    }
}

#[unsafe(no_mangle)]
extern "C" fn wasm_free(at: *mut u8) {
    LIVE.fetch_sub(1, Relaxed);
    unsafe {
        let at = at.sub(SIZE);
        dealloc(at, Layout::from_size_align(at.cast::<usize>().read() + SIZE, SIZE).unwrap());
    }
}

pub fn live() -> i32 {
    LIVE.load(Relaxed)
}

/// Bytes that the host hands over; a string's NUL is one of them.
fn taken(at: i32) -> Vec<u8> {
    let piece =
        unsafe { std::slice::from_raw_parts((at + 4) as *const u8, (at as *const u32).read() as usize) };
    let piece = piece.to_vec();
    wasm_free(at as *mut u8);
    piece
}

pub fn bytes(at: i32) -> String {
    String::from_utf8_lossy(&taken(at)).into_owned()
}

pub fn string(at: i32) -> String {
    let mut text = taken(at);
    assert_eq!(text.pop(), Some(0), "a string ends with NUL");
    String::from_utf8(text).unwrap()
}

pub fn list(at: i32) -> Vec<String> {
    let count = unsafe { (at as *const u32).read() };
    let mut place = at + 4;
    let all = (0..count).map(|_| {
        let length = unsafe { (place as *const u32).read_unaligned() } as usize;
        let text = unsafe { std::slice::from_raw_parts((place + 4) as *const u8, length - 1) };
        place += 4 + length as i32;
        String::from_utf8(text.to_vec()).unwrap()
    });
    let all = all.collect();
    wasm_free(at as *mut u8);
    all
}

/// A string for the host.
pub fn text(text: &str) -> Vec<u8> {
    let mut all = (text.len() as u32 + 1).to_le_bytes().to_vec();
    all.extend(text.bytes());
    all.push(0);
    all
}

/// Bytes for the host.
pub fn data(text: &str) -> Vec<u8> {
    let mut all = (text.len() as u32).to_le_bytes().to_vec();
    all.extend(text.bytes());
    all
}
