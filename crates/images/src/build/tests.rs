//! Images out of Dockerfiles: what is in them, what they say, and what is refused.

use super::*;
use crate::made::{self, Tar, images};
use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

/// A folder with files, and a store.
struct World {
    context: TempDir,
    images: Images,
    _store: TempDir,
    said: RefCell<Vec<String>>,
}

#[derive(Default)]
struct Wanted<'a> {
    arguments: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
    no_cache: bool,
    epoch_s: u64,
}

impl World {
    fn new(files: &[(&str, &str)]) -> World {
        let (store, images) = images();
        let context = tempfile::tempdir().unwrap();
        let world = World { context, images, _store: store, said: RefCell::default() };
        files.iter().for_each(|(name, content)| world.write(name, content));
        world
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.context.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn build_as(&self, text: &str, wanted: &Wanted<'_>) -> Result<Image, BuildError> {
        self.said.borrow_mut().clear();
        let settings = BuildSettings {
            dockerfile: self.context.path().join("Dockerfile"),
            text: text.to_owned(),
            names: vec!["built:1".parse().unwrap()],
            arguments: wanted
                .arguments
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            target: wanted.target.map(str::to_owned),
            platform: Platform::new("wasi", "wasm"),
            labels: BTreeMap::new(),
            no_cache: wanted.no_cache,
            epoch_s: wanted.epoch_s,
            base: &|reference, _| self.images.find(&reference.to_string()),
            observe: &|event| {
                self.said.borrow_mut().push(match event {
                    BuildEvent::Step { number, total, text } => format!("{number}/{total} {text}"),
                    BuildEvent::Cached { number } => format!("{number} CACHED"),
                    BuildEvent::Warning(diagnostic) => diagnostic.message,
                });
            },
        };
        build(&self.images, self.context.path(), &settings)
    }

    #[track_caller]
    fn build(&self, text: &str) -> Image {
        self.build_as(text, &Wanted::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn error(&self, text: &str) -> (String, String) {
        let error = self.build_as(text, &Wanted::default()).map(drop).expect_err(text);
        let place = match &error {
            BuildError::Dockerfile(diagnostic) => {
                diagnostic.span.clone().and_then(|span| text.get(span)).unwrap_or_default().to_owned()
            }
            BuildError::Image(_) => String::new(),
        };
        (error.to_string(), place)
    }

    /// All files of an image with their contents.
    fn files(&self, image: &Image) -> Vec<String> {
        let root = self.images.rootfs(image).unwrap();
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                match fs::symlink_metadata(&path).unwrap() {
                    one if one.is_dir() => folders.push(path),
                    one if one.is_symlink() => {
                        found.push(format!("{name}->{}", fs::read_link(&path).unwrap().display()))
                    }
                    _ => found.push(format!("{name}={}", fs::read_to_string(&path).unwrap())),
                }
            }
        }
        found.sort();
        found
    }

    fn config(&self, image: &Image) -> Value {
        let (_, manifest, _) = self.images.manifest(&image.manifest).unwrap();
        let bytes = self.images.layout.read(&manifest.config.unwrap().digest, 1 << 20).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }
}

#[test]
fn a_whole_file() {
    let world = World::new(&[("app.wasm", "code"), ("public/index.html", "hi"), ("public/.wh", "")]);
    let image = world.build(
        "# syntax=docker/dockerfile:1\n# escape=\\\n\n# a comment\nARG version=1\nFROM scratch AS last\nARG version\nARG other=o\n\
         ENV A=1 B=\"two words\" C=$version-${other:-x}\nENV old style $A\nWORKDIR /srv\nWORKDIR data\n\
         COPY app.wasm /\nCOPY --chmod=0600 --chown=7:8 public \\\n  # in between\n  ./www/\n\
         ENTRYPOINT [\"/app.wasm\", \"$A\"]\nCMD [\"serve\"]\nLABEL a=b \"c d\"='e $A'\nEXPOSE 80 8080-8081/tcp 53/udp\n\
         VOLUME /data\nVOLUME [\"/more\"]\nUSER 7\nSTOPSIGNAL SIGINT\n\
         HEALTHCHECK --interval=1m30s --retries=2 CMD [\"/app.wasm\", \"check\"]\nSHELL [\"/bin/sh\"]\nMAINTAINER me\n\
         ONBUILD COPY x /\nCOPY <<EOF <<-\"raw\" /docs/\nA is $A\nEOF\n\t\tA is $A\n\traw\n",
    );
    let files = [
        "app.wasm=code",
        "docs/EOF=A is 1\n",
        "docs/raw=A is $A\n",
        "srv/data/www/.wh=",
        "srv/data/www/index.html=hi",
    ];
    assert_eq!(world.files(&image), files);
    let config = world.config(&image);
    let inner = &config["config"];
    assert_eq!(inner["Env"], json!(["A=1", "B=two words", "C=1-o", "old=style 1"]));
    assert_eq!((&inner["Entrypoint"], &inner["Cmd"]), (&json!(["/app.wasm", "$A"]), &json!(["serve"])));
    assert_eq!(inner["Labels"], json!({ "a": "b", "c d": "e $A" }));
    assert_eq!(inner["ExposedPorts"], json!({ "80/tcp": {}, "8080/tcp": {}, "8081/tcp": {}, "53/udp": {} }));
    assert_eq!(inner["Volumes"], json!({ "/data": {}, "/more": {} }));
    assert_eq!((&inner["WorkingDir"], &inner["User"]), (&json!("/srv/data"), &json!("7")));
    assert_eq!((&inner["StopSignal"], &inner["Shell"]), (&json!("SIGINT"), &json!(["/bin/sh"])));
    let check = json!({ "Test": ["CMD", "/app.wasm", "check"], "Interval": 90_000_000_000i64, "Retries": 2 });
    assert_eq!((&inner["Healthcheck"], &inner["OnBuild"]), (&check, &json!(["COPY x /"])));
    assert_eq!(
        (&config["author"], &config["os"], &config["architecture"]),
        (&json!("me"), &json!("wasi"), &json!("wasm"))
    );
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    let history = config["history"].as_array().unwrap();
    let layers = history.iter().filter(|one| one["empty_layer"] != true).count();
    assert_eq!((layers, image.layers.len()), (5, 5), "each layer has its history");
    let root = world.images.rootfs(&image).unwrap();
    let found =
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(root.join("srv/data/www/index.html")).unwrap());
    assert_eq!(found & 0o7777, 0o600);
    assert_eq!(world.images.find("built:1").unwrap().id, image.id);
}

