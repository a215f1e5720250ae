//! What a build and the tests need beside Rust: a C++ compiler, libclang for RocksDB's bindings, and the servers to test with.
//!
//! Every command calls it; when all is there it costs a few milliseconds.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, say};
use crate::{Result, build_dir, place, python};

/// The project's environment for child processes.
pub struct Tools {
    variables: Vec<(&'static str, String)>,
}

impl Tools {
    /// Cargo with this environment.
    pub fn cargo(&self) -> Command {
        self.dress(shell::cargo())
    }

    /// Any program with this environment.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        self.dress(shell::command(program))
    }

    /// Builds all programs of the workspace. Always the same set: another selection could mean other features, and a second RocksDB.
    pub fn build_programs(&self) -> Result<()> {
        say("building (the first time takes long: RocksDB)");
        shell::run(self.cargo().args(["build", "--workspace", "--bins"]))?;
        build_dir::note_built()
    }

    fn dress(&self, mut command: Command) -> Command {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Installs what is missing and returns the environment to use.
pub fn run() -> Result<Tools> {
    need_compiler()?;
    let venv = python::prepare(&place::cache()?)?;
    let tools = Tools { variables: variables(&venv)? };
    build_dir::prepare()?;
    Ok(tools)
}

/// The same environment, as lines for a shell.
pub fn print_env() -> Result<()> {
    for (name, value) in run()?.variables {
        println!("export {name}={}", shell::quote(&value));
    }
    Ok(())
}

fn variables(venv: &Path) -> Result<Vec<(&'static str, String)>> {
    let bin = venv.join("bin");
    Ok(vec![
        ("LIBCLANG_PATH", text(&libclang(venv)?)),
        // The Python package has libclang itself but not the compiler's own headers (stddef.h ...).
        ("BINDGEN_EXTRA_CLANG_ARGS", format!("-isystem {}", compiler_headers()?)),
        ("PATH", with_first_on_path(&bin)?),
        ("FLINTWHEEL_TEMPORAL_CLI", text(&bin.join("temporal"))),
        // Compiled tests lie outside the checkout, so they don't find the programs beside themselves.
        ("FLINTWHEEL_BIN", text(&place::program("flintwheel"))),
        ("FLINTWHEEL_LOADTEST_BIN", text(&place::program("flintwheel-loadtest"))),
        ("FLINTWHEEL_EXAMPLE_WORKER_BIN", text(&place::program("flintwheel-example-worker"))),
    ])
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn with_first_on_path(bin: &Path) -> Result<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let rest = env::split_paths(&path).filter(|dir| dir != bin);
    let joined = env::join_paths(std::iter::once(bin.to_owned()).chain(rest));
    joined.map(|path| path.to_string_lossy().into_owned()).map_err(|error| format!("PATH: {error}"))
}

fn libclang(venv: &Path) -> Result<PathBuf> {
    let lib = venv.join("lib");
    let versions = fs::read_dir(&lib).map_err(|error| format!("{}: {error}", lib.display()))?;
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/clang/native")))
        .find(|dir| dir.join("libclang.so").is_file())
        .ok_or_else(|| format!("no libclang.so below {}; remove {} and try again", lib.display(), venv.display()))
}

fn compiler_headers() -> Result<String> {
    let dir = shell::read(shell::command("gcc").arg("-print-file-name=include"))?;
    Ok(dir.trim().to_owned())
}

/// RocksDB is C++, SQLite and jemalloc are C; jemalloc is built with make.
fn need_compiler() -> Result<()> {
    let missing =
        || ["gcc", "g++", "make"].into_iter().find(|name| !shell::succeeds(shell::command(name).arg("--version")));
    let Some(name) = missing() else { return Ok(()) };
    if !can_install() {
        return Err(format!("`{name}` is missing. On Debian or Ubuntu: apt-get install build-essential (as root)"));
    }
    say("installing build-essential (C and C++ compiler)");
    apt_install("build-essential")?;
    missing().map_or(Ok(()), |name| Err(format!("`{name}` is missing although build-essential was installed")))
}

/// Whether packages of the system can be installed from here: root, and a Debian.
pub fn can_install() -> bool {
    let root = shell::read(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    root && shell::succeeds(Command::new("apt-get").arg("--version"))
}

/// Installs a package of the system.
pub fn apt_install(package: &str) -> Result<()> {
    shell::run(shell::command("apt-get").args(["update", "-q"]))?;
    let mut install = shell::command("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends", package]).env("DEBIAN_FRONTEND", "noninteractive");
    shell::run(&mut install)
}
