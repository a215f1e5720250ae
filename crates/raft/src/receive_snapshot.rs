//! Receiving a snapshot: pieces gather in a directory of their own; only when all are there and checked does the directory get the name
//! under which it is installed. What has that name is installed at the next start too, so a crash on the way is harmless.
//!
//! Knows the files, not what is in them.

use crate::codec::{DecodeError, sealed, unsealed};
use crate::message::{Offer, take_offer};
use crate::snapshot::remove;
use flintwheel_store::{ExportedFile, free_space, verify};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a snapshot gathers, and where it waits to be installed, below the node's directory of snapshots.
const GATHERING: &str = "in";
const STAGED: &str = "install";
/// The file with the offer, beside the snapshot's own files.
const OFFER: &str = "offer";
/// The kind of the value in it.
const OFFER_FILE: u8 = 64;
/// Bytes of disk that stay free: what the node needs to go on with what it has.
const RESERVE: u64 = 256 << 20;

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("{0}")]
    Disk(#[from] io::Error),
    #[error("the file name {0:?} is not one of a snapshot")]
    Name(String),
    #[error("the snapshot has {bytes} bytes, the disk has room for {room}: make room, or move shards away")]
    NoRoom { bytes: u64, room: u64 },
    #[error("no snapshot {0:016x} is being received: offer it again")]
    Unknown(u64),
    #[error(
        "a piece at {offset} of {length} bytes does not fit file {file}, of which {have} bytes of {bytes} are there"
    )]
    Piece { file: u32, offset: u64, length: u64, have: u64, bytes: u64 },
    #[error("the snapshot's file {name} is not what was offered: {reason}")]
    Damaged { name: String, reason: String },
    #[error("what was offered can't be read: {0}")]
    Offer(#[from] DecodeError),
}

/// A complete, checked snapshot of one group, under the name that makes it be installed.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) dir: PathBuf,
    pub(crate) offer: Offer,
}

/// What a node receives.
pub(crate) struct Incoming {
    root: PathBuf,
    groups: parking_lot::Mutex<HashMap<u32, Arc<parking_lot::Mutex<Option<Gathering>>>>>,
}

/// A snapshot that is coming in.
struct Gathering {
    id: u64,
    dir: PathBuf,
    offer: Offer,
    /// Bytes written of each file.
    have: Vec<u64>,
}