#[test]
fn the_same_files_make_the_same_image() {
    let text = "FROM scratch\nCOPY . /app\nENTRYPOINT [\"/app/a.wasm\"]\n";
    let world = World::new(&[("a.wasm", "a"), ("b/c", "c")]);
    let first = world.build(text);
    let other = World::new(&[("b/c", "c"), ("a.wasm", "a")]).build(text);
    assert_eq!((&first.id, &first.manifest), (&other.id, &other.manifest));
    assert_eq!(
        *world.said.borrow(),
        ["1/3 FROM scratch", "2/3 COPY . /app", "3/3 ENTRYPOINT [\"/app/a.wasm\"]"]
    );
    assert_eq!(world.build(text).manifest, first.manifest);
    assert!(world.said.borrow().contains(&"2 CACHED".to_owned()), "{:?}", world.said);
    let again = world.build_as(text, &Wanted { no_cache: true, ..Wanted::default() }).unwrap();
    assert_eq!(again.manifest, first.manifest);
    assert!(!world.said.borrow().contains(&"2 CACHED".to_owned()));
    world.write("b/c", "d");
    assert_ne!(world.build(text).manifest, first.manifest);
    assert!(!world.said.borrow().contains(&"2 CACHED".to_owned()));
    let later = world.build_as(text, &Wanted { epoch_s: 1_700_000_000, ..Wanted::default() }).unwrap();
    assert_eq!(world.config(&later)["created"], "2023-11-14T22:13:20Z");
    let file = world.images.rootfs(&later).unwrap().join("app/a.wasm");
    assert_eq!(std::os::unix::fs::MetadataExt::mtime(&fs::metadata(file).unwrap()), 1_700_000_000);
    // What was remembered of steps goes with their layers.
    world.images.remove("built:1", true, &|_| false).unwrap();
    world.images.prune(&|_| false).unwrap();
    assert_eq!(fs::read_dir(world.images.layout.root.join("steps")).unwrap().count(), 0);
    world.build(text);
    assert!(!world.said.borrow().contains(&"2 CACHED".to_owned()));
}

