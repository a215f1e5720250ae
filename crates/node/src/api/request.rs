//! Requests that are carried out once: what a shard is told to remember of them, as soon as all nodes of the cluster know how.
//!
//! Each change has a request id. Who asks gives it, or else the node that is asked first makes one: so all its tries have the same.

use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::{request_content, request_digest, short};
use flintwheel_shard::entry::{REQUESTS_SINCE, Request, TRACKING_SINCE};

use super::desk::Replica;
use super::{ApiError, one};
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
    },
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
    },
}

impl Content<'_> {
    fn digest(&self) -> [u8; 16] {
        // Zero is a version that can be expected, so none is told by a word.
        let version = |expected: &Option<u64>| expected.map_or("any".to_owned(), |version| version.to_string());
        match self {
            Self::Apply { document, expected_version } => {
                request_content(&[b"apply", document, version(expected_version).as_bytes()])
            }
            Self::Delete { expected_version } => request_content(&[b"delete", version(expected_version).as_bytes()]),
            Self::Switch { paused: true, note } => request_content(&[b"pause", note.as_bytes()]),
            Self::Switch { paused: false, note } => request_content(&[b"resume", note.as_bytes()]),
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
        let apply = |document, expected_version| Content::Apply { document, expected_version }.digest();
        let delete = |expected_version| Content::Delete { expected_version }.digest();
        let switch = |paused, note| Content::Switch { paused, note }.digest();
        let all = [
            apply(b"a", None),
            apply(b"b", None),
            apply(b"a", Some(0)),
            apply(b"a", Some(1)),
            delete(None),
            delete(Some(0)),
            delete(Some(1)),
            switch(true, ""),
            switch(true, "a"),
            switch(false, ""),
            switch(false, "a"),
        ];
        for (place, digest) in all.iter().enumerate() {
            assert!(!all[..place].contains(digest), "{place}");
        }
        assert_eq!(apply(b"a", Some(1)), all[3]);
    }
}
