//! A node that can't start says why in one line and ends; what it was pointed at stays as it was.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::support::{Server, fault_of, flintwheel};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 4;
const PORTS: &str = "--grpc-listen=127.0.0.1:0 --http-listen=127.0.0.1:0";

/// Command line (PORTS stands for two free ones), variables, exit code, words.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], i32, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_with_faults_is_refused_with_key_value_and_place() -> Result<()> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("unknown.toml"), "\nshard = 3\n[temporal]\nadress = \"x:1\"\n")?;
    fs::write(dir.path().join("values.toml"), "shards = 0\nsink = \"kafka\"\n")?;
    fs::write(dir.path().join("broken.toml"), "shards = 2\nsink =\n")?;
    fs::write(dir.path().join("paces.toml"), "catch_up_pace = \"fast\"\n[namespaces.a]\ncatch_up_pace = \"0/s\"\n")?;
    fs::write(dir.path().join("space.toml"), "[namespaces.Bad_NS]\ntask_queue = \"q\"\n")?;
    let unknown =
        &["unknown.toml:2: unknown key \"shard\"; did you mean \"shards\"?", "unknown.toml:4: ", "temporal.address"];
    let no_profile: &[&str] = &["temporal.profile", "Profile 'nobody' not found", "configuration file"];
    let cases: &[Case] = &[
        ("server --config unknown.toml", &[], REFUSED, unknown),
        (
            "server --config values.toml",
            &[],
            REFUSED,
            &[
                "values.toml:1: shards = \"0\" is not in 1 to 4096",
                "values.toml:2: sink = \"kafka\" is not one of temporal, null",
            ],
        ),
        ("server --config broken.toml", &[], REFUSED, &["broken.toml:2: "]),
        ("server --config space.toml", &[], REFUSED, &["space.toml:1: ", "Bad_NS", "a-z 0-9 -"]),
        (
            "server --config paces.toml",
            &[],
            REFUSED,
            &["paces.toml:3: namespaces.a.catch_up_pace: \"0/s\" is not a pace"],
        ),
        (
            "server --catch-up-pace=fast",
            &[],
            REFUSED,
            &["--catch-up-pace: catch_up_pace = \"fast\" is not a pace such as 1000/s"],
        ),
        ("server --config missing.toml", &[], REFUSED, &["missing.toml: No such file"]),
        ("config view", &[("FLINTWHEEL_CONFIG", "unknown.toml")], REFUSED, unknown),
        (
            "server",
            &[("FLINTWHEEL_SHARDS", "many")],
            REFUSED,
            &["$FLINTWHEEL_SHARDS: shards = \"many\" is not a number"],
        ),
        (
            "worker",
            &[("FLINTWHEEL_TEMPORAL_START_TIMEOUT", "soon")],
            REFUSED,
            &["$FLINTWHEEL_TEMPORAL_START_TIMEOUT: temporal.start_timeout = \"soon\" is not a duration in 1s to 1m"],
        ),
        ("server", &[("FLINTWHEEL_LOG_LEVEL", "a=b=c")], REFUSED, &["log_level = \"a=b=c\": ", "write for example"]),
        (
            "server --sink=null --run-log=mysql://h/d",
            &[],
            REFUSED,
            &["run_log: the scheme \"mysql\"", "sqlite:PATH or postgres://"],
        ),
        ("dev --grpc-listen=here", &[], REFUSED, &["--grpc-listen: grpc_listen = \"here\"", "such as 127.0.0.1:7733"]),
        ("server --temporal-profile=nobody", &[], REFUSED, no_profile),
        ("dev --temporal-profile=nobody", &[], REFUSED, no_profile),
        ("worker", &[("TEMPORAL_PROFILE", "nobody")], REFUSED, no_profile),
        (
            "server --temporal-address=nowhere",
            &[],
            REFUSED,
            &["temporal.address: \"nowhere\" has no port; write host:port"],
        ),
        (
            "dev --temporal-tls-ca-path=missing.pem --temporal-address=a:1",
            &[],
            REFUSED,
            &["temporal.tls", "missing.pem"],
        ),
        ("server --shrads=3", &[], USAGE, &["unexpected argument '--shrads'", "'--shards'"]),
        ("sever", &[], USAGE, &["unrecognized subcommand 'sever'", "'server'"]),
    ];
    let before = names(dir.path())?;
    assert_cases(dir.path(), cases).await?;
    assert_eq!(names(dir.path())?, before, "nothing was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_or_port_that_is_not_free_is_told_before_anything_is_touched() -> Result<()> {
    let mut server = Server::start().await?;
    let dir = server.dir.path().to_owned();
    for (name, content) in
        [("newer/identity", "format = 99\n"), ("theirs/notes.txt", "mine"), ("damaged/identity", "x")]
    {
        fs::create_dir_all(dir.join(name).parent().unwrap_or(&dir))?;
        fs::write(dir.join(name), content)?;
    }
    fs::write(dir.join("file"), "")?;
    let grpc =
        format!("server --sink=null --data-dir=new --http-listen=127.0.0.1:0 --grpc-listen={}", server.engine.grpc());
    let http =
        format!("server --sink=null --data-dir=new --grpc-listen=127.0.0.1:0 --http-listen={}", server.engine.http());
    let dev = format!("dev --data-dir=new --grpc-listen=127.0.0.1:0 --http-listen={}", server.engine.http());
    let (in_use, port) = (format!("(pid {})", server.engine.process()?.id()), server.engine.grpc().port().to_string());
    let cases: &[Case] = &[
        (
            "server --sink=null --data-dir=data PORTS",
            &[],
            FAILED,
            &["data_dir", "/data is in use by another process", &in_use],
        ),
        (
            "server --sink=null --data-dir=newer PORTS",
            &[],
            FAILED,
            &["/newer has format 99", "up to 1", "newer version"],
        ),
        (
            "server --sink=null --data-dir=theirs PORTS",
            &[],
            FAILED,
            &["/theirs is not a Flintwheel data directory", "notes.txt"],
        ),
        (
            "server --sink=null --data-dir=damaged PORTS",
            &[],
            FAILED,
            &["/damaged", "\"identity\" is damaged", "format"],
        ),
        ("server --sink=null --data-dir=file PORTS", &[], FAILED, &["data_dir", "file: can't make it"]),
        (
            "server --sink=null --data-dir=file/x/y PORTS",
            &[],
            FAILED,
            &["data_dir = file/x/y: can't make the directory file/x"],
        ),
        ("server --sink=null --data-dir=/proc/nope PORTS", &[], FAILED, &["data_dir", "/proc/nope", "can't make it"]),
        (&grpc, &[], FAILED, &["grpc_listen = 127.0.0.1:", &port, "Address already in use", "choose another port"]),
        (&http, &[], FAILED, &["http_listen = 127.0.0.1:", "Address already in use", "choose another port"]),
        (&dev, &[], FAILED, &["http_listen = 127.0.0.1:", "Address already in use", "choose another port"]),
    ];
    let mut before = names(&dir)?;
    assert_cases(&dir, cases).await?;
    // Only an empty lock may have come into a directory that was looked at.
    before.push("newer/lock".into());
    before.push("damaged/lock".into());
    before.sort();
    assert_eq!(names(&dir)?, before);

    server.holds_nothing_after(Vec::new()).await?;
    server.engine.stop().await?;
    let other_shards = "server --sink=null --data-dir=data --shards=3 PORTS";
    let words: &[&str] = &["data_dir", "has 2 shards, 3 are configured", "fixed when a cluster is made"];
    assert_cases(&dir, &[(other_shards, &[], FAILED, words)]).await?;
    server.engine.start_again().await?;
    server.holds_nothing_after(Vec::new()).await
}

async fn assert_cases(dir: &Path, cases: &[Case<'_>]) -> Result<()> {
    let mut faults = Vec::new();
    for (line, variables, code, words) in cases {
        let arguments = line.replace("PORTS", PORTS);
        let said = flintwheel(dir, &arguments.split(' ').collect::<Vec<_>>(), variables).await?;
        faults.extend(fault_of(line, &said, *code, words));
    }
    assert!(faults.is_empty(), "{} cases:\n{}", faults.len(), faults.join("\n"));
    Ok(())
}

/// All files and directories, without those inside of the running server's.
fn names(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "data" {
            found.extend(names(&path)?.into_iter().map(|inner| format!("{name}/{inner}")));
        }
        // SQLite's own files beside the run log come and go.
        if !name.starts_with("data.runs.db") {
            found.push(name);
        }
    }
    found.sort();
    Ok(found)
}
