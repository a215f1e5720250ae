//! That a backup is being brought into a shard, told to all nodes the way that its subscriptions are: as a subscription that no event can match.
//!
//! So it needs no words of its own between nodes, and holds as subscriptions do: whoever begins a restore is answered when every node that takes
//! events knows of it, and whoever takes the place of a leader or of a copy has it with all the rest. Before that, an event could be taken and match
//! nothing, a moment before the definition comes that it is for.

use bytes::Bytes;
use flintwheel_events::Index;
use flintwheel_shard::query::Subscribed;

use super::wire::Change;

/// Of no definition: those are counted up from zero.
const NUMBER: u64 = u64::MAX;
/// No namespace, and no event, is named so.
const NAMESPACE: &str = "";
const EVENT_TYPE: &str = "restoring";
/// Asks for nothing, and keeps no keys.
const MATCHER: &[u8] = br#"{"window":0}"#;

/// From now on events are refused.
pub fn begun() -> Change {
    let subscriptions = vec![(EVENT_TYPE.to_owned(), Bytes::from_static(MATCHER))];
    Change { number: NUMBER, version: 0, namespace: NAMESPACE.to_owned(), subscriptions }
}

/// All is there.
pub fn ended() -> Change {
    Change { subscriptions: Vec::new(), ..begun() }
}

/// The same among all subscriptions of a shard.
pub fn row() -> Subscribed {
    let (namespace, event_type) = (NAMESPACE.to_owned(), EVENT_TYPE.to_owned());
    Subscribed { namespace, event_type, number: NUMBER, version: 0, matcher: MATCHER.to_vec() }
}

/// A shard into which a backup is being brought, if there is one.
pub fn shard(index: &Index) -> Option<u32> {
    let mut shard = None;
    index.matches(NAMESPACE, EVENT_TYPE, |_| None, |found| shard = Some(found.shard));
    shard
}
