//! In each term, at most one node leads a shard.

use std::collections::BTreeMap;

/// Who has led, by shard and term.
#[derive(Default)]
pub struct OneLeader(BTreeMap<(u32, u64), u64>);

impl OneLeader {
    /// A node leads a shard in a term.
    pub fn leads(&mut self, (shard, term, node): (u32, u64, u64)) -> Result<(), String> {
        let known = *self.0.entry((shard, term)).or_insert(node);
        if known == node { Ok(()) } else { Err(format!("nodes {known} and {node} lead shard {shard} in term {term}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_term_are_seen() {
        let mut leaders = OneLeader::default();
        assert!(leaders.leads((0, 1, 1)).is_ok() && leaders.leads((0, 1, 1)).is_ok());
        assert!(leaders.leads((0, 2, 2)).is_ok() && leaders.leads((1, 1, 2)).is_ok());
        assert!(leaders.leads((0, 1, 2)).is_err());
    }
}