#[test]
fn stages_and_other_images() {
    let world = World::new(&[("a", "a"), ("b", "b")]);
    let layer = Tar::default()
        .file("lib/x.wasm", "x")
        .symlink("l", "lib")
        .file("etc/passwd", "www:x:33:33::/:\n")
        .done();
    let inner = json!({ "Entrypoint": ["/old"], "Cmd": ["old"], "Env": ["BASE=1"], "OnBuild": ["ENV TRIGGERED=$BASE"] });
    let base = made::config(inner, &[&layer]);
    world.images.make("base:1", (made::CONFIG, &base), &[(made::TAR, &layer)]).unwrap();
    world.images.make("code:1", ("a/b", &json!({})), &[("application/wasm", b"wasm")]).unwrap();
    let text = "ARG base=base:1\nFROM scratch AS one\nCOPY a /one/\nFROM scratch AS unused\nCOPY missing /\n\
                FROM one AS two\nCOPY b /one/\nFROM ${base}\nCOPY --from=two /one /l/one\nCOPY --from=0 one/a /zero\n\
                COPY --from=code:1 module.wasm /\nCOPY --chown=www a /owned\nENTRYPOINT [\"/new\"]\n";
    let image = world.build(text);
    let expected = [
        "etc/passwd=www:x:33:33::/:\n",
        "l->lib",
        "lib/one/a=a",
        "lib/one/b=b",
        "lib/x.wasm=x",
        "module.wasm=wasm",
        "owned=a",
        "zero=a",
    ];
    assert_eq!(world.files(&image), expected);
    let config = world.config(&image);
    assert_eq!(config["config"]["Env"], json!(["BASE=1", "TRIGGERED=1"]));
    assert_eq!((&config["config"]["Entrypoint"], &config["config"]["Cmd"]), (&json!(["/new"]), &Value::Null));
    assert_eq!(config["config"]["OnBuild"], Value::Null, "triggers act once");
    let one = world.build_as(text, &Wanted { target: Some("ONE"), ..Wanted::default() }).unwrap();
    assert_eq!(world.files(&one), ["one/a=a"]);
    let other = world.build_as(text, &Wanted { target: Some("0"), ..Wanted::default() }).unwrap();
    assert_eq!(other.id, one.id);
    let wanted = Wanted { arguments: &[("base", "scratch"), ("no", "1")], ..Wanted::default() };
    let image = world.build_as("ARG base\nFROM $base\nCOPY a /\n", &wanted).unwrap();
    assert_eq!(world.files(&image), ["a=a"]);
    assert!(world.said.borrow().iter().any(|one| one.contains("`no` is not used")), "{:?}", world.said);
}

