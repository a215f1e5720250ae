//! `flintwheel runs`.

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use flintwheel_client::{Run, RunQuery, RunStatus, TaskStatus};

use super::pages::Pages;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Zone, compact, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID; without it, runs of all definitions of the namespace
    name: Option<String>,
    /// Only those that stand so; may be repeated
    #[arg(long, value_enum)]
    status: Vec<StatusArg>,
    /// Fired at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// At most this many; 0 for all
    #[arg(long, visible_alias = "last", default_value_t = 20)]
    limit: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusArg {
    Running,
    Completed,
    Failed,
    Cancelled,
}

impl From<StatusArg> for RunStatus {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Running => Self::Running,
            StatusArg::Completed => Self::Completed,
            StatusArg::Failed => Self::Failed,
            StatusArg::Cancelled => Self::Cancelled,
        }
    }
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let key = args.name.as_deref().map(|name| session.key(name)).transpose()?;
    let query = RunQuery {
        namespace: key.as_ref().map_or(session.namespace.clone(), |key| key.namespace.clone()),
        definition_id: key.map(|key| key.id).unwrap_or_default(),
        statuses: args.status.into_iter().map(Into::into).collect(),
        since: args.since,
    };
    let mut pages = Pages::new(args.limit);
    let mut printer = Printer::list(args.output.output);
    while let Some(runs) = pages.next(|page| session.client.runs(&query, page)).await? {
        print(&mut printer, &runs)?;
    }
    if printer.printed() == 0 {
        say("no runs");
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

fn print(printer: &mut Printer, runs: &[Run]) -> Result<(), Failure> {
    if !printer.is_table() {
        return runs.iter().try_for_each(|run| printer.value(&format!("run/{}", run.run_id), run));
    }
    let head = ["DEFINITION", "VERSION", "SCHEDULED FOR", "STATUS", "TOOK", "TASKS", "ERROR", "RUN", "WORKFLOW"];
    let columns = if printer.is_wide() { 9 } else { 7 };
    let rows: Vec<Vec<String>> = runs.iter().map(|run| row(run).into_iter().take(columns).collect()).collect();
    printer.rows(&head[..columns], &rows)
}

fn row(run: &Run) -> Vec<String> {
    let took = run.ended_at.and_then(|end| (end - run.started_at).to_std().ok());
    vec![
        run.definition.to_string(),
        run.version_used.to_string(),
        Zone::UTC.exact(run.scheduled_for),
        run.status.as_str().to_owned(),
        took.map(compact).unwrap_or_default(),
        tasks(run),
        run.error.clone(),
        run.run_id.clone(),
        run.workflow_id.clone(),
    ]
}

/// `2 completed, 1 failed`.
fn tasks(run: &Run) -> String {
    let count = |status: TaskStatus| run.tasks_spawned.iter().filter(|task| task.status == status).count();
    let shown = TaskStatus::ALL.into_iter().map(|status| (count(status), status)).filter(|(count, _)| *count > 0);
    shown.map(|(count, status)| format!("{count} {}", status.as_str())).collect::<Vec<_>>().join(", ")
}
