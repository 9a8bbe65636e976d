//! Every call of a file descriptor, on a handle that the host never gave out.

use wasip3::filesystem::types::{Advice, Descriptor, DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};
use wasip3::wit_stream;

pub const CALLS: &[&str] = &[
    "read-via-stream",
    "write-via-stream",
    "append-via-stream",
    "advise",
    "sync-data",
    "get-flags",
    "get-type",
    "set-size",
    "set-times",
    "read-directory",
    "sync",
    "create-directory-at",
    "stat",
    "stat-at",
    "set-times-at",
    "link-at",
    "open-at",
    "readlink-at",
    "remove-directory-at",
    "rename-at",
    "symlink-at",
    "unlink-file-at",
    "is-same-object",
    "metadata-hash",
    "metadata-hash-at",
];

/// Does not return: the host ends the component.
pub async fn call(name: &str) {
    // SAFETY: not sound on purpose: the host must refuse the number.
    let forged = || unsafe { Descriptor::from_handle(1000) };
    let one = forged();
    let (path, greedy) = (|| "/etc/passwd".to_owned(), || "greedy".to_owned());
    let (plain, now) = (PathFlags::empty(), NewTimestamp::Now);
    match name {
        "read-via-stream" => ignore(one.read_via_stream(0)),
        "write-via-stream" => ignore(one.write_via_stream(wit_stream::new().1, 0)),
        "append-via-stream" => ignore(one.append_via_stream(wit_stream::new().1)),
        "advise" => ignore(one.advise(0, 1, Advice::Normal).await),
        "sync-data" => ignore(one.sync_data().await),
        "get-flags" => ignore(one.get_flags().await),
        "get-type" => ignore(one.get_type().await),
        "set-size" => ignore(one.set_size(0).await),
        "set-times" => ignore(one.set_times(now, now).await),
        "read-directory" => ignore(one.read_directory()),
        "sync" => ignore(one.sync().await),
        "create-directory-at" => ignore(one.create_directory_at(greedy()).await),
        "stat" => ignore(one.stat().await),
        "stat-at" => ignore(one.stat_at(plain, path()).await),
        "set-times-at" => ignore(one.set_times_at(plain, path(), now, now).await),
        "link-at" => ignore(one.link_at(plain, path(), &forged(), greedy()).await),
        "open-at" => ignore(one.open_at(plain, path(), OpenFlags::empty(), DescriptorFlags::READ).await),
        "readlink-at" => ignore(one.readlink_at(path()).await),
        "remove-directory-at" => ignore(one.remove_directory_at(greedy()).await),
        "rename-at" => ignore(one.rename_at(path(), &forged(), greedy()).await),
        "symlink-at" => ignore(one.symlink_at(path(), greedy()).await),
        "unlink-file-at" => ignore(one.unlink_file_at(greedy()).await),
        "is-same-object" => ignore(one.is_same_object(&forged()).await),
        "metadata-hash" => ignore(one.metadata_hash().await),
        "metadata-hash-at" => ignore(one.metadata_hash_at(plain, path()).await),
        _ => panic!("no such call"),
    }
}

fn ignore<T>(_: T) {}
