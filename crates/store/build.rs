//! Does nothing. Cargo resolves `[build-dependencies]` only of packages that have a build script; see there.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
