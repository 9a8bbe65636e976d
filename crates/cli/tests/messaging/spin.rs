//! Spin's trigger of Redis: published SDKs, unmodified manifests, a real server.

use sampan_testing::servers::Redis;
use sampan_testing::{PATIENCE, Running, sampan, spin_app};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

/// A client that speaks the protocol of Redis (RESP 2) as far as publishing and subscribing need it.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(redis: &Redis) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", redis.port)).expect("the server");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn send(&mut self, words: &[&[u8]]) {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).bytes());
            command.extend(*word);
            command.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&command).expect("the server takes it");
    }

    /// How many got it.
    fn publish(&mut self, channel: &str, message: &[u8]) -> usize {
        self.send(&[b"PUBLISH", channel.as_bytes(), message]);
        self.line().trim_start_matches(':').parse().expect("a number")
    }

    /// What is published before somebody listens is lost.
    fn publish_until_heard(&mut self, channel: &str, message: &[u8]) {
        let began = Instant::now();
        while self.publish(channel, message) == 0 {
            assert!(began.elapsed() < PATIENCE, "nobody listens to {channel}");
        }
    }

    fn subscribe(&mut self, channel: &str) {
        self.send(&[b"SUBSCRIBE", channel.as_bytes()]);
        (0..6).for_each(|_| drop(self.line()));
    }

    /// The next message of the channel that was subscribed to.
    fn next(&mut self) -> String {
        let lines: Vec<String> = (0..7).map(|_| self.line()).collect();
        lines[6].clone()
    }
}

fn up(folder: &Path, manifest: &str, redis: &Redis) -> Running {
    let mut command = sampan();
    command.args(["up", "--admin", "off", "-f"]).arg(folder.join(manifest));
    let mut process = Running::start(command.env("SPIN_VARIABLE_REDIS", redis.url()));
    process.wait_for_line("channel questions of Redis");
    process
}

#[test]
fn messages_of_a_channel_start_the_component() {
    for (name, manifest) in [("redis-5", "spin.toml"), ("redis-5", "spin-1.toml"), ("redis-7", "spin.toml")] {
        let (Some(mut redis), Some(folder)) = (Redis::start(), spin_app(name)) else { return };
        let mut process = up(&folder, manifest, &redis);
        let (mut client, mut answers) = (Client::connect(&redis), Client::connect(&redis));
        answers.subscribe("answers");
        client.publish_until_heard("questions", "wie spät?".as_bytes());
        assert_eq!(answers.next(), "10 bytes", "{name} {manifest}");
        process.wait_for_error(&format!("[{name}/{name}] wie spät?"));

        // The handler's own error; nobody hears of it but the log.
        assert_eq!(client.publish("questions", &[0xff]), 1);
        process.wait_for_error("could not handle a message of \"questions\"");
        assert_eq!(client.publish("questions", b""), 1);
        assert_eq!(answers.next(), "0 bytes", "{name} {manifest}");

        redis.kill();
        process.wait_for_error("lost its server, and subscribes again");
        redis.restart();
        let (mut client, mut answers) = (Client::connect(&redis), Client::connect(&redis));
        answers.subscribe("answers");
        client.publish_until_heard("questions", b"again");
        assert_eq!(answers.next(), "5 bytes", "{name} {manifest}");
    }
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let (Some(mut redis), Some(folder)) = (Redis::start(), spin_app("redis-5")) else { return };
    redis.kill();
    let mut process = up(&folder, "spin.toml", &redis);
    let said = process.wait_for_error("cannot subscribe, and tries again");
    assert!(said.contains("channel \"questions\"") && said.contains(&redis.url()), "{said}");
    redis.restart();
    let mut answers = Client::connect(&redis);
    answers.subscribe("answers");
    Client::connect(&redis).publish_until_heard("questions", b"now");
    assert_eq!(answers.next(), "3 bytes");
}
