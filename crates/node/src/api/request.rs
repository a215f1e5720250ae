//! Requests that are carried out once: what a shard is told to remember of them, as soon as all nodes of the cluster know how.
//!
//! Each change has a request id. Who asks gives it, or else the node that is asked first makes one: so all its tries have the same.

use flintwheel_model::DefinitionKey;
use flintwheel_model::definition::OnResume;
use flintwheel_model::ids::{request_content, request_digest, short};
use flintwheel_shard::entry::{
    BOUNDS_SINCE, OPERATIONS_SINCE, REQUESTS_SINCE, Request, START_OPTIONS_SINCE, TRACKING_SINCE,
};

use super::desk::Replica;
use super::{Api, ApiError, one};
use crate::interest;

/// For how long a request is remembered, in seconds. It decides in which buckets the shard looks: with another one, what was remembered before
/// the change is not found.
const WINDOW: u32 = 3600;

/// What is asked for. With the same request id it must be the same.
pub(super) enum Content<'a> {
    /// A definition as it shall be.
    Apply {
        /// In canonical JSON.
        document: &'a [u8],
        /// Only if it has this version.
        expected_version: Option<u64>,
        /// With due times after this one.
        due_after: Option<i64>,
    },
    /// Something from which the definition follows, in words.
    Asked(&'a str),
    /// That it be gone.
    Delete {
        /// Only if it has this version.
        expected_version: Option<u64>,
    },
    /// That it be paused, or resumed.
    Switch {
        /// Paused.
        paused: bool,
        /// Why.
        note: &'a str,
        /// What becomes of what was missed, if who resumes says so.
        missed: Option<OnResume>,
        /// When a pause ends by itself, in microseconds since the epoch.
        until: Option<i64>,
    },
}

impl Content<'_> {
    fn digest(&self) -> [u8; 16] {
        // Zero is a version that can be expected, so none is told by a word.
        let version = |expected: &Option<u64>| expected.map_or("any".to_owned(), |version| version.to_string());
        match self {
            Self::Apply { document, expected_version, due_after: None } => {
                request_content(&[b"apply", document, version(expected_version).as_bytes()])
            }
            Self::Asked(what) => request_content(&[b"asked", what.as_bytes()]),
            Self::Apply { document, expected_version, due_after: Some(after) } => {
                request_content(&[b"apply", document, version(expected_version).as_bytes(), &after.to_le_bytes()])
            }
            Self::Delete { expected_version } => request_content(&[b"delete", version(expected_version).as_bytes()]),
            Self::Switch { paused: true, note, until: Some(until), .. } => {
                request_content(&[b"pause", note.as_bytes(), &until.to_le_bytes()])
            }
            Self::Switch { paused: true, note, .. } => request_content(&[b"pause", note.as_bytes()]),
            Self::Switch { note, missed: None, .. } => request_content(&[b"resume", note.as_bytes()]),
            Self::Switch { note, missed: Some(missed), .. } => {
                request_content(&[b"resume", note.as_bytes(), missed.as_str().as_bytes()])
            }
        }
    }
}

/// The request id of a change: the one that was given, or a new one.
pub(super) fn request_id(given: &str) -> String {
    if given.is_empty() { uuid::Uuid::now_v7().to_string() } else { given.to_owned() }
}

/// The id was given to another request before.
pub(super) fn reused(key: &DefinitionKey, request_id: &str) -> ApiError {
    let id = short(request_id);
    let message =
        format!("{id:?} was given to another request about {key} within the last hour; each request needs its own");
    one("request_id", message).into()
}

fn too_old(field: &str) -> ApiError {
    let message = "not all nodes of the cluster know this yet: upgrade them first, and ask for it then";
    one(field, message.to_owned()).into()
}

impl Api {
    /// The same where it is asked first: a leader that is too old would read the question without what it doesn't know.
    pub(super) fn check_operations(&self, asked: bool, field: &str) -> Result<(), ApiError> {
        let format = self.shared.peers.directory().meta().format();
        if asked && format.is_some_and(|format| format < OPERATIONS_SINCE) { Err(too_old(field)) } else { Ok(()) }
    }
}

