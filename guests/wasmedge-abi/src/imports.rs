//! WasmEdge's socket imports, as they are on the wire: every parameter is an `i32`.

macro_rules! imports {
    ($($import:literal $name:ident($($arg:ident),*);)*) => {
        #[link(wasm_import_module = "wasi_snapshot_preview1")]
        unsafe extern "C" {
            $(#[link_name = $import] pub safe fn $name($($arg: u32),*) -> u32;)*
        }
    };
}

imports! {
    "sock_open" open(family, kind, fd);
    "sock_open_v2" open_v2(family, kind, fd);
    "sock_bind" bind(fd, address, port);
    "sock_bind_v2" bind_v2(fd, address, port);
    "sock_listen" listen(fd, backlog);
    "sock_listen_v2" listen_v2(fd, backlog);
    "sock_accept" accept(fd, new_fd);
    "sock_accept_v2" accept_v2(fd, flags, new_fd);
    "sock_connect" connect(fd, address, port);
    "sock_connect_v2" connect_v2(fd, address, port);
    "sock_recv" recv(fd, iovecs, count, flags, len, flags_out);
    "sock_recv_v2" recv_v2(fd, iovecs, count, flags, len, flags_out);
    "sock_recv_from" recv_from(fd, iovecs, count, address, flags, len, flags_out);
    "sock_recv_from_v2" recv_from_v2(fd, iovecs, count, address, flags, port, len, flags_out);
    "sock_send" send(fd, iovecs, count, flags, len);
    "sock_send_v2" send_v2(fd, iovecs, count, flags, len);
    "sock_send_to" send_to(fd, iovecs, count, address, port, flags, len);
    "sock_send_to_v2" send_to_v2(fd, iovecs, count, address, port, flags, len);
    "sock_shutdown" shutdown(fd, how);
    "sock_getsockopt" getsockopt(fd, level, name, value, len);
    "sock_setsockopt" setsockopt(fd, level, name, value, len);
    "sock_getlocaladdr" getlocaladdr(fd, address, kind, port);
    "sock_getlocaladdr_v2" getlocaladdr_v2(fd, address, port);
    "sock_getpeeraddr" getpeeraddr(fd, address, kind, port);
    "sock_getpeeraddr_v2" getpeeraddr_v2(fd, address, port);
    "sock_getaddrinfo" getaddrinfo(node, node_len, service, service_len, hints, list, max, len);
}
