// A proxy-wasm filter in C++, by the ABI's own functions. ../README.md says what it does.

#include "proxy_wasm.h"

#include <set>

using namespace proxy_wasm;

namespace {

const std::string language = "cpp";
std::string greeting;
// Streams whose response is text.
std::set<uint32_t> textual;

}  // namespace

PROXY_WASM_EXPORT(proxy_abi_version_0_2_1) void abi_version() {}

PROXY_WASM_EXPORT(proxy_on_memory_allocate) void *allocate(size_t size) { return std::malloc(size); }

PROXY_WASM_EXPORT(proxy_on_vm_start) bool on_vm_start(uint32_t, size_t size) {
    log(Level::info, language + ": started with `" + bytes(Buffer::vm_configuration, size) + "`");
    return true;
}

PROXY_WASM_EXPORT(proxy_on_configure) bool on_configure(uint32_t, size_t size) {
    greeting = bytes(Buffer::configuration, size);
    log(Level::info, language + ": configured with `" + greeting + "`");
    if (greeting == "refuse") {
        return false;
    }
    if (greeting.empty()) {
        greeting = "world!";
    }
    return true;
}

PROXY_WASM_EXPORT(proxy_on_request_headers) Action on_request_headers(uint32_t, uint32_t, bool) {
    add(Map::request_headers, "x-added", language);
    replace(Map::request_headers, "x-replaced", language);
    remove(Map::request_headers, "x-removed");
    return Action::go_on;
}

PROXY_WASM_EXPORT(proxy_on_response_headers) Action on_response_headers(uint32_t id, uint32_t, bool) {
    add(Map::response_headers, "hello", greeting);
    replace(Map::response_headers, "X-Wasm-Processed", language);
    if (header(Map::response_headers, "content-type").rfind("text/plain", 0) == 0) {
        textual.insert(id);
        remove(Map::response_headers, "content-length");
    }
    return Action::go_on;
}

PROXY_WASM_EXPORT(proxy_on_response_body) Action on_response_body(uint32_t id, size_t size, bool end) {
    if (!textual.count(id)) {
        return Action::go_on;
    }
    if (!end) {
        return Action::pause;
    }
    std::string body = bytes(Buffer::response_body, size);
    for (char &letter : body) {
        if ('a' <= letter && letter <= 'z') {
            letter += 'A' - 'a';
        }
    }
    set_bytes(Buffer::response_body, size, body + " by " + language);
    return Action::go_on;
}

PROXY_WASM_EXPORT(proxy_on_delete) void on_delete(uint32_t id) { textual.erase(id); }
