//! `flintwheel-forgetful`: a server as any other, which lets go of definitions that are armed when it is told to. For the proof `overdue`; nothing that
//! is shipped depends on it.
//!
//! It takes the server's own flags (`--name=value`), and `--orders=FILE`: what is written there, as `NAMESPACE/ID`, is let go of, and the file is removed.

use flintwheel_model::DefinitionKey;
use flintwheel_node::Node;
use flintwheel_node::config::{Config, KEYS, Settings};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often the orders are looked at.
const LOOK: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let (settings, orders) = read(std::env::args().skip(1))?;
    let claim = Node::claim(&settings).await.map_err(|e| e.to_string())?;
    let node = Node::start(&settings, claim, tonic::service::Routes::default()).await.map_err(|e| e.to_string())?;
    let api = node.api().clone();
    let forget = async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(key) = order(&orders) else { continue };
            match api.forget_armed(&key) {
                Ok(true) => _ = std::fs::remove_file(&orders),
                Ok(false) => {}
                Err(error) => eprintln!("{key}: {error:?}"),
            }
        }
    };
    // It ends when it is killed.
    node.run_until(forget).await.map_err(|e| e.to_string())
}

fn read(arguments: impl Iterator<Item = String>) -> Result<(Settings, PathBuf), String> {
    let (mut flags, mut orders) = (Vec::new(), None);
    for argument in arguments.filter(|argument| argument != "server") {
        let flag = argument.split_once('=').ok_or_else(|| format!("{argument:?} is not --name=value"))?;
        match flag {
            ("--orders", file) => orders = Some(PathBuf::from(file)),
            (name, value) => {
                let key = KEYS.iter().find(|key| key.flag() == name);
                let key = key.ok_or_else(|| format!("{name} is not known"))?;
                flags.push((key.name, value.to_owned()));
            }
        }
    }
    let config = Config::load(None, |_| None, &flags).map_err(|e| e.to_string())?;
    let settings = config.settings().map_err(|e| e.to_string())?;
    Ok((settings, orders.ok_or("--orders=FILE is needed")?))
}

fn order(file: &Path) -> Option<DefinitionKey> {
    let text = std::fs::read_to_string(file).ok()?;
    let (namespace, id) = text.trim().split_once('/')?;
    Some(DefinitionKey::new(namespace, id))
}
