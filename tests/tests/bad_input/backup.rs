//! Backups that can't be written where they should be, and restores that must not begin: each is refused, with what to do, and changes nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use flintwheel_client::{ApplyOptions, Client, Options};
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::process::own_binary;
use flintwheel_model::ActivityDefinition;
use serde_json::json;
use tokio::process::Command;

use super::support::{Said, Server, fault_of, flintwheel};

/// Of the full disk, in KiB: far less than the definitions below.
const LIMITED: &str = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";

fn definition(id: &str) -> Result<ActivityDefinition> {
    // Nothing that can be made shorter.
    let noise: String = (0..4000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3)).collect();
    Ok(serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": {"event": {"types": "t"}}, "start_workflow": {"type": "W", "task_queue": "q", "input": [noise]}},
    }))?)
}

/// A server with some definitions, and a backup of it in `copy`.
async fn copied() -> Result<Server> {
    let server = Server::start().await?;
    let client = Client::new(&[server.engine.grpc().to_string()], Options::default())?;
    for n in 0..12 {
        client.apply(&definition(&format!("d{n}"))?, ApplyOptions::default()).await?;
    }
    let said = server.command(&["backup", "create", "copy"]).await?;
    anyhow::ensure!(said.code == Some(0), "{said:?}");
    Ok(server)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        fs::copy(&path, to.join(path.file_name().context("a name")?))?;
    }
    Ok(())
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn spoil(path: &Path, at: usize) -> Result<()> {
    let mut bytes = fs::read(path)?;
    bytes[at] ^= 1;
    Ok(fs::write(path, bytes)?)
}

fn replace(path: &Path, from: &str, to: &str) -> Result<()> {
    let text = fs::read_to_string(path)?;
    anyhow::ensure!(text.contains(from), "no {from} in {text}");
    Ok(fs::write(path, text.replacen(from, to, 1))?)
}

