//! Prints one line and ends: the smallest useful program, for start-up and for every kind of source.

fn main() {
    println!("Hello from a guest!");
}