impl Replica {
    /// What the shard is to remember of a request. `None` where no id was given, or where a node of the cluster would not understand the entry.
    pub(super) fn request(&self, key: &DefinitionKey, request_id: &str, content: &Content<'_>) -> Option<Request> {
        let known = !request_id.is_empty() && self.all_know(REQUESTS_SINCE);
        known.then(|| Request { digest: request_digest(key, request_id), content: content.digest(), window: WINDOW })
    }

    /// What is about overlapping runs is refused where a node of the cluster would not understand the entry.
    pub(super) fn check_tracking(&self, asked: bool, field: &str) -> Result<(), ApiError> {
        if !asked || self.all_know(TRACKING_SINCE) {
            return Ok(());
        }
        let message = "not all nodes of the cluster know how to watch runs yet: upgrade them first, and apply it then";
        Err(one(field, message.to_owned()).into())
    }

    /// What is about the end of schedules, or about what was missed in a pause, is refused where a node of the cluster would not understand the
    /// entry.
    pub(super) fn check_bounds(&self, asked: bool, field: &str) -> Result<(), ApiError> {
        if !asked || self.all_know(BOUNDS_SINCE) { Ok(()) } else { Err(too_old(field)) }
    }

    /// What is about pauses that end by themselves, and about backfills, is refused where a node of the cluster would not understand the entry.
    pub(super) fn check_operations(&self, asked: bool, field: &str) -> Result<(), ApiError> {
        if !asked || self.all_know(OPERATIONS_SINCE) { Ok(()) } else { Err(too_old(field)) }
    }

    /// A definition that a node of the cluster could not read is refused: one that comes to lead would fire nothing of it.
    pub(super) fn check_start_options(&self, asked: bool) -> Result<(), ApiError> {
        if !asked || self.all_know(START_OPTIONS_SINCE) {
            return Ok(());
        }
        let message = "not all nodes of the cluster know search_attributes, retry_policy, summary, details, priority, \
                       versioning_override and header yet: upgrade them first";
        Err(one("spec.start_workflow", message).into())
    }

    /// Whether every node of the cluster understands entries of this format.
    pub(super) fn all_know(&self, since: u32) -> bool {
        match self.shared.peers.directory().meta().format() {
            Some(format) => format >= since,
            // Nobody has said what they know: then there is to be nobody else.
            None => interest::is_alone(&self.shared, &self.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_for_makes_it_another_request() {
        let since =
            |document, expected_version, due_after| Content::Apply { document, expected_version, due_after }.digest();
        let apply = |document, expected_version| since(document, expected_version, None);
        let delete = |expected_version| Content::Delete { expected_version }.digest();
        let switch = |paused, note| Content::Switch { paused, note, missed: None, until: None }.digest();
        let missed = |missed| Content::Switch { paused: false, note: "", missed: Some(missed), until: None }.digest();
        let until = |until| Content::Switch { paused: true, note: "", missed: None, until: Some(until) }.digest();
        let all = [
            apply(b"a", None),
            apply(b"b", None),
            apply(b"a", Some(0)),
            apply(b"a", Some(1)),
            since(b"a", None, Some(0)),
            since(b"a", None, Some(1)),
            delete(None),
            delete(Some(0)),
            delete(Some(1)),
            switch(true, ""),
            switch(true, "a"),
            switch(false, ""),
            switch(false, "a"),
            missed(OnResume::Drop),
            missed(OnResume::All),
            until(1),
            until(2),
            Content::Asked("a").digest(),
            Content::Asked("b").digest(),
        ];
        for (place, digest) in all.iter().enumerate() {
            assert!(!all[..place].contains(digest), "{place}");
        }
        assert_eq!(apply(b"a", Some(1)), all[3]);
    }
}
