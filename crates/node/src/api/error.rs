//! Why a request was not carried out, in the terms of whoever asked. Travels between nodes as JSON: variants are added, never renamed.

use flintwheel_model::{DefinitionKey, Violations};
use serde::{Deserialize, Serialize};

use super::OperateError;
use crate::error::EngineError;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ApiError {
    /// The request is at fault; nothing was changed.
    #[error("{0}")]
    Invalid(#[from] Violations),
    /// There is no such definition (or version of it).
    #[error("{0} does not exist")]
    NotFound(DefinitionKey),
    /// There is no such calendar.
    #[error("calendar {0} does not exist")]
    NoCalendar(DefinitionKey),
    /// It has another version than the caller expected.
    #[error("{key} has version {actual}, not {expected}; read it again and decide anew")]
    Conflict {
        /// Which one.
        key: DefinitionKey,
        /// The version that the caller expected; 0 is "does not exist".
        expected: u64,
        /// The version it has.
        actual: u64,
    },
    /// It is not paused, so it can't be resumed.
    #[error("{0} is not paused: there is nothing to resume")]
    NotPaused(DefinitionKey),
    /// It does not fit to how the definition stands.
    #[error("{0}")]
    Refused(String),
    /// The cluster has no room for more namespaces.
    #[error("namespace {0:?} can't be made: its shard serves 65,536 namespaces already")]
    TooManyNamespaces(String),
    /// There is no cluster to ask.
    #[error(
        "this node runs alone: there are no other nodes to look at, and nothing to move (docs/cluster.md tells how to make a cluster)"
    )]
    Alone,
    /// The cluster does not do what an operator wishes.
    #[error(transparent)]
    Operate(#[from] OperateError),
    /// The engine could not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl ApiError {
    /// A word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID",
            Self::NotFound(_) => "DEFINITION_NOT_FOUND",
            Self::NoCalendar(_) => "CALENDAR_NOT_FOUND",
            Self::Conflict { .. } => "VERSION_CONFLICT",
            Self::NotPaused(_) => "NOT_PAUSED",
            Self::Refused(_) => "REFUSED",
            Self::TooManyNamespaces(_) => "TOO_MANY_NAMESPACES",
            Self::Alone => "ALONE",
            Self::Operate(OperateError::Refused(_)) => "REFUSED",
            Self::Operate(OperateError::NotFound(_)) => "NOT_FOUND",
            Self::Operate(OperateError::Passing(_)) => "UNAVAILABLE",
            Self::Engine(EngineError::Busy) => "BUSY",
            Self::Engine(EngineError::DiskLow { .. }) => "DISK_LOW",
            Self::Engine(error) if error.is_passing() => "UNAVAILABLE",
            Self::Engine(_) => "SHARD_FAILED",
        }
    }
}

impl From<flintwheel_raft::Stopped> for ApiError {
    fn from(error: flintwheel_raft::Stopped) -> Self {
        Self::Engine(error.into())
    }
}

impl From<flintwheel_shard::ReadError> for ApiError {
    fn from(error: flintwheel_shard::ReadError) -> Self {
        Self::Engine(error.into())
    }
}
