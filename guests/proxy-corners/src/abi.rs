//! proxy-wasm's host functions as they are: statuses, not panics. Their source is
//! https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1

use std::ptr;

pub const REQUEST_HEADERS: u32 = 0;
pub const RESPONSE_HEADERS: u32 = 2;
pub const CALL_HEADERS: u32 = 6;
pub const REQUEST_BODY: u32 = 0;
pub const RESPONSE_BODY: u32 = 1;
pub const CALL_BODY: u32 = 4;
pub const PLUGIN_CONFIGURATION: u32 = 7;

pub mod raw {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
        pub fn proxy_get_log_level(level: *mut u32) -> u32;
        pub fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
        pub fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
        pub fn proxy_set_effective_context(id: u32) -> u32;
        pub fn proxy_done() -> u32;
        pub fn proxy_get_buffer_bytes(
            kind: u32,
            start: usize,
            length: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_buffer_bytes(
            kind: u32,
            start: usize,
            length: usize,
            data: *const u8,
            size: usize,
        ) -> u32;
        pub fn proxy_get_buffer_status(kind: u32, size: *mut usize, flags: *mut u32) -> u32;
        pub fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_set_header_map_pairs(map: u32, data: *const u8, size: usize) -> u32;
        pub fn proxy_get_header_map_size(map: u32, size: *mut u32) -> u32;
        pub fn proxy_get_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_add_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            size: usize,
        ) -> u32;
        pub fn proxy_replace_header_map_value(
            map: u32,
            name: *const u8,
            name_size: usize,
            value: *const u8,
            size: usize,
        ) -> u32;
        pub fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
        pub fn proxy_continue_stream(kind: u32) -> u32;
        pub fn proxy_close_stream(kind: u32) -> u32;
        pub fn proxy_send_local_response(
            code: u32,
            details: *const u8,
            details_size: usize,
            body: *const u8,
            body_size: usize,
            headers: *const u8,
            headers_size: usize,
            grpc: i32,
        ) -> u32;
        pub fn proxy_get_status(code: *mut u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_http_call(
            upstream: *const u8,
            upstream_size: usize,
            headers: *const u8,
            headers_size: usize,
            body: *const u8,
            body_size: usize,
            trailers: *const u8,
            trailers_size: usize,
            timeout_ms: u32,
            id: *mut u32,
        ) -> u32;
        pub fn proxy_get_shared_data(
            key: *const u8,
            key_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
            cas: *mut u32,
        ) -> u32;
        pub fn proxy_set_shared_data(
            key: *const u8,
            key_size: usize,
            data: *const u8,
            size: usize,
            cas: u32,
        ) -> u32;
        pub fn proxy_register_shared_queue(name: *const u8, size: usize, id: *mut u32) -> u32;
        pub fn proxy_resolve_shared_queue(
            vm: *const u8,
            vm_size: usize,
            name: *const u8,
            size: usize,
            id: *mut u32,
        ) -> u32;
        pub fn proxy_enqueue_shared_queue(id: u32, data: *const u8, size: usize) -> u32;
        pub fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
        pub fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
        pub fn proxy_increment_metric(id: u32, offset: i64) -> u32;
        pub fn proxy_record_metric(id: u32, value: u64) -> u32;
        pub fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
        pub fn proxy_get_property(
            path: *const u8,
            path_size: usize,
            data: *mut *mut u8,
            size: *mut usize,
        ) -> u32;
        pub fn proxy_set_property(path: *const u8, path_size: usize, data: *const u8, size: usize) -> u32;
        pub fn proxy_call_foreign_function(
            name: *const u8,
            name_size: usize,
            data: *const u8,
            size: usize,
            result: *mut *mut u8,
            result_size: *mut usize,
        ) -> u32;
    }
}

/// A status, and what came with it.
pub type Answer<T> = (u32, T);

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// What the host writes has exactly the size that it asked for.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    Box::into_raw(vec![0; size].into_boxed_slice()).cast()
}

fn bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Answer<Vec<u8>> {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    let status = call(&mut data, &mut size);
    if data.is_null() {
        return (status, Vec::new());
    }
    // SAFETY: the host asked `proxy_on_memory_allocate` for these bytes and has given them back.
    let bytes = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) };
    (status, bytes.into_vec())
}

fn number<T: Default>(call: impl FnOnce(*mut T) -> u32) -> Answer<T> {
    let mut value = T::default();
    let status = call(&mut value);
    (status, value)
}

