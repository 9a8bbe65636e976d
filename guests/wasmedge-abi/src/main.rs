//! `wasmedge-abi refused|bad|pair|options|lookup NAME`: calls the imports directly and prints for each what it
//! returned.

mod imports;

use imports::*;

const INET4: u32 = 1;
const INET6: u32 = 2;
const UNIX: u32 = 3;
const DGRAM: u32 = 1;
const STREAM: u32 = 2;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args[1].as_str() {
        "refused" => refused(),
        "bad" => bad(),
        "pair" => pair(args[2].parse().expect("a port")),
        "options" => options(),
        "lookup" => lookup(&args[2]),
        "numbers" => numbers(),
        "many" => many(),
        other => panic!("{other}"),
    }
}

fn at<T: ?Sized>(value: &T) -> u32 {
    (value as *const T).cast::<u8>() as u32
}

/// An address struct for these bytes.
fn address(buffer: &[u8]) -> [u32; 2] {
    [at(buffer), buffer.len() as u32]
}

fn print(what: &str, errno: u32) {
    println!("{what} {errno}");
}

fn socket(family: u32, kind: u32) -> u32 {
    let fd = 0u32;
    assert_eq!(open(family, kind, at(&fd)), 0, "sock_open");
    // SAFETY: the host has written to it, which the compiler cannot know.
    unsafe { std::ptr::read_volatile(&fd) }
}

fn value(cell: &u32) -> u32 {
    // SAFETY: a reference is valid; volatile, because the host writes to it.
    unsafe { std::ptr::read_volatile(cell) }
}

/// Every call, without a descriptor that could answer it.
fn refused() {
    let (out, address_bytes, iovec) = (0u32, [127u8, 0, 0, 1], [0u32, 0]);
    let address = address(&address_bytes);
    let (out, address, iovec) = (at(&out), at(&address), at(&iovec));
    print("sock_open tcp", open(INET4, STREAM, out));
    print("sock_open udp", open(INET4, DGRAM, out));
    print("sock_open tcp6", open(INET6, STREAM, out));
    print("sock_open_v2 tcp", open_v2(INET4, STREAM, out));
    for fd in [1, 99] {
        print(&format!("sock_bind {fd}"), bind(fd, address, 80));
        print(&format!("sock_bind_v2 {fd}"), bind_v2(fd, address, 80));
        print(&format!("sock_listen {fd}"), listen(fd, 1));
        print(&format!("sock_listen_v2 {fd}"), listen_v2(fd, 1));
        print(&format!("sock_accept {fd}"), accept(fd, out));
        print(&format!("sock_accept_v2 {fd}"), accept_v2(fd, 0, out));
        print(&format!("sock_connect {fd}"), connect(fd, address, 80));
        print(&format!("sock_connect_v2 {fd}"), connect_v2(fd, address, 80));
        print(&format!("sock_recv {fd}"), recv(fd, iovec, 1, 0, out, out));
        print(&format!("sock_recv_v2 {fd}"), recv_v2(fd, iovec, 1, 0, out, out));
        print(&format!("sock_recv_from {fd}"), recv_from(fd, iovec, 1, address, 0, out, out));
        print(&format!("sock_recv_from_v2 {fd}"), recv_from_v2(fd, iovec, 1, address, 0, out, out, out));
        print(&format!("sock_send {fd}"), send(fd, iovec, 1, 0, out));
        print(&format!("sock_send_v2 {fd}"), send_v2(fd, iovec, 1, 0, out));
        print(&format!("sock_send_to {fd}"), send_to(fd, iovec, 1, address, 80, 0, out));
        print(&format!("sock_send_to_v2 {fd}"), send_to_v2(fd, iovec, 1, address, 80, 0, out));
        print(&format!("sock_shutdown {fd}"), shutdown(fd, 3));
        print(&format!("sock_getsockopt {fd}"), getsockopt(fd, 0, 1, out, out));
        print(&format!("sock_setsockopt {fd}"), setsockopt(fd, 0, 0, out, 4));
        print(&format!("sock_getlocaladdr {fd}"), getlocaladdr(fd, address, out, out));
        print(&format!("sock_getlocaladdr_v2 {fd}"), getlocaladdr_v2(fd, address, out));
        print(&format!("sock_getpeeraddr {fd}"), getpeeraddr(fd, address, out, out));
        print(&format!("sock_getpeeraddr_v2 {fd}"), getpeeraddr_v2(fd, address, out));
    }
    lookup("example.com");
}

