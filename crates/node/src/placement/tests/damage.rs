//! Replicas that are damaged are made anew by themselves, where their shards can do without them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flintwheel_cluster::META;

use super::nodes::{SHARDS, World};

/// Files with tables of a node's state.
fn tables(root: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(root.join("state")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect()
}

/// A byte in the first block of each: what each group has applied stands in one of them.
fn flip(root: &Path) {
    for table in tables(root) {
        let file = File::options().read(true).write(true).open(table).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 8).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 8).unwrap();
    }
}

fn empty(root: &Path) {
    tables(root).iter().for_each(|table| File::options().write(true).open(table).unwrap().set_len(0).unwrap());
}

fn delete(root: &Path) {
    tables(root).iter().for_each(|table| fs::remove_file(table).unwrap());
}

fn forget_files(root: &Path) {
    fs::remove_file(root.join("state").join("CURRENT")).unwrap();
}

/// The end of the log, and with it perhaps any vote.
fn forget_votes(root: &Path) {
    let files = fs::read_dir(root.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let newest = files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap();
    File::options().write(true).open(newest).unwrap().set_len(100).unwrap();
}

fn all() -> Vec<u32> {
    (0..SHARDS).chain([META]).collect()
}

/// Its part in each group is what the others' is: it has what they have, and votes.
async fn restored(world: &mut World, node: u64) {
    world.mended(node).await;
    let applied = |world: &World, id: u64, shard: u32| {
        let node = &world.nodes[&id];
        if shard == META { node.meta.group(META).status().applied } else { node.shards.group(shard).status().applied }
    };
    world
        .until("it has all that the others have", |world| {
            all().into_iter().all(|shard| {
                let has: Vec<_> = world.nodes.keys().map(|id| applied(world, *id, shard)).collect();
                has.windows(2).all(|pair| pair[0] == pair[1])
            })
        })
        .await;
    let metas: Vec<_> =
        world.nodes.values().map(|node| node.meta.group(META).read(|meta, _| meta.clone()).unwrap()).collect();
    assert!(metas.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_replicas_are_made_anew_from_their_peers_and_vote_again() {
    for harm in [flip as fn(&Path), empty, delete, forget_files, forget_votes] {
        let mut world = World::of(3).await;
        world.stop(3).await;
        harm(world.root(3));
        world.start(3).await;
        // One that was still in the log from its beginning is no worse for it.
        world.until("it is found", |world| !world.damaged(3).is_empty() || world.is_whole(3)).await;
        restored(&mut world, 3).await;
        // They vote: another one may go.
        world.isolate(1);
        world
            .until("all are led", |world| {
                let led = [2, 3].map(|id| world.leads(id));
                all().iter().all(|shard| led.iter().any(|led| led.contains(shard)))
            })
            .await;
        world.heal();
        // And a restart finds nothing any more.
        world.settled().await;
        world.stop(3).await;
        world.start(3).await;
        assert!(world.damaged(3).is_empty());
        world.settled().await;
        world.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_replica_that_its_shard_can_not_do_without_stays_as_it_is() {
    let mut world = World::of(2).await;
    world.stop(2).await;
    flip(world.root(2));
    world.start(2).await;
    let damaged = world.damaged(2);
    assert!(!damaged.is_empty());
    let held = world.nodes[&2].held();
    // Nothing is to happen: some rounds pass.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((world.damaged(2), world.nodes[&2].held()), (damaged, held));
    world.close().await;
}