#[tokio::test]
async fn a_place_that_can_not_take_a_backup_is_refused_and_left_as_it_was() -> Result<()> {
    let server = copied().await?;
    let dir = server.dir.path();
    server.write("file", "mine")?;
    fs::create_dir(dir.join("full"))?;
    server.write("full/mine", "mine")?;
    fs::create_dir(dir.join("claimed"))?;
    server.write("claimed/unfinished", "")?;
    let mut faults = Vec::new();
    for (to, code, words) in [
        ("full", 4, &["full is not empty: there is mine", "nothing was changed"][..]),
        ("copy", 4, &["copy is not empty", "name a directory that is empty"]),
        ("claimed", 4, &["claimed holds a backup that is being written, or was not finished"]),
        ("file", 1, &["file can't be read", "Not a directory"]),
        ("file/below", 1, &["file/below can't be written", "Not a directory"]),
        ("a/b", 1, &["a/b can't be written", "No such file or directory"]),
        ("", 2, &["is no name of a place"]),
        ("ftp://x/y", 2, &["ftp://"]),
    ] {
        let before = names(&dir.join(to));
        let said = server.command(&["backup", "create", to]).await?;
        faults.extend(fault_of(&format!("create {to:?}"), &said, code, words));
        assert!(to.is_empty() || names(&dir.join(to)) == before, "{to}");
    }
    assert_eq!(fs::read_to_string(dir.join("file"))?, "mine");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_backup_that_does_not_fit_on_the_disk_leaves_nothing() -> Result<()> {
    let server = copied().await?;
    let said = limited(&server, &["backup", "create", "new"]).await?;
    let faults = fault_of("a full disk", &said, 1, &["can't be written", "File too large"]);
    assert_eq!(faults, None);
    assert!(!server.dir.path().join("new").exists(), "{:?}", names(server.dir.path()));
    let said = server.command(&["backup", "create", "new"]).await?;
    assert_eq!(said.code, Some(0), "{said:?}");
    Ok(())
}

/// Runs the program so that no file becomes longer than it may.
async fn limited(server: &Server, arguments: &[&str]) -> Result<Said> {
    let mut command = Command::new("bash");
    command.args(["-c", LIMITED, "bash"]).arg(own_binary("flintwheel", "FLINTWHEEL_BIN")?).args(arguments);
    command.env("FLINTWHEEL_ADDRESS", server.engine.grpc().to_string()).env("HOME", server.dir.path());
    let output = command.current_dir(server.dir.path()).kill_on_drop(true).output().await?;
    let text = String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into_owned();
    Ok(Said { code: output.status.code(), text })
}

#[tokio::test]
async fn two_backups_to_one_place_are_one() -> Result<()> {
    let server = copied().await?;
    let both = [&["backup", "create", "new"][..]; 2].map(|line| server.command(line));
    let said = both_of(both).await?;
    let done: Vec<&Said> = said.iter().filter(|said| said.code == Some(0)).collect();
    let refused: Vec<&Said> = said.iter().filter(|said| said.code == Some(4)).collect();
    assert_eq!((done.len(), refused.len()), (1, 1), "{said:?}");
    let verified = server.command(&["backup", "verify", "new"]).await?;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    Ok(())
}

async fn both_of<F: Future<Output = Result<Said>>>([one, other]: [F; 2]) -> Result<[Said; 2]> {
    let (one, other) = tokio::join!(one, other);
    Ok([one?, other?])
}

/// What is done to a copy of the backup, how a restore of it ends, and what it says.
type Case = (&'static str, fn(&Path) -> Result<()>, i32, &'static [&'static str]);

const DAMAGED: [Case; 8] = [
    (
        "missing",
        |dir| Ok(fs::remove_file(dir.join("shard-00001.rows"))?),
        4,
        &["shard-00001.rows is damaged", "missing"],
    ),
    ("flipped", |dir| spoil(&dir.join("shard-00001.rows"), 99), 4, &["shard-00001.rows is damaged", "checksum"]),
    ("head", |dir| spoil(&dir.join("shard-00000.rows"), 0), 4, &["shard-00000.rows is damaged", "does not begin as"]),
    ("cut", |dir| Ok(fs::write(dir.join("shard-00001.rows"), "")?), 4, &["shard-00001.rows is damaged", "0 bytes"]),
    (
        "format",
        |dir| replace(&dir.join("manifest.json"), "\"format\": 1", "\"format\": 7"),
        4,
        &["is a backup of format 7; this program reads format 1", "use the version that wrote it"],
    ),
    (
        "manifest",
        |dir| replace(&dir.join("manifest.json"), "\"definitions\": 12", "\"definitions\": 11"),
        4,
        &["manifest.json is damaged: its checksum does not match"],
    ),
    (
        "unfinished",
        |dir| Ok(fs::remove_file(dir.join("manifest.json"))?),
        3,
        &["holds no backup: there is no manifest"],
    ),
    ("nothing", |dir| Ok(fs::remove_dir_all(dir)?), 3, &["holds no backup"]),
];

#[tokio::test]
async fn a_damaged_backup_is_refused_before_anything_is_changed() -> Result<()> {
    let source = copied().await?;
    let mut target = Server::start().await?;
    let mut faults = Vec::new();
    for (name, harm, code, words) in DAMAGED {
        let dir = target.dir.path().join(name);
        copy(&source.dir.path().join("copy"), &dir)?;
        harm(&dir)?;
        for command in ["verify", "restore"] {
            let said = target.command(&["backup", command, name]).await?;
            faults.extend(fault_of(&format!("{command} {name}"), &said, code, words));
        }
    }
    target.holds_nothing_after(faults).await?;
    // It takes definitions, so nothing was begun; and the sound one.
    let client = Client::new(&[target.engine.grpc().to_string()], Options::default())?;
    client.apply(&definition("mine")?, ApplyOptions::default()).await?;
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_is_not_the_right_one_is_refused() -> Result<()> {
    let source = copied().await?;
    let from = source.dir.path().join("copy").display().to_string();
    let mut faults = Vec::new();
    let said = source.command(&["backup", "restore", &from]).await?;
    let words = ["shard 0: it has, or has had, definitions", "a new cluster; nothing was changed"];
    faults.extend(fault_of("where it comes from", &said, 4, &words));
    let list = source.command(&["list", "-A", "-o", "name"]).await?;
    assert_eq!(list.text.lines().count(), 12, "{list:?}");

    let dir = tempfile::tempdir()?;
    let more = vec!["--workflow-prefix=other".to_owned()];
    let options = EngineOptions { data_dir: dir.path().join("data"), sink: Sink::Null, shards: 3, more };
    let other = Engine::start(options).await?;
    let address = other.grpc().to_string();
    let restore = async |flags: &[&str]| {
        let arguments = [&["backup", "restore", from.as_str()][..], flags].concat();
        flintwheel(dir.path(), &arguments, &[("FLINTWHEEL_ADDRESS", &address)]).await
    };
    let words = ["begin with \"flintwheel\", those of this cluster with \"other\"", "--another-prefix"];
    faults.extend(fault_of("another prefix", &restore(&[]).await?, 4, &words));
    let late = ["--another-prefix", "--retention", "0s"];
    let words = ["Temporal may have forgotten", "--skip-until now", "--refire-since TIME", "nothing was changed"];
    faults.extend(fault_of("no choice", &restore(&late).await?, 4, &words));
    let ahead = ["--another-prefix", "--refire-since", "2999-01-01T00:00:00Z"];
    faults.extend(fault_of("ahead", &restore(&ahead).await?, 4, &["that lies ahead"]));
    let chosen = ["--another-prefix", "--skip-until", "2026-01-01T00:00:00Z"];
    faults.extend(fault_of("taken", &restore(&chosen).await?, 0, &["restored into cluster", "of 3 shards"]));
    let otherwise = ["--another-prefix", "--refire-since", "backup"];
    faults.extend(fault_of("otherwise", &restore(&otherwise).await?, 7, &["was begun otherwise"]));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}
