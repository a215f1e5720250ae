//! A full disk: the process ends and names what could not be written; what was acknowledged is there when there is room again.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use flintwheel_client::{ApplyOptions, Client, Options};
use flintwheel_loadtest::engine::{Engine, Sink};
use flintwheel_loadtest::http;
use flintwheel_loadtest::process::{Process, free_port, own_binary};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use serde_json::json;

use super::support::{LOOK, data_dir, file_says, options};

/// No file may become longer than so many KiB: like a full disk for whoever writes, and needs no right to mount one. The signal
/// that comes with it is ignored, as a full disk sends none.
const LIMITED: &str = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_the_process_and_what_was_acknowledged_is_there_afterwards() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (acknowledged, mut process) = fill(dir.path()).await?;
    let log = dir.path().join("limited.log");
    file_says(&log, &["nothing more is acknowledged", "data/log", "the disk failed", "File too large"]).await?;
    // It has said so and ends by itself; the data directory is free only then.
    while process.check_running().is_ok() {
        tokio::time::sleep(LOOK).await;
    }
    let engine = Engine::start(options(dir.path(), Sink::Null)).await?;
    let client = Client::new(&[engine.grpc().to_string()], Options::default())?;
    for id in &acknowledged {
        client.get(&DefinitionKey::new("default", id)).await.with_context(|| format!("{id} is lost"))?;
    }
    assert!(acknowledged.len() > 5, "{acknowledged:?}");
    Ok(())
}

/// Applies until that fails; what was acknowledged.
async fn fill(dir: &Path) -> Result<(Vec<String>, Process)> {
    let (grpc, http) = (free_port()?, free_port()?);
    let program = own_binary("flintwheel", "FLINTWHEEL_BIN")?;
    let arguments = [
        "-c".to_owned(),
        LIMITED.to_owned(),
        "bash".to_owned(),
        program.display().to_string(),
        "server".to_owned(),
        "--sink=null".to_owned(),
        "--shards=2".to_owned(),
        format!("--data-dir={}", data_dir(dir).display()),
        format!("--grpc-listen={grpc}"),
        format!("--http-listen={http}"),
    ];
    let mut process = Process::spawn(Path::new("bash"), arguments, &dir.join("limited.log"))?;
    while !http::get(http, "/readyz").await.is_ok_and(|answer| answer.status == 200) {
        process.check_running()?;
        tokio::time::sleep(LOOK).await;
    }
    // Without a second try: the process is gone for good.
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    let client = Client::new(&[grpc.to_string()], options)?;
    let mut acknowledged = Vec::new();
    loop {
        let id = format!("d{}", acknowledged.len());
        match client.apply(&large(&id)?, ApplyOptions::default()).await {
            Ok(_) if acknowledged.len() > 1000 => anyhow::bail!("the limit does not hold"),
            Ok(_) => acknowledged.push(id),
            Err(_) => return Ok((acknowledged, process)),
        }
    }
}

fn large(id: &str) -> Result<ActivityDefinition> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"start_workflow": {"type": "T", "task_queue": "q", "input": ["x".repeat(250_000)]}},
    }))?)
}
