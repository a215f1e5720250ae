//! `cargo xtask prove quickstart`: what a newcomer does, from a clean clone and in an empty HOME: the demo, and all tests.
//!
//! Only the Rust toolchain and Python are taken over. Everything is downloaded and compiled anew, so it takes as long as it takes a newcomer.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::shell::{self, say};
use crate::{Result, place};

/// Variables that would let the newcomer see what is already here.
const HIDDEN: [&str; 12] = [
    "CARGO_HOME",
    "CARGO_BUILD_BUILD_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "LIBCLANG_PATH",
    "BINDGEN_EXTRA_CLANG_ARGS",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "CARGO",
];

/// Clones the last commit, runs both commands, and says how long each took. PASS where both end well.
pub fn run() -> Result<()> {
    let place = std::env::temp_dir().join(format!("flintwheel-quickstart-{}", std::process::id()));
    let result = both(&place);
    fs::remove_dir_all(&place).map_err(|error| format!("remove {}: {error}", place.display()))?;
    match &result {
        Ok(()) => println!("PASS"),
        Err(_) => println!("FAIL"),
    }
    result
}

fn both(dir: &Path) -> Result<()> {
    let (home, clone) = (dir.join("home"), dir.join("flintwheel"));
    fs::create_dir_all(&home).map_err(|error| format!("create {}: {error}", home.display()))?;
    shell::run(shell::command("git").args(["clone", "--quiet"]).arg(place::checkout()).arg(&clone))?;
    let commit = shell::read(shell::command("git").args(["rev-parse", "--short", "HEAD"]))?;
    println!("commit {}, {} processors", commit.trim(), std::thread::available_parallelism().map_or(0, |n| n.get()));
    let demo = timed(&home, &clone, "demo")?;
    let test = timed(&home, &clone, "test")?;
    println!("cargo xtask demo   {}   (with all downloads and the first build)", minutes(demo));
    println!("cargo xtask test   {}", minutes(test));
    Ok(())
}

fn timed(home: &Path, clone: &Path, name: &str) -> Result<Duration> {
    say(&format!("cargo xtask {name}, in an empty HOME"));
    let begun = Instant::now();
    shell::run(newcomer(home)?.current_dir(clone).args(["xtask", name]))?;
    Ok(begun.elapsed())
}

fn newcomer(home: &Path) -> Result<Command> {
    let rustup = std::env::var("RUSTUP_HOME")
        .map_or_else(|_| place::home().map(|home| home.join(".rustup")), |dir| Ok(dir.into()))?;
    let mut command = shell::command("cargo");
    for name in HIDDEN {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_project_setting(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("HOME", home).env("RUSTUP_HOME", rustup);
    Ok(command)
}

fn is_project_setting(name: &str) -> bool {
    name.starts_with("FLINTWHEEL_") || name.starts_with("TEMPORAL_")
}

fn minutes(time: Duration) -> String {
    format!("{:>3} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}
