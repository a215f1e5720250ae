//! Where a run gets its definition from: a trait, so that the workflow knows neither gRPC nor the server.

use flintwheel_model::{ActivityDefinition, DefinitionKey};
use futures::future::BoxFuture;

/// Hands out definitions by version.
pub trait Definitions: Send + Sync + 'static {
    /// This version of this definition, also where a later one has replaced it.
    fn get<'a>(
        &'a self,
        definition: &'a DefinitionKey,
        version: u64,
    ) -> BoxFuture<'a, Result<ActivityDefinition, DefinitionsError>>;
}

/// Why a definition can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionsError {
    /// It is not there, and will not be: the run fails.
    #[error(
        "definition {definition} has no version {version}: it was deleted, or the version is older than those that are kept"
    )]
    NotFound {
        /// Which one.
        definition: DefinitionKey,
        /// Which version.
        version: u64,
    },
    /// Not now: the run tries again.
    #[error("definition {definition} can't be had now: {why}")]
    Unavailable {
        /// Which one.
        definition: DefinitionKey,
        /// What stands against it.
        why: String,
    },
}
