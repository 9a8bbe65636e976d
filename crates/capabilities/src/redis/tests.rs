//! Sessions with a real server, and what belongs to whom.

use super::*;
use crate::Explain;
use crate::keyvalue::tests::run;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use sampan_app::Origin;
use sampan_testing::servers;
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;

/// Signs certificates for servers under test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::new([]).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(parameters, key).expect("a certificate"))
    }

    /// Certificate, key and authority, in PEM.
    pub fn write_server_files(&self, folder: &Path, name: &str) -> [PathBuf; 3] {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new([name.to_owned()]).expect("parameters");
        let signed = parameters.signed_by(&key, &self.0).expect("a certificate");
        let texts = [("cert", signed.pem()), ("key", key.serialize_pem()), ("ca", self.0.pem())];
        texts.map(|(name, text)| {
            let path = folder.join(name).with_extension("pem");
            std::fs::write(&path, text).expect("a file");
            path
        })
    }

    pub fn client_config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        crate::http::connect::client_config(roots).expect("a configuration")
    }
}

/// Grants each URL's host and port, as a manifest would.
fn services(grants: &[&str]) -> Arc<Services> {
    let rules = grants.iter().map(|grant| {
        let (scheme, rest) = grant.split_once("://").expect("a scheme");
        let (host, port) = rest.rsplit_once(':').expect("a port");
        Origin {
            scheme: (scheme != "*").then(|| scheme.to_owned()),
            host: host.parse().expect("a host"),
            port: port.parse().expect("a port"),
        }
    });
    Arc::new(Services::new(rules.collect(), &Explain::default()))
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(Some(Handle::current())))
}

async fn open(url: &str, services: &Arc<Services>, pool: &Arc<Pool>) -> Result<Session, Error> {
    Session::open(url.to_owned(), Arc::clone(services), Arc::clone(pool)).await
}

fn binary(words: &[&str]) -> Vec<Parameter> {
    words.iter().map(|word| Parameter::Binary(word.as_bytes().to_vec())).collect()
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// The server's number for this connection.
async fn id(session: &mut Session) -> Reply {
    session.execute("CLIENT", binary(&["ID"])).await.expect("a number").remove(0)
}

#[test]
fn every_command_does_what_redis_says() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let mut redis =
            open(&server.url(), &services(&["redis://127.0.0.1:*"]), &pool()).await.expect("a session");
        assert_eq!(redis.get(text("k")).await, Ok(None));
        redis.set(text("k"), vec![0, 255]).await.expect("a write");
        assert_eq!(redis.get(text("k")).await, Ok(Some(vec![0, 255])));
        assert_eq!(redis.incr(text("n")).await, Ok(1));
        assert_eq!(redis.incr(text("k")).await, Err(Error::Type));
        assert_eq!(redis.sadd(text("s"), vec![text("a"), text("b"), text("a")]).await, Ok(2));
        assert_eq!(redis.sadd(text("k"), vec![text("a")]).await, Err(Error::Type));
        assert_eq!(redis.incr(text("s")).await, Err(Error::Type));
        let mut members = redis.smembers(text("s")).await.expect("a set");
        members.sort();
        assert_eq!(members, ["a", "b"]);
        assert_eq!(redis.srem(text("s"), vec![text("b"), text("c")]).await, Ok(1));
        assert_eq!(redis.del(vec![text("s"), text("none")]).await, Ok(1));
        for empty in [
            redis.del(vec![]).await,
            redis.sadd(text("s"), vec![]).await,
            redis.srem(text("s"), vec![]).await,
        ] {
            assert_eq!(empty, Ok(0));
        }
        redis.publish(text("nobody-listens"), b"hello".to_vec()).await.expect("published");
    });
}

#[test]
fn execute_takes_any_command_and_types() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let mut redis =
            open(&server.url(), &services(&["redis://127.0.0.1:*"]), &pool()).await.expect("a session");
        let set = vec![Parameter::Binary(b"n".to_vec()), Parameter::Int64(-7)];
        assert_eq!(redis.execute("set", set).await, Ok(vec![Reply::Status(text("OK"))]));
        let by = vec![Parameter::Binary(b"n".to_vec()), Parameter::Int64(9)];
        assert_eq!(redis.execute("INCRBY", by).await, Ok(vec![Reply::Int64(2)]));
        let get = redis.execute("MGET", binary(&["n", "none"])).await;
        assert_eq!(get, Ok(vec![Reply::Binary(b"2".to_vec()), Reply::Nil]));
        assert_eq!(redis.execute("PING", vec![]).await, Ok(vec![Reply::Status(text("PONG"))]));
        // Nested answers come one after the other.
        redis.execute("RPUSH", binary(&["l", "x", "y"])).await.expect("a list");
        let nested = redis.execute("EVAL", binary(&["return {1, {'a', {'b'}}, false}", "0"])).await;
        let [a, b] = ["a", "b"].map(|text| Reply::Binary(text.as_bytes().to_vec()));
        assert_eq!(nested, Ok(vec![Reply::Int64(1), a, b, Reply::Nil]));
        assert_eq!(redis.execute("LPUSH", binary(&["n", "x"])).await, Err(Error::Type));
        for (command, expected) in
            [("NONSENSE", "unknown command"), ("", "cannot be"), ("subscribe", "cannot be")]
        {
            let error = redis.execute(command, binary(&["x"])).await.unwrap_err();
            assert!(error.to_string().contains(expected), "{command}: {error}");
        }
        // A transaction is the guest's own.
        redis.execute("MULTI", vec![]).await.expect("a transaction");
        redis.incr(text("n")).await.expect_err("it is queued, and no number yet");
        let done = redis.execute("EXEC", vec![]).await;
        assert_eq!(done, Ok(vec![Reply::Int64(3)]));
    });
}

