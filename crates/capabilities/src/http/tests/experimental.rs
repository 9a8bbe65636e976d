//! `wasi_experimental_http`, called by a module in text form that passes every call on.

use super::server::{Server, describe, reply};
use crate::Host;
use crate::http::host::experimental::{self, MODULE};
use crate::link::Definer;
use sampan_app::{Grants, Program};
use wasmtime::{Engine, Func, FuncType, Instance, Memory, Module, Store, StoreLimits, Val, ValType};
use wasmtime_wasi::WasiCtxBuilder;

/// A guest with one page of memory.
const GUEST: &str = r#"(module
  (import "wasi_experimental_http" "req"
    (func $req (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "close" (func $close (param i32) (result i32)))
  (import "wasi_experimental_http" "header_get"
    (func $header_get (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "headers_get_all"
    (func $headers_get_all (param i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "body_read" (func $body_read (param i32 i32 i32 i32) (result i32)))
  (memory (export MEMORY) 1)
  (func (export "req") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4
    local.get 5 local.get 6 local.get 7 local.get 8 local.get 9 call $req)
  (func (export "close") (param i32) (result i32) local.get 0 call $close)
  (func (export "header_get") (param i32 i32 i32 i32 i32 i32) (result i32)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 call $header_get)
  (func (export "headers_get_all") (param i32 i32 i32 i32) (result i32)
    local.get 0 local.get 1 local.get 2 local.get 3 call $headers_get_all)
  (func (export "body_read") (param i32 i32 i32 i32) (result i32)
    local.get 0 local.get 1 local.get 2 local.get 3 call $body_read))"#;

/// Where the guest keeps what it sends and gets.
const URL: u32 = 0;
const METHOD: u32 = 2048;
const HEADERS: u32 = 4096;
const BODY: u32 = 8192;
const STATUS: u32 = 16384;
const HANDLE: u32 = 16388;
const WRITTEN: u32 = 16392;
const BUFFER: u32 = 20000;
const END: u32 = 65536;

struct Guest {
    store: Store<Host>,
    instance: Instance,
    memory: Option<Memory>,
}

impl Guest {
    async fn new(grants: &[&str], memory_name: &str) -> Guest {
        let engine = Engine::default();
        let http = super::origins(grants);
        let program = Program { grants: Grants { http, ..Grants::default() }, ..Program::default() };
        let host = Host::new(&program, WasiCtxBuilder::new(), Box::new(StoreLimits::default())).unwrap();
        let mut store = Store::new(&engine, host);
        let text = GUEST.replace("MEMORY", &format!("{memory_name:?}"));
        let module = Module::new(&engine, text).unwrap();
        let imports: Vec<_> = module
            .imports()
            .map(|import| {
                assert_eq!(import.module(), MODULE);
                let ty = import.ty().unwrap_func().clone();
                experimental::function(&mut Definer::new(&mut store), import.name(), &ty).unwrap().into()
            })
            .collect();
        let instance = Instance::new_async(&mut store, &module, &imports).await.unwrap();
        let memory = instance.get_memory(&mut store, "memory");
        Guest { store, instance, memory }
    }

    async fn call(&mut self, name: &str, arguments: &[u32]) -> u32 {
        let function: Func = self.instance.get_func(&mut self.store, name).unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| Val::I32(*argument as i32)).collect();
        let mut results = [Val::I32(-1)];
        function.call_async(&mut self.store, &arguments, &mut results).await.unwrap();
        results[0].unwrap_i32() as u32
    }

    fn put(&mut self, at: u32, bytes: &[u8]) -> [u32; 2] {
        self.memory.unwrap().write(&mut self.store, at as usize, bytes).unwrap();
        [at, bytes.len() as u32]
    }

    fn bytes(&self, at: u32, len: u32) -> &[u8] {
        &self.memory.unwrap().data(&self.store)[at as usize..(at + len) as usize]
    }

    fn number(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap())
    }

    /// The code, and where that is 0 the status and the handle.
    async fn req(
        &mut self,
        method: &[u8],
        url: &[u8],
        headers: &[u8],
        body: &[u8],
    ) -> Result<(u16, u32), u32> {
        let parts = [(URL, url), (METHOD, method), (HEADERS, headers), (BODY, body)];
        let mut arguments: Vec<u32> = Vec::new();
        for (at, bytes) in parts {
            arguments.extend(self.put(at, bytes));
        }
        arguments.extend([STATUS, HANDLE]);
        match self.call("req", &arguments).await {
            0 => Ok((u16::from_le_bytes(self.bytes(STATUS, 2).try_into().unwrap()), self.number(HANDLE))),
            code => Err(code),
        }
    }

    async fn get(&mut self, url: &str) -> Result<(u16, u32), u32> {
        self.req(b"GET", url.as_bytes(), b"", b"").await
    }

    async fn read_all(&mut self, handle: u32, piece: u32) -> Result<String, u32> {
        let mut all = Vec::new();
        loop {
            match self.call("body_read", &[handle, BUFFER, piece, WRITTEN]).await {
                0 if self.number(WRITTEN) == 0 => return Ok(String::from_utf8(all).unwrap()),
                0 => all.extend_from_slice(self.bytes(BUFFER, self.number(WRITTEN))),
                code => return Err(code),
            }
        }
    }

    async fn header(&mut self, handle: u32, name: &[u8], space: u32) -> Result<String, u32> {
        let [at, len] = self.put(METHOD, name);
        match self.call("header_get", &[handle, at, len, BUFFER, space, WRITTEN]).await {
            0 => Ok(String::from_utf8(self.bytes(BUFFER, self.number(WRITTEN)).to_vec()).unwrap()),
            code => Err(code),
        }
    }
}

#[test]
fn a_request_from_beginning_to_end() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let url = format!("{}/path?q=1#fragment", server.origin());
        let (status, handle) =
            guest.req(b"DELET", url.as_bytes(), b"a: b\nhost:evil\n", b"12345").await.unwrap();
        assert_eq!(status, 200);
        let expected = format!("DELETE /path?q=1 host=127.0.0.1:{} HTTP/1.1 body=5", server.port);
        let length = expected.len().to_string();
        assert_eq!(guest.header(handle, b"Content-Length", 100).await.as_ref(), Ok(&length));
        assert_eq!(guest.header(handle, b"content-length", 1).await, Err(4));
        assert_eq!(guest.header(handle, b"content-length", 2).await, Ok(length));
        assert_eq!(guest.header(handle, b"no-such", 100).await, Err(5));
        assert_eq!(guest.header(handle, b"not a name", 100).await, Err(5));
        assert_eq!(guest.header(handle, b"\xff", 100).await, Err(6));
        assert_eq!(guest.read_all(handle, 7).await, Ok(expected));
        assert_eq!(guest.read_all(handle, 7).await.as_deref(), Ok(""));
        assert_eq!(guest.call("close", &[handle]).await, 0);
    });
}