#[test]
fn destinations() {
    let world =
        World::new(&[("a.txt", "a"), ("b.txt", "b"), ("d/c.txt", "c"), ("d/e/f.txt", "f"), ("[x].txt", "x")]);
    std::os::unix::fs::symlink("a.txt", world.context.path().join("link")).unwrap();
    std::os::unix::fs::symlink("../../..", world.context.path().join("d/up")).unwrap();
    for (copy, expected) in [
        ("COPY a.txt /x", &["x=a"][..]),
        ("COPY a.txt /x/", &["x/a.txt=a"]),
        ("COPY a.txt x/y/z", &["x/y/z=a"]),
        ("COPY a.txt .", &["a.txt=a"]),
        ("COPY a.txt b.txt /x/", &["x/a.txt=a", "x/b.txt=b"]),
        ("COPY ?.txt /x/", &["x/a.txt=a", "x/b.txt=b"]),
        ("COPY d/?/*.txt /", &["f.txt=f"]),
        ("COPY [ab].txt /", &["a.txt=a", "b.txt=b"]),
        ("COPY [\"[[]x].txt\", \"/x\"]", &["x=x"]),
        ("COPY d /x", &["x/c.txt=c", "x/e/f.txt=f", "x/up->../../.."]),
        ("COPY d/ /", &["c.txt=c", "e/f.txt=f", "up->../../.."]),
        ("COPY link /x", &["x=a"]),
        ("COPY ../a.txt /", &["a.txt=a"]),
        ("COPY /d/./e/../c.txt /", &["c.txt=c"]),
        ("WORKDIR /w\nCOPY a.txt ..", &["a.txt=a"]),
        ("COPY d /x\nCOPY a.txt /x", &["x/a.txt=a", "x/c.txt=c", "x/e/f.txt=f", "x/up->../../.."]),
        // What is outside stays outside, whatever a link says.
        ("COPY d/up/a.txt /x", &["x=a"]),
    ] {
        assert_eq!(world.files(&world.build(&format!("FROM scratch\n{copy}\n"))), expected, "{copy}");
    }
}

#[test]
fn what_is_ignored() {
    let files = [("a", ""), ("b/a", ""), ("b/keep", ""), ("c/x.log", ""), ("c/d/y.log", ""), ("e", "")];
    for (ignore, expected) in [
        ("", &["a", "b/a", "b/keep", "c/d/y.log", "c/x.log", "e"][..]),
        ("# a\n/a\n", &["b/a", "b/keep", "c/d/y.log", "c/x.log", "e"]),
        ("**/a", &["b/keep", "c/d/y.log", "c/x.log", "e"]),
        ("b\n", &["a", "c/d/y.log", "c/x.log", "e"]),
        ("b\n!b/keep", &["a", "b/keep", "c/d/y.log", "c/x.log", "e"]),
        ("*.log", &["a", "b/a", "b/keep", "c/d/y.log", "c/x.log", "e"]),
        ("c/*.log", &["a", "b/a", "b/keep", "c/d/y.log", "e"]),
        ("**/*.log", &["a", "b/a", "b/keep", "e"]),
        ("*\n!a", &["a"]),
        ("*\n!c\nc/d", &["c/x.log"]),
        ("**\n!b/**", &["b/a", "b/keep"]),
    ] {
        let world = World::new(&files);
        world.write(".dockerignore", &format!("{ignore}\n.dockerignore\n"));
        let image = world.build("FROM scratch\nCOPY . /\n");
        let expected: Vec<String> = expected.iter().map(|name| format!("{name}=")).collect();
        assert_eq!(world.files(&image), expected, "{ignore:?}");
    }
    let world = World::new(&files);
    world.write(".dockerignore", "a\n[");
    assert!(world.error("FROM scratch").0.contains("is no pattern"));
    world.write(".dockerignore", "a");
    let (said, place) = world.error("FROM scratch\nCOPY a /\n");
    assert_eq!((said.as_str(), place.as_str()), ("a is hidden by .dockerignore", "a"));
    world.write("Dockerfile.dockerignore", "e");
    assert_eq!(world.files(&world.build("FROM scratch\nCOPY a /\n")), ["a="], "the one beside it counts");
    let world = World::new(&files);
    std::os::unix::fs::symlink("/etc/passwd", world.context.path().join(".dockerignore")).unwrap();
    assert!(world.error("FROM scratch").0.contains("is not followed"));
}

