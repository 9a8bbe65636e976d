//! Prints its environment as `NAME=VALUE`, in the order in which the host gives it.

fn main() {
    for (name, value) in std::env::vars_os() {
        println!("{}={}", name.to_string_lossy(), value.to_string_lossy());
    }
}
