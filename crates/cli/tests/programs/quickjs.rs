//! WasmEdge's QuickJS: JavaScript with WasmEdge's sockets, in their first generation.

use crate::{finish, mount, output, runno, sampan_run};
use sampan_testing::{PATIENCE, Running, TcpServer, free_port, temp_dir};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

const PRELUDE: &str = "import * as net from 'wasi_net';
const text = (buffer) => String.fromCharCode.apply(null, new Uint8Array(buffer));\n";

const SERVER: &str = "async function talk(connection) {
    for (;;) {
        const data = await connection.read();
        if (data === undefined || data.byteLength === 0) break;
        connection.write(text(data).toUpperCase());
    }
    print('closed');
}
async function serve(count) {
    const server = new net.WasiTcpServer(8000);
    print('listening');
    for (let i = 0; i < count; i++) talk(await server.accept());
}
serve(Number(args[1]));";

const CLIENT: &str = "async function ask(address, what) {
    try {
        const connection = await net.WasiTcpConn.connect(address);
        connection.write(what);
        print(connection.peer(), 'said', text(await connection.read()));
        connection.end();
    } catch (error) {
        print('caught', error);
    }
}
ask(args[1], args[2]);";

#[test]
fn javascript_computes() {
    let Some(langs) = runno() else { return };
    let scripts = temp_dir();
    let script = "const boats = new Map([['junk', 23n ** 20n], ['sampan', 4n]]);
        print(JSON.stringify([...boats.keys()].sort()), boats.get('junk'), 'ahoy'.replace(/(?<=a)h/u, '-'));
        setTimeout(() => { print('later', ...args.slice(1)); exit(143); }, 20);
        Promise.resolve().then(() => print('soon'));";
    fs::write(scripts.path().join("main.js"), script).unwrap();
    let mut command = sampan_run([mount(scripts.path(), "/js:ro")]);
    let finished = finish(command.arg(langs.join("wasmedge_quickjs.wasm")).args(["/js/main.js", "bow"]), "");
    let expected = "[\"junk\",\"sampan\"] 1716155831334586342923895201 a-oy\nsoon\nlater bow\n";
    assert_eq!((finished.code, &*finished.stdout), (143, expected), "{finished:?}");
}

#[test]
fn a_server_in_javascript_behind_a_port() {
    let Some(langs) = runno() else { return };
    let scripts = temp_dir();
    fs::write(scripts.path().join("server.js"), format!("{PRELUDE}{SERVER}")).unwrap();
    let port = free_port();
    let mut command =
        sampan_run([mount(scripts.path(), "/js:ro"), format!("--publish=127.0.0.1:{port}:8000")]);
    let mut server =
        Running::start(command.arg(langs.join("wasmedge_quickjs.wasm")).args(["/js/server.js", "2"]));
    server.wait_for_line("listening");

    // Two at a time: the second is answered while the first is still open.
    let mut clients: Vec<_> = (0..2).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate().rev() {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(client, "ahoy {number}").unwrap();
        let mut answer = [0; 6];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("AHOY {number}"));
    }
    for client in &clients {
        client.shutdown(Shutdown::Both).unwrap();
    }
    let finished = server.finish();
    assert_eq!((finished.code, &*finished.stdout), (0, "listening\nclosed\nclosed\n"), "{finished:?}");
}

#[test]
fn a_client_in_javascript_reaches_what_is_granted_alone() {
    let Some(langs) = runno() else { return };
    let scripts = temp_dir();
    fs::write(scripts.path().join("client.js"), format!("{PRELUDE}{CLIENT}")).unwrap();
    let server = TcpServer::echo();
    let address = server.address.to_string();
    let client = |flags: &[&str]| {
        let mut command = sampan_run([mount(scripts.path(), "/js:ro")]);
        command.args(flags).arg(langs.join("wasmedge_quickjs.wasm")).args([
            "/js/client.js",
            &address,
            "ahoy",
        ]);
        command
    };
    let said = output(&mut client(&["--allow-tcp", &address]), "");
    assert_eq!(said, format!("{address} said ahoy\n"));

    let refused = finish(&mut client(&["--allow-tcp", "127.0.0.1:1", "--explain"]), "");
    assert!(refused.stdout.starts_with("caught InternalError: Permission denied"), "{refused:?}");
    let why = format!("grant it with --allow-tcp {address}\n");
    assert!(refused.stderr.contains(&why), "{refused:?}");
}