#[test]
fn archives_are_added_unpacked() {
    let world = World::new(&[("a", "a")]);
    let archive = Tar::default().file("x/y", "y").done();
    let write = |name: &str, bytes: &[u8]| fs::write(world.context.path().join(name), bytes).unwrap();
    write("plain.tar", &archive);
    write("packed.tgz", &made::gzip(&archive));
    write("text.gz", &made::gzip(b"text"));
    write("other.xz", b"\xfd7zXZ\0...");
    write("evil.tar", &Tar::default().file("../../evil", "").done());
    for name in ["plain.tar", "packed.tgz"] {
        assert_eq!(
            world.files(&world.build(&format!("FROM scratch\nADD {name} /d/\n"))),
            ["d/x/y=y"],
            "{name}"
        );
    }
    assert_eq!(world.files(&world.build("FROM scratch\nADD a /d/\n")), ["d/a=a"]);
    let image = world.build("FROM scratch\nADD text.gz plain.tar /d/\n");
    let root = world.images.rootfs(&image).unwrap();
    assert!(root.join("d/text.gz").is_file() && root.join("d/x/y").is_file());
    assert_eq!(fs::read_dir(world.images.layout.root.join("contexts")).unwrap().count(), 0, "nothing stays");
    assert!(world.error("FROM scratch\nADD other.xz /\n").0.contains("packed with xz"));
    assert!(world.error("FROM scratch\nADD evil.tar /\n").0.contains("outside of the image"));
}

