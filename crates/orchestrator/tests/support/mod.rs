//! A world for runs to happen in: a real Temporal server, a worker with things to spawn, definitions, an HTTP service, a run log.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod http;
pub mod tasks;
pub mod temporal;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flintwheel_client::{Run, RunQuery};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_orchestrator::workflow::{RunActivity, RunResult};
use flintwheel_orchestrator::{Definitions, DefinitionsError, Options, Orchestrator, Queue, RunLog};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use temporalio_client::errors::WorkflowGetResultError;
use temporalio_client::{Client, ConnectionOptions, WorkflowGetResultOptions, WorkflowHandle, WorkflowStartOptions};

use tasks::TaskWorker;
use temporal::TemporalServer;

/// Where the orchestrator's worker polls.
pub const QUEUE: &str = "flintwheel";

/// One definition, handed out at version 3 of incarnation 7 only, after some refusals.
pub struct OneDefinition {
    definition: Option<ActivityDefinition>,
    refusals: AtomicU32,
}

impl Definitions for OneDefinition {
    fn get<'a>(
        &'a self,
        definition: &'a DefinitionKey,
        incarnation: u64,
        version: u64,
    ) -> BoxFuture<'a, Result<ActivityDefinition, DefinitionsError>> {
        let left = self.refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let answer = match (&self.definition, left) {
            (_, Ok(_)) => {
                Err(DefinitionsError::Unavailable { definition: definition.clone(), why: "not yet".to_owned() })
            }
            (Some(found), Err(_)) if (incarnation, version) == (7, 3) && found.metadata.id == definition.id => {
                Ok(found.clone())
            }
            _ => Err(DefinitionsError::NotFound { definition: definition.clone(), version }),
        };
        Box::pin(async move { answer })
    }
}

/// A definition with this `spec`, as users write it.
pub fn definition(spec: Value) -> ActivityDefinition {
    let json = json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
        "metadata": {"namespace": "billing", "id": "reminder", "name": "Reminder"}, "spec": spec
    });
    serde_json::from_value(json).expect("a definition")
}

/// The argument of a run for the event that all tests use.
pub fn argument(workflow_id: &str) -> Value {
    json!({
        "namespace": "billing", "definition_id": "reminder", "version": 3, "incarnation": 7, "workflow_id": workflow_id,
        "trigger": {
            "kind": "event", "scheduled_for": "2026-11-23T08:00:00Z", "fired_at": "2026-11-23T08:00:00.004Z",
            "event": {"specversion": "1.0", "id": "1", "source": "shop", "type": "overdue", "data": {"id": "42", "amount": 120}}
        }
    })
}

/// An orchestrator with this definition and the run log in this folder.
pub async fn orchestrator(
    temporal: ConnectionOptions,
    folder: &Path,
    spec: Option<Value>,
    refusals: u32,
) -> Orchestrator {
    orchestrator_in("default", temporal, folder, spec, refusals).await
}

/// The same, in this Temporal namespace.
pub async fn orchestrator_in(
    temporal_namespace: &str,
    temporal: ConnectionOptions,
    folder: &Path,
    spec: Option<Value>,
    refusals: u32,
) -> Orchestrator {
    let log = RunLog::open(&log_url(folder)).await.expect("a run log");
    let definitions = OneDefinition { definition: spec.map(definition), refusals: AtomicU32::new(refusals) };
    Orchestrator::start(Options {
        connection: temporal,
        queues: vec![Queue { temporal_namespace: temporal_namespace.to_owned(), task_queue: QUEUE.to_owned() }],
        definitions: Arc::new(definitions),
        log,
    })
    .expect("an orchestrator")
}

/// The run log of a folder.
pub fn log_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("runs.db").display())
}

/// Keeps the history of a run as one that later versions must be able to replay, when `FLINTWHEEL_KEEP_HISTORIES` is set: see
/// `tests/replay.rs`.
pub async fn keep_history(run: &WorkflowHandle<Client, RunActivity>, name: &str) {
    if std::env::var_os("FLINTWHEEL_KEEP_HISTORIES").is_none() {
        return;
    }
    let json = run.fetch_history(Default::default()).to_json().await.expect("a history");
    let json: Value = serde_json::from_slice(&json).expect("JSON");
    let text = serde_json::to_string_pretty(&json).expect("JSON") + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/histories/{name}.json"));
    std::fs::write(path, text).expect("a file");
}

/// Everything at once.
pub struct World {
    pub temporal: TemporalServer,
    pub client: Client,
    pub tasks: TaskWorker,
    pub folder: tempfile::TempDir,
    pub log: RunLog,
}

impl World {
    /// Without an orchestrator.
    pub async fn new() -> Self {
        let temporal = TemporalServer::start().await;
        let client = temporal.client().await;
        let folder = tempfile::tempdir().expect("a folder");
        let log = RunLog::open(&log_url(folder.path())).await.expect("a run log");
        Self { tasks: TaskWorker::start(client.clone()), temporal, client, folder, log }
    }

    /// An orchestrator in this process.
    pub async fn orchestrate(&self, spec: Value) -> Orchestrator {
        orchestrator(self.temporal.options(), self.folder.path(), Some(spec), 0).await
    }

    /// Starts a run of this workflow id.
    pub async fn start(&self, workflow_id: &str, argument: Value) -> WorkflowHandle<Client, RunActivity> {
        let options = WorkflowStartOptions::new(QUEUE, workflow_id).build();
        self.client.start_workflow(RunActivity::run, argument, options).await.expect("a started run");
        self.client.get_workflow_handle(workflow_id)
    }

    /// Runs this definition to its end: what Temporal says, and what the run log says. The history is kept under `name`.
    pub async fn run(&self, name: &str, spec: Value) -> (Result<RunResult, WorkflowGetResultError>, Run) {
        let orchestrator = self.orchestrate(spec).await;
        let id = "flintwheel:billing:reminder:e:1";
        let run = self.start(id, argument(id)).await;
        let result = run.get_result(WorkflowGetResultOptions::default()).await;
        orchestrator.stop().await;
        keep_history(&run, name).await;
        (result, self.only_run().await)
    }

    /// The one run in the log.
    pub async fn only_run(&self) -> Run {
        let mut runs = self.log.list(&RunQuery::default(), None, 10).await.expect("runs");
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }
}
