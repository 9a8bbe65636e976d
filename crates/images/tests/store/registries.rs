//! docker-registry: what is pushed is pulled.

use crate::{User, noise};
use sampan_images::{ImageError, Registries, Step, login, logout};
use sampan_testing::servers::{REGISTRY_PASSWORD, REGISTRY_USER, Registry};
use std::fs;

#[test]
fn what_is_pushed_is_pulled() {
    let Some(registry) = Registry::start() else { return };
    let (maker, user) = (User::new(), User::new());
    let name = registry.reference("acme/app:1");
    // More than one piece of an upload.
    let content = noise(20 << 20);
    let built = maker.build(&name, &content);
    let digest = maker.push(&name).unwrap();
    assert_eq!(digest, built.manifest);
    let begun = maker.steps().iter().filter(|step| matches!(step, Step::Begins { .. })).count();
    assert_eq!(begun, 2, "the layer and the configuration");
    maker.push(&name).unwrap();
    assert_eq!(maker.steps(), [Step::Exists, Step::Exists]);

    let pulled = user.pull(&name).unwrap();
    assert_eq!((&pulled.id, &pulled.names), (&built.id, &vec![name.clone()]));
    assert_eq!(fs::read(user.images.rootfs(&pulled).unwrap().join("app.wasm")).unwrap(), content);
    assert_eq!(user.kept("partial"), 0);
    user.steps();
    user.pull(&name).unwrap();
    assert_eq!(user.steps(), [Step::Exists, Step::Exists]);
    let pinned = registry.reference(&format!("acme/app@{digest}"));
    assert_eq!(User::new().pull(&pinned).unwrap().id, built.id);

    // Another repository of the same registry takes the layer from the first one.
    let other = registry.reference("acme/other:1");
    maker.images.tag(&built, &other.parse().unwrap()).unwrap();
    maker.push(&other).unwrap();
    assert_eq!(User::new().pull(&other).unwrap().id, built.id);
}

#[test]
fn a_tag_that_moves_leaves_the_old_image() {
    let Some(registry) = Registry::start() else { return };
    let (maker, user) = (User::new(), User::new());
    let name = registry.reference("app:1");
    maker.build(&name, b"one");
    maker.push(&name).unwrap();
    let one = user.pull(&name).unwrap();
    maker.build(&name, b"two");
    maker.push(&name).unwrap();
    let two = user.pull(&name).unwrap();
    assert_ne!(one.id, two.id);
    assert!(user.images.find(&one.id.hex).unwrap().names.is_empty());
    let removed = user.images.prune(&|_| false).unwrap();
    assert_eq!((removed.deleted.len(), user.images.list().unwrap().len()), (1, 1));
}

#[test]
fn a_registry_that_wants_to_know() {
    let Some(registry) = Registry::start_closed() else { return };
    let user = User::new();
    let (host, name) = (format!("127.0.0.1:{}", registry.port), registry.reference("app:1"));
    user.build(&name, b"code");
    for error in [user.push(&name).unwrap_err(), user.pull(&name).unwrap_err()] {
        assert!(
            error.to_string().contains("401") && error.help().contains("login"),
            "{error}: {}",
            error.help()
        );
    }
    let config = user.folder.path().join("docker/config.json");
    let wrong = user.runtime.block_on(login(&host, REGISTRY_USER, "wrong", &user.transfer)).unwrap_err();
    assert!(wrong.to_string().contains("401"), "{wrong}");
    assert!(!config.exists(), "what is wrong is not kept");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, "{\"psFormat\": \"x\", \"auths\": {\"other\": {\"auth\": \"eA==\"}}}").unwrap();
    user.runtime.block_on(login(&host, REGISTRY_USER, REGISTRY_PASSWORD, &user.transfer)).unwrap();
    let kept = fs::read_to_string(&config).unwrap();
    assert!(kept.contains("psFormat") && kept.contains("eA==") && kept.contains(&host), "{kept}");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&config).unwrap()) & 0o777, 0o600);
    user.push(&name).unwrap();
    user.pull(&name).unwrap();
    assert!(logout(&host, &user.transfer).unwrap());
    assert!(!logout(&host, &user.transfer).unwrap());
    assert!(user.push(&name).is_err());
    let error = user.runtime.block_on(login("no registry", "a", "b", &user.transfer)).unwrap_err();
    assert!(error.to_string().contains("is no registry"), "{error}");
}

#[test]
fn mirrors_are_asked_first() {
    let (Some(registry), Some(mut mirror)) = (Registry::start(), Registry::start()) else { return };
    let mut user = User::new();
    let path = user.folder.path().join("registries.json");
    let name = registry.reference("app:1");
    let mirrored = mirror.reference("app:1");
    let text = format!(
        "{{\"127.0.0.1:{}\": {{\"mirrors\": [\"http://127.0.0.1:{}\"]}}, \"docker.io\": {{\"insecure\": true}}}}",
        registry.port, mirror.port
    );
    fs::write(&path, text).unwrap();
    user.transfer.registries = Registries::read(&path).unwrap();
    let maker = User::new();
    let one = maker.build(&mirrored, b"of the mirror");
    maker.push(&mirrored).unwrap();
    let two = maker.build(&name, b"of the registry");
    maker.push(&name).unwrap();
    assert_eq!(user.pull(&name).unwrap().id, one.id);
    mirror.kill();
    user.transfer.retries = 0;
    assert_eq!(user.pull(&name).unwrap().id, two.id);
    for (text, what) in [
        ("{\"a\": {\"mirrors\": [\"host\"]}}", "is no URL"),
        ("{\"a\": {\"mirrors\": [\"ftp://host\"]}}", "has no scheme"),
        ("{\"a\": {\"mirrors\": [\"https://a/?b\"]}}", "more than a host"),
        ("{\"a\": {\"mirror\": []}}", "unknown field"),
        ("{", "EOF"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Registries::read(&path).unwrap_err();
        assert!(error.to_string().contains(what) && error.to_string().contains("registries.json"), "{error}");
        assert!(error.help().contains("mirrors"));
    }
    assert!(Registries::read(&user.folder.path().join("none.json")).is_ok());
}

#[test]
fn many_users_of_one_store() {
    let Some(registry) = Registry::start() else { return };
    let maker = User::new();
    let name = registry.reference("app:1");
    maker.build(&name, &noise(3 << 20));
    maker.push(&name).unwrap();
    let user = User::new();
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..6).map(|_| scope.spawn(|| user.pull(&name).unwrap().id)).collect();
        let ids: Vec<_> = pulls.into_iter().map(|pull| pull.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
    });
    let sizes = user.steps().iter().filter(|step| matches!(step, Step::Begins { .. })).count();
    assert!(sizes >= 2 && user.kept("partial") == 0 && user.kept("blobs/sha256") == 3);
}

#[test]
fn what_there_is_not() {
    let Some(registry) = Registry::start() else { return };
    let user = User::new();
    let error = user.pull(&registry.reference("no/such:1")).unwrap_err();
    assert!(error.to_string().contains("no such image"), "{error}");
    let error = user.push(&registry.reference("no/such:1")).unwrap_err();
    assert!(matches!(error, ImageError::NotFound(_)), "{error}");
    assert_eq!(user.kept("blobs/sha256"), 0);
}