#[test]
fn what_is_wrong_and_where() {
    let world = World::new(&[("a", "a"), ("b/c", "c")]);
    world.images.make("code:1", ("a/b", &json!({})), &[("application/wasm", b"wasm")]).unwrap();
    let many = format!("FROM scratch\nENV A={}\n{}", "x".repeat(1000), "ENV A=$A$A\n".repeat(30));
    let nested = format!("FROM scratch\nENV A={}{}\n", "${a:-".repeat(20), "}".repeat(20));
    for (text, what, place) in [
        ("", "no FROM", ""),
        ("# only a comment", "no FROM", ""),
        ("COPY a /", "before the first FROM", "COPY"),
        ("FROM scratch\nRUN make\n", "RUN needs a system", "RUN"),
        ("FROM scratch\nCOPPY a /\n", "no instruction `COPPY`", "COPPY"),
        ("FROM scratch\nCOPY a\n", "no source or no destination", "a"),
        ("FROM scratch\nCOPY a \\\n  missing /x/\n", "missing is not in the build context", "missing"),
        ("FROM scratch\nCOPY *.rs /x/\n", "is not in the build context", "*.rs"),
        ("FROM scratch\nCOPY a b /x\n", "must be a folder", "/x"),
        ("FROM scratch\nCOPY a /x\nCOPY b /x\n", "is there already", "/x"),
        ("FROM scratch\nCOPY a /x\nCOPY a /x/y\n", "/x is no folder", "/x/y"),
        ("FROM scratch\nCOPY b /x\nCOPY --chmod=99 a /\n", "is no mode", "--chmod=99"),
        ("FROM scratch\nCOPY --chown=me a /\n", "no \"me\" in /etc/passwd", "--chown=me"),
        ("FROM scratch\nCOPY --what=1 a /\n", "no flag `--what`", "--what=1"),
        ("FROM scratch\nCOPY --chown a /\n", "has no value", "--chown"),
        ("FROM scratch\nCOPY --from=later a /\n", "docker.io/library/later", "--from=later"),
        ("FROM scratch AS x\nCOPY <<EOF /x\nnever\n", "has no end", "<<EOF"),
        ("FROM scratch\nADD https://example.com/x /\n", "ADD of a URL", "https://example.com/x"),
        ("FROM code:1\n", "is an artifact", "code:1"),
        ("FROM no/such:1\n", "there is no image docker.io/no/such:1 here", "no/such:1"),
        ("FROM UPPER\n", "is no name of an image", "UPPER"),
        ("FROM a b\n", "FROM is not understood", "a b"),
        ("FROM scratch AS 1a\n", "stage's name is not valid", "1a"),
        ("FROM --platform=x scratch\n", "platform is not valid", "--platform=x"),
        ("FROM scratch\nENV A\n", "wants names and values", "A"),
        ("FROM scratch\nENV A=${B\n", "no `}`", "A=${B"),
        ("FROM scratch\nENV A='x\n", "a quote has no end", "A='x"),
        ("FROM scratch\nENV A=${B:?needed}\n", "`B` has no value: needed", "A=${B:?needed}"),
        ("FROM scratch\nENV A=${B#x}\n", "no substitution", "A=${B#x}"),
        ("FROM scratch\nEXPOSE web\n", "is no port", "web"),
        ("FROM scratch\nEXPOSE 90-80\n", "is no port", "90-80"),
        ("FROM scratch\nHEALTHCHECK --interval=1 CMD x\n", "duration is not valid", "--interval=1"),
        ("FROM scratch\nONBUILD FROM x\n", "ONBUILD cannot have FROM", "FROM x"),
        ("FROM scratch\nSHELL sh\n", "SHELL wants a list", "sh"),
        ("FROM scratch\nUSER\n", "USER says nothing", "USER"),
        ("# escape=x\nFROM scratch\n", "escape character", "# escape=x"),
        (&many, "too long", ""),
        (&nested, "nested too deeply", ""),
    ] {
        let (said, at) = world.error(text);
        assert!(said.contains(what), "{text:?}: {said}");
        assert!(place.is_empty() || at == place, "{text:?}: {at:?}");
    }
    assert!(world.images.list().unwrap().iter().all(|image| image.names != ["docker.io/library/built:1"]));
    let world = World::new(&[]);
    let error =
        world.build_as("FROM scratch\n", &Wanted { target: Some("x"), ..Wanted::default() }).unwrap_err();
    assert!(error.to_string().contains("no stage `x`"), "{error}");
}

#[test]
fn words_of_shells() {
    let world = World::new(&[]);
    let image =
        world.build("FROM scratch\nENV A=1\nENTRYPOINT /app.wasm 'one word' $A\nCMD echo a\\ b | cat\n");
    let config = world.config(&image);
    assert_eq!(config["config"]["Entrypoint"], json!(["/app.wasm", "one word", "$A"]));
    assert_eq!(config["config"]["Cmd"], json!(["echo", "a b", "|", "cat"]));
    let said = world.said.borrow();
    let warnings: Vec<_> = said.iter().filter(|one| one.contains("written for a shell")).collect();
    assert!(warnings.len() == 2 && warnings[1].contains("none of its signs"), "{warnings:?}");
}

