//! Arguments, environment, exit codes, streams, terminals and signals.

use crate::{run, run_text};
use sampan_testing::{Running, finish, guest, guest_for, sampan, temp_dir, wat};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::Command;

const BOTH: [&str; 2] = ["wasm32-wasip1", "wasm32-wasip2"];

#[test]
fn arguments_reach_the_guest_also_those_with_dashes() {
    for platform in BOTH {
        let path = guest_for(platform, "args");
        // Flags that Sampan has too are the program's behind it.
        let args = ["a b", "--flag", "-x", "-e", "--memory", "--help", "--", ""];
        let finished = run([path.as_os_str()].into_iter().chain(args.map(OsStr::new)));
        assert_eq!(finished.code, 0, "{}", finished.stderr);
        assert_eq!(finished.stdout, format!("args.wasm\n{}\n", args.join("\n")));
    }
}

#[test]
fn a_cached_program_behaves_as_a_fresh_one() {
    let path = guest("hello");
    let first = run([&path]);
    assert_eq!((first.code, first.stderr.as_str()), (0, ""));
    assert_eq!(run([&path]).stdout, first.stdout);
}

#[test]
fn every_exit_code_passes_through() {
    let path = guest("exit");
    for code in 0..=255 {
        let finished = run([path.as_os_str(), code.to_string().as_ref()]);
        assert_eq!((finished.code, finished.stderr.as_str()), (code, ""));
    }
}

#[test]
fn a_command_that_fails_without_a_code_ends_with_1() {
    for platform in BOTH {
        let finished = run([guest_for(platform, "exit").as_os_str(), "error".as_ref()]);
        assert_eq!(finished.code, 1);
        assert!(finished.stderr.contains("main returned an error"), "{}", finished.stderr);
    }
}

#[test]
fn text_without_a_line_end_arrives() {
    let finished = run([guest("exit").as_os_str(), "unflushed".as_ref()]);
    assert_eq!((finished.code, finished.stdout.as_str()), (7, "the last words"));
}

