//! Names of things and how they are derived: definition keys, firing keys, workflow ids, request ids, the shard of a definition.
//!
//! All of them are pure functions; `docs/ids.md` promises them to users. Changing one breaks "once each" across an upgrade.

use std::fmt;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::limits;

/// A definition's name in its cluster: `namespace/id`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DefinitionKey {
    /// The tenant.
    pub namespace: String,
    /// Unique in the namespace.
    pub id: String,
}

impl DefinitionKey {
    /// Of parts that have been checked with [`check_namespace`] and [`check_id`], or will be.
    pub fn new(namespace: impl Into<String>, id: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), id: id.into() }
    }

    /// Which of `shards` partitions holds it. The hash is frozen (XXH3, 64 bit): a definition never moves between shards.
    pub fn shard(&self, shards: u32) -> u32 {
        assert!(shards > 0, "a cluster has at least one shard");
        let mut text = Vec::with_capacity(self.namespace.len() + 1 + self.id.len());
        text.extend_from_slice(self.namespace.as_bytes());
        text.push(0);
        text.extend_from_slice(self.id.as_bytes());
        (xxh3_64(&text) % u64::from(shards)) as u32
    }
}

impl fmt::Display for DefinitionKey {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.id)
    }
}

/// What makes a firing one of its kind in its definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FiringKey {
    /// A due time: nominal, in microseconds since the epoch.
    Time(i64),
    /// An event's dedupe key.
    Event(String),
    /// A manual trigger's request id.
    Manual(String),
    /// A due time of the past: the backfill, and nominal, in microseconds since the epoch.
    Backfill(String, i64),
}

impl FiringKey {
    /// As it stands in the workflow id: `t:2026-11-23T08:00:00Z`, `e:orders|42`, `m:7f3a`. A key of more than 255 bytes stands as
    /// its SHA-256 under a marked kind (`e#:`), which no key that is written out can have.
    pub fn text(&self) -> String {
        match self {
            Self::Time(micros) => format!("t:{}", rfc3339(*micros)),
            Self::Event(key) => tagged('e', key),
            Self::Manual(key) => tagged('m', key),
            Self::Backfill(id, micros) => tagged('b', &format!("{id}:{}", rfc3339(*micros))),
        }
    }
}

fn tagged(kind: char, key: &str) -> String {
    if key.len() <= limits::KEY_BYTES {
        return format!("{kind}:{key}");
    }
    let digest = Sha256::digest(key.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}#:{hex}")
}

