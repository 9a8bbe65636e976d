//! The `sampan` binary, and processes that a test watches line by line.

use crate::{PATIENCE, lock, root, target};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command that runs the `sampan` of this build, with a cache and a configuration for tests alone: tests
/// neither see nor change what belongs to the person who runs them.
pub fn sampan() -> Command {
    let program = target().join("debug/sampan");
    if !program.exists() {
        let _one_at_a_time = lock(&target().join("tests/lock"));
        if !program.exists() {
            let build = ["build", "--workspace", "--bin", "sampan"];
            let built = Command::new("cargo").args(build).current_dir(root()).status();
            assert!(built.is_ok_and(|status| status.success()), "sampan does not build");
        }
    }
    let mut command = Command::new(program);
    command.env("XDG_CACHE_HOME", target().join("tests/cache"));
    command.env("XDG_CONFIG_HOME", target().join("tests/config"));
    command
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    /// The exit code, or 128 plus the signal that ended the process, as a shell shows it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end with this input.
pub fn finish(command: &mut Command, input: impl AsRef<[u8]>) -> Finished {
    let mut running = Running::start(command);
    let mut stdin = running.stdin.take().expect("a piped input");
    // A process that does not read its input is no failure of the test.
    let _ = stdin.write_all(input.as_ref());
    drop(stdin);
    running.finish()
}

/// A running process. It is killed when the value is dropped.
pub struct Running {
    pub child: Child,
    /// `None` once it was closed by taking it.
    pub stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
}

/// One output, read by a thread of its own so that the process never waits for the test.
struct Lines {
    receiver: Receiver<String>,
    seen: Vec<String>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts the command with all three streams piped.
    pub fn start(command: &mut Command) -> Running {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Lines::read(child.stdout.take().expect("a piped output"));
        let stderr = Lines::read(child.stderr.take().expect("a piped output"));
        Running { stdin: child.stdin.take(), child, stdout, stderr }
    }

    /// Waits until a server that says nothing when it is ready takes connections on 127.0.0.1.
    #[track_caller]
    pub fn listening(mut self, program: &str, port: u16) -> Running {
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().expect("a child to look at").is_some();
            assert!(
                !ended && begun.elapsed() < PATIENCE,
                "{program} does not start: {}",
                self.finish().stderr
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Waits for a line on standard output that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let found = self.stdout.wait_for(text);
        found.unwrap_or_else(|failure| panic!("{failure}\nits errors:\n{}", self.stderr.so_far()))
    }

    /// The same on standard error.
    #[track_caller]
    pub fn wait_for_error(&mut self, text: &str) -> String {
        let found = self.stderr.wait_for(text);
        found.unwrap_or_else(|failure| panic!("{failure}\nits output:\n{}", self.stdout.so_far()))
    }

    /// Waits for the end, for at most [`PATIENCE`].
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        let stdout = self.stdout.rest();
        let stderr = self.stderr.rest();
        let code = code(self.child.wait().expect("a child to wait for"));
        Finished { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn read(stream: impl Read + Send + 'static) -> Lines {
        let (sender, receiver) = channel();
        let thread = std::thread::spawn(move || send_lines(stream, sender));
        Lines { receiver, seen: Vec::new(), thread: Some(thread) }
    }

    /// The line with this text, or why there is none.
    fn wait_for(&mut self, text: &str) -> Result<String, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return Ok(line.trim_end().to_owned());
                    }
                }
                Err(error) => {
                    return Err(format!(
                        "no line with `{text}` ({error}); seen so far:\n{}",
                        self.seen.concat()
                    ));
                }
            }
        }
    }

    /// What arrived until now. A process that has just ended gets a moment to be read to its end.
    fn so_far(&mut self) -> String {
        let moment = Instant::now() + Duration::from_secs(1);
        while let Ok(line) = self.receiver.recv_timeout(moment.saturating_duration_since(Instant::now())) {
            self.seen.push(line);
        }
        self.seen.concat()
    }

    /// Everything up to the end of the stream, with the lines that were seen before.
    #[track_caller]
    fn rest(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("the process did not end; seen so far:\n{}", self.seen.concat())
                }
            }
        }
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the reading thread");
        }
        self.seen.concat()
    }
}

fn send_lines(stream: impl Read, sender: Sender<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
            break;
        }
        line.clear();
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or(status.signal().map(|signal| 128 + signal)).expect("a code or a signal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn lines_arrive_while_the_process_runs() {
        let mut running = Running::start(&mut shell("echo one; echo two; read answer; echo got $answer"));
        assert_eq!(running.wait_for_line("tw"), "two");
        writeln!(running.stdin.as_mut().unwrap(), "three").unwrap();
        assert_eq!(running.wait_for_line("got"), "got three");
        assert_eq!(running.finish().stdout, "one\ntwo\ngot three\n");
    }

    #[test]
    #[should_panic(expected = "its errors:\nthe port is taken")]
    fn what_ends_instead_of_serving_is_quoted() {
        Running::start(&mut shell("echo the port is taken >&2; exit 1")).wait_for_line("listening");
    }

    #[test]
    fn the_end_is_told_as_a_shell_does() {
        let finished = finish(&mut shell("cat; echo no >&2; exit 7"), "in");
        assert_eq!((finished.code, &*finished.stdout, &*finished.stderr), (7, "in", "no\n"));
        assert_eq!(finish(&mut shell("kill -9 $$"), "").code, 137);
    }

    #[test]
    #[should_panic(expected = "no line with `never`")]
    fn a_line_that_never_comes_fails_at_the_end_of_the_stream() {
        Running::start(&mut shell("echo one")).wait_for_line("never");
    }
}
