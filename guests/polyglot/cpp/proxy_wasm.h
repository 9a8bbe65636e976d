// proxy-wasm's ABI 0.2.1 for C++, as far as a filter of HTTP headers and bodies needs it. The ABI's text is the
// source: https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace proxy_wasm {

enum class Level : uint32_t { trace, debug, info, warn, error, critical };
enum class Map : uint32_t { request_headers, request_trailers, response_headers, response_trailers };
enum class Buffer : uint32_t { request_body = 0, response_body = 1, vm_configuration = 6, configuration = 7 };
enum class Action : uint32_t { go_on, pause };

#define PROXY_WASM_IMPORT(name) extern "C" __attribute__((import_module("env"), import_name(#name))) uint32_t name
PROXY_WASM_IMPORT(proxy_log)(Level, const char *, size_t);
PROXY_WASM_IMPORT(proxy_get_buffer_bytes)(Buffer, size_t start, size_t length, char **, size_t *);
PROXY_WASM_IMPORT(proxy_set_buffer_bytes)(Buffer, size_t start, size_t length, const char *, size_t);
PROXY_WASM_IMPORT(proxy_get_header_map_value)(Map, const char *, size_t, char **, size_t *);
PROXY_WASM_IMPORT(proxy_add_header_map_value)(Map, const char *, size_t, const char *, size_t);
PROXY_WASM_IMPORT(proxy_replace_header_map_value)(Map, const char *, size_t, const char *, size_t);
PROXY_WASM_IMPORT(proxy_remove_header_map_value)(Map, const char *, size_t);

// A function that the host calls.
#define PROXY_WASM_EXPORT(name) extern "C" __attribute__((export_name(#name)))

// What the host wrote into memory that it asked `proxy_on_memory_allocate` for.
inline std::string take(char *data, size_t size) {
    std::string text(data ? data : "", data ? size : 0);
    std::free(data);
    return text;
}

inline void log(Level level, std::string_view message) { proxy_log(level, message.data(), message.size()); }

inline std::string bytes(Buffer buffer, size_t size) {
    char *data = nullptr;
    size_t length = 0;
    proxy_get_buffer_bytes(buffer, 0, size, &data, &length);
    return take(data, length);
}

inline void set_bytes(Buffer buffer, size_t size, std::string_view text) {
    proxy_set_buffer_bytes(buffer, 0, size, text.data(), text.size());
}

// The first value of a header; empty without one.
inline std::string header(Map map, std::string_view name) {
    char *data = nullptr;
    size_t size = 0;
    proxy_get_header_map_value(map, name.data(), name.size(), &data, &size);
    return take(data, size);
}

inline void add(Map map, std::string_view name, std::string_view value) {
    proxy_add_header_map_value(map, name.data(), name.size(), value.data(), value.size());
}

inline void replace(Map map, std::string_view name, std::string_view value) {
    proxy_replace_header_map_value(map, name.data(), name.size(), value.data(), value.size());
}

inline void remove(Map map, std::string_view name) {
    proxy_remove_header_map_value(map, name.data(), name.size());
}

}  // namespace proxy_wasm
