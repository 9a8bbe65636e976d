//! Calls wasi:filesystem 0.3 with paths exactly as the arguments say. The arguments and the output are those
//! of paths-p2.

use std::future::Future;
use wasip3::cli::{environment, stdout};
use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags};
use wasip3::wit_stream;

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let directories = get_directories();
        let arguments: Vec<String> = environment::get_arguments().into_iter().skip(1).collect();
        for step in arguments.split(|argument| argument == "--") {
            let step: Vec<&str> = step.iter().map(String::as_str).collect();
            let line = match *step {
                ["preopens"] => {
                    let names: Vec<&str> = directories.iter().map(|(_, name)| name.as_str()).collect();
                    format!("preopens: {}\n", names.join(" "))
                }
                [through, name, ref rest @ ..] => match run(&directories, through, name, rest).await {
                    Ok(text) => format!("{name}: {text}\n"),
                    Err(error) => format!("{name}: {}\n", plain(&error)),
                },
                _ => panic!("no such step: {step:?}"),
            };
            print(line).await?;
        }
        Ok(())
    }
}

async fn print(text: String) -> Result<(), ()> {
    let (mut sender, receiver) = wit_stream::new();
    let write = async {
        let rest = sender.write_all(text.into_bytes()).await;
        drop(sender);
        if rest.is_empty() { Ok(()) } else { Err(()) }
    };
    let (written, sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    written.and(sent.map_err(drop))
}

async fn run(
    directories: &[(Descriptor, String)],
    through: &str,
    name: &str,
    rest: &[&str],
) -> Result<String, ErrorCode> {
    let (index, inside) = through.split_once('/').unwrap_or((through, ""));
    let (preopen, _) = &directories[index.parse::<usize>().expect("the number of a preopen")];
    if inside.is_empty() {
        return step(directories, preopen, name, rest).await;
    }
    let open = |flags| preopen.open_at(PathFlags::empty(), inside.to_owned(), OpenFlags::DIRECTORY, flags);
    let opened = match open(DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY).await {
        Ok(opened) => opened,
        Err(_) => open(DescriptorFlags::READ).await?,
    };
    step(directories, &opened, name, rest).await
}

async fn step(
    directories: &[(Descriptor, String)],
    dir: &Descriptor,
    name: &str,
    rest: &[&str],
) -> Result<String, ErrorCode> {
    let other = |index: &str| &directories[index.parse::<usize>().expect("the number of a preopen")].0;
    let follow = PathFlags::SYMLINK_FOLLOW;
    let owned = |text: &&str| (*text).to_owned();
    match (name, rest) {
        ("open", [path, flags]) => open(dir, path, flags).await,
        ("stat", [path]) => dir.stat_at(follow, owned(path)).await.map(|stat| format!("{} bytes", stat.size)),
        ("lstat", [path]) => {
            dir.stat_at(PathFlags::empty(), owned(path)).await.map(|stat| plain(&stat.type_))
        }
        ("hash", [path]) => dir.metadata_hash_at(follow, owned(path)).await.map(|_| "Ok".to_owned()),
        ("times", [path]) => {
            done(dir.set_times_at(follow, owned(path), NewTimestamp::Now, NewTimestamp::Now)).await
        }
        ("readlink", [path]) => dir.readlink_at(owned(path)).await,
        ("mkdir", [path]) => done(dir.create_directory_at(owned(path))).await,
        ("rmdir", [path]) => done(dir.remove_directory_at(owned(path))).await,
        ("unlink", [path]) => done(dir.unlink_file_at(owned(path))).await,
        ("symlink", [target, path]) => done(dir.symlink_at(owned(target), owned(path))).await,
        ("rename", [old, index, new]) => done(dir.rename_at(owned(old), other(index), owned(new))).await,
        ("link", [old, index, new]) => {
            done(dir.link_at(PathFlags::empty(), owned(old), other(index), owned(new))).await
        }
        ("list", []) => {
            let (mut entries, result) = dir.read_directory();
            let mut names = Vec::new();
            while let Some(entry) = entries.next().await {
                names.push(entry.name);
            }
            drop(entries);
            result.await?;
            names.sort();
            Ok(names.join(" "))
        }
        _ => panic!("no such step: {name} {rest:?}"),
    }
}

/// The flags are letters: read, write, create, exclusive, truncate, directory, no follow. Reads what is
/// there, and writes "guest" if it may.
async fn open(dir: &Descriptor, path: &str, letters: &str) -> Result<String, ErrorCode> {
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
    let file = dir.open_at(follow, path.to_owned(), open, flags).await?;
    if has('w') {
        let (mut sender, receiver) = wit_stream::new();
        let send = async {
            sender.write_all(b"guest".to_vec()).await;
            drop(sender);
        };
        let ((), written) = futures::join!(send, file.write_via_stream(receiver, 0).into_future());
        written?;
    }
    if has('r') && !has('d') {
        let (bytes, result) = file.read_via_stream(0);
        let bytes = bytes.collect().await;
        result.await?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok("Ok".to_owned())
}

/// `ErrorCode::NoEntry` as `NoEntry`.
fn plain(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.rsplit("::").next().unwrap_or_default().to_owned()
}

async fn done(call: impl Future<Output = Result<(), ErrorCode>>) -> Result<String, ErrorCode> {
    call.await.map(|()| "Ok".to_owned())
}
