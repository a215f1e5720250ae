//! `flintwheel dev|server|worker`: from configuration to running parts, until a signal ends them.

mod dev_server;
mod flags;
mod logging;
mod signals;

pub use flags::ServeArgs;

use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, Result};
use flintwheel_client::Options as ClientOptions;
use flintwheel_node::config::{ConfigError, Settings, SinkKind};
use flintwheel_node::{Claim, Node};
use flintwheel_orchestrator::{Options, Orchestrator, Queue, RunLog, RunLogError, Runs, ServerDefinitions};

use crate::exit::{Exit, Failure};
use dev_server::DevServer;

/// The default port of Temporal's frontend: what a configuration that says nothing resolves to.
const TEMPORAL_DEFAULT: &str = "localhost:7233";

/// `flintwheel server`: the engine and its doors.
pub async fn server(args: &ServeArgs) -> Result<()> {
    let settings = start_up(args)?;
    let claim = Node::claim(&settings).await?;
    let log = RunLog::open(&settings.run_log).await?;
    let mut stop = pin!(signals::stop());
    // A node that waits for its cluster does so in here, for as long as there is none: it must hear a signal meanwhile.
    let node = tokio::select! {
        () = &mut stop => None,
        node = start_node(&settings, claim, &log) => Some(node?),
    };
    if let Some(node) = node {
        node.run_until(stop).await?;
    }
    log.close().await;
    Ok(())
}

/// `flintwheel worker`: the built-in orchestrator, for a server elsewhere.
pub async fn worker(args: &ServeArgs, address: &str) -> Result<()> {
    let settings = start_up(args)?;
    let log = RunLog::open(&settings.run_log).await?;
    let stop = signals::stop();
    let orchestrator = start_orchestrator(&settings, address, &log)?;
    stop.await;
    orchestrator.stop().await;
    log.close().await;
    Ok(())
}

/// `flintwheel dev`: server and worker in one process, and a Temporal dev server where no Temporal is named.
pub async fn dev(args: &ServeArgs) -> Result<()> {
    let mut settings = start_up(args)?;
    // Before the dev server: a second one on the same files would disturb the first.
    let claim = Node::claim(&settings).await?;
    // From here on, so that no signal leaves a dev server behind.
    let mut stop = pin!(signals::stop());
    let temporal = tokio::select! {
        () = &mut stop => return Ok(()),
        temporal = dev_server(&settings) => temporal?,
    };
    if let Some(temporal) = &temporal {
        settings.temporal.address = Some(temporal.address().to_owned());
        eprintln!("temporal dev server at {}", temporal.address());
    }
    let ended = dev_parts(&settings, claim, stop).await;
    if let Some(temporal) = temporal {
        temporal.stop().await;
    }
    ended
}

async fn dev_server(settings: &Settings) -> Result<Option<DevServer>> {
    if !needs_temporal(settings) {
        return Ok(None);
    }
    DevServer::start(&settings.data_dir).await.map(Some)
}

async fn dev_parts(settings: &Settings, claim: Claim, mut stop: impl Future<Output = ()> + Unpin) -> Result<()> {
    let log = RunLog::open(&settings.run_log).await?;
    let node = tokio::select! {
        () = &mut stop => {
            log.close().await;
            return Ok(());
        }
        node = start_node(settings, claim, &log) => node?,
    };
    let orchestrator = match settings.sink {
        SinkKind::Temporal => Some(start_orchestrator(settings, &node.grpc.to_string(), &log)?),
        SinkKind::Null => None,
    };
    eprintln!("flintwheel at {} (gRPC) and http://{}; stop with Ctrl-C", node.grpc, node.http);
    let ended = node.run_until(stop).await;
    if let Some(orchestrator) = orchestrator {
        orchestrator.stop().await;
    }
    log.close().await;
    Ok(ended?)
}

/// What is said when one of the commands could not serve, and how it ends.
pub fn failure(error: &anyhow::Error) -> Failure {
    let refused = error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(RunLogError::Address { .. }));
    let exit = if refused { Exit::Refused } else { Exit::Failed };
    Failure::new(exit, format_args!("{error:#}"))
}

/// Configuration read and checked, log set up.
fn start_up(args: &ServeArgs) -> Result<Settings> {
    let settings = args.load()?.settings()?;
    logging::init(&settings)?;
    if settings.sink == SinkKind::Temporal {
        settings.temporal_target()?;
    }
    RunLog::check(&settings.run_log)?;
    // The run log stands beside the data directory: nothing but the engine's own files may be in there.
    if let Some(parent) = settings.data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).with_context(|| {
            format!("data_dir = {}: can't make the directory {}", settings.data_dir.display(), parent.display())
        })?;
    }
    Ok(settings)
}

async fn start_node(settings: &Settings, claim: Claim, log: &RunLog) -> Result<Node> {
    let runs = tonic::service::Routes::new(Runs::service(log.clone()));
    Ok(Node::start(settings, claim, runs).await?)
}

fn start_orchestrator(settings: &Settings, address: &str, log: &RunLog) -> Result<Orchestrator> {
    let target = settings.temporal_target()?;
    let definitions = ServerDefinitions::new(&[address.to_owned()], ClientOptions::default());
    let options = Options {
        connection: target.connection_options(),
        queues: queues(settings, target.namespace()),
        definitions: Arc::new(definitions.context("the way to the flintwheel server")?),
        log: log.clone(),
    };
    Ok(Orchestrator::start(options)?)
}

/// Every task queue that firings of the built-in orchestrator go to.
fn queues(settings: &Settings, default_namespace: &str) -> Vec<Queue> {
    let own = |temporal_namespace: Option<&String>, task_queue: Option<&String>| Queue {
        temporal_namespace: temporal_namespace.map_or_else(|| default_namespace.to_owned(), Clone::clone),
        task_queue: task_queue.unwrap_or(&settings.task_queue).clone(),
    };
    let named = settings.namespaces.values().map(|n| own(n.temporal_namespace.as_ref(), n.task_queue.as_ref()));
    let mut queues: Vec<Queue> = std::iter::once(own(None, None)).chain(named).collect();
    queues.sort_by(|a, b| (&a.temporal_namespace, &a.task_queue).cmp(&(&b.temporal_namespace, &b.task_queue)));
    queues.dedup_by(|a, b| a.temporal_namespace == b.temporal_namespace && a.task_queue == b.task_queue);
    queues
}

/// Whether nobody has said where Temporal is: no key, no variable, no profile.
fn needs_temporal(settings: &Settings) -> bool {
    let named = settings.temporal.address.is_some() || settings.temporal.profile.is_some();
    let variable = ["TEMPORAL_ADDRESS", "TEMPORAL_PROFILE"].iter().any(|name| std::env::var_os(name).is_some());
    let resolved = settings
        .temporal
        .resolve()
        .is_ok_and(|target| !target.address().trim_end_matches('/').ends_with(TEMPORAL_DEFAULT));
    settings.sink == SinkKind::Temporal && !named && !variable && !resolved
}