impl Incoming {
    /// Blocks, as all of this.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(root.join(GATHERING))?;
        fs::create_dir_all(root.join(STAGED))?;
        Ok(Self { root, groups: parking_lot::Mutex::default() })
    }

    /// A snapshot is about to come. Returns its id and how much of each file is there already.
    pub(crate) fn offer(&self, group: u32, offer: Offer) -> Result<(u64, Vec<u64>), ReceiveError> {
        check_names(&offer.files)?;
        let (id, slot) = (offer.id(group), self.slot(group));
        let mut slot = slot.lock();
        let there = slot.take().or_else(|| self.find(group)).filter(|there| there.id == id);
        let gathering = match there {
            Some(there) => there,
            None => self.begin(group, id, offer)?,
        };
        let have = gathering.have.clone();
        *slot = Some(gathering);
        Ok((id, have))
    }

    /// Writes a piece. Pieces of a file come in order.
    pub(crate) fn piece(&self, group: u32, id: u64, file: u32, offset: u64, bytes: &[u8]) -> Result<(), ReceiveError> {
        let slot = self.slot(group);
        let mut slot = slot.lock();
        let gathering = slot.as_mut().filter(|there| there.id == id).ok_or(ReceiveError::Unknown(id))?;
        let wanted = gathering.offer.files.get(file as usize).zip(gathering.have.get_mut(file as usize));
        let Some((wanted, have)) = wanted else { return Err(ReceiveError::Unknown(id)) };
        let length = bytes.len() as u64;
        if offset != *have || length > wanted.bytes - *have {
            return Err(ReceiveError::Piece { file, offset, length, have: *have, bytes: wanted.bytes });
        }
        let path = gathering.dir.join(&wanted.name);
        File::options().create(true).append(true).open(path)?.write_all(bytes)?;
        *have += length;
        Ok(())
    }

    /// All has come: checks it, and returns it for [`Staged::stage`]. What is not as offered is thrown away.
    pub(crate) fn complete(&self, group: u32, id: u64) -> Result<Staged, ReceiveError> {
        let slot = self.slot(group);
        let mut slot = slot.lock();
        let gathering = slot.take().filter(|there| there.id == id).ok_or(ReceiveError::Unknown(id))?;
        for file in &gathering.offer.files {
            let path = gathering.dir.join(&file.name);
            let checked = File::open(&path).and_then(|file| file.sync_all()).map_err(|error| error.to_string());
            let checked = checked.and_then(|()| verify(&gathering.dir, file).map_err(|error| error.to_string()));
            if let Err(reason) = checked {
                remove(&gathering.dir);
                return Err(ReceiveError::Damaged { name: file.name.clone(), reason });
            }
        }
        File::open(&gathering.dir)?.sync_all()?;
        Ok(Staged { dir: gathering.dir, offer: gathering.offer })
    }

    /// The snapshot of a group that was to be installed when the process ended.
    pub(crate) fn staged(&self, group: u32) -> Result<Option<Staged>, ReceiveError> {
        let dir = self.root.join(STAGED).join(group.to_string());
        match fs::read(dir.join(OFFER)) {
            Ok(bytes) => Ok(Some(Staged { dir, offer: decode(group, &bytes)? })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a complete snapshot the name under which it is installed: from here on a crash does not take it back.
    pub(crate) fn stage(&self, group: u32, complete: Staged) -> io::Result<Staged> {
        let parent = self.root.join(STAGED);
        let dir = parent.join(group.to_string());
        if complete.dir != dir {
            remove(&dir);
            fs::rename(&complete.dir, &dir)?;
            File::open(&parent)?.sync_all()?;
        }
        Ok(Staged { dir, offer: complete.offer })
    }

    /// It is installed, and the log goes on from it: the files are not needed any more.
    pub(crate) fn installed(&self, staged: &Staged) -> io::Result<()> {
        // The offer first: without it the directory is nothing to install.
        fs::remove_file(staged.dir.join(OFFER))?;
        File::open(&staged.dir)?.sync_all()?;
        remove(&staged.dir);
        Ok(())
    }

    /// The group's replica has left: what came in for it is of no use.
    pub(crate) fn forget(&self, group: u32) {
        let slot = self.slot(group);
        let mut slot = slot.lock();
        *slot = None;
        [GATHERING, STAGED].iter().for_each(|place| remove(&self.root.join(place).join(group.to_string())));
    }

    fn slot(&self, group: u32) -> Arc<parking_lot::Mutex<Option<Gathering>>> {
        self.groups.lock().entry(group).or_default().clone()
    }

    /// What an earlier process has received of a group's snapshot.
    fn find(&self, group: u32) -> Option<Gathering> {
        let dir = self.root.join(GATHERING).join(group.to_string());
        let offer = decode(group, &fs::read(dir.join(OFFER)).ok()?).ok()?;
        let length = |file: &ExportedFile| fs::metadata(dir.join(&file.name)).map_or(0, |data| data.len());
        let have: Vec<u64> = offer.files.iter().map(length).collect();
        let fits = offer.files.iter().zip(&have).all(|(file, have)| *have <= file.bytes);
        fits.then(|| Gathering { id: offer.id(group), dir, offer, have })
    }

    fn begin(&self, group: u32, id: u64, offer: Offer) -> Result<Gathering, ReceiveError> {
        let dir = self.root.join(GATHERING).join(group.to_string());
        remove(&dir);
        let bytes = offer.files.iter().fold(0_u64, |sum, file| sum.saturating_add(file.bytes));
        // Twice: what was received stays until it is installed.
        let room = free_space(&self.root)?.available.saturating_sub(RESERVE) / 2;
        if bytes > room {
            return Err(ReceiveError::NoRoom { bytes, room });
        }
        fs::create_dir_all(&dir)?;
        let file = File::create(dir.join(OFFER))?;
        file.write_all_at(&encode(group, &offer), 0)?;
        file.sync_all()?;
        let have = vec![0; offer.files.len()];
        Ok(Gathering { id, dir, offer, have })
    }
}

fn check_names(files: &[ExportedFile]) -> Result<(), ReceiveError> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c);
    for (number, file) in files.iter().enumerate() {
        let plain = file.name.ends_with(".sst") && !file.name.starts_with('.') && file.name.bytes().all(allowed);
        if !plain || files[..number].iter().any(|other| other.name == file.name) {
            return Err(ReceiveError::Name(file.name.clone()));
        }
    }
    Ok(())
}

fn encode(group: u32, offer: &Offer) -> Vec<u8> {
    let mut into = Vec::new();
    sealed(&mut into, group.into(), OFFER_FILE, |into| offer.put(into));
    into
}

fn decode(group: u32, bytes: &[u8]) -> Result<Offer, DecodeError> {
    match unsealed(group.into(), bytes)? {
        (OFFER_FILE, mut body) => take_offer(&mut body),
        _ => Err(DecodeError::Malformed),
    }
}

impl Staged {
    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}
