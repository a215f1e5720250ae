//! Where a backup may be written, and what is left of one that is given up.

use std::fs;
use std::path::Path;

use flintwheel_backup::{Access, Backup, Place, ShardWriter};

use crate::support::*;

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("read").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_written_is_read_back() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("new");
    let shards = shards(3, 20);
    let manifest = write(&place(&path), &shards).await.expect("written");
    assert_eq!(names(&path), ["manifest.json", "shard-00000.rows", "shard-00001.rows", "shard-00002.rows"]);
    assert_eq!(manifest.definitions, 17, "three were deleted");
    assert_eq!(manifest.rows(), shards.iter().map(|rows| rows.len() as u64).sum::<u64>());
    assert_eq!(verify(place(&path)).await.expect("sound"), manifest.rows());
    let backup = Backup::open(place(&path)).await.expect("there");
    assert_eq!(*backup.manifest(), manifest);
    for (shard, rows) in (0..).zip(&shards) {
        let mut reader = backup.shard(shard).await.expect("there");
        let mut found = Vec::new();
        while let Some(row) = reader.next().await.expect("sound") {
            found.push(row);
        }
        assert_eq!(found, *rows);
    }
}

#[tokio::test]
async fn a_place_that_is_taken_is_refused_and_stays_as_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("file");
    fs::write(&file, "mine").expect("written");
    let full = root.path().join("full");
    fs::create_dir(&full).expect("made");
    fs::write(full.join("mine"), "mine").expect("written");
    let done = root.path().join("done");
    write(&place(&done), &shards(1, 1)).await.expect("written");
    let open = root.path().join("open");
    let _claimed = place(&open).claim().await.expect("empty");
    for (path, why) in [
        (&full, "is not empty: there is mine; name a directory that is empty, or that is not there yet"),
        (&done, "is not empty: there is "),
        (&open, "holds a backup that is being written, or was not finished"),
        (&file, "can't be read: "),
        (&root.path().join("a/b"), "can't be written: No such file or directory"),
    ] {
        let before = path.is_dir().then(|| names(path));
        let error = place(path).claim().await.err().expect(why).to_string();
        assert!(error.contains(why) && error.contains(&path.display().to_string()), "{error}");
        assert_eq!(path.is_dir().then(|| names(path)), before);
    }
    assert_eq!(fs::read_to_string(&file).expect("still there"), "mine");
}

#[tokio::test]
async fn one_that_is_given_up_leaves_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let (new, empty) = (root.path().join("new"), root.path().join("empty"));
    fs::create_dir(&empty).expect("made");
    for path in [&new, &empty] {
        let claimed = place(path).claim().await.expect("empty");
        let writer = ShardWriter::begin(&claimed, BACKUP, 0).await.expect("begun");
        drop(writer);
        assert_eq!(names(path), ["shard-00000.rows", "unfinished"]);
        claimed.discard().await.expect("removed");
    }
    assert!(!new.exists() && names(&empty).is_empty());
    write(&place(&empty), &shards(1, 1)).await.expect("an empty directory will do");
}

#[tokio::test]
async fn one_that_was_not_finished_is_no_backup() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("new");
    let claimed = place(&path).claim().await.expect("empty");
    drop(ShardWriter::begin(&claimed, BACKUP, 0).await.expect("begun"));
    for path in [&path, &root.path().join("nothing")] {
        let error = Backup::open(place(path)).await.err().expect("no backup").to_string();
        assert!(error.contains("holds no backup: there is no manifest.json"), "{error}");
    }
}

#[test]
fn names_of_places_are_taken_or_refused() {
    for (text, why) in [
        ("/a", None),
        ("a b", None),
        ("s3://bucket/a", None),
        ("", Some("is no name of a place")),
        ("x://y", Some("x://")),
    ] {
        match (Place::parse(text, Access::default()), why) {
            (Ok(place), None) => assert_eq!(place.to_string(), text),
            (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
            (other, _) => panic!("{text:?}: {other:?}"),
        }
    }
}
