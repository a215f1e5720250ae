//! Why a call failed, in one type for all calls, and how it travels: as a gRPC status with details, or within a batch's result.

use std::fmt;
use std::time::Duration;

use flintwheel_model::{Violation, Violations};
use flintwheel_proto::v1;
pub use tonic::Code;

mod details;

/// Why a call, or one item of a batch, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What kind of failure it is.
    pub code: Code,
    /// For programs: one of [`reason`], or one that a newer server brought.
    pub reason: String,
    /// For people.
    pub message: String,
    /// All that is wrong with the input, where it is the input's fault.
    pub violations: Vec<Violation>,
    /// When to try again, where it is worth trying.
    pub retry_delay: Option<Duration>,
}

/// The words that `ErrorInfo.reason` holds.
pub mod reason {
    /// A definition, an event or another input breaks a rule; the violations say which.
    pub const INVALID_ARGUMENT: &str = "INVALID_ARGUMENT";
    /// There is no such definition, version, dead letter, node, or shard.
    pub const NOT_FOUND: &str = "NOT_FOUND";
    /// The stored version is not the expected one.
    pub const VERSION_CONFLICT: &str = "VERSION_CONFLICT";
    /// Something is full; wait as long as `RetryInfo` says.
    pub const BACK_PRESSURE: &str = "BACK_PRESSURE";
    /// Disks have no room: nothing new is taken in until there is.
    pub const DISK_LOW: &str = "DISK_LOW";
    /// The shard has no leader at the moment.
    pub const NOT_LEADER: &str = "NOT_LEADER";
    /// The node is starting or stopping.
    pub const NOT_READY: &str = "NOT_READY";
    /// A calendar's change is stored, and not in all shards yet: the same request, sent again, waits on.
    pub const SPREADING: &str = "SPREADING";
    /// The cluster does not allow it as it stands; the message says what to do.
    pub const REFUSED: &str = "REFUSED";
    /// It is not paused, so it can't be resumed.
    pub const NOT_PAUSED: &str = "NOT_PAUSED";
    /// The node runs alone: there is no cluster to ask.
    pub const ALONE: &str = "ALONE";
    /// A message is larger than a message may be.
    pub const TOO_LARGE: &str = "TOO_LARGE";
    /// The server can't be reached at all.
    pub const UNREACHABLE: &str = "UNREACHABLE";
    /// The call took longer than it was given.
    pub const DEADLINE: &str = "DEADLINE";
    /// The server answered what this client does not understand.
    pub const UNREADABLE_ANSWER: &str = "UNREADABLE_ANSWER";
    /// The server has a fault of its own.
    pub const INTERNAL: &str = "INTERNAL";
}

impl Error {
    /// Without violations or a delay.
    pub fn new(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into(), violations: Vec::new(), retry_delay: None }
    }

    /// The input is at fault.
    pub fn invalid(violations: Violations) -> Self {
        let message = violations.to_string();
        Self { violations: violations.0, ..Self::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, message) }
    }

    /// Worth trying again after a while.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_delay = Some(delay);
        self
    }

    /// An answer that this client does not understand.
    pub(crate) fn unreadable(faults: &Violations) -> Self {
        let message = format!("the server's answer is not understood: {faults}; is it of another version?");
        Self::new(Code::Internal, reason::UNREADABLE_ANSWER, message)
    }

    /// As one item of a batch carries it.
    pub fn to_proto(&self) -> v1::Fault {
        v1::Fault {
            code: self.code as i32,
            reason: self.reason.clone(),
            message: self.message.clone(),
            violations: self.violations.iter().map(details::write_violation).collect(),
            retry_delay: self.retry_delay.map(crate::convert::time::duration),
        }
    }

    /// From one item of a batch.
    pub fn from_proto(proto: v1::Fault) -> Self {
        Self {
            code: Code::from_i32(proto.code),
            reason: proto.reason,
            message: proto.message,
            violations: proto.violations.into_iter().map(details::read_violation).collect(),
            retry_delay: proto.retry_delay.map(crate::convert::time::length),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::invalid(violations)
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        details::read(&status)
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        details::write(&error)
    }
}
