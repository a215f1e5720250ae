//! The program as it was before the last change of formats, built from this repository's history: what `prove upgrade` begins with.

use std::fs;
use std::path::PathBuf;

use crate::shell::{self, say};
use crate::{Result, place};

/// The last commit that spoke format 3. Who raises the format names the last commit before that here.
const COMMIT: &str = "69149644e38019099779231c96c574b3b6d0dc33";

/// Where it is; built if it is not there yet, with the profile and the tools of its own time.
pub fn program() -> Result<PathBuf> {
    let dir = place::cache()?.join("before").join(&COMMIT[..12]);
    let program = dir.join("flintwheel");
    if program.is_file() {
        return Ok(program);
    }
    let known = shell::succeeds(shell::command("git").args(["cat-file", "-e", &format!("{COMMIT}^{{commit}}")]));
    if !known {
        return Err(format!("commit {COMMIT} is not in this clone: fetch the whole history (`git fetch --unshallow`)"));
    }
    fs::create_dir_all(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
    let checkout = dir.join("checkout");
    // What a run that was broken off left.
    let _ = shell::output(shell::command("git").args(["worktree", "remove", "--force"]).arg(&checkout));
    shell::run(shell::command("git").args(["worktree", "add", "--quiet", "--detach"]).arg(&checkout).arg(COMMIT))?;
    say(&format!("building the program as it was at {}", &COMMIT[..12]));
    let mut build = shell::cargo();
    // It is another checkout: what our build was told of folders and programs is not for it.
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_BUILD_DIR"] {
        build.env_remove(name);
    }
    shell::run(build.current_dir(&checkout).args(["xtask", "prove", "list"]))?;
    // Under its name only when it is whole.
    let (built, whole) = (checkout.join("target/debug/flintwheel"), dir.join("flintwheel.new"));
    let copied = fs::copy(&built, &whole).and_then(|_| fs::rename(&whole, &program));
    copied.map_err(|error| format!("copy {} to {}: {error}", built.display(), program.display()))?;
    shell::run(shell::command("git").args(["worktree", "remove", "--force"]).arg(&checkout))?;
    Ok(program)
}
