//! A worker with things for runs to spawn, as a user would write it; it tells the test what happens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use temporalio_client::Client;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::activities::{ActivityContext, ActivityError};
use temporalio_sdk::{
    ActivityOptions, ApplicationFailure, Runtime, SyncWorkflowContext, Worker, WorkerOptions, WorkflowContext,
    WorkflowContextView, WorkflowResult,
};
use tokio::sync::mpsc;

/// Its task queue.
pub const TASK_QUEUE: &str = "tasks";

/// Runs until the test's process ends.
pub struct TaskWorker {
    marks: mpsc::Receiver<String>,
}

impl TaskWorker {
    /// Starts it on a thread of its own.
    pub fn start(client: Client) -> Self {
        let (sender, marks) = mpsc::channel(100);
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            runtime.block_on(async {
                let options = WorkerOptions::new(TASK_QUEUE)
                    .register_activities(Marks { sender })
                    .register_workflow::<Mark>()
                    .and_then(|options| options.register_workflow::<Gate>())
                    .expect("workflows")
                    .build();
                let runtime = Runtime::from_current_tokio(Default::default()).expect("a runtime");
                Worker::new(&runtime, client, options).expect("a worker").run().await
            })
        });
        Self { marks }
    }

    /// Waits for the next mark that a task has left.
    pub async fn next(&mut self) -> String {
        self.marks.recv().await.expect("the worker runs")
    }

    /// The marks that tasks have left by now.
    pub fn marks(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.marks.try_recv().ok()).collect()
    }
}

/// Leaves marks.
pub struct Marks {
    sender: mpsc::Sender<String>,
}

#[activities]
impl Marks {
    /// Leaves `{workflow or activity id} {argument}`; the argument `"break"` makes it fail for good.
    #[activity(name = "Leave")]
    pub async fn leave(self: Arc<Self>, ctx: ActivityContext, text: Value) -> Result<Value, ActivityError> {
        if text == "break" {
            return Err(ActivityError::application(ApplicationFailure::non_retryable("broken as told")));
        }
        let mark = format!("{} {text}", ctx.info().activity_id);
        _ = self.sender.send(mark).await;
        Ok(text)
    }
}

async fn leave<W>(ctx: &WorkflowContext<W>, text: Value) -> WorkflowResult<Value> {
    let options = ActivityOptions::with_start_to_close_timeout(Duration::from_secs(10))
        .activity_id(ctx.workflow_id().to_owned())
        .build();
    Ok(ctx.execute_activity(Marks::leave, text, options).await?)
}

/// Leaves its argument as a mark, under its workflow id.
#[workflow]
#[derive(Default)]
pub struct Mark;

#[workflow_methods]
impl Mark {
    #[run(name = "Mark")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, text: Value) -> WorkflowResult<Value> {
        leave(ctx, text).await
    }
}

/// Leaves a mark, then waits until it is opened.
#[workflow]
pub struct Gate {
    text: Value,
    open: bool,
}

#[workflow_methods]
impl Gate {
    #[init]
    fn new(_ctx: &WorkflowContextView, text: Value) -> Self {
        Self { text, open: false }
    }

    #[run(name = "Gate")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<Value> {
        let text = ctx.state(|gate| gate.text.clone());
        let left = leave(ctx, text).await?;
        ctx.wait_condition(|gate| gate.open).await?;
        Ok(left)
    }

    /// Lets it end.
    #[signal(name = "open")]
    pub fn open(&mut self, _ctx: &mut SyncWorkflowContext<Self>) {
        self.open = true;
    }
}
