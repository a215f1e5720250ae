//! Whatever happens to the files of a backup is found, with the name of the file.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::support::*;

fn flip(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

fn cut(path: &Path, by: u64) {
    let length = fs::metadata(path).expect("there").len();
    OpenOptions::new().write(true).open(path).expect("there").set_len(length - by).expect("cut");
}

/// What is done to the directory, and what is said of it.
type Case = (&'static str, fn(&Path), &'static [&'static str]);

const CASES: [Case; 11] = [
    (
        "a file is missing",
        |dir| fs::remove_file(dir.join("shard-00001.rows")).expect("removed"),
        &["shard-00001.rows is damaged: it is missing"],
    ),
    ("a file is cut", |dir| cut(&dir.join("shard-00001.rows"), 1), &["shard-00001.rows is damaged: it has "]),
    (
        "a file goes on",
        |dir| fs::write(dir.join("shard-00001.rows"), vec![0; 9999]).expect("written"),
        &["shard-00001.rows is damaged: it has 9999 bytes, and the manifest says "],
    ),
    (
        "a byte of rows is another one",
        |dir| flip(&dir.join("shard-00001.rows"), 70),
        &["shard-00001.rows is damaged: the checksum of block 0 does not match"],
    ),
    (
        "a byte of the head is another one",
        |dir| flip(&dir.join("shard-00001.rows"), 13),
        &["shard-00001.rows is damaged: it is of another backup"],
    ),
    (
        "the file is of another format",
        |dir| flip(&dir.join("shard-00001.rows"), 8),
        &["shard-00001.rows is a backup of format 17; this program reads format 1"],
    ),
    ("two files are exchanged", exchange, &["shard-00000.rows is damaged: it "]),
    (
        "the manifest is missing",
        |dir| fs::remove_file(dir.join("manifest.json")).expect("removed"),
        &["holds no backup: there is no manifest.json"],
    ),
    ("the manifest is cut", |dir| cut(&dir.join("manifest.json"), 30), &["manifest.json is damaged: EOF"]),
    (
        "a byte of the manifest is another one",
        |dir| spoil(dir, "2026-11-27T09:00:00Z", "2026-11-27T09:00:10Z"),
        &["manifest.json is damaged: its checksum does not match"],
    ),
    (
        "the manifest is of another format",
        |dir| spoil(dir, "\"format\": 1", "\"format\": 2"),
        &["is a backup of format 2; this program reads format 1: use the version that wrote it, or a newer one"],
    ),
];

fn exchange(dir: &Path) {
    let (one, other) = (dir.join("shard-00000.rows"), dir.join("shard-00001.rows"));
    fs::rename(&one, dir.join("x")).expect("moved");
    fs::rename(&other, &one).expect("moved");
    fs::rename(dir.join("x"), &other).expect("moved");
}

fn spoil(dir: &Path, from: &str, to: &str) {
    let path = dir.join("manifest.json");
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{from}");
    fs::write(&path, text.replacen(from, to, 1)).expect("written");
}

#[tokio::test]
async fn damage_is_found_and_told_with_the_file() {
    for (what, harm, said) in CASES {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("backup");
        write(&place(&path), &shards(2, 20)).await.expect("written");
        verify(place(&path)).await.expect("sound before");
        harm(&path);
        let error = verify(place(&path)).await.expect_err(what).to_string();
        for part in said {
            assert!(error.contains(part), "{what}: {error}");
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_in_any_byte_is_found() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("backup");
    write(&place(&path), &shards(1, 6)).await.expect("written");
    for file in ["shard-00000.rows", "manifest.json"] {
        let file = path.join(file);
        for at in 0..fs::metadata(&file).expect("there").len() {
            flip(&file, at);
            assert!(verify(place(&path)).await.is_err(), "byte {at} of {}", file.display());
            flip(&file, at);
        }
    }
    verify(place(&path)).await.expect("sound again");
}
