//! Calls wasi:filesystem 0.2 with paths exactly as the arguments say, past the C library, which resolves
//! some of them itself. `paths-p2 preopens -- 0 open ../x r -- 0/sub stat x` prints the names of the
//! preopens, and what each call answered: `open: Ok`, `stat: NoEntry`. A step begins with the directory it
//! goes through: the number of a preopen, and perhaps a directory in it that is opened first.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags};

fn main() {
    let directories = get_directories();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for step in arguments.split(|argument| argument == "--") {
        let step: Vec<&str> = step.iter().map(String::as_str).collect();
        match *step {
            ["preopens"] => {
                let names: Vec<&str> = directories.iter().map(|(_, name)| name.as_str()).collect();
                println!("preopens: {}", names.join(" "));
            }
            [through, name, ref rest @ ..] => match run(&directories, through, name, rest) {
                Ok(text) => println!("{name}: {text}"),
                Err(error) => println!("{name}: {}", camel_case(error.name())),
            },
            _ => panic!("no such step: {step:?}"),
        }
    }
}

fn run(
    directories: &[(Descriptor, String)],
    through: &str,
    name: &str,
    rest: &[&str],
) -> Result<String, ErrorCode> {
    let (index, inside) = through.split_once('/').unwrap_or((through, ""));
    let (preopen, _) = &directories[index.parse::<usize>().expect("the number of a preopen")];
    if inside.is_empty() {
        return step(directories, preopen, name, rest);
    }
    let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    let opened = preopen.open_at(PathFlags::empty(), inside, OpenFlags::DIRECTORY, flags).or_else(|_| {
        preopen.open_at(PathFlags::empty(), inside, OpenFlags::DIRECTORY, DescriptorFlags::READ)
    })?;
    step(directories, &opened, name, rest)
}

fn step(
    directories: &[(Descriptor, String)],
    dir: &Descriptor,
    name: &str,
    rest: &[&str],
) -> Result<String, ErrorCode> {
    let other = |index: &str| &directories[index.parse::<usize>().expect("the number of a preopen")].0;
    let follow = PathFlags::SYMLINK_FOLLOW;
    match (name, rest) {
        ("open", [path, flags]) => open(dir, path, flags),
        ("stat", [path]) => dir.stat_at(follow, path).map(|stat| format!("{} bytes", stat.size)),
        ("lstat", [path]) => dir
            .stat_at(PathFlags::empty(), path)
            .map(|stat| format!("{:?}", stat.type_).replace("DescriptorType::", "")),
        ("hash", [path]) => dir.metadata_hash_at(follow, path).map(|_| "Ok".to_owned()),
        ("times", [path]) => done(dir.set_times_at(follow, path, NewTimestamp::Now, NewTimestamp::Now)),
        ("readlink", [path]) => dir.readlink_at(path),
        ("mkdir", [path]) => done(dir.create_directory_at(path)),
        ("rmdir", [path]) => done(dir.remove_directory_at(path)),
        ("unlink", [path]) => done(dir.unlink_file_at(path)),
        ("symlink", [target, path]) => done(dir.symlink_at(target, path)),
        ("rename", [old, index, new]) => done(dir.rename_at(old, other(index), new)),
        ("link", [old, index, new]) => done(dir.link_at(PathFlags::empty(), old, other(index), new)),
        ("list", []) => {
            let entries = dir.read_directory()?;
            let mut names = Vec::new();
            while let Some(entry) = entries.read_directory_entry()? {
                names.push(entry.name);
            }
            names.sort();
            Ok(names.join(" "))
        }
        _ => panic!("no such step: {name} {rest:?}"),
    }
}

/// The flags are letters: read, write, create, exclusive, truncate, directory, no follow. Reads what is
/// there, and writes "guest" if it may.
fn open(dir: &Descriptor, path: &str, letters: &str) -> Result<String, ErrorCode> {
    let has = |letter| letters.contains(letter);
    let mut flags = DescriptorFlags::empty();
    flags.set(DescriptorFlags::READ, has('r'));
    flags.set(DescriptorFlags::WRITE, has('w'));
    let mut open = OpenFlags::empty();
    open.set(OpenFlags::CREATE, has('c'));
    open.set(OpenFlags::EXCLUSIVE, has('e'));
    open.set(OpenFlags::TRUNCATE, has('t'));
    open.set(OpenFlags::DIRECTORY, has('d'));
    let follow = if has('n') { PathFlags::empty() } else { PathFlags::SYMLINK_FOLLOW };
    let file = dir.open_at(follow, path, open, flags)?;
    if has('w') {
        file.write(b"guest", 0)?;
    }
    if has('r') && !has('d') {
        let (bytes, _) = file.read(1024, 0)?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok("Ok".to_owned())
}

fn done(result: Result<(), ErrorCode>) -> Result<String, ErrorCode> {
    result.map(|()| "Ok".to_owned())
}

/// `no-entry` as `NoEntry`, which is how the bindings of 0.3 print it.
fn camel_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').map(capital).collect()
}
