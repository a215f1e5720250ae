//! The last copy of the meta group's state, in a file: so that a node without a replica of it finds the others after a restart.
//!
//! It may be old, and is never more than a hint: nothing is removed because of it. A damaged one is put aside with a warning.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use flintwheel_cluster::Meta;
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};
use xxhash_rust::xxh3::xxh3_64;

use super::Placement;
use crate::peers::Directory;

const NAME: &str = "directory";
/// Where it is written before it gets its name.
const TEMPORARY: &str = "directory.new";
/// Of the file's form; the first byte.
const VERSION: u8 = 1;
/// Of the checksum, at the end.
const SUM: usize = 8;

/// Gives a directory what the file in a data directory says, if there is one.
pub fn load(dir: &Path, directory: &Directory) {
    let path = dir.join(NAME);
    let found = match fs::read(&path) {
        Ok(bytes) => decode(&bytes).map_err(|e| e.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => Err(error.to_string()),
    };
    match found {
        Ok((version, meta)) => directory.set(version, meta),
        Err(why) => tracing::warn!(path = %path.display(), why, "the list of nodes is not readable and is ignored"),
    }
}

/// After a crash there is the old file or the new one.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

fn encode(version: u64, meta: &Meta) -> Vec<u8> {
    let mut e = Encoder::default();
    e.u8(VERSION);
    e.u64(version);
    e.bytes(&meta.to_bytes());
    let mut bytes = e.finish();
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<(u64, Meta), DecodeError> {
    let (body, sum) = bytes.split_at(bytes.len().saturating_sub(SUM));
    let mut d = Decoder::new(body);
    match d.u8()? {
        VERSION => {}
        other => return Err(DecodeError(format!("form {other} is not known ({VERSION} is)"))),
    }
    if sum != xxh3_64(body).to_le_bytes() {
        return Err(DecodeError("its checksum does not fit".to_owned()));
    }
    let version = d.u64()?;
    let meta = Meta::from_bytes(d.bytes()?)?;
    d.end()?;
    Ok((version, meta))
}

impl Placement {
    /// Writes the directory down when it has changed.
    pub(super) async fn save(&self) {
        let mut changed = self.peers.directory().watch();
        // Also what came before this was called.
        changed.mark_changed();
        while changed.changed().await.is_ok() {
            let version = self.peers.directory().version();
            if version > 0 {
                let (bytes, dir) = (encode(version, &self.peers.directory().meta()), self.dir.clone());
                let written = tokio::task::spawn_blocking(move || write(&dir, &bytes)).await;
                if let Err(error) = written.map_err(io::Error::other).flatten() {
                    tracing::warn!(%error, "the list of nodes was not written to the data directory");
                }
            }
            tokio::time::sleep(self.pace.save).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Form, version of the copy, its length, the copy of an empty group, the checksum.
    const GOLDEN: &str =
        "0107000000000000001f00000001010000000100000063110000000100000000000000800100000000000000f63e6f752b927fef";

    #[test]
    fn what_is_written_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::default();
        load(root.path(), &directory);
        assert_eq!(directory.version(), 0, "there is no file yet");
        write(root.path(), &encode(7, &Meta::default())).unwrap();
        write(root.path(), &encode(9, &Meta::default())).unwrap();
        load(root.path(), &directory);
        assert_eq!(directory.version(), 9);
    }

    #[test]
    fn the_file_has_these_bytes() {
        let bytes: String = encode(7, &Meta::default()).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, GOLDEN, "a new form gets a new first byte, and the old one is still read");
    }

    #[test]
    fn a_damaged_file_is_ignored() {
        let root = tempfile::tempdir().unwrap();
        let whole = encode(7, &Meta::default());
        let damaged = (0..whole.len()).flat_map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            [flipped, whole[..at].to_vec()]
        });
        for bytes in damaged {
            let directory = Directory::default();
            fs::write(root.path().join(NAME), &bytes).unwrap();
            load(root.path(), &directory);
            assert_eq!(directory.version(), 0, "{bytes:?}");
        }
    }
}
