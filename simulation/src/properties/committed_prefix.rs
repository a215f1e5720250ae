//! An entry that one node has applied is the entry that every node has at its index, for good.

use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// Of each entry that was applied anywhere, a digest, by shard and index.
#[derive(Default)]
pub struct CommittedPrefix(BTreeMap<(u32, u64), (u64, u64)>);

impl CommittedPrefix {
    /// A node that has applied this entry has these bytes in its log.
    pub fn applied(&mut self, node: u64, (shard, index): (u32, u64), bytes: &[u8]) -> Result<(), String> {
        let digest = xxh3_64(bytes);
        let (known, by) = *self.0.entry((shard, index)).or_insert((digest, node));
        if known == digest {
            return Ok(());
        }
        Err(format!("entry {index} of shard {shard} is another one on node {node} than it was on node {by}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_entry_at_the_same_index_is_seen() {
        let mut prefix = CommittedPrefix::default();
        assert!(prefix.applied(1, (0, 7), b"a").is_ok() && prefix.applied(2, (0, 7), b"a").is_ok());
        assert!(prefix.applied(1, (1, 7), b"b").is_ok());
        assert!(prefix.applied(2, (0, 7), b"b").is_err());
    }
}