/// Arguments that no honest program passes.
fn bad() {
    let tcp = socket(INET4, STREAM);
    let cell = [0u32; 4];
    let good = [127u8, 0, 0, 1];
    let here = at(&cell);
    let misaligned = here + 1;
    let outside = u32::MAX - 7;
    print("unix", open(UNIX, STREAM, here));
    print("no family", open(0, STREAM, here));
    print("family 9", open(9, STREAM, here));
    print("type 9", open(INET4, 9, here));
    print("misaligned fd", open(INET4, STREAM, misaligned));
    print("fd outside", open(INET4, STREAM, outside & !3));
    print("address outside", bind(tcp, outside & !3, 1));
    print("address misaligned", bind(tcp, misaligned, 1));
    print("address of 5 bytes", bind(tcp, at(&[here, 5]), 1));
    print("address buffer outside", bind(tcp, at(&[outside, 16]), 1));
    print("port 65536", bind(tcp, at(&address(&good)), 65536));
    print(
        "unix address",
        bind_v2(
            tcp,
            at(&address(&{
                let mut long = [0u8; 128];
                long[0] = 3;
                long
            })),
            1,
        ),
    );
    print("1025 iovecs", send(tcp, here, 1025, 0, here));
    print("iovecs outside", send(tcp, outside & !7, 2, 0, here));
    print("iovecs misaligned", send(tcp, misaligned, 1, 0, here));
    print("iovec outside", send(tcp, at(&[outside, 100]), 1, 0, here));
    print("send flags", send(tcp, here, 0, 1, here));
    print("recv flags", recv(tcp, here, 0, 4, here, here));
    print("send unconnected", send(tcp, at(&address(&good)), 1, 0, here));
    print("recv unconnected", recv(tcp, at(&address(&good)), 1, 0, here, here));
    print("listen unbound", listen(tcp, 1));
    print("accept unbound", accept(tcp, here));
    print("accept flags", accept_v2(tcp, 1, here));
    print("shutdown unconnected", shutdown(tcp, 3));
    print("shutdown 0", shutdown(tcp, 0));
    print("shutdown 4", shutdown(tcp, 4));
    print("peer unconnected", getpeeraddr(tcp, at(&address(&[0; 16])), here, here));
    print("local in 3 bytes", getlocaladdr(tcp, at(&address(&[0; 3])), here, here));
    print("local v2 in 16 bytes", getlocaladdr_v2(tcp, at(&address(&[0; 16])), here));
    // As PHP does it: its C library's SOL_SOCKET, and a pointer for the size.
    print("setsockopt of PHP", setsockopt(tcp, 0x7fff_ffff, 2, here, here));
    print("option 15", setsockopt(tcp, 0, 15, here, 4));
    print("set a readable option", setsockopt(tcp, 0, 1, here, 4));
    print("option of 3 bytes", setsockopt(tcp, 0, 0, here, 3));
    print("option outside", setsockopt(tcp, 0, 0, outside, 100));
    print("get into 2 bytes", getsockopt(tcp, 0, 1, here, at(&[2u32])));
}

/// Both generations over one connection with a host program: prints the addresses as each tells them.
fn pair(port: u32) {
    let listener = socket(INET4, STREAM);
    assert_eq!(
        bind_v2(
            listener,
            at(&address(&{
                let mut any = [0u8; 128];
                any[0] = 1;
                any
            })),
            port
        ),
        0
    );
    assert_eq!(listen_v2(listener, 8), 0);
    println!("listening");
    for second in [false, true] {
        let fd = 0u32;
        let errno = if second { accept_v2(listener, 0, at(&fd)) } else { accept(listener, at(&fd)) };
        assert_eq!(errno, 0, "accept");
        let fd = value(&fd);
        let (len, flags) = (0u32, 0u32);
        let mut text = [[0u8; 2], [0u8; 2]];
        let buffers = [at(&text[0]), 2, at(&text[1]), 2];
        assert_eq!(recv(fd, at(&buffers), 2, 1, at(&len), at(&flags)), 0, "peek");
        assert_eq!(recv_v2(fd, at(&buffers), 2, 2, at(&len), at(&flags)), 0, "recv");
        std::hint::black_box(&mut text);
        println!("{} {:?}", value(&len), text.concat());
        assert_eq!(send_v2(fd, at(&buffers), 2, 0, at(&len)), 0, "send");
        addresses(fd, second);
        assert_eq!(shutdown(fd, 2), 0, "shutdown");
    }
}

