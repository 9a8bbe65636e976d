// A proxy-wasm filter in Go, by the ABI's own functions. ../README.md says what it does.
//
// It is built as a reactor: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared
package main

import (
	"strings"
	"unsafe"
)

const language = "go"

// Values of the ABI: https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1
const (
	logInfo         = 2
	requestHeaders  = 0
	responseHeaders = 2
	responseBody    = 1
	vmConfiguration = 6
	configuration   = 7
	actionContinue  = 0
	actionPause     = 1
)

//go:wasmimport env proxy_log
func proxyLog(level uint32, data unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_get_buffer_bytes
func proxyGetBufferBytes(kind, start, length uint32, data, size unsafe.Pointer) uint32

//go:wasmimport env proxy_set_buffer_bytes
func proxySetBufferBytes(kind, start, length uint32, data unsafe.Pointer, size uint32) uint32

//go:wasmimport env proxy_get_header_map_value
func proxyGetHeader(kind uint32, name unsafe.Pointer, nameSize uint32, data, size unsafe.Pointer) uint32

//go:wasmimport env proxy_add_header_map_value
func proxyAddHeader(kind uint32, name unsafe.Pointer, nameSize uint32, value unsafe.Pointer, valueSize uint32) uint32

//go:wasmimport env proxy_replace_header_map_value
func proxyReplaceHeader(kind uint32, name unsafe.Pointer, nameSize uint32, value unsafe.Pointer, valueSize uint32) uint32

//go:wasmimport env proxy_remove_header_map_value
func proxyRemoveHeader(kind uint32, name unsafe.Pointer, nameSize uint32) uint32

// What the host allocated and has not been taken yet: without it the collector would free it.
var given = map[*byte][]byte{}

//go:wasmexport proxy_on_memory_allocate
func allocate(size uint32) unsafe.Pointer {
	// A slice of no bytes has no address of its own.
	buffer := make([]byte, max(size, 1))
	given[&buffer[0]] = buffer
	return unsafe.Pointer(&buffer[0])
}

func take(data *byte, size uint32) []byte {
	if data == nil {
		return nil
	}
	delete(given, data)
	return unsafe.Slice(data, size)
}

func text(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func log(message string) {
	data, size := text(message)
	proxyLog(logInfo, data, size)
}

func buffer(kind, size uint32) []byte {
	var data *byte
	var length uint32
	if proxyGetBufferBytes(kind, 0, size, unsafe.Pointer(&data), unsafe.Pointer(&length)) != 0 {
		return nil
	}
	return take(data, length)
}

func header(kind uint32, name string) string {
	var data *byte
	var size uint32
	nameData, nameSize := text(name)
	if proxyGetHeader(kind, nameData, nameSize, unsafe.Pointer(&data), unsafe.Pointer(&size)) != 0 {
		return ""
	}
	return string(take(data, size))
}

func addHeader(kind uint32, name, value string) {
	nameData, nameSize := text(name)
	valueData, valueSize := text(value)
	proxyAddHeader(kind, nameData, nameSize, valueData, valueSize)
}

func replaceHeader(kind uint32, name, value string) {
	nameData, nameSize := text(name)
	valueData, valueSize := text(value)
	proxyReplaceHeader(kind, nameData, nameSize, valueData, valueSize)
}

func removeHeader(kind uint32, name string) {
	data, size := text(name)
	proxyRemoveHeader(kind, data, size)
}

var greeting string

// Streams whose response is text.
var textual = map[uint32]bool{}

//go:wasmexport proxy_abi_version_0_2_1
func abiVersion() {}

//go:wasmexport proxy_on_vm_start
func onVMStart(_, size uint32) uint32 {
	log(language + ": started with `" + string(buffer(vmConfiguration, size)) + "`")
	return 1
}

//go:wasmexport proxy_on_configure
func onConfigure(_, size uint32) uint32 {
	greeting = string(buffer(configuration, size))
	log(language + ": configured with `" + greeting + "`")
	if greeting == "refuse" {
		return 0
	}
	if greeting == "" {
		greeting = "world!"
	}
	return 1
}

//go:wasmexport proxy_on_request_headers
func onRequestHeaders(_, _, _ uint32) uint32 {
	addHeader(requestHeaders, "x-added", language)
	replaceHeader(requestHeaders, "x-replaced", language)
	removeHeader(requestHeaders, "x-removed")
	return actionContinue
}

//go:wasmexport proxy_on_response_headers
func onResponseHeaders(id, _, _ uint32) uint32 {
	addHeader(responseHeaders, "hello", greeting)
	replaceHeader(responseHeaders, "x-wasm-processed", language)
	if strings.HasPrefix(header(responseHeaders, "content-type"), "text/plain") {
		textual[id] = true
		removeHeader(responseHeaders, "content-length")
	}
	return actionContinue
}

//go:wasmexport proxy_on_response_body
func onResponseBody(id, size, end uint32) uint32 {
	if !textual[id] {
		return actionContinue
	}
	if end == 0 {
		return actionPause
	}
	body := buffer(responseBody, size)
	for i, letter := range body {
		if 'a' <= letter && letter <= 'z' {
			body[i] = letter - 'a' + 'A'
		}
	}
	body = append(body, " by "+language...)
	proxySetBufferBytes(responseBody, 0, size, unsafe.Pointer(&body[0]), uint32(len(body)))
	return actionContinue
}

//go:wasmexport proxy_on_delete
func onDelete(id uint32) {
	delete(textual, id)
}

func main() {}
