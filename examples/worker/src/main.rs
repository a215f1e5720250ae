//! A Temporal worker as a user of Flintwheel would write it: it knows nothing of Flintwheel.
//!
//! Reads `TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE` and `temporal.toml` as the Temporal CLI does. Ends on Ctrl-C or SIGTERM.

mod activities;
mod workflows;

use anyhow::{Context, Result, anyhow};
use temporalio_client::envconfig::LoadClientConfigProfileOptions;
use temporalio_client::{Client, ClientOptions, Connection};
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::signal::unix::{SignalKind, signal};

use activities::Notifications;
use workflows::{NightlyReport, SendReminder};

/// Where the definitions in `examples/definitions` send their tasks.
const TASK_QUEUE: &str = "examples";

#[tokio::main]
async fn main() -> Result<()> {
    let (connection, client) = ClientOptions::load_from_config(LoadClientConfigProfileOptions::default())
        .map_err(|e| anyhow!("the Temporal configuration: {e}"))?;
    let address = connection.target.to_string();
    let connection = Connection::connect(connection).await.with_context(|| format!("Temporal at {address}"))?;
    let client = Client::new(connection, client)?;
    let options = WorkerOptions::new(TASK_QUEUE)
        .register_activities(Notifications)
        .register_workflow::<SendReminder>()?
        .register_workflow::<NightlyReport>()?
        .build();
    let mut worker = Worker::new(&Runtime::from_current_tokio(Default::default())?, client, options)?;
    let shut_down = worker.shutdown_handle();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        shut_down();
    });
    println!("waits for work on task queue {TASK_QUEUE} of Temporal at {address}");
    worker.run().await?;
    Ok(())
}