/// The encoding of header maps: a count, the lengths, then names and values, each with a NUL.
pub fn pairs(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = (headers.len() as u32).to_le_bytes().to_vec();
    for (name, value) in headers {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in headers {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    bytes
}

pub fn unpairs(bytes: &[u8]) -> Vec<(String, String)> {
    let word = |at: usize| {
        bytes
            .get(at..at + 4)
            .map_or(0, |word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
    };
    let count = word(0);
    let mut at = 4 + 8 * count;
    let mut next = |size: usize| {
        let text = String::from_utf8_lossy(bytes.get(at..at + size).unwrap_or_default()).into_owned();
        at += size + 1;
        text
    };
    (0..count).map(|one| (next(word(4 + 8 * one)), next(word(8 + 8 * one)))).collect()
}

pub fn log(level: u32, message: &str) -> u32 {
    unsafe { raw::proxy_log(level, message.as_ptr(), message.len()) }
}

pub fn buffer(kind: u32, start: usize, length: usize) -> Answer<Vec<u8>> {
    bytes(|data, size| unsafe { raw::proxy_get_buffer_bytes(kind, start, length, data, size) })
}

pub fn set_buffer(kind: u32, start: usize, length: usize, text: &str) -> u32 {
    unsafe { raw::proxy_set_buffer_bytes(kind, start, length, text.as_ptr(), text.len()) }
}

pub fn buffer_size(kind: u32) -> Answer<usize> {
    let mut flags = 0;
    number(|size| unsafe { raw::proxy_get_buffer_status(kind, size, &mut flags) })
}

pub fn header(map: u32, name: &str) -> Answer<Vec<u8>> {
    bytes(|data, size| unsafe { raw::proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) })
}

pub fn headers(map: u32) -> Answer<Vec<(String, String)>> {
    let (status, all) = bytes(|data, size| unsafe { raw::proxy_get_header_map_pairs(map, data, size) });
    (status, unpairs(&all))
}

pub fn set_headers(map: u32, encoded: &[u8]) -> u32 {
    unsafe { raw::proxy_set_header_map_pairs(map, encoded.as_ptr(), encoded.len()) }
}

pub fn headers_size(map: u32) -> Answer<u32> {
    number(|size| unsafe { raw::proxy_get_header_map_size(map, size) })
}

pub fn add(map: u32, name: &str, value: &str) -> u32 {
    unsafe { raw::proxy_add_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len()) }
}

pub fn replace(map: u32, name: &str, value: &str) -> u32 {
    unsafe {
        raw::proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    }
}

pub fn remove(map: u32, name: &str) -> u32 {
    unsafe { raw::proxy_remove_header_map_value(map, name.as_ptr(), name.len()) }
}

pub fn respond(code: u32, headers: &[(&str, &str)], body: &str) -> u32 {
    let headers = pairs(headers);
    unsafe {
        raw::proxy_send_local_response(
            code,
            b"corners".as_ptr(),
            7,
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    }
}

pub fn call(upstream: &str, headers: &[(&str, &str)], body: &str, timeout_ms: u32) -> Answer<u32> {
    let (headers, trailers) = (pairs(headers), pairs(&[]));
    number(|id| unsafe {
        raw::proxy_http_call(
            upstream.as_ptr(),
            upstream.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout_ms,
            id,
        )
    })
}

pub fn status() -> Answer<(u32, Vec<u8>)> {
    let mut code = 0;
    let (status, message) = bytes(|data, size| unsafe { raw::proxy_get_status(&mut code, data, size) });
    (status, (code, message))
}

pub fn shared(key: &str) -> Answer<(Vec<u8>, u32)> {
    let mut cas = 0;
    let (status, value) = bytes(|data, size| unsafe {
        raw::proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    });
    (status, (value, cas))
}

pub fn share(key: &str, value: &str, cas: u32) -> u32 {
    unsafe { raw::proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }
}

pub fn register_queue(name: &str) -> Answer<u32> {
    number(|id| unsafe { raw::proxy_register_shared_queue(name.as_ptr(), name.len(), id) })
}

pub fn resolve_queue(vm: &str, name: &str) -> Answer<u32> {
    number(|id| unsafe {
        raw::proxy_resolve_shared_queue(vm.as_ptr(), vm.len(), name.as_ptr(), name.len(), id)
    })
}

pub fn enqueue(id: u32, value: &str) -> u32 {
    unsafe { raw::proxy_enqueue_shared_queue(id, value.as_ptr(), value.len()) }
}

pub fn dequeue(id: u32) -> Answer<Vec<u8>> {
    bytes(|data, size| unsafe { raw::proxy_dequeue_shared_queue(id, data, size) })
}

pub fn define_metric(kind: u32, name: &str) -> Answer<u32> {
    number(|id| unsafe { raw::proxy_define_metric(kind, name.as_ptr(), name.len(), id) })
}

pub fn metric(id: u32) -> Answer<u64> {
    number(|value| unsafe { raw::proxy_get_metric(id, value) })
}

pub fn property(path: &str) -> Answer<Vec<u8>> {
    let path = path.replace('.', "\0");
    bytes(|data, size| unsafe { raw::proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

pub fn set_property(path: &str, value: &str) -> u32 {
    let path = path.replace('.', "\0");
    unsafe { raw::proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) }
}

pub fn foreign(name: &str, data: &str) -> Answer<Vec<u8>> {
    bytes(|result, size| unsafe {
        raw::proxy_call_foreign_function(name.as_ptr(), name.len(), data.as_ptr(), data.len(), result, size)
    })
}
