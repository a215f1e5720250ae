//! Backups in an object store, here one in memory: what is there at each moment, and what is left of one that is given up.

use std::sync::Arc;

use flintwheel_backup::{Backup, Instant, Place, ShardWriter};
use flintwheel_shard::rows::{Row, encode_all};
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::support::*;

/// A bucket, and a place below `p/q` in it.
fn bucket() -> (Arc<InMemory>, Place) {
    let store = Arc::new(InMemory::new());
    let place = Place::over(Arc::clone(&store) as Arc<dyn ObjectStore>, "s3://b/p/q", "p/q").expect("a prefix");
    (store, place)
}

async fn keys(store: &InMemory) -> Vec<String> {
    let mut keys: Vec<String> =
        store.list(None).map_ok(|object| object.location.to_string()).try_collect().await.expect("listed");
    keys.sort();
    keys
}

async fn put(store: &InMemory, key: &str) {
    store.put(&Path::from(key), "mine".into()).await.expect("written");
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let (store, place) = bucket();
    put(&store, "p/qq").await;
    let shards = shards(2, 20);
    let manifest = write(&place, &shards).await.expect("written");
    assert_eq!(keys(&store).await, ["p/q/manifest.json", "p/q/shard-00000.rows", "p/q/shard-00001.rows", "p/qq"]);
    assert_eq!(verify(place.clone()).await.expect("sound"), manifest.rows());
    let backup = Backup::open(place).await.expect("there");
    let mut reader = backup.shard(1).await.expect("there");
    let mut found = Vec::new();
    while let Some(row) = reader.next().await.expect("sound") {
        found.push(row);
    }
    assert_eq!(found, shards[1]);
}

/// Rows that don't shrink, of more bytes than a part has.
fn large() -> Vec<Row> {
    let mut rows = shards(1, 2).remove(0);
    let Some(Row::Chunk(chunk)) = rows.last_mut() else { panic!("the chunk is last") };
    let mut state = 7_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    chunk.blobs[0] = (0..2_200_000).flat_map(|_| noise()).collect::<Vec<u8>>().into();
    rows
}

#[tokio::test]
async fn a_file_of_more_than_a_part_is_there_when_all_of_it_is() {
    let (store, place) = bucket();
    let new = place.claim().await.expect("empty");
    let mut writer = ShardWriter::begin(&new, BACKUP, 0).await.expect("begun");
    let rows = large();
    writer.rows(&encode_all(&rows), rows.len() as u32).await.expect("taken");
    assert_eq!(keys(&store).await, ["p/q/unfinished"], "no part of a file is one");
    let instant = Instant { applied: 5, clock: time("2026-11-27T09:00:00Z"), fired_through: None };
    let (file, _) = writer.finish(instant).await.expect("written");
    let object = store.head(&Path::from("p/q/shard-00000.rows")).await.expect("there");
    assert_eq!(object.size, file.bytes);
    assert!(file.bytes > 16 << 20, "{}", file.bytes);
    new.discard().await.expect("removed");
    assert_eq!(keys(&store).await, Vec::<String>::new());
    write(&place, &[rows]).await.expect("the place is free again");
    verify(place).await.expect("sound");
}

#[tokio::test]
async fn a_file_that_is_begun_anew_holds_nothing_of_the_first_try() {
    let (store, place) = bucket();
    let new = place.claim().await.expect("empty");
    let rows = large();
    let mut broken = ShardWriter::begin(&new, BACKUP, 0).await.expect("begun");
    broken.rows(&encode_all(&rows), rows.len() as u32).await.expect("taken");
    drop(broken);
    let mut writer = ShardWriter::begin(&new, BACKUP, 0).await.expect("begun anew");
    let few = shards(1, 3).remove(0);
    writer.rows(&encode_all(&few), few.len() as u32).await.expect("taken");
    let instant = Instant { applied: 5, clock: time("2026-11-27T09:00:00Z"), fired_through: None };
    let (file, _) = writer.finish(instant).await.expect("written");
    let object = store.head(&Path::from("p/q/shard-00000.rows")).await.expect("there");
    assert_eq!((object.size, file.rows), (file.bytes, few.len() as u64));
}

#[tokio::test]
async fn a_place_that_is_taken_is_refused_and_stays_as_it_was() {
    let (store, place) = bucket();
    put(&store, "p/q/mine").await;
    let error = place.claim().await.err().expect("taken").to_string();
    assert!(error.contains("s3://b/p/q is not empty: there is mine; name a prefix"), "{error}");
    store.delete(&Path::from("p/q/mine")).await.expect("removed");
    let first = place.claim().await.expect("empty");
    let error = place.claim().await.err().expect("taken").to_string();
    assert!(error.contains("s3://b/p/q holds a backup that is being written, or was not finished"), "{error}");
    drop(ShardWriter::begin(&first, BACKUP, 0).await.expect("begun"));
    let error = Backup::open(place.clone()).await.err().expect("no backup").to_string();
    assert!(error.contains("s3://b/p/q holds no backup: there is no manifest.json"), "{error}");
    first.discard().await.expect("removed");
    write(&place, &shards(1, 1)).await.expect("free again");
    let error = place.claim().await.err().expect("taken").to_string();
    assert!(error.contains("is not empty: there is manifest.json"), "{error}");
}

#[tokio::test]
async fn what_is_missing_or_cut_is_told_with_its_url() {
    let (store, place) = bucket();
    write(&place, &shards(2, 20)).await.expect("written");
    let key = Path::from("p/q/shard-00001.rows");
    let all = store.get(&key).await.expect("there").bytes().await.expect("read");
    store.put(&key, all.slice(..all.len() - 1).into()).await.expect("written");
    let error = verify(place.clone()).await.expect_err("cut").to_string();
    assert!(error.contains("s3://b/p/q/shard-00001.rows is damaged: it has "), "{error}");
    store.delete(&key).await.expect("removed");
    let error = verify(place).await.expect_err("missing").to_string();
    assert!(error.contains("s3://b/p/q/shard-00001.rows is damaged: it is missing"), "{error}");
}
