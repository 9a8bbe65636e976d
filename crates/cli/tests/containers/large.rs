//! Images of strangers that are far too large, or have very many files.

use crate::Place;
use sampan_testing::{guest, temp_dir};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Compresses with the system's gzip, whose archives may follow each other as one.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let folder = temp_dir();
    let plain = folder.path().join("plain");
    fs::write(&plain, bytes).unwrap();
    Command::new("gzip").args(["-9", "-c"]).arg(plain).output().expect("gzip").stdout
}

/// A tar archive, compressed, of a file of eight GiB: eight MiB, and far more than an image may have.
fn bomb(path: &Path) {
    const SIZE: u64 = 8 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_size(SIZE);
    header.set_mode(0o644);
    header.set_cksum();
    let piece = gzip(&vec![0; 64 << 20]);
    let mut file = File::create(path).unwrap();
    file.write_all(&gzip(header.as_bytes())).unwrap();
    for _ in 0..SIZE / (64 << 20) {
        file.write_all(&piece).unwrap();
    }
    file.write_all(&gzip(&[0; 1024])).unwrap();
}

/// An image whose layer is a bomb is refused before it has filled the disk.
#[test]
fn bombs_do_not_go_off() {
    let (place, folder) = (Place::new(), temp_dir());
    let (context, bomb_at) = (folder.path().join("context"), folder.path().join("context/bomb.tar.gz"));
    fs::create_dir(&context).unwrap();
    bomb(&bomb_at);
    let begun = Instant::now();
    let text = |path: &Path| path.to_str().unwrap().to_owned();

    // As what ADD unpacks, as the context itself, and as an archive of images.
    fs::write(context.join("Dockerfile"), "FROM scratch\nADD bomb.tar.gz /\n").unwrap();
    place.fails(&["build", "-t", "x", &text(&context)], 1, "more bytes than an image may have");
    let mut piped = place.command(["build", "-t", "x", "-"]);
    let piped = piped.stdin(File::open(&bomb_at).unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(piped.status.code() == Some(1) && said.contains("more bytes than"), "{said}");

    // As a layer: it is kept as it came, and refused when it should be unpacked.
    let archive = folder.path().join("image.tar");
    image_of(&bomb_at, &archive);
    place.ok(&["load", "-i", &text(&archive)]);
    place.fails(&["run", "--rm", "bomb:1", "/bomb"], 125, "more bytes than an image may have");
    assert_eq!(place.ok(&["ps", "-aq"]), "");

    let used = Command::new("du").arg("-sm").arg(place.data.path()).output().unwrap();
    let used: u64 = String::from_utf8_lossy(&used.stdout).split_whitespace().next().unwrap().parse().unwrap();
    assert!(used < 64, "{used} MiB");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// An archive in OCI's layout with a compressed layer, whose digest of the plain one is made up.
fn image_of(layer: &Path, archive: &Path) {
    use sampan_testing::servers::sha256;
    let layer = fs::read(layer).unwrap();
    let config = format!(
        r#"{{"architecture": "wasm", "os": "wasi", "rootfs": {{"type": "layers", "diff_ids": ["sha256:{}"]}}}}"#,
        "0".repeat(64)
    );
    let of = |kind: &str, bytes: &[u8]| {
        let (digest, size) = (sha256(bytes), bytes.len());
        format!(
            r#"{{"mediaType": "application/vnd.oci.image.{kind}", "digest": "{digest}", "size": {size}}}"#
        )
    };
    let manifest = format!(
        r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {},
             "layers": [{}]}}"#,
        of("config.v1+json", config.as_bytes()),
        of("layer.v1.tar+gzip", &layer)
    );
    let described = of("manifest.v1+json", manifest.as_bytes());
    let named = described.replacen(
        '}',
        r#", "annotations": {"io.containerd.image.name": "docker.io/library/bomb:1"}}"#,
        1,
    );
    let index = format!(r#"{{"schemaVersion": 2, "manifests": [{named}]}}"#);
    let mut tar = tar::Builder::new(File::create(archive).unwrap());
    let blob = |bytes: &[u8]| sha256(bytes).replace("sha256:", "blobs/sha256/");
    for (path, bytes) in [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion": "1.0.0"}"#.as_slice()),
        ("index.json".to_owned(), index.as_bytes()),
        (blob(manifest.as_bytes()), manifest.as_bytes()),
        (blob(config.as_bytes()), config.as_bytes()),
        (blob(&layer), &layer),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    tar.finish().unwrap();
}

/// Ordinary images of scripting languages come near to that.
#[test]
fn a_hundred_thousand_files() {
    let (place, folder) = (Place::new(), temp_dir());
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..100_000 {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("many/{:03}/{number}", number % 1000), b"x".as_slice()).unwrap();
    }
    fs::write(folder.path().join("many.tar"), tar.into_inner().unwrap()).unwrap();
    fs::copy(guest("files"), folder.path().join("files.wasm")).unwrap();
    let dockerfile = "FROM scratch\nADD many.tar /\nCOPY files.wasm /\nENTRYPOINT [\"/files.wasm\"]\n";
    fs::write(folder.path().join("Dockerfile"), dockerfile).unwrap();

    // Seconds on an idle machine; on a busy one, they may be silent for longer than other commands.
    let slow = |args: &[&str]| {
        let output = place.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    slow(&["build", "-q", "-t", "many", folder.path().to_str().unwrap()]);
    // With the image's files, and with a copy.
    for flags in [&["--read-only"][..], &[]] {
        let last = ["many", "cat", "/many/999/99999"];
        assert_eq!(slow(&[&["run", "--rm"], flags, &last].concat()), "cat: x\n");
    }
    assert_eq!(place.ok(&["ps", "-aq"]), "");
    slow(&["rmi", "many"]);
}
