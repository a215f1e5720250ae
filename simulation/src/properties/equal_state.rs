//! Replicas that have applied the same have the same tables, key by key: whatever way led there, log, snapshot or a crash.

use crate::disk::StateAt;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// A digest of the tables, by shard and what was applied.
#[derive(Default)]
pub struct EqualState(BTreeMap<(u32, u64), (u64, u64)>);

impl EqualState {
    /// A node's replica stands there.
    pub fn reached(&mut self, node: u64, state: &StateAt) -> Result<(), String> {
        let place = (state.group, xxh3_64(&state.applied));
        let (known, by) = *self.0.entry(place).or_insert((state.digest, node));
        if known == state.digest {
            return Ok(());
        }
        let (group, applied) = (state.group, &state.applied);
        Err(format!("the state of shard {group} on node {node} is another one than on node {by}, at {applied:02x?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_state_at_the_same_place_is_seen() {
        let at = |applied: u8, digest| StateAt { group: 1, applied: vec![applied], digest };
        let mut states = EqualState::default();
        assert!(states.reached(1, &at(5, 50)).is_ok() && states.reached(2, &at(5, 50)).is_ok());
        assert!(states.reached(2, &at(6, 60)).is_ok());
        assert!(states.reached(3, &at(5, 51)).is_err());
    }
}
