//! Where things are: the checkout, the cache that all checkouts share, the programs that were built.

use std::env;
use std::path::{Path, PathBuf};

use crate::Result;

/// The root of this checkout.
pub fn checkout() -> PathBuf {
    // Cargo sets it when it runs us; the compiled-in value may be that of a checkout which was moved.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map(Path::to_owned).unwrap_or(manifest)
}

/// `$XDG_CACHE_HOME/flintwheel`, or `~/.cache/flintwheel`.
pub fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => home()?.join(".cache"),
    };
    Ok(base.join("flintwheel"))
}

/// The user's home.
pub fn home() -> Result<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or_else(|| "HOME is not set".to_owned())
}

/// A program of this workspace, as the last build left it.
pub fn program(name: &str) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    checkout().join(target.unwrap_or_else(|| PathBuf::from("target"))).join("debug").join(name)
}