#[test]
fn a_start_section_is_a_program() {
    let finished = run([wat("start-section")]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(!finished.stdout.is_empty());
    // From the cache, where the wasm is not looked at, as well.
    assert_eq!(run([wat("start-section")]).stdout, finished.stdout);
}

#[test]
fn a_program_may_come_from_standard_input() {
    let text = std::fs::read(wat("exit")).unwrap();
    let binary = std::fs::read(guest("hello")).unwrap();
    assert_eq!(finish(sampan().args(["run", "-"]), text).stderr, "");
    let finished = finish(sampan().args(["run", "-", "a"]), binary);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
}

#[test]
fn wasi_0_3_commands_run() {
    let finished = run([guest_for("wasm32-wasip2", "hello-p3")]);
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    assert!(finished.stdout.contains("Hello from WASI 0.3"), "{}", finished.stdout);
}

#[test]
fn no_variable_of_the_host_is_seen_unless_granted() {
    for platform in BOTH {
        let env = guest_for(platform, "env");
        let with = |flags: &[&str]| {
            let mut command = sampan();
            command.arg("run").args(flags).arg(&env).env("SAMPAN_TEST_SECRET", "s3cret").env("OTHER", "o");
            finish(&mut command, "").stdout
        };
        let nothing = with(&[]);
        assert!(!nothing.contains('='), "{nothing}");
        assert!(with(&["-e", "A=1=2"]).contains("A=1=2"));
        assert!(with(&["-e", "OTHER"]).contains("OTHER=o"));
        assert!(!with(&["-e", "OTHER"]).contains("s3cret"));
        assert!(with(&["--inherit-env"]).contains("SAMPAN_TEST_SECRET=s3cret"));

        let dir = temp_dir();
        let file = dir.path().join("env");
        std::fs::write(&file, "# comment\nFROM_FILE=yes\nBOTH=file\nOTHER\n").unwrap();
        let text = with(&["--env-file", file.to_str().unwrap(), "-e", "BOTH=flag"]);
        for line in ["FROM_FILE=yes", "BOTH=flag", "OTHER=o"] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}

#[test]
fn streams_stream() {
    for platform in BOTH {
        let mut upper = Running::start(sampan().arg("run").arg(guest_for(platform, "streams")).arg("upper"));
        for word in ["one", "two"] {
            // The answer comes while the input stays open.
            writeln!(upper.stdin.as_mut().unwrap(), "{word}").unwrap();
            upper.wait_for_line(&word.to_uppercase());
        }
        assert_eq!(upper.finish().code, 0);
    }
}

#[test]
fn large_streams_pass_in_both_directions() {
    const SIZE: usize = 8 << 20;
    for platform in BOTH {
        let streams = guest_for(platform, "streams");
        let input = vec![b'x'; SIZE];
        let finished = finish(sampan().arg("run").arg(&streams).arg("count"), &input);
        assert_eq!(finished.stdout.trim(), SIZE.to_string(), "{}", finished.stderr);
        let finished = finish(sampan().arg("run").arg(&streams).args(["bytes", &SIZE.to_string()]), "");
        assert_eq!(finished.stdout.len(), SIZE);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for platform in BOTH {
        let mut command = sampan();
        command.arg("run").arg(guest_for(platform, "streams")).arg("flood");
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 1000]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("crates/"), "a panic of Sampan:\n{stderr}");
    }
}

#[test]
fn closed_streams_are_no_failure() {
    let hello = guest("hello");
    let program = sampan().get_program().to_owned();
    let script = "exec \"$0\" run --no-cache \"$1\" <&- >&- 2>&-";
    let status = Command::new("sh").args(["-c", script]).arg(program).arg(hello).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_terminal_is_seen_as_one() {
    for platform in BOTH {
        let streams = guest_for(platform, "streams");
        let program = sampan().get_program().to_owned().into_string().unwrap();
        let line = format!("{program} run --no-cache {} tty", streams.display());
        let output = Command::new("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("stdin true stdout true stderr true"), "{text}");
        let piped = run([streams.as_os_str(), "tty".as_ref()]).stdout;
        assert!(piped.contains("stdin false stdout false stderr false"), "{piped}");
    }
}

#[test]
fn signals_end_the_guest_at_once_whatever_it_does() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for kind in ["", "calls", "sleep", "read"] {
            let mut running = Running::start(sampan().arg("run").arg(guest("endless")).arg(kind));
            running.wait_for_line("started");
            let begin = std::time::Instant::now();
            let pid = running.child.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
            let status = running.child.wait().unwrap();
            assert_eq!(status.code(), Some(code), "{signal} {kind}");
            // 100 ms is what is promised; the rest is for a machine that runs other tests.
            assert!(begin.elapsed().as_millis() < 1000, "{signal} {kind} took {:?}", begin.elapsed());
        }
    }
}

#[test]
fn timing_tells_each_step() {
    let path = guest("hello");
    run([&path]);
    let finished = run(["--timing".as_ref(), path.as_os_str()]);
    for step in ["load", "cache hit", "instantiate", "run", "peak memory"] {
        assert!(finished.stderr.contains(&format!("timing: {step}")), "{step} in {}", finished.stderr);
    }
    let fresh = run(["--timing".as_ref(), "--no-cache".as_ref(), path.as_os_str()]);
    assert!(fresh.stderr.contains("timing: compile"), "{}", fresh.stderr);
}

#[test]
fn help_fits_80_columns() {
    for args in [&["--help"][..], &["run", "--help"], &["run", "-h"], &["cache", "--help"]] {
        let finished = finish(sampan().args(args).env("COLUMNS", "80"), "");
        assert_eq!(finished.code, 0);
        for line in finished.stdout.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
    }
}

#[test]
fn preview_0_programs_run() {
    let finished = run([wat("preview0")]);
    assert_eq!((finished.code, finished.stdout.as_str()), (3, "hello from preview 0\n"));
}

#[test]
fn text_on_standard_input_runs() {
    let finished = run_text(&[], "(module (func (export \"_start\")))");
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
}

#[test]
fn a_c_program_gets_arguments_environment_and_files() {
    let dir = temp_dir();
    std::fs::write(dir.path().join("note"), "from a file\n").unwrap();
    let mount = format!("{}:/data:ro", dir.path().display());
    let program = guest_for("c", "hello-c");
    let program = program.to_str().unwrap();
    let finished = run(["-e", "NAME=Ada", "-v", &mount, program, "/data/note"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (0, "hello from C, Ada\nfrom a file\n"));
    let finished = run([program, "/data/note"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (2, "hello from C, nobody\n"));
}
