//! Reads a backup: its manifest, and each shard's rows block by block, with all that can be checked.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use flintwheel_shard::rows::{Row, decode_all};
use xxhash_rust::xxh3::Xxh3;

use crate::block::{BLOCK_HEAD, BlockHead, HEAD, Head};
use crate::error::BackupError;
use crate::manifest::{FORMAT, MANIFEST, Manifest, ShardFile, checksum};
use crate::place::Place;

/// Read at once: of every shard's file one is held while a backup is restored.
const WINDOW: usize = 1 << 20;
/// Of a manifest; one has about 250 bytes a shard.
const MANIFEST_BYTES: u64 = 64 << 20;

/// A backup that is there.
pub struct Backup {
    place: Place,
    manifest: Manifest,
}

/// What was read, and found as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Backup {
    /// Reads the manifest, and looks whether all files are there, with their lengths.
    pub async fn open(place: Place) -> Result<Self, BackupError> {
        let Some(bytes) = place.read_all(MANIFEST, MANIFEST_BYTES).await? else {
            place.check().await?;
            let why = format!("there is no {MANIFEST}; one that was not finished has none");
            return Err(BackupError::Missing { place: place.to_string(), why });
        };
        let manifest = Manifest::decode(&place.to_string(), &bytes)?;
        for (shard, entry) in (0..).zip(&manifest.shards) {
            let file = format!("{place}/{}", entry.file);
            if entry.file != Manifest::file_name(shard) {
                return Err(BackupError::damaged(&file, format!("it stands for shard {shard}")));
            }
            match place.size(&entry.file).await? {
                None => return Err(BackupError::damaged(&file, "it is missing")),
                Some(size) if size != entry.bytes => {
                    let why = format!("it has {size} bytes, and the manifest says {}", entry.bytes);
                    return Err(BackupError::damaged(&file, why));
                }
                Some(_) => {}
            }
        }
        Ok(Self { place, manifest })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What it holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads a shard's rows, from the first one on.
    pub async fn shard(&self, shard: u32) -> Result<ShardReader<'_>, BackupError> {
        let entry = self.manifest.shards.get(shard as usize);
        let entry = entry.ok_or_else(|| BackupError::damaged(MANIFEST, format!("it names no shard {shard}")))?;
        let mut reader = ShardReader {
            backup: self,
            entry,
            ready: BytesMut::new(),
            fetched: 0,
            hash: Xxh3::new(),
            blocks: 0,
            rows: 0,
            queue: VecDeque::new(),
            ended: false,
        };
        reader.head(shard).await?;
        Ok(reader)
    }

    /// Reads all of a shard's file and compares it with the manifest. `read` is told of bytes as they come.
    pub async fn verify(&self, shard: u32, read: &mut (dyn FnMut(u64) + Send)) -> Result<Verified, BackupError> {
        let mut reader = self.shard(shard).await?;
        let mut told = 0;
        while reader.next_block().await? {
            reader.queue.clear();
            read(reader.fetched - told);
            told = reader.fetched;
        }
        read(reader.fetched - told);
        Ok(Verified { rows: reader.rows, bytes: reader.fetched })
    }
}

/// One shard's rows.
pub struct ShardReader<'a> {
    backup: &'a Backup,
    entry: &'a ShardFile,
    /// Fetched and not looked at.
    ready: BytesMut,
    fetched: u64,
    hash: Xxh3,
    blocks: u64,
    rows: u64,
    queue: VecDeque<Row>,
    ended: bool,
}

impl ShardReader<'_> {
    /// The next row, which stays the next one.
    pub async fn peek(&mut self) -> Result<Option<&Row>, BackupError> {
        while self.queue.is_empty() && self.next_block().await? {}
        Ok(self.queue.front())
    }

    /// The next row; none after the last.
    pub async fn next(&mut self) -> Result<Option<Row>, BackupError> {
        self.peek().await?;
        Ok(self.queue.pop_front())
    }

    async fn head(&mut self, shard: u32) -> Result<(), BackupError> {
        let bytes = self.take(HEAD).await?;
        let bytes: &[u8; HEAD] = bytes[..].try_into().map_err(|_| self.damaged("it ends in its head"))?;
        let head = Head::decode(bytes).map_err(|why| self.damaged(why))?;
        if head.format != FORMAT {
            let place = self.file();
            return Err(BackupError::Format { place, found: head.format.into(), known: FORMAT.into() });
        }
        if head.backup != self.backup.manifest.backup_id.into_bytes() {
            return Err(self.damaged("it is of another backup"));
        }
        if head.shard != shard {
            return Err(self.damaged(format!("it is of shard {}", head.shard)));
        }
        Ok(())
    }

    /// Reads one block into the queue; says whether there was one.
    async fn next_block(&mut self) -> Result<bool, BackupError> {
        if self.ended {
            return Ok(false);
        }
        let head = self.take(BLOCK_HEAD).await?;
        let head: &[u8; BLOCK_HEAD] = head[..].try_into().map_err(|_| self.damaged("it ends in a block"))?;
        let head = BlockHead::decode(head).map_err(|why| self.damaged(why))?;
        let stored = self.take(head.stored as usize).await?;
        let plain = head.open(self.blocks, &stored).map_err(|why| self.damaged(why))?;
        self.blocks += 1;
        if head.is_end() {
            self.ended = true;
            return self.check_end().map(|()| false);
        }
        let rows = decode_all(&plain).map_err(|e| self.damaged(e.to_string()))?;
        if rows.len() != head.rows as usize {
            let why = format!("block {} has {} rows, and says {}", self.blocks - 1, rows.len(), head.rows);
            return Err(self.damaged(why));
        }
        self.rows += rows.len() as u64;
        self.queue.extend(rows);
        Ok(true)
    }

    fn check_end(&self) -> Result<(), BackupError> {
        if self.fetched != self.entry.bytes || !self.ready.is_empty() {
            return Err(self.damaged("it goes on after its end"));
        }
        if self.rows != self.entry.rows {
            return Err(self.damaged(format!("it has {} rows, and the manifest says {}", self.rows, self.entry.rows)));
        }
        let found = checksum(self.hash.digest128());
        if found != self.entry.checksum {
            let expected = &self.entry.checksum;
            return Err(self.damaged(format!("its checksum is {found}, and the manifest says {expected}")));
        }
        Ok(())
    }

    /// So many bytes more.
    async fn take(&mut self, bytes: usize) -> Result<Bytes, BackupError> {
        while self.ready.len() < bytes {
            let left = self.entry.bytes - self.fetched;
            let length = ((bytes - self.ready.len()).max(WINDOW) as u64).min(left);
            if length == 0 {
                return Err(self.damaged("it ends before its last block"));
            }
            let read = self.backup.place.read(&self.entry.file, self.fetched, length).await?;
            self.hash.update(&read);
            self.fetched += read.len() as u64;
            self.ready.extend_from_slice(&read);
        }
        Ok(self.ready.split_to(bytes).freeze())
    }

    fn file(&self) -> String {
        format!("{}/{}", self.backup.place, self.entry.file)
    }

    fn damaged(&self, why: impl Into<String>) -> BackupError {
        BackupError::damaged(&self.file(), why)
    }
}
