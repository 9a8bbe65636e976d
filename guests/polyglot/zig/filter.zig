//! A proxy-wasm filter in Zig, by the ABI's own functions. ../README.md says what it does.

const std = @import("std");

const language = "zig";
const memory = std.heap.wasm_allocator;

// Values of the ABI: https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1
const Map = enum(u32) { request_headers = 0, response_headers = 2 };
const Buffer = enum(u32) { response_body = 1, vm_configuration = 6, configuration = 7 };
const Action = enum(u32) { go_on, pause };
const log_info = 2;

extern "env" fn proxy_log(level: u32, data: [*]const u8, size: usize) u32;
extern "env" fn proxy_get_buffer_bytes(buffer: Buffer, start: usize, length: usize, data: *?[*]u8, size: *usize) u32;
extern "env" fn proxy_set_buffer_bytes(buffer: Buffer, start: usize, length: usize, data: [*]const u8, size: usize) u32;
extern "env" fn proxy_get_header_map_value(map: Map, name: [*]const u8, name_size: usize, data: *?[*]u8, size: *usize) u32;
extern "env" fn proxy_add_header_map_value(map: Map, name: [*]const u8, name_size: usize, value: [*]const u8, value_size: usize) u32;
extern "env" fn proxy_replace_header_map_value(map: Map, name: [*]const u8, name_size: usize, value: [*]const u8, value_size: usize) u32;
extern "env" fn proxy_remove_header_map_value(map: Map, name: [*]const u8, name_size: usize) u32;

/// What the host writes has exactly the size that it asked for, so that it can be freed by its size.
export fn proxy_on_memory_allocate(size: usize) ?[*]u8 {
    return (memory.alloc(u8, size) catch return null).ptr;
}

fn log(comptime format: []const u8, values: anytype) void {
    const message = std.fmt.allocPrint(memory, format, values) catch return;
    defer memory.free(message);
    _ = proxy_log(log_info, message.ptr, message.len);
}

fn bytes(buffer: Buffer, size: usize) []u8 {
    var data: ?[*]u8 = null;
    var length: usize = 0;
    _ = proxy_get_buffer_bytes(buffer, 0, size, &data, &length);
    return if (data) |start| start[0..length] else &.{};
}

fn header(map: Map, name: []const u8) []u8 {
    var data: ?[*]u8 = null;
    var length: usize = 0;
    _ = proxy_get_header_map_value(map, name.ptr, name.len, &data, &length);
    return if (data) |start| start[0..length] else &.{};
}

fn add(map: Map, name: []const u8, value: []const u8) void {
    _ = proxy_add_header_map_value(map, name.ptr, name.len, value.ptr, value.len);
}

fn replace(map: Map, name: []const u8, value: []const u8) void {
    _ = proxy_replace_header_map_value(map, name.ptr, name.len, value.ptr, value.len);
}

fn remove(map: Map, name: []const u8) void {
    _ = proxy_remove_header_map_value(map, name.ptr, name.len);
}

var greeting: []const u8 = "world!";
/// Streams whose response is text.
var textual: std.AutoHashMapUnmanaged(u32, void) = .empty;

export fn _initialize() void {}

export fn proxy_abi_version_0_2_1() void {}

export fn proxy_on_vm_start(_: u32, size: usize) bool {
    const configuration = bytes(.vm_configuration, size);
    defer memory.free(configuration);
    log("{s}: started with `{s}`", .{ language, configuration });
    return true;
}

export fn proxy_on_configure(_: u32, size: usize) bool {
    const configuration = bytes(.configuration, size);
    log("{s}: configured with `{s}`", .{ language, configuration });
    // Kept as long as the filter.
    greeting = if (configuration.len == 0) "world!" else configuration;
    return !std.mem.eql(u8, greeting, "refuse");
}

export fn proxy_on_request_headers(_: u32, _: u32, _: bool) Action {
    add(.request_headers, "x-added", language);
    replace(.request_headers, "x-replaced", language);
    remove(.request_headers, "x-removed");
    return .go_on;
}

export fn proxy_on_response_headers(id: u32, _: u32, _: bool) Action {
    add(.response_headers, "hello", greeting);
    replace(.response_headers, "x-wasm-processed", language);
    const kind = header(.response_headers, "content-type");
    defer memory.free(kind);
    if (std.mem.startsWith(u8, kind, "text/plain")) {
        textual.put(memory, id, {}) catch return .go_on;
        remove(.response_headers, "content-length");
    }
    return .go_on;
}

export fn proxy_on_response_body(id: u32, size: usize, end: bool) Action {
    if (!textual.contains(id)) return .go_on;
    if (!end) return .pause;
    const body = bytes(.response_body, size);
    defer memory.free(body);
    for (body) |*letter| letter.* = std.ascii.toUpper(letter.*);
    const whole = std.mem.concat(memory, u8, &.{ body, " by " ++ language }) catch return .go_on;
    defer memory.free(whole);
    _ = proxy_set_buffer_bytes(.response_body, 0, size, whole.ptr, whole.len);
    return .go_on;
}

export fn proxy_on_delete(id: u32) void {
    _ = textual.remove(id);
}
