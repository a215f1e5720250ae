//! Which node leads a shard, as far as answers have told: a node that had to ask another one names it, and the next call about that shard goes
//! there at once.
//!
//! Nothing here has to be right: a node that does not lead passes the call on, and one that is away is left for the addresses that the user gave.

use std::collections::HashMap;
use std::time::Duration;

use flintwheel_model::DefinitionKey;
use flintwheel_proto::routing;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;

/// An address that could not be reached is not tried again for so long: it may be one that only nodes can use.
const AVOIDED: Duration = Duration::from_secs(30);
/// More shards than a cluster has, and more nodes than one would call directly: what goes beyond is not believed.
const SHARDS: u32 = 4096;
const NODES: usize = 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct Routes {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Shards of the cluster; 0 before anything was told.
    shards: u32,
    leaders: HashMap<u32, String>,
    avoided: HashMap<String, Instant>,
}

impl Routes {
    /// The address of the node that leads a definition's shard, if that is known.
    pub fn of(&self, key: &DefinitionKey) -> Option<String> {
        let known = self.known.lock();
        if known.shards == 0 {
            return None;
        }
        known.leaders.get(&key.shard(known.shards)).cloned()
    }

    /// Takes in what an answer about a definition tells.
    pub fn learn(&self, key: &DefinitionKey, answer: &MetadataMap, now: Instant) {
        let text = |name| answer.get(name).and_then(|value| value.to_str().ok());
        let shards = text(routing::SHARDS).and_then(|text| text.parse().ok()).filter(|n| (1..=SHARDS).contains(n));
        let (Some(shards), Some(leader)) = (shards, text(routing::LEADER)) else { return };
        let mut known = self.known.lock();
        if known.shards != shards {
            // Another cluster behind the same address: nothing that was told counts any more.
            *known = Known { shards, ..Known::default() };
        }
        known.avoided.retain(|_, until| now < *until);
        if known.avoided.len() < NODES && !known.avoided.contains_key(leader) {
            known.leaders.insert(key.shard(shards), leader.to_owned());
        }
    }

    /// A node can't be reached.
    pub fn avoid(&self, address: &str, now: Instant) {
        let mut known = self.known.lock();
        known.leaders.retain(|_, leader| leader != address);
        known.avoided.insert(address.to_owned(), now + AVOIDED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(shards: &str, leader: &str) -> MetadataMap {
        let mut answer = MetadataMap::new();
        for (name, text) in [(routing::SHARDS, shards), (routing::LEADER, leader)] {
            answer.insert(name, text.parse().expect("ASCII"));
        }
        answer
    }

    #[test]
    fn a_leader_that_is_told_is_used_until_it_is_away_or_another_is_told() {
        let (routes, key, now) = (Routes::default(), DefinitionKey::new("ops", "cleanup"), Instant::now());
        assert_eq!(routes.of(&key), None);
        routes.learn(&key, &MetadataMap::new(), now);
        assert_eq!(routes.of(&key), None, "who leads it answers without a word");
        routes.learn(&key, &answer("16", "b:1"), Instant::now());
        assert_eq!(routes.of(&key).as_deref(), Some("b:1"));
        routes.learn(&key, &answer("16", "c:1"), Instant::now());
        assert_eq!(routes.of(&key).as_deref(), Some("c:1"));
        routes.avoid("c:1", now);
        assert_eq!(routes.of(&key), None);
        routes.learn(&key, &answer("16", "c:1"), Instant::now());
        assert_eq!(routes.of(&key), None, "it was away a moment ago");
        routes.learn(&key, &answer("16", "c:1"), now + AVOIDED);
        assert_eq!(routes.of(&key).as_deref(), Some("c:1"));
    }

    #[test]
    fn a_leader_is_told_for_a_whole_shard_and_for_no_other() {
        let routes = Routes::default();
        let keys: Vec<DefinitionKey> = (0..100).map(|n| DefinitionKey::new("ops", format!("d{n}"))).collect();
        routes.learn(&keys[0], &answer("4", "b:1"), Instant::now());
        for key in &keys {
            assert_eq!(routes.of(key).is_some(), key.shard(4) == keys[0].shard(4), "{key}");
        }
    }

    #[test]
    fn what_can_not_be_is_not_believed() {
        let (routes, key) = (Routes::default(), DefinitionKey::new("ops", "cleanup"));
        for shards in ["0", "4097", "many", ""] {
            routes.learn(&key, &answer(shards, "b:1"), Instant::now());
            assert_eq!(routes.of(&key), None, "{shards}");
        }
        routes.learn(&key, &answer("16", "b:1"), Instant::now());
        routes.learn(&key, &answer("8", "c:1"), Instant::now());
        assert_eq!(routes.of(&key).as_deref(), Some("c:1"), "of a cluster that was made anew");
    }
}
