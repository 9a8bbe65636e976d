//! Components of WASI 0.2 and 0.3, run on the real host calls with nothing but what a test grants.

mod escapes;
mod linking;
mod mounted_files;
mod run;
mod sockets;
