//! The wire contracts under `proto/`: `buf lint`, and `buf breaking` against what was there before.
//!
//! buf is taken from its npm package. Where there is no npm, the checks are left out, and that is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::shell::{self, say};
use crate::{Result, place};

/// The npm package that holds buf.
const BUF: &str = "@bufbuild/buf@1.75.0";

/// Lints, and compares with the base.
pub fn check() -> Result<()> {
    if !shell::succeeds(shell::command("npx").arg("--version")) {
        say("skipped: lint of proto/ and its compatibility (they need npx, which comes with npm)");
        return Ok(());
    }
    say("wire contracts: lint");
    shell::run(buf().args(["lint", "proto"]))?;
    match base()? {
        Some(base) => breaking(&base),
        None => {
            say("skipped: compatibility of proto/ (no earlier commit to compare with)");
            Ok(())
        }
    }
}

fn buf() -> Command {
    let mut command = shell::command("npx");
    command.args(["--yes", BUF]);
    command
}

fn git() -> Command {
    shell::command("git")
}

/// The commit to compare with: `FLINTWHEEL_PROTO_BASE`; else the last one where `proto/` differs from its committed state; else where this
/// branch left `origin/main`; on main itself, the commit before. `None` where that commit has no `proto/`.
fn base() -> Result<Option<String>> {
    let base = match std::env::var("FLINTWHEEL_PROTO_BASE") {
        Ok(base) if !base.is_empty() => base,
        _ => find_base(),
    };
    Ok(shell::succeeds(git().args(["cat-file", "-e", &format!("{base}:proto")])).then_some(base))
}

fn find_base() -> String {
    if !shell::succeeds(git().args(["diff", "--quiet", "HEAD", "--", "proto"])) {
        return "HEAD".to_owned();
    }
    let read = |args: &[&str]| shell::read(git().args(args)).map(|text| text.trim().to_owned()).ok();
    let head = read(&["rev-parse", "HEAD"]);
    read(&["merge-base", "HEAD", "origin/main"])
        .filter(|base| Some(base) != head.as_ref())
        .unwrap_or_else(|| "HEAD^".to_owned())
}

fn breaking(base: &str) -> Result<()> {
    say(&format!("wire contracts: compatible with {base}"));
    let dir = std::env::temp_dir().join(format!("flintwheel-proto-{}", std::process::id()));
    let result = extract(base, &dir).and_then(|old| {
        let mut command = buf();
        shell::run(command.args(["breaking", "proto", "--against"]).arg(old))
    });
    let _ = fs::remove_dir_all(&dir);
    result
}

/// `proto/` as it was in that commit. By way of an archive: buf's own reading of git needs more of a repository than CI may have.
fn extract(base: &str, dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
    let mut archive = git();
    archive.args(["archive", "--format=tar", base, "proto"]).current_dir(place::checkout()).stdout(Stdio::piped());
    let mut archive = archive.spawn().map_err(|error| format!("can't start git: {error}"))?;
    let Some(tar) = archive.stdout.take() else { return Err("git archive has no output".to_owned()) };
    let unpacked = shell::run(shell::command("tar").arg("-x").arg("-C").arg(dir).stdin(tar));
    let archived = archive.wait().map_err(|error| format!("git archive: {error}"))?;
    unpacked?;
    if archived.success() {
        Ok(dir.join("proto"))
    } else {
        Err(format!("git archive {base} proto ended with {archived}"))
    }
}
