//! Writes one shard's file.

use bytes::Bytes;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::block::{Head, encode_block};
use crate::error::BackupError;
use crate::manifest::{FORMAT, Instant, Manifest, ShardFile, checksum};
use crate::place::{New, Sink};

/// The kind of rows that count as definitions: those that are there.
const CURSOR: u8 = 2;

/// A shard's file on its way. One that is not finished is no part of a backup.
pub struct ShardWriter {
    file: String,
    sink: Sink,
    hash: Xxh3,
    bytes: u64,
    rows: u64,
    definitions: u64,
    blocks: u64,
}

impl ShardWriter {
    /// Begins the file, or begins it anew.
    pub async fn begin(new: &New, backup: Uuid, shard: u32) -> Result<Self, BackupError> {
        let file = Manifest::file_name(shard);
        let sink = new.file(&file).await?;
        let mut this = Self { file, sink, hash: Xxh3::new(), bytes: 0, rows: 0, definitions: 0, blocks: 0 };
        this.write(Head { format: FORMAT, backup: backup.into_bytes(), shard }.encode()).await?;
        Ok(this)
    }

    /// So many rows, each with its length before it.
    pub async fn rows(&mut self, rows: &[u8], count: u32) -> Result<(), BackupError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.rows += u64::from(count);
        self.definitions += kinds(rows).filter(|kind| *kind == CURSOR).count() as u64;
        self.block(rows, count).await
    }

    /// Ends the file; tells its entry in the manifest, and how many definitions are in it.
    pub async fn finish(mut self, instant: Instant) -> Result<(ShardFile, u64), BackupError> {
        self.block(&[], 0).await?;
        self.sink.finish().await?;
        let Self { file, hash, bytes, rows, definitions, .. } = self;
        Ok((ShardFile { file, bytes, checksum: checksum(hash.digest128()), rows, instant }, definitions))
    }

    async fn block(&mut self, rows: &[u8], count: u32) -> Result<(), BackupError> {
        let failed = |why| BackupError::Failed { file: self.file.clone(), action: "written", why };
        let block = encode_block(self.blocks, rows, count).map_err(failed)?;
        self.blocks += 1;
        self.write(block).await
    }

    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), BackupError> {
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.sink.write(Bytes::from(bytes)).await
    }
}

/// The first byte of each row.
fn kinds(mut rows: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (length, rest) = rows.split_first_chunk()?;
        let (row, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        rows = rest;
        row.first().copied()
    })
}
