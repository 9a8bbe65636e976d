//! A store in Redis: a server that is down, goes away, comes back, or wants a password.

use super::*;
use crate::redis::connect::Server;
use sampan_testing::servers;
use tokio::runtime::Handle;

async fn set(store: &Store) -> Result<(), StoreError> {
    store.set("k".to_owned(), b"v".to_vec()).await
}

#[test]
fn a_server_that_is_down_is_an_error_at_start_without_the_password() {
    run(async {
        let port = sampan_testing::free_port();
        let backend = redis_backend(&format!("redis://user:hunter2@127.0.0.1:{port}/3"), "");
        let error = open(backend.clone(), false).await.err().expect("nobody listens");
        assert!(error.what.contains(&format!("cannot reach redis://127.0.0.1:{port}")), "{}", error.what);
        assert!(error.help.as_ref().is_some_and(|help| help.contains("`lazy = true`")), "{:?}", error.help);
        assert!(!format!("{error:?}").contains("hunter2"));
        let lazy = open(backend, true).await.expect("lazy stores wait").store().await.expect("an open store");
        let error = set(&lazy).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    });
}

#[test]
fn what_is_no_address_is_an_error_at_start() {
    run(async {
        for url in ["", "localhost", "http://localhost", "redis://", "rediss://h#insecure"] {
            let error = open(redis_backend(url, ""), false).await.err().expect(url);
            assert!(error.what.contains("its url is not one of Redis"), "{url}: {}", error.what);
        }
    });
}

#[test]
fn a_server_that_dies_is_an_error_until_it_is_back() {
    run(async {
        let Some(mut server) = servers::Redis::start() else { return };
        let store = opened(redis_backend(&server.url(), "")).await;
        set(&store).await.expect("a write");
        server.kill();
        let error = eventually(async || set(&store).await.err()).await;
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
        server.restart();
        eventually(async || set(&store).await.ok()).await;
    });
}

#[test]
fn a_server_that_does_not_answer_is_an_error() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let store = opened(redis_backend(&server.url(), "")).await;
        server.freeze();
        let error = set(&store).await.unwrap_err();
        server.thaw();
        assert!(error.to_string().contains("did not answer within"), "{error}");
        eventually(async || set(&store).await.ok()).await;
    });
}

#[test]
fn a_wrong_password_is_said() {
    run(async {
        let Some(server) = servers::Redis::start_with(&["--requirepass", "hunter2"]) else { return };
        let with = |login: &str| redis_backend(&format!("redis://{login}127.0.0.1:{}", server.port), "");
        set(&opened(with(":hunter2@")).await).await.expect("a write");
        for login in [":wrong-one@", ""] {
            let error = open(with(login), false).await.err().expect("a refusal");
            assert!(!error.what.contains("wrong-one"), "{}", error.what);
            assert!(
                ["refused the login", "Authentication required"].iter().any(|text| error.what.contains(text))
            );
        }
    });
}

#[test]
fn prefixes_keep_stores_apart() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let [one, two] = [
            opened(redis_backend(&server.url(), "one:")).await,
            opened(redis_backend(&server.url(), "two:")).await,
        ];
        set(&one).await.expect("a write");
        assert_eq!(two.get("k".to_owned()).await, Ok(None));
        assert_eq!(two.keys().await, Ok(vec![]));
        assert_eq!(one.keys().await, Ok(vec!["k".to_owned()]));
        let all = opened(redis_backend(&server.url(), "")).await;
        assert_eq!(all.keys().await, Ok(vec!["one:k".to_owned()]));
    });
}

#[test]
fn the_driver_runs_where_the_store_was_opened() {
    run(async {
        let Some(server) = servers::Redis::start() else { return };
        let drivers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let drivers = drivers.expect("a runtime");
        let parsed = Server::parse(&server.url()).expect("an address");
        let store = Store::new(Redis::new(parsed, "", RedisLayout::Plain, drivers.handle().clone()));
        set(&store).await.expect("a write through the other runtime");
        // A guest's worker that has gone took no connection with it.
        let other = store.clone();
        let gone = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(set(&other))
        });
        tokio::task::spawn_blocking(move || gone.join())
            .await
            .expect("a task")
            .expect("a thread")
            .expect("a write");
        set(&store).await.expect("a write");
        assert_ne!(Handle::current().id(), drivers.handle().id());
        tokio::task::spawn_blocking(move || drop(drivers)).await.expect("the runtime ends");
        let error = eventually(async || set(&store).await.err()).await;
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
    });
}

#[test]
fn tls_is_checked_against_the_roots() {
    run(async {
        let folder = sampan_testing::temp_dir();
        let authority = crate::redis::tests::Authority::new();
        let files = authority.write_server_files(folder.path(), "localhost");
        let [cert, key, ca] = files.each_ref().map(|path| path.to_str().expect("a path in UTF-8"));
        let options =
            ["--port", "0", "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca];
        let more = ["--tls-auth-clients", "no"];
        let Some(server) = servers::Redis::start_with(&[&options[..], &more[..]].concat()) else { return };
        let parsed = Server::parse(&format!("rediss://localhost:{}", server.port)).expect("an address");
        let trusted = parsed.clone().trusting(authority.client_config());
        let store = Store::new(Redis::new(trusted, "", RedisLayout::Plain, Handle::current()));
        set(&store).await.expect("a write over TLS");
        let stranger = parsed.trusting(crate::redis::tests::Authority::new().client_config());
        let error = set(&Store::new(Redis::new(stranger, "", RedisLayout::Plain, Handle::current())))
            .await
            .unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("certificate")), "{error:?}");
        let unnamed = Server::parse(&format!("rediss://127.0.0.1:{}", server.port)).expect("an address");
        let unnamed = unnamed.trusting(authority.client_config());
        let error = set(&Store::new(Redis::new(unnamed, "", RedisLayout::Plain, Handle::current())))
            .await
            .unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(why) if why.contains("certificate")), "{error:?}");
    });
}

#[test]
fn a_socket_file_is_an_address_for_stores_alone() {
    run(async {
        let folder = sampan_testing::temp_dir();
        let path = folder.path().join("redis.sock");
        let socket = path.to_str().expect("a path in UTF-8");
        let Some(_server) = servers::Redis::start_with(&["--unixsocket", socket]) else { return };
        set(&opened(redis_backend(&format!("unix://{socket}"), "")).await).await.expect("a write");
        let error = open(redis_backend("unix:///nonexistent/redis.sock", ""), false).await.err();
        let error = error.expect("no such file");
        assert!(error.what.contains("cannot reach unix:///nonexistent/redis.sock"), "{}", error.what);
        assert!(Server::parse(&format!("unix://{socket}")).is_none(), "no guest may name one");
    });
}
