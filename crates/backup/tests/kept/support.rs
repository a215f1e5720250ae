//! Rows of small shards, and a backup of them.

use std::path::Path;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_backup::{Access, Backup, BackupError, Instant, Manifest, Place, ShardWriter};
use flintwheel_model::DefinitionKey;
use flintwheel_shard::occurrence::{End, Key, Record};
use flintwheel_shard::records::Version;
use flintwheel_shard::rows::{ChunkRow, CursorRow, Occurred, RetiredRow, Row, SeenRow, VersionRow, encode_all};
use flintwheel_shard::slots::Slot;
use uuid::Uuid;

pub const BACKUP: Uuid = Uuid::from_bytes([7; 16]);

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

pub fn place(path: &Path) -> Place {
    Place::parse(&path.display().to_string(), Access::default()).expect("a path")
}

/// Definition `d{n}` of each of `count`, in the shard of its name; numbers count up in each shard.
pub fn shards(shards: u32, count: u32) -> Vec<Vec<Row>> {
    let mut all: Vec<Vec<String>> = vec![Vec::new(); shards as usize];
    for n in 0..count {
        let id = format!("d{n}");
        all[DefinitionKey::new("ns", &id).shard(shards) as usize].push(id);
    }
    all.into_iter().map(|ids| rows(&ids)).collect()
}

/// Of each definition: a version, a cursor, a key that was seen, an occurrence; and one version of a definition that was deleted.
fn rows(ids: &[String]) -> Vec<Row> {
    let numbered = || (0_u64..).zip(ids);
    let version = |(number, id): (u64, &String)| {
        let value = Version {
            namespace: "ns".into(),
            id: id.clone(),
            incarnation: number,
            created: 1,
            updated: 2,
            event_types: vec![],
            document: format!("{{\"id\":\"{id}\"}}").into(),
        };
        Row::Version(VersionRow { number, version: 1, value })
    };
    let cursor = |(number, id): (u64, &String)| {
        let mut slot = Slot::new(0);
        (slot.generation, slot.version) = (1, 1);
        let (namespace, id) = ("ns".into(), id.clone());
        Row::Cursor(CursorRow { number, namespace, id, slot, origin: None, subscriptions: vec![], pause: None })
    };
    let seen = |(number, _): (u64, &String)| {
        Row::Seen(SeenRow { class: 0, at: 1, digest: [number as u8; 16], more: Bytes::new() })
    };
    let retired = |(number, _): (u64, &String)| Row::Retired(RetiredRow { hour: 1, number, version: 1 });
    let mut rows: Vec<Row> = numbered().map(version).collect();
    // The last one was deleted.
    let living = ids.len().saturating_sub(1);
    rows.extend(numbered().take(living).map(cursor));
    rows.extend(numbered().skip(living).map(retired));
    rows.extend(numbered().map(seen));
    rows.extend(chunks(ids.len() as u64));
    rows
}

/// One that waits, of all definitions, each with a payload that it shares with the next one.
fn chunks(definitions: u64) -> Option<Row> {
    let occurred = |number: u64| {
        let key = if number.is_multiple_of(2) {
            Key::Event(format!("k{number}"))
        } else {
            Key::Time { nominal: 100, due: 100 + number as i64, count: 1 }
        };
        let what = Record { number, version: 1, previous: 0, key, skip: None };
        Occurred { what, end: End::Pending, payload: Some(number as u32 / 2), dead: false }
    };
    let blobs = (0..definitions.div_ceil(2)).map(|n| vec![n as u8].into()).collect();
    let occurrences: Vec<Occurred> = (0..definitions).map(occurred).collect();
    (definitions > 0).then(|| Row::Chunk(ChunkRow { at: 50, namespace: "ns".into(), blobs, occurrences }))
}

/// Writes a backup of these shards.
pub async fn write(to: &Place, shards: &[Vec<Row>]) -> Result<Manifest, BackupError> {
    let new = to.claim().await?;
    let mut files = Vec::new();
    let mut definitions = 0;
    for (shard, rows) in (0..).zip(shards) {
        let mut writer = ShardWriter::begin(&new, BACKUP, shard).await?;
        for page in rows.chunks(3) {
            writer.rows(&encode_all(page), page.len() as u32).await?;
        }
        let instant = Instant { applied: 5, clock: time("2026-11-27T09:00:00Z"), fired_through: None };
        let (file, found) = writer.finish(instant).await?;
        files.push(file);
        definitions += found;
    }
    let manifest = Manifest {
        backup_id: BACKUP,
        cluster_id: "c".into(),
        program: "0.1.0".into(),
        started_at: time("2026-11-27T09:00:00Z"),
        finished_at: time("2026-11-27T09:00:01Z"),
        workflow_id_prefix: "flintwheel".into(),
        definitions,
        shards: files,
    };
    new.finish(&manifest.encode()?).await?;
    Ok(manifest)
}

/// Opens and verifies all of it.
pub async fn verify(place: Place) -> Result<u64, BackupError> {
    let backup = Backup::open(place).await?;
    let mut rows = 0;
    for shard in 0..backup.manifest().shards.len() as u32 {
        rows += backup.verify(shard, &mut |_| {}).await?.rows;
    }
    Ok(rows)
}
