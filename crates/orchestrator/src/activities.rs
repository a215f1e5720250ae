//! What a run does outside of workflow code: thin activities around [`Definitions`], [`Resolver`], [`plan()`] and [`RunLog`].
//!
//! Each says by the kind of its failure whether another try can help; how often and how long is the workflow's choice.
#![allow(missing_docs, reason = "the SDK's macros make constants without documentation")]

use std::sync::Arc;

use flintwheel_client::Run;
use flintwheel_model::definition::{HttpSource, Metadata};
use flintwheel_model::run::{TriggerEvent, variables};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use temporalio_macros::activities;
use temporalio_sdk::ApplicationFailure;
use temporalio_sdk::activities::{ActivityContext, ActivityError};

use crate::context::{Resolver, SourceError};
use crate::definitions::{Definitions, DefinitionsError};
use crate::plan::{Plan, PlanInput, plan};
use crate::run_log::RunLog;

/// The activities of `RunActivity` and what they work with; cheap to clone.
#[derive(Clone)]
pub struct Activities {
    /// Hands out definitions.
    pub definitions: Arc<dyn Definitions>,
    /// Fetches context values.
    pub resolver: Resolver,
    /// Remembers runs.
    pub log: RunLog,
}

/// Which definition a run loads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadInput {
    /// Its name.
    pub definition: DefinitionKey,
    /// Which life of it.
    pub incarnation: u64,
    /// The version that fired.
    pub version: u64,
}

/// Which context value a run fetches, and what its templates see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceInput {
    /// The source's name, for messages.
    pub name: String,
    /// Where the value comes from.
    pub source: HttpSource,
    /// The definition's.
    pub metadata: Metadata,
    /// The definition's.
    pub version: u64,
    /// What set it off.
    pub trigger: TriggerEvent,
}

#[activities]
impl Activities {
    /// The definition at the version that fired.
    #[activity(name = "flintwheel.LoadDefinition")]
    pub async fn load_definition(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: LoadInput,
    ) -> Result<ActivityDefinition, ActivityError> {
        self.definitions.get(&input.definition, input.incarnation, input.version).await.map_err(|error| match error {
            DefinitionsError::NotFound { .. } => for_good(error),
            DefinitionsError::Unavailable { .. } => error.into(),
        })
    }

    /// The value of one source over the network.
    #[activity(name = "flintwheel.ResolveContext")]
    pub async fn resolve_context(
        self: Arc<Self>,
        _ctx: ActivityContext,
        input: SourceInput,
    ) -> Result<Value, ActivityError> {
        let vars = variables(&input.metadata, input.version, &input.trigger, None);
        self.resolver.fetch(&input.source, &vars).await.map_err(|error| match error {
            SourceError::Permanent(_) => for_good(error),
            SourceError::Temporary(_) => error.into(),
        })
    }

    /// What the run will do.
    #[activity(name = "flintwheel.PlanTasks")]
    pub async fn plan_tasks(_ctx: ActivityContext, input: PlanInput) -> Result<Plan, ActivityError> {
        plan(&input).map_err(for_good)
    }

    /// Tells the run log how the run stands.
    #[activity(name = "flintwheel.LogRun")]
    pub async fn log_run(self: Arc<Self>, _ctx: ActivityContext, run: Run) -> Result<(), ActivityError> {
        Ok(self.log.write(&run).await?)
    }
}

/// A failure that each try would meet again.
fn for_good(error: impl std::error::Error + Send + Sync + 'static) -> ActivityError {
    ActivityError::application(ApplicationFailure::non_retryable(error))
}
