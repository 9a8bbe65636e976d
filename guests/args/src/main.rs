//! Prints its arguments, one a line, the program's name first.

fn main() {
    for argument in std::env::args() {
        println!("{argument}");
    }
}
