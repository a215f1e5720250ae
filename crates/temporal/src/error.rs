//! What can go wrong with a call that is not a start.

use std::time::Duration;

use tonic::{Code, Status};

use crate::target::chain;

/// A call to Temporal that brought no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no such namespace or workflow.
    #[error("not found: {0}")]
    NotFound(String),
    /// The credentials are missing, wrong or not enough.
    #[error("not permitted: {0}")]
    Denied(String),
    /// Temporal can't be reached, or is too busy; trying again may help.
    #[error("temporal is unavailable: {0}")]
    Unavailable(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Temporal answered with an error that trying again won't heal.
    #[error("temporal refused the call: {0}")]
    Refused(String),
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let text = describe(&status);
        match status.code() {
            Code::NotFound => Self::NotFound(text),
            Code::PermissionDenied | Code::Unauthenticated => Self::Denied(text),
            Code::InvalidArgument | Code::Unimplemented | Code::FailedPrecondition => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// Longest reason that is kept; what is cut off is marked.
const MAX_REASON: usize = 400;

/// A status for people: its code and message, and what lies under a transport error.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = match std::error::Error::source(status) {
        Some(source) => format!("{:?}: {}", status.code(), chain(source)),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    if text.len() > MAX_REASON {
        text.truncate(text.floor_char_boundary(MAX_REASON));
        text.push_str(" ...");
    }
    text
}