#[test]
fn all_headers() {
    super::run(async {
        let server = Server::http(|_| async {
            reply(404, &[("a", "b: c"), ("d", "1"), ("d", "2"), ("date", "x")], "")
        })
        .await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let (status, handle) = guest.get(&server.origin()).await.unwrap();
        assert_eq!(status, 404);
        assert_eq!(guest.call("headers_get_all", &[handle, BUFFER, 10, WRITTEN]).await, 4);
        assert_eq!(guest.call("headers_get_all", &[handle, BUFFER, 1000, WRITTEN]).await, 0);
        let block = guest.bytes(BUFFER, guest.number(WRITTEN));
        assert_eq!(block, b"a:b: c\nd:1\nd:2\ndate:x\ncontent-length:0\n");
    });
}

#[test]
fn what_a_guest_may_do_wrong_with_a_request() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let url = server.origin();
        let url = url.as_bytes();
        let other = format!("http://127.0.0.1:{}", server.port ^ 1);
        type Case<'a> = (&'a [u8], &'a [u8], &'a [u8], u32);
        let cases: [Case; 16] = [
            (b"GET", other.as_bytes(), b"", 7),
            (b"GET", b"http://localhost", b"", 7),
            (b"GET", b"http://user:password@example.com/", b"", 10),
            (b"GET", b"", b"", 10),
            (b"GET", b"/path", b"", 10),
            (b"GET", b"file:///etc/passwd", b"", 10),
            (b"GET", b"http://", b"", 10),
            (b"GET", b"\xff", b"", 6),
            (b"", url, b"", 8),
            (b"G T", url, b"", 8),
            (b"CONNECT", url, b"", 8),
            (b"\xff", url, b"", 6),
            (b"GET", url, b"no colon", 9),
            (b"GET", url, b"bad name:x", 9),
            (b"GET", url, b"a:\x01", 9),
            (b"GET", url, b"\xff:x", 6),
        ];
        for (method, url, headers, code) in cases {
            let shown = [method, url, headers].map(String::from_utf8_lossy);
            assert_eq!(guest.req(method, url, headers, b"").await, Err(code), "{shown:?}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn pointers_outside_the_memory() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let url = guest.put(URL, server.origin().as_bytes());
        let method = guest.put(METHOD, b"GET");
        let good = [url[0], url[1], method[0], method[1], 0, 0, 0, 0, STATUS, HANDLE];
        for (argument, bad) in
            [(0, END), (1, END + 1), (0, u32::MAX), (1, u32::MAX), (2, END), (3, u32::MAX), (4, END + 1)]
                .into_iter()
                .chain([
                    (5, u32::MAX),
                    (6, u32::MAX),
                    (7, u32::MAX),
                    (8, END - 1),
                    (8, u32::MAX),
                    (9, END - 3),
                ])
        {
            let mut arguments = good;
            arguments[argument] = bad;
            assert_eq!(guest.call("req", &arguments).await, 3, "argument {argument} = {bad}");
        }
        // Nothing was sent whose answer could not have been told.
        assert_eq!(server.connections(), 0);

        assert_eq!(guest.call("req", &good).await, 0);
        let handle = guest.number(HANDLE);
        for (buf, len, written) in [(END - 1, 2, WRITTEN), (BUFFER, u32::MAX, WRITTEN), (BUFFER, 8, END - 3)]
        {
            assert_eq!(guest.call("body_read", &[handle, buf, len, written]).await, 3);
        }
        for (buf, written) in [(END - 1, WRITTEN), (BUFFER, END - 3), (u32::MAX, WRITTEN)] {
            assert_eq!(guest.call("headers_get_all", &[handle, buf, 10_000, written]).await, 3);
        }
        assert_eq!(guest.call("header_get", &[handle, END, 1, BUFFER, 9, WRITTEN]).await, 3);
        assert_eq!(guest.call("header_get", &[handle, END, u32::MAX, BUFFER, 9, WRITTEN]).await, 3);
        // None of it cost a byte of the body.
        assert!(guest.read_all(handle, 9).await.unwrap().starts_with("GET / "));
    });
}

