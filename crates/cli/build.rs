//! Links the `sampan` binary at a fixed address: a relocatable one of this size spends a third of the time
//! of a short run on relocating itself.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
