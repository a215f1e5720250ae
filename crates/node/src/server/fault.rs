//! Why a request was refused, in the words that both doors use: one table from the engine's errors to codes, reasons and delays.

use std::collections::HashMap;
use std::time::Duration;

use flintwheel_client::{Code, Error, reason};
use flintwheel_model::{DefinitionKey, Violation, Violations};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use crate::api::{ApiError, OperateError};
use crate::error::EngineError;

/// Whose words the reasons are.
const DOMAIN: &str = "flintwheel.dev";
/// What `ResourceInfo` calls a definition.
const RESOURCE: &str = "flintwheel.v1.ActivityDefinition";
/// No more namespaces fit; see [`ApiError::TooManyNamespaces`].
const TOO_MANY_NAMESPACES: &str = "TOO_MANY_NAMESPACES";
/// A shard that restarts, or elects its leader, is back by then.
const SHORTLY: Duration = Duration::from_millis(250);
/// What is full has drained somewhat, or another node has taken over.
const LATER: Duration = Duration::from_secs(1);
/// Somebody has to make room.
const MUCH_LATER: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Code, reason, message, violations, delay.
    pub error: Error,
    /// The definition that it is about, where it is about one.
    pub about: Option<Box<Subject>>,
}

/// A definition, and facts about it for programs, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which one.
    pub key: DefinitionKey,
    /// What stood in the way.
    pub facts: Vec<(&'static str, String)>,
}

impl Fault {
    /// A code, a word for programs, a sentence for people.
    pub fn new(code: Code, reason: &str, message: impl Into<String>) -> Self {
        Error::new(code, reason, message).into()
    }

    fn about(self, key: DefinitionKey, facts: Vec<(&'static str, String)>) -> Self {
        Self { about: Some(Box::new(Subject { key, facts })), ..self }
    }

    /// One field of the request is at fault.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Violations(vec![Violation::new(field, message)]).into()
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { error, about: None }
    }
}

impl From<Violations> for Fault {
    fn from(violations: Violations) -> Self {
        Error::invalid(violations).into()
    }
}

