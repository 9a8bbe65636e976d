//! Which manifest of a folder is meant.

use crate::Folder;
use sampan_app::find_manifest;

#[test]
fn one_manifest_is_found_and_two_are_a_question() {
    let folder = Folder::new(&[]);
    let missing = find_manifest(folder.path()).unwrap_err();
    assert!(missing.message.contains("no sampan.toml and no spin.toml"), "{missing:?}");
    assert!(missing.help.unwrap().contains("sampan new"));

    folder.write("spin.toml", "");
    assert_eq!(find_manifest(folder.path()), Ok(folder.path().join("spin.toml")));
    folder.write("sampan.toml", "");
    let both = find_manifest(folder.path()).unwrap_err();
    assert!(both.message.contains("sampan.toml and ") && both.message.ends_with("spin.toml"), "{both:?}");
    assert!(both.help.unwrap().contains("-f sampan.toml or -f spin.toml"));
    std::fs::remove_file(folder.path().join("spin.toml")).unwrap();
    assert_eq!(find_manifest(folder.path()), Ok(folder.path().join("sampan.toml")));
}

#[test]
fn the_content_tells_whose_manifest_it_is() {
    let spin = "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n";
    let folder = Folder::new(&[("other.toml", spin)]);
    let (app, _) = folder.read("other.toml").unwrap();
    assert_eq!((app.name.as_str(), app.routes[0].path.as_str()), ("a", "/"));
}
