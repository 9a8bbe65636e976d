//! Every call of a file descriptor, on a handle that the host never gave out.

use wasip2::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, DirectoryEntryStream, NewTimestamp, OpenFlags, PathFlags,
};
use wasip2::io::streams::{InputStream, OutputStream};

/// The third of a component without grants: its standard streams are the first.
fn descriptor() -> Descriptor {
    // SAFETY: not sound on purpose: the host must refuse the number.
    unsafe { Descriptor::from_handle(3) }
}

fn ignore<T>(_: T) {}

pub const CALLS: &[(&str, fn())] = &[
    ("descriptor.read-via-stream", || ignore(descriptor().read_via_stream(0))),
    ("descriptor.write-via-stream", || ignore(descriptor().write_via_stream(0))),
    ("descriptor.append-via-stream", || ignore(descriptor().append_via_stream())),
    ("descriptor.advise", || ignore(descriptor().advise(0, 1, Advice::Normal))),
    ("descriptor.sync-data", || ignore(descriptor().sync_data())),
    ("descriptor.get-flags", || ignore(descriptor().get_flags())),
    ("descriptor.get-type", || ignore(descriptor().get_type())),
    ("descriptor.set-size", || ignore(descriptor().set_size(0))),
    ("descriptor.set-times", || ignore(descriptor().set_times(NewTimestamp::Now, NewTimestamp::Now))),
    ("descriptor.read", || ignore(descriptor().read(1, 0))),
    ("descriptor.write", || ignore(descriptor().write(b"x", 0))),
    ("descriptor.read-directory", || ignore(descriptor().read_directory())),
    ("descriptor.sync", || ignore(descriptor().sync())),
    ("descriptor.create-directory-at", || ignore(descriptor().create_directory_at("greedy"))),
    ("descriptor.stat", || ignore(descriptor().stat())),
    ("descriptor.stat-at", || ignore(descriptor().stat_at(PathFlags::empty(), "/etc/passwd"))),
    ("descriptor.set-times-at", || {
        let now = NewTimestamp::Now;
        ignore(descriptor().set_times_at(PathFlags::empty(), "/etc/passwd", now, now));
    }),
    ("descriptor.link-at", || {
        ignore(descriptor().link_at(PathFlags::empty(), "/etc/passwd", &descriptor(), "greedy"));
    }),
    ("descriptor.open-at", || {
        let (path, open) = (PathFlags::SYMLINK_FOLLOW, OpenFlags::empty());
        ignore(descriptor().open_at(path, "/etc/passwd", open, DescriptorFlags::READ));
    }),
    ("descriptor.readlink-at", || ignore(descriptor().readlink_at("/proc/self/exe"))),
    ("descriptor.remove-directory-at", || ignore(descriptor().remove_directory_at("greedy"))),
    ("descriptor.rename-at", || ignore(descriptor().rename_at("a", &descriptor(), "b"))),
    ("descriptor.symlink-at", || ignore(descriptor().symlink_at("/etc/passwd", "greedy"))),
    ("descriptor.unlink-file-at", || ignore(descriptor().unlink_file_at("greedy"))),
    ("descriptor.is-same-object", || ignore(descriptor().is_same_object(&descriptor()))),
    ("descriptor.metadata-hash", || ignore(descriptor().metadata_hash())),
    ("descriptor.metadata-hash-at", || {
        ignore(descriptor().metadata_hash_at(PathFlags::empty(), "/etc/passwd"));
    }),
    ("directory-entry-stream.read-directory-entry", || {
        // SAFETY: as above.
        ignore(unsafe { DirectoryEntryStream::from_handle(3) }.read_directory_entry());
    }),
    ("input-stream.read", || {
        // SAFETY: as above; no stream was ever given such a number.
        ignore(unsafe { InputStream::from_handle(1000) }.read(1));
    }),
    ("output-stream.write", || {
        // SAFETY: as above.
        ignore(unsafe { OutputStream::from_handle(1000) }.write(b"x"));
    }),
];