impl From<EngineError> for Fault {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        let passing = |reason, delay| Error::new(Code::Unavailable, reason, &message).retry_after(delay).into();
        match error {
            EngineError::Restarting { .. } | EngineError::NotLed | EngineError::NotReached { .. } => {
                passing(reason::NOT_LEADER, SHORTLY)
            }
            EngineError::Stopping | EngineError::Restoring { .. } => passing(reason::NOT_READY, LATER),
            EngineError::Spreading { .. } => passing(reason::SPREADING, SHORTLY),
            EngineError::Busy => {
                let message = format!("{message}; send it again after the delay");
                Error::new(Code::ResourceExhausted, reason::BACK_PRESSURE, message).retry_after(LATER).into()
            }
            EngineError::DiskLow { .. } => {
                Error::new(Code::ResourceExhausted, reason::DISK_LOW, message).retry_after(MUCH_LATER).into()
            }
            EngineError::ShardStopped(_) | EngineError::Read(_) => {
                tracing::error!(%error, "a request failed by a fault of the engine");
                Self::new(Code::Internal, reason::INTERNAL, message)
            }
        }
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        match error {
            ApiError::Invalid(violations) => violations.into(),
            ApiError::NotFound(key) => Self::new(Code::NotFound, reason::NOT_FOUND, message).about(key, Vec::new()),
            ApiError::NoCalendar(_) => Self::new(Code::NotFound, reason::NOT_FOUND, message),
            ApiError::Conflict { key, expected, actual } => {
                let facts = vec![("expected_version", expected.to_string()), ("actual_version", actual.to_string())];
                Self::new(Code::Aborted, reason::VERSION_CONFLICT, message).about(key, facts)
            }
            ApiError::NotPaused(key) => {
                Self::new(Code::FailedPrecondition, reason::NOT_PAUSED, message).about(key, Vec::new())
            }
            ApiError::Refused(_) => Self::new(Code::FailedPrecondition, reason::REFUSED, message),
            ApiError::TooManyNamespaces(_) => Self::new(Code::FailedPrecondition, TOO_MANY_NAMESPACES, message),
            ApiError::Alone => Self::new(Code::Unimplemented, reason::ALONE, message),
            ApiError::Operate(OperateError::Refused(_)) => {
                Self::new(Code::FailedPrecondition, reason::REFUSED, message)
            }
            ApiError::Operate(OperateError::NotFound(_)) => Self::new(Code::NotFound, reason::NOT_FOUND, message),
            ApiError::Operate(OperateError::Passing(_)) => {
                Error::new(Code::Unavailable, reason::NOT_LEADER, message).retry_after(SHORTLY).into()
            }
            ApiError::Engine(error) => error.into(),
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        let Fault { error, about } = fault;
        let Some(about) = about else { return error.into() };
        let Subject { key, facts } = *about;
        let name = [("namespace", key.namespace.clone()), ("id", key.id.clone())];
        let facts = facts.into_iter().chain(name).map(|(name, value)| (name.to_owned(), value));
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason, DOMAIN, facts.collect::<HashMap<_, _>>());
        details.set_resource_info(RESOURCE, key.to_string(), "", error.message.clone());
        Self::with_error_details(error.code, error.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DefinitionKey {
        DefinitionKey::new("ops", "cleanup")
    }

    #[test]
    fn each_error_has_its_code_its_reason_and_a_delay_only_where_it_passes() {
        let one = || Violations(vec![Violation::new("a", "is odd"), Violation::new("b", "is even")]);
        let conflict = ApiError::Conflict { key: key(), expected: 2, actual: 3 };
        for (error, code, reason, delay) in [
            (one().into(), Code::InvalidArgument, "INVALID_ARGUMENT", None),
            (ApiError::NotFound(key()), Code::NotFound, "NOT_FOUND", None),
            (conflict, Code::Aborted, "VERSION_CONFLICT", None),
            (ApiError::TooManyNamespaces("n".into()), Code::FailedPrecondition, "TOO_MANY_NAMESPACES", None),
            (ApiError::Alone, Code::Unimplemented, "ALONE", None),
            (OperateError::Refused("full".into()).into(), Code::FailedPrecondition, "REFUSED", None),
            (OperateError::NotFound("no node".into()).into(), Code::NotFound, "NOT_FOUND", None),
            (OperateError::Passing("no leader".into()).into(), Code::Unavailable, "NOT_LEADER", Some(SHORTLY)),
            (EngineError::Busy.into(), Code::ResourceExhausted, "BACK_PRESSURE", Some(LATER)),
            (
                EngineError::DiskLow { shard: 1, nodes: vec![1, 3] }.into(),
                Code::ResourceExhausted,
                "DISK_LOW",
                Some(MUCH_LATER),
            ),
            (EngineError::NotLed.into(), Code::Unavailable, "NOT_LEADER", Some(SHORTLY)),
            (EngineError::Restarting { shard: 1 }.into(), Code::Unavailable, "NOT_LEADER", Some(SHORTLY)),
            (
                EngineError::NotReached { shard: 1, why: "away".into() }.into(),
                Code::Unavailable,
                "NOT_LEADER",
                Some(SHORTLY),
            ),
            (EngineError::Stopping.into(), Code::Unavailable, "NOT_READY", Some(LATER)),
            (EngineError::Restoring { shard: 1 }.into(), Code::Unavailable, "NOT_READY", Some(LATER)),
            (
                EngineError::Spreading { calendar: "ops/de".into() }.into(),
                Code::Unavailable,
                "SPREADING",
                Some(SHORTLY),
            ),
            (ApiError::NoCalendar(key()), Code::NotFound, "NOT_FOUND", None),
            (EngineError::ShardStopped("disk".into()).into(), Code::Internal, "INTERNAL", None),
            (EngineError::Read("disk".into()).into(), Code::Internal, "INTERNAL", None),
        ] {
            let status = Status::from(Fault::from(error.clone()));
            let details = status.get_error_details();
            let info = details.error_info().expect("always there");
            assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN), "{error}");
            assert_eq!(details.retry_info().and_then(|info| info.retry_delay), delay, "{error}");
        }
    }

    #[test]
    fn all_violations_travel() {
        let faults = Violations(vec![Violation::new("a", "is odd"), Violation::new("b", "is even")]);
        let details = Status::from(Fault::from(ApiError::Invalid(faults))).get_error_details();
        let fields: Vec<_> = details.bad_request().expect("there").field_violations.iter().map(|v| &v.field).collect();
        assert_eq!(fields, ["a", "b"]);
    }

    #[test]
    fn what_is_about_a_definition_names_it_and_the_facts() {
        let error = ApiError::Conflict { key: key(), expected: 2, actual: 3 };
        let details = Status::from(Fault::from(error)).get_error_details();
        let resource = details.resource_info().expect("there");
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), (RESOURCE, "ops/cleanup"));
        let facts = &details.error_info().expect("there").metadata;
        let fact = |name: &str| facts.get(name).map(String::as_str);
        assert_eq!((fact("expected_version"), fact("actual_version")), (Some("2"), Some("3")));
        assert_eq!((fact("namespace"), fact("id")), (Some("ops"), Some("cleanup")));
    }
}
