//! The orchestrator's workers: one thread for each Temporal task queue, kept running through outages, stopped in order.
//!
//! A worker's future can't move between threads (workflow code lives in `Rc`s), so each has a thread of its own on which all its
//! workflow code runs; activities run on the runtime of whoever starts the orchestrator.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions};
use temporalio_common::worker::WorkerDeploymentOptions;
use temporalio_sdk::{Runtime, Worker, WorkerOptions};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::activities::Activities;
use crate::context::Resolver;
use crate::definitions::Definitions;
use crate::run_log::RunLog;
use crate::workflow::RunActivity;

/// For a connection whose options name no timeout: without one, a silent address would be waited for without end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Activities that still run when the orchestrator stops are cancelled after this time; Temporal gives them to another worker.
const GRACE: Duration = Duration::from_secs(10);
/// Between tries to reach Temporal: the first pause, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(15);

/// What the orchestrator works with.
pub struct Options {
    /// How Temporal is reached.
    pub connection: ConnectionOptions,
    /// Where runs are started; one worker each.
    pub queues: Vec<Queue>,
    /// Hands out definitions.
    pub definitions: Arc<dyn Definitions>,
    /// Remembers runs.
    pub log: RunLog,
}

/// Where `RunActivity` workflows are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Temporal's namespace, not ours.
    pub temporal_namespace: String,
    /// The task queue in it.
    pub task_queue: String,
}

/// How a worker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// Not connected; with why the last try failed.
    Connecting {
        /// None before the first try has ended.
        last_error: Option<String>,
    },
    /// Polls its task queue.
    Running,
    /// Was told to stop, and did.
    Stopped,
}

/// Why the orchestrator can't start. That Temporal can't be reached is no reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client for context sources.
    #[error("the HTTP client for context sources can't be set up: {0}")]
    Http(#[from] reqwest::Error),
    /// No more threads.
    #[error("no thread for the worker of task queue {queue}: {source}")]
    Thread {
        /// Whose.
        queue: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
}

/// The running workers.
pub struct Orchestrator {
    stop: CancellationToken,
    workers: Vec<RunningWorker>,
}

struct RunningWorker {
    queue: Queue,
    thread: thread::JoinHandle<()>,
    state: watch::Receiver<WorkerState>,
}

impl Orchestrator {
    /// Starts one worker for each queue, and returns at once. A worker tries to reach Temporal until it does.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let activities = Activities { definitions: options.definitions, resolver: Resolver::new()?, log: options.log };
        let mut orchestrator = Self { stop: CancellationToken::new(), workers: Vec::new() };
        for queue in options.queues {
            let keeper = Keeper {
                queue,
                connection: patient(options.connection.clone()),
                activities: activities.clone(),
                stop: orchestrator.stop.clone(),
            };
            orchestrator.workers.push(keeper.start()?);
        }
        Ok(orchestrator)
    }

    /// How each worker stands, now and later.
    pub fn workers(&self) -> impl Iterator<Item = (&Queue, watch::Receiver<WorkerState>)> {
        self.workers.iter().map(|worker| (&worker.queue, worker.state.clone()))
    }

    /// Waits until every worker polls.
    pub async fn running(&self) {
        for (_, mut state) in self.workers() {
            // An error means that the thread has ended, which `stop` reports.
            _ = state.wait_for(|state| *state == WorkerState::Running).await;
        }
    }

    /// Takes no more work, lets what runs end (activities within 10 seconds), and waits for the threads.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for worker in std::mem::take(&mut self.workers) {
            let joined = tokio::task::spawn_blocking(move || worker.thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                warn!(queue = worker.queue.task_queue, "the worker's thread has panicked");
            }
        }
    }
}

/// Threads don't end with their handle: an orchestrator that is dropped stops, but nobody waits for it.
impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn patient(mut connection: ConnectionOptions) -> ConnectionOptions {
    connection.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
    connection
}

/// Keeps one worker running.
struct Keeper {
    queue: Queue,
    connection: ConnectionOptions,
    activities: Activities,
    stop: CancellationToken,
}

impl Keeper {
    fn start(self) -> Result<RunningWorker, StartError> {
        let queue = self.queue.clone();
        let (sender, state) = watch::channel(WorkerState::Connecting { last_error: None });
        let runtime = Handle::current();
        let thread = thread::Builder::new()
            .name("orchestrator".to_owned())
            .spawn(move || runtime.block_on(self.keep(sender)))
            .map_err(|source| StartError::Thread { queue: queue.task_queue.clone(), source })?;
        Ok(RunningWorker { queue, thread, state })
    }

    async fn keep(self, state: watch::Sender<WorkerState>) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.run(&state).await {
            if matches!(*state.borrow(), WorkerState::Running) {
                pause = FIRST_PAUSE;
            }
            warn!(
                temporal = %self.connection.target, namespace = self.queue.temporal_namespace, queue = self.queue.task_queue,
                error, ?pause, "the orchestrator's worker can't run; it will try again"
            );
            state.send_replace(WorkerState::Connecting { last_error: Some(error) });
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
        state.send_replace(WorkerState::Stopped);
    }

    /// `Ok` after a stop, `Err` where another try is due.
    async fn run(&self, state: &watch::Sender<WorkerState>) -> Result<(), String> {
        let Some(connected) = self.stop.run_until_cancelled(Connection::connect(self.connection.clone())).await else {
            return Ok(());
        };
        let mut worker = self.worker(connected.map_err(|e| chain(&e))?)?;
        let shut_down = worker.shutdown_handle();
        let stop = self.stop.clone();
        let watcher = tokio::spawn(async move {
            stop.cancelled().await;
            shut_down();
        });
        info!(
            namespace = self.queue.temporal_namespace,
            queue = self.queue.task_queue,
            "the orchestrator's worker runs"
        );
        state.send_replace(WorkerState::Running);
        let ended = worker.run().await;
        watcher.abort();
        match ended {
            Ok(()) if self.stop.is_cancelled() => Ok(()),
            Ok(()) => Err("the worker has ended without being told to".to_owned()),
            Err(error) => Err(chain(&error)),
        }
    }

    fn worker(&self, connection: Connection) -> Result<Worker, String> {
        let runtime = Runtime::from_current_tokio(Default::default()).map_err(|e| chain(&e))?;
        let client = Client::new(connection, ClientOptions::new(&self.queue.temporal_namespace).build())
            .map_err(|e| chain(&e))?;
        // The default would read and hash the whole executable.
        let build = WorkerDeploymentOptions::from_build_id(env!("CARGO_PKG_VERSION").to_owned());
        let mut options = WorkerOptions::new(&self.queue.task_queue)
            .deployment_options(build)
            .graceful_shutdown_period(GRACE)
            .build();
        options.register_activities(self.activities.clone());
        options.register_workflow::<RunActivity>().map_err(|e| chain(&e))?;
        Worker::new(&runtime, client, options).map_err(|e| chain(&e))
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = inner.source();
    }
    text
}