fn addresses(fd: u32, second: bool) {
    let (kind, port) = (0u32, 0u32);
    let mut buffer = if second { vec![0u8; 128] } else { vec![0u8; 16] };
    for peer in [false, true] {
        let address = address(&buffer);
        let errno = match (peer, second) {
            (false, false) => getlocaladdr(fd, at(&address), at(&kind), at(&port)),
            (true, false) => getpeeraddr(fd, at(&address), at(&kind), at(&port)),
            (false, true) => getlocaladdr_v2(fd, at(&address), at(&port)),
            (true, true) => getpeeraddr_v2(fd, at(&address), at(&port)),
        };
        std::hint::black_box(&mut buffer);
        println!("peer {peer}: {errno} type {} {:?} port {}", value(&kind), &buffer[..6], value(&port));
    }
}

fn options() {
    for (name, protocol) in [("tcp", STREAM), ("udp", DGRAM)] {
        let fd = socket(INET4, protocol);
        for option in 0..15 {
            let (bytes, len) = ([0u64; 2], 16u32);
            let errno = getsockopt(fd, 0, option, at(&bytes), at(&len));
            println!("{name} get {option}: {errno} len {}", value(&len));
            let one = [1u64, 0];
            let size = match option {
                9 => 8,
                11 | 12 => 16,
                _ => 4,
            };
            println!("{name} set {option}: {}", setsockopt(fd, 0, option, at(&one), size));
        }
    }
}

fn lookup(name: &str) {
    let data = [[0u8; 26]; 4];
    let mut sockaddrs = [[0u32; 3]; 4];
    let mut nodes = [[0u32; 7]; 4];
    for index in 0..4 {
        sockaddrs[index][2] = at(&data[index]);
        nodes[index][3] = at(&sockaddrs[index]);
        nodes[index][6] = if index < 3 { at(&nodes[index + 1]) } else { 0 };
    }
    let (list, len) = (at(&nodes), 0u32);
    let errno = getaddrinfo(at(name), name.len() as u32, at("http"), 4, 0, at(&list), 4, at(&len));
    print("sock_getaddrinfo", errno);
    std::hint::black_box((&mut nodes, &mut sockaddrs));
    for index in 0..value(&len) as usize {
        let bytes = std::hint::black_box(&data)[index];
        println!("{:x?} {:?}", nodes[index][0], &bytes[..6]);
    }
}

/// The lowest free number, also after a renumbering.
fn numbers() {
    let first = socket(INET4, STREAM);
    let second = socket(INET4, STREAM);
    let third = socket(INET4, DGRAM);
    println!("{first} {second} {third}");
    // SAFETY: the numbers are open descriptors of this program that nothing else uses.
    unsafe {
        wasip1::fd_close(second).expect("close");
        println!("{}", socket(INET4, STREAM));
        wasip1::fd_renumber(third, first).expect("renumber");
        let stat = wasip1::fd_fdstat_get(first).expect("fdstat");
        println!("{} {}", stat.fs_filetype.raw(), stat.fs_flags);
        wasip1::fd_fdstat_set_flags(first, wasip1::FDFLAGS_NONBLOCK).expect("set flags");
        println!("{}", wasip1::fd_fdstat_get(first).expect("fdstat").fs_flags);
        println!("{}", wasip1::fd_filestat_get(first).expect("filestat").filetype.raw());
        println!("{:?}", wasip1::fd_seek(first, 0, wasip1::WHENCE_SET).map_err(|errno| errno.raw()));
        println!("{:?}", wasip1::fd_close(third).map_err(|errno| errno.raw()));
        wasip1::fd_renumber(second, 1).expect("renumber");
        wasip1::fd_close(0).expect("close");
    }
    let lowest = socket(INET4, STREAM);
    std::process::exit(if lowest == 0 { 0 } else { 1 });
}

/// As many sockets as one may have.
fn many() {
    let fd = 0u32;
    let mut count = 0;
    let errno = loop {
        match open(INET4, DGRAM, at(&fd)) {
            0 => count += 1,
            errno => break errno,
        }
    };
    println!("{count} then {errno}");
}