#[test]
fn handles() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let mut stranger = Guest::new(&[&server.origin()], "memory").await;
        let (_, handle) = guest.get(&server.origin()).await.unwrap();
        for (own, handle) in [(true, handle + 1), (true, 0), (false, handle)] {
            let guest = if own { &mut guest } else { &mut stranger };
            assert_eq!(guest.call("body_read", &[handle, BUFFER, 9, WRITTEN]).await, 1);
            assert_eq!(guest.call("headers_get_all", &[handle, BUFFER, 9, WRITTEN]).await, 1);
            assert_eq!(guest.header(handle, b"date", 9).await, Err(1));
            assert_eq!(guest.call("close", &[handle]).await, 1);
        }
        assert_eq!(guest.call("close", &[handle]).await, 0);
        assert_eq!(guest.call("body_read", &[handle, BUFFER, 9, WRITTEN]).await, 1);
        assert_eq!(guest.call("close", &[handle]).await, 1);
    });
}

#[test]
fn open_responses_are_bounded() {
    super::run(async {
        let server = Server::http(describe).await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let mut handles = Vec::new();
        for _ in 0..256 {
            handles.push(guest.get(&server.origin()).await.unwrap().1);
        }
        assert_eq!(guest.get(&server.origin()).await, Err(13));
        assert_eq!(guest.call("close", &[handles[7]]).await, 0);
        let (_, handle) = guest.get(&server.origin()).await.unwrap();
        assert!(!handles.contains(&handle));
    });
}

#[test]
fn a_guest_without_its_memory() {
    super::run(async {
        let mut guest = Guest::new(&["*"], "other").await;
        assert_eq!(guest.call("req", &[0; 10]).await, 2);
        assert_eq!(guest.call("body_read", &[0; 4]).await, 2);
        assert_eq!(guest.call("header_get", &[0; 6]).await, 2);
        assert_eq!(guest.call("headers_get_all", &[0; 4]).await, 2);
    });
}

#[test]
fn a_body_that_breaks_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    super::run(async {
        let server = Server::raw(|mut stream| async move {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        })
        .await;
        let mut guest = Guest::new(&[&server.origin()], "memory").await;
        let (_, handle) = guest.get(&server.origin()).await.unwrap();
        assert_eq!(guest.read_all(handle, 100).await, Err(11));
        assert_eq!(guest.read_all(handle, 100).await.as_deref(), Ok(""));
    });
}

#[test]
fn imports_are_matched_by_type() {
    super::run(async {
        let mut guest = Guest::new(&[], "memory").await;
        let engine = guest.store.engine().clone();
        let ty = |params: usize| FuncType::new(&engine, vec![ValType::I32; params], [ValType::I32]);
        let mut known = |name: &str, ty: &FuncType| {
            experimental::function(&mut Definer::new(&mut guest.store), name, ty).is_some()
        };
        for (name, params) in
            [("req", 10), ("close", 1), ("header_get", 6), ("headers_get_all", 4), ("body_read", 4)]
        {
            assert!(known(name, &ty(params)), "{name}");
            assert!(!known(name, &ty(params + 1)), "{name}");
            assert!(!known(name, &FuncType::new(&engine, vec![ValType::I32; params], [])), "{name}");
        }
        assert!(!known("request", &ty(1)));
    });
}