#[test]
fn only_granted_addresses_are_reached() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let port = server.port;
        let table = [
            (format!("redis://127.0.0.1:{port}"), vec![], false),
            (format!("redis://127.0.0.1:{port}"), vec![format!("redis://127.0.0.1:{port}")], true),
            (format!("redis://localhost:{port}"), vec![format!("redis://localhost:{port}")], true),
            (format!("redis://localhost:{port}"), vec![format!("redis://127.0.0.1:{port}")], false),
            (format!("redis://127.0.0.1:{port}"), vec![format!("mysql://127.0.0.1:{port}")], false),
            (format!("redis://127.0.0.1:{port}"), vec!["*://*:*".to_owned()], false),
            (format!("redis://127.0.0.1:{port}"), vec!["*://127.0.0.0/8:*".to_owned()], true),
            (format!("http://127.0.0.1:{port}"), vec!["*://127.0.0.1:*".to_owned()], false),
            ("nonsense".to_owned(), vec!["*://*:*".to_owned()], false),
        ];
        for (url, grants, expected) in table {
            let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
            let opened = open(&url, &services(&grants), &pool()).await;
            assert_eq!(opened.is_ok(), expected, "{url} with {grants:?}");
            if let Err(error) = opened {
                assert_eq!(error, Error::InvalidAddress, "{url} with {grants:?}");
            }
        }
    });
}

#[test]
fn connections_are_used_again_unless_they_were_changed() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let (url, grants, pool) = (server.url(), services(&["redis://127.0.0.1:*"]), pool());
        let mut watcher =
            open(&server.url(), &grants, &super::Pool::default().into()).await.expect("a session");
        // Clients of the server, without the one that asks.
        let mut clients = async || {
            let Ok(replies) = watcher.execute("CLIENT", binary(&["LIST"])).await else { return Vec::new() };
            let Some(Reply::Binary(list)) = replies.into_iter().next() else { return Vec::new() };
            let list = String::from_utf8(list).expect("text");
            let others = list.lines().filter(|line| !line.contains("cmd=client"));
            others.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
        };
        let mut first = open(&url, &grants, &pool).await.expect("a session");
        let second = open(&url, &grants, &pool).await.expect("a session");
        first.set(text("k"), vec![]).await.expect("a write");
        let before = clients().await;
        assert_eq!(before.len(), 2, "each has its own");
        drop(first);
        drop(second);
        let mut again = open(&url, &grants, &pool).await.expect("a session");
        again.execute("GET", binary(&["k"])).await.expect("an answer");
        assert_eq!(clients().await, before, "nothing new was connected");
        again.execute("SELECT", vec![Parameter::Int64(5)]).await.expect("another database");
        drop(again);
        // Whoever comes next is not in database 5.
        for _ in 0..2 {
            let mut next = open(&url, &grants, &pool).await.expect("a session");
            assert_eq!(next.get(text("k")).await, Ok(Some(vec![])));
            std::mem::forget(next);
        }
        // Nobody gets a connection to where he may not connect.
        drop(open(&url, &grants, &pool).await.expect("a session"));
        let public = services(&["redis://*:*"]);
        assert_eq!(open(&url, &public, &pool).await.err(), Some(Error::InvalidAddress));
    });
}

#[test]
fn a_session_survives_a_restart_of_the_server() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let (grants, pool) = (services(&["redis://127.0.0.1:*"]), pool());
        let mut session = open(&server.url(), &grants, &pool).await.expect("a session");
        let before = id(&mut session).await;
        assert_eq!(id(&mut session).await, before, "one connection");
        server.kill();
        let error = session.get(text("k")).await.unwrap_err();
        assert!(matches!(error, Error::Other(_)), "{error:?}");
        assert!(
            matches!(open(&server.url(), &grants, &pool).await, Err(Error::Other(why)) if why.contains("cannot reach"))
        );
        server.restart();
        assert_eq!(session.get(text("k")).await, Ok(None));
    });
}

#[test]
fn a_wrong_password_is_said_and_not_shown() {
    run(async {
        let Some(server) = servers::Redis::start_with(&["--requirepass", "right"]) else { return };
        let grants = services(&["redis://127.0.0.1:*"]);
        let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", server.port);
        let mut session = open(&url("right"), &grants, &pool()).await.expect("a session");
        session.set(text("k"), vec![]).await.expect("a write");
        let error = open(&url("hunter2"), &grants, &pool()).await.err().expect("a refusal");
        assert!(matches!(&error, Error::Other(why) if why.contains("refused the login")), "{error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    });
}

#[test]
fn a_call_that_was_given_up_leaves_no_half_read_connection() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let (grants, pool) = (services(&["redis://127.0.0.1:*"]), pool());
        let mut session = open(&server.url(), &grants, &pool).await.expect("a session");
        session.set(text("k"), b"v".to_vec()).await.expect("a write");
        let wait = session.execute("BLPOP", binary(&["nothing", "0"]));
        tokio::time::timeout(Duration::from_millis(20), wait).await.expect_err("it waits for ever");
        assert_eq!(session.get(text("k")).await, Ok(Some(b"v".to_vec())), "its answer, and not BLPOP's");
    });
}

#[test]
fn connections_of_one_app_are_limited() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let (grants, pool) = (services(&["redis://127.0.0.1:*"]), pool());
        let mut sessions = Vec::new();
        let error = loop {
            match open(&server.url(), &grants, &pool).await {
                Ok(session) => sessions.push(session),
                Err(error) => break error,
            }
        };
        assert_eq!((error, sessions.len()), (Error::TooManyConnections, 256));
        sessions.pop();
        open(&server.url(), &grants, &pool).await.expect("a place is free again");
    });
}
