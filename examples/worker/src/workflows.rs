//! Two workflows: one that Flintwheel's orchestrator spawns as a task, one that Flintwheel starts directly. Nothing tells them apart.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{ActivityExecutionError, ActivityOptions, WorkflowContext, WorkflowResult};

use crate::activities::{Notice, Notifications, Receipt};

/// Reminds a customer of something.
#[workflow]
#[derive(Default)]
pub struct SendReminder;

/// Whom, of what, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reminder {
    /// Whom.
    pub customer: String,
    /// Of what.
    pub about: String,
    /// How.
    #[serde(default)]
    pub friendly: bool,
}

#[workflow_methods]
impl SendReminder {
    /// Does it.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, reminder: Reminder) -> WorkflowResult<Receipt> {
        let greeting = if reminder.friendly { "Dear" } else { "To" };
        let text = format!("{greeting} {}, please remember: {}", reminder.customer, reminder.about);
        Ok(notify(ctx, Notice { to: reminder.customer, text }).await?)
    }
}

/// Makes the report of one day.
#[workflow]
#[derive(Default)]
pub struct NightlyReport;

/// Of which region and day.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Scope {
    /// Which region.
    pub region: String,
    /// Which day: an RFC 3339 time in it.
    pub day: String,
}

#[workflow_methods]
impl NightlyReport {
    /// Takes a second for it, as a real one would take an hour.
    #[run]
    pub async fn run(ctx: &mut WorkflowContext<Self>, scope: Scope) -> WorkflowResult<Receipt> {
        ctx.timer(Duration::from_secs(1)).await;
        let text = format!("the report of {} for {} is ready", scope.region, scope.day);
        Ok(notify(ctx, Notice { to: "management".to_owned(), text }).await?)
    }
}

async fn notify<W>(ctx: &WorkflowContext<W>, notice: Notice) -> Result<Receipt, ActivityExecutionError> {
    let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(10));
    ctx.execute_activity(Notifications::notify, notice, options).await
}
