//! Guests on the real host calls, with nothing but what a test grants: components of WASI 0.2 and 0.3, and
//! modules where they share the files with them.

mod escapes;
mod linking;
mod mounted_files;
mod run;
mod sockets;
mod stores;