/// An instant as ids and JSON show it: RFC 3339 in UTC, with a fraction only where there is one.
///
/// # Panics
/// Beyond the years that a `DateTime` can hold (about 262,000); due times and clocks end long before.
pub fn rfc3339(micros: i64) -> String {
    let time = DateTime::from_timestamp_micros(micros).expect("due times and clocks are within chrono's years");
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// `{prefix}:{namespace}:{definition id}:{firing key}`. Namespace and id hold no colon, so two firings never share an id.
pub fn workflow_id(prefix: &str, definition: &DefinitionKey, key: &FiringKey) -> String {
    format!("{prefix}:{}:{}:{}", definition.namespace, definition.id, key.text())
}

/// Temporal's request id of a firing: a UUIDv5 of its workflow id and of the definition's incarnation, so that a definition which was
/// deleted and made anew is told from its predecessor.
pub fn request_id(workflow_id: &str, incarnation: u64) -> String {
    let name = format!("{workflow_id}\n{incarnation:016x}");
    Uuid::new_v5(&REQUEST_NAMESPACE, name.as_bytes()).to_string()
}

/// What the dedupe table remembers of a firing: 128 bits of SHA-256 over the definition's number and the firing key. Not a fast hash:
/// a producer who could make two keys collide could suppress an event.
pub fn dedupe_digest(number: u64, key: &FiringKey) -> [u8; 16] {
    let (kind, text) = match key {
        FiringKey::Time(micros) => (b't', rfc3339(*micros)),
        FiringKey::Event(key) => (b'e', key.clone()),
        FiringKey::Manual(key) => (b'm', key.clone()),
        FiringKey::Backfill(id, micros) => (b'b', format!("{id}:{}", rfc3339(*micros))),
    };
    let digest = Sha256::new().chain_update(number.to_be_bytes()).chain_update([kind]).chain_update(text).finalize();
    digest[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// What the dedupe table remembers of a request that changes a definition: 128 bits of SHA-256 over the definition's name and the request id.
/// It begins with a number that no definition has, so it is never a firing's.
pub fn request_digest(definition: &DefinitionKey, request_id: &str) -> [u8; 16] {
    let name = Sha256::new().chain_update(u64::MAX.to_be_bytes()).chain_update(*b"r");
    let name = name.chain_update(&definition.namespace).chain_update([0]).chain_update(&definition.id);
    half(name.chain_update([0]).chain_update(request_id))
}

/// The shard where all calendars of a namespace are at home, of so many. Frozen as [`DefinitionKey::shard`] is, which has no such name: an
/// id is never empty.
pub fn calendar_home(namespace: &str, shards: u32) -> u32 {
    DefinitionKey::new(namespace, "").shard(shards)
}

/// As [`request_digest`], of a request that changes a calendar. No definition has such an id.
pub fn calendar_request_digest(calendar: &DefinitionKey, request_id: &str) -> [u8; 16] {
    let DefinitionKey { namespace, id } = calendar;
    request_digest(&DefinitionKey::new(namespace, format!("calendar/{id}")), request_id)
}

/// Tells a request from another one that was given the same id: 128 bits of SHA-256 over what it asks for.
pub fn request_content(parts: &[&[u8]]) -> [u8; 16] {
    // With their lengths, so that no two lists of parts run together to the same bytes.
    half(parts.iter().fold(Sha256::new(), |content, part| {
        content.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
    }))
}

fn half(digest: Sha256) -> [u8; 16] {
    digest.finalize()[..16].try_into().expect("SHA-256 has 32 bytes")
}

/// The UUID namespace of our request ids; frozen.
const REQUEST_NAMESPACE: Uuid = Uuid::from_u128(0x8f1e_6f5c_33a5_5d0b_9a51_20c7_6d1f_7764);

/// Whether a text may be a namespace: `Err` says what is wrong.
pub fn check_namespace(text: &str) -> Result<(), String> {
    check_name(text, "a namespace", limits::NAMESPACE_LEN, "a-z 0-9 -", |c| c == '-')
}

/// Whether a text may be a definition's id: `Err` says what is wrong.
pub fn check_id(text: &str) -> Result<(), String> {
    check_name(text, "an id", limits::ID_LEN, "a-z 0-9 . _ -", |c| matches!(c, '-' | '_' | '.'))
}

fn check_name(text: &str, what: &str, max: usize, allowed: &str, extra: fn(char) -> bool) -> Result<(), String> {
    if text.is_empty() || text.len() > max {
        return Err(format!("{what} has 1 to {max} characters of {allowed}, this one has {}", text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || extra(*c))) {
        Some(odd) => Err(format!("{:?} holds {odd:?}; {what} has 1 to {max} characters of {allowed}", short(text))),
        None => Ok(()),
    }
}

/// Whether a text may name a backfill: `Err` says what is wrong.
pub fn check_backfill(text: &str) -> Result<(), String> {
    check_name(text, "a backfill's id", limits::BACKFILL_LEN, "a-z 0-9 . _ -", |c| matches!(c, '-' | '_' | '.'))
}

/// A user's text for an error message: not longer than a line.
pub fn short(text: &str) -> String {
    const MAX: usize = 80;
    if text.chars().count() <= MAX {
        return text.to_owned();
    }
    text.chars().take(MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> DefinitionKey {
        DefinitionKey::new("billing", "invoice-reminder")
    }

    #[test]
    fn ids_are_frozen() {
        let noon = FiringKey::Time(1_795_420_800_000_000);
        let id = workflow_id("flintwheel", &key(), &noon);
        assert_eq!(id, "flintwheel:billing:invoice-reminder:t:2026-11-23T08:00:00Z");
        assert_eq!(request_id(&id, 7), "99954f56-18d0-5b09-a156-3ed79536e63f");
        assert_ne!(request_id(&id, 7), request_id(&id, 8));
        assert_eq!(key().shard(16), 0);
        assert_eq!(DefinitionKey::new("ops", "cleanup").shard(16), 11);
        assert_eq!(["billing", "ops", "default"].map(|namespace| calendar_home(namespace, 16)), [3, 7, 7]);
    }

    #[test]
    fn what_is_remembered_of_a_request_is_frozen_and_tells_requests_apart() {
        let hex = |digest: [u8; 16]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(request_digest(&key(), "r1")), "94996a1ac87838bfbf2d880bc8e5ea14");
        assert_eq!(hex(request_content(&[b"apply", b"{}"])), "468277e44b1ccb994377dc7bbe10f1dd");
        let digests = [
            request_digest(&key(), "r1"),
            request_digest(&key(), "r2"),
            request_digest(&DefinitionKey::new("billing", "invoice"), "r1"),
            request_digest(&DefinitionKey::new("ops", "invoice-reminder"), "r1"),
            calendar_request_digest(&key(), "r1"),
            request_content(&[b"ab", b"c"]),
            request_content(&[b"a", b"bc"]),
            request_content(&[b"abc"]),
            request_content(&[b"abc", b""]),
        ];
        for (place, digest) in digests.iter().enumerate() {
            assert!(!digests[..place].contains(digest), "{place}");
        }
    }

    #[test]
    fn fractions_are_shown_only_where_they_are() {
        assert_eq!(FiringKey::Time(1_795_420_800_250_000).text(), "t:2026-11-23T08:00:00.250Z");
        assert_eq!(FiringKey::Time(-1_000_000).text(), "t:1969-12-31T23:59:59Z");
        let again = FiringKey::Backfill("again".to_owned(), 1_795_420_800_000_000);
        assert_eq!(again.text(), "b:again:2026-11-23T08:00:00Z");
    }

    #[test]
    fn a_long_key_stands_as_a_marked_digest() {
        let kept = FiringKey::Event("k".repeat(255)).text();
        let digest = FiringKey::Event("k".repeat(256)).text();
        assert_eq!(kept.len(), 257);
        assert!(digest.starts_with("e#:") && digest.len() == 3 + 64, "{digest}");
    }

    #[test]
    fn namespaces_and_ids_hold_no_separator() {
        for bad in ["", "a:b", "A", "a b", "ä", "a/b", "a\u{200b}", "a\n"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
            assert!(check_namespace(bad).is_err(), "{bad:?}");
        }
        assert!(check_id(&"a".repeat(200)).is_ok());
        assert!(check_id(&"a".repeat(201)).is_err());
        assert!(check_id("a.b_c-9").is_ok());
        assert!(check_namespace("a.b").is_err());
    }
}
