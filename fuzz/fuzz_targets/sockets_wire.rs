//! The structs of WasmEdge's socket extension: any bytes are read or refused, and what is written is read
//! back as it was.

#![no_main]
// The file is included whole, and not all of it is used here.
#![allow(dead_code)]

#[path = "../../crates/capabilities/src/sockets/host/wire.rs"]
mod wire;

use std::net::SocketAddr;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = wire::span(bytes);
    if let Ok(spans) = wire::iovecs(bytes) {
        assert_eq!(spans.len() * wire::IOVEC_SIZE, bytes.len());
    }
    let _ = (wire::hints(bytes), wire::addrinfo_node(bytes), wire::sockaddr_data_pointer(bytes));
    if let Ok(address) = wire::ip_address(bytes) {
        let mut buffer = bytes.to_vec();
        assert!(wire::write_ip_address(address, &mut buffer).is_ok());
        assert_eq!(wire::ip_address(&buffer), Ok(address));
        assert!([14, 26].contains(&wire::sockaddr_data(SocketAddr::new(address, 80)).len()));
        // Whatever there is room for.
        let _ = wire::write_addrinfo(&mut buffer, 0, address, wire::SOCK_STREAM, 0);
        let _ = wire::write_sockaddr(&mut buffer, address, 14);
    }
    if let Ok(micros) = wire::timeval(bytes) {
        assert_eq!(wire::timeval(&wire::timeval_bytes(micros)), Ok(micros));
    }
    if let Ok(service) = std::str::from_utf8(bytes) {
        wire::service_port(service);
    }
});