#[test]
fn substitutions() {
    let variables = BTreeMap::from([("A".to_owned(), "a".to_owned()), ("E".to_owned(), String::new())]);
    for (word, expected) in [
        ("$A", "a"),
        ("${A}", "a"),
        ("x$Ay", "x"),
        ("x${A}y", "xay"),
        ("$N", ""),
        ("$", "$"),
        ("$1", ""),
        ("${N:-d}", "d"),
        ("${N-d}", "d"),
        ("${E:-d}", "d"),
        ("${E-d}", ""),
        ("${A:-d}", "a"),
        ("${A:+s}", "s"),
        ("${E:+s}", ""),
        ("${E+s}", "s"),
        ("${N+s}", ""),
        ("${N:-${A}b}", "ab"),
        ("'$A'", "$A"),
        ("\"$A\"", "a"),
        ("\\$A", "$A"),
        ("\"\\$A\\n\"", "$A\\n"),
        ("a\\ b", "a b"),
        ("x\\", "x\\"),
        ("${N:-\"}\"}", "}"),
    ] {
        assert_eq!(words::expand(word, &variables, '\\').as_deref(), Ok(expected), "{word}");
    }
    assert_eq!(words::expand("`$A\\", &variables, '`').as_deref(), Ok("$A\\"));
    assert_eq!(words::expand_document("'$A' \\$A \\n", &variables, '\\').as_deref(), Ok("'a' $A \\n"));
    let words: Vec<&str> =
        words::split("a 'b c'd \"e\\\" f\" \\ g ", '\\').into_iter().map(|one| one.1).collect();
    assert_eq!(words, ["a", "'b c'd", "\"e\\\" f\"", "\\ g"]);
}

/// As the Docker API gets it.
#[test]
fn a_context_that_is_an_archive() {
    let (_store, images) = images();
    let archive = made::gzip(&Tar::default().file("Dockerfile", "FROM scratch").file("a/b", "b").done());
    let context = context_of(&archive[..], &images).unwrap();
    assert_eq!(fs::read_to_string(context.path().join("a/b")).unwrap(), "b");
    for (archive, what) in
        [(Tar::default().file("../x", "").done(), "outside"), (b"<html>".to_vec(), "cannot be unpacked")]
    {
        let error = context_of(&archive[..], &images).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_whole_app() {
    let world = World::new(&[
        (
            "sampan.toml",
            "[app]\nname = \"shop\"\nversion = \"1.2.0\"\n[[listen]]\naddress = \"127.0.0.1:8080\"\n[component.api]\nsource = \"api.wasm\"\ngrant = { files = [\"data:/data\"] }\n[[route]]\npath = \"/...\"\nto = \"api\"\n[[route]]\npath = \"/s/...\"\nto = \"static:public\"\n",
        ),
        ("api.wasm", "code"),
        ("public/index.html", "hi"),
        ("data/x", "x"),
        ("src/main.rs", "not in it"),
        (".sampan/db", "state"),
    ]);
    let path = world.context.path().join("sampan.toml");
    let read = |path: &Path| {
        let env = |_: &str| None;
        sampan_app::read_manifest(path, &sampan_app::Surroundings::new(&env))
            .unwrap_or_else(|all| panic!("{all:?}"))
            .0
    };
    let pack = |app: &sampan_app::App| {
        let settings = BuildSettings {
            dockerfile: path.clone(),
            text: String::new(),
            names: vec!["shop:1".parse().unwrap()],
            arguments: BTreeMap::new(),
            target: None,
            platform: Platform::new("wasi", "wasm"),
            labels: BTreeMap::new(),
            no_cache: false,
            epoch_s: 0,
            base: &|reference, _| Err(ImageError::NotFound(reference.to_string())),
            observe: &|_| {},
        };
        build_app(&world.images, app, &settings)
    };
    let app = read(&path);
    let image = pack(&app).unwrap();
    let files = world.files(&image);
    let names: Vec<&str> = files.iter().filter_map(|one| one.split('=').next()).collect();
    assert_eq!(names, ["api.wasm", "data/x", "public/index.html", "sampan.toml"]);
    assert_eq!(pack(&app).unwrap().manifest, image.manifest);
    let config = world.config(&image);
    assert_eq!(config["config"]["Entrypoint"], json!(["/sampan.toml"]));
    assert_eq!(config["config"]["ExposedPorts"], json!({ "8080/tcp": {} }));
    assert_eq!(config["config"]["Labels"]["dev.sampan.manifest"], "/sampan.toml");
    let mut outside = app.clone();
    outside.components[0].source = "/etc/passwd".into();
    assert!(pack(&outside).unwrap_err().to_string().contains("not below its own folder"));
}
