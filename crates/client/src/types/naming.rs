//! How people name nodes and shards.

use super::{ClusterNode, ClusterState, META_SHARD};

/// The meta group, where a shard's number is expected.
const META: &str = "meta";

/// A shard's number, or `meta`.
pub fn shard_name(shard: u32) -> String {
    if shard == META_SHARD { META.to_owned() } else { shard.to_string() }
}

/// Reads what [`shard_name`] writes, also after `shard/`, as `-o name` prints it. Whether there is such a shard, the cluster knows.
pub fn parse_shard(text: &str) -> Result<u32, String> {
    let name = text.strip_prefix("shard/").unwrap_or(text);
    if name == META {
        return Ok(META_SHARD);
    }
    // Only as it is written: neither "+3" nor "03".
    let number = name.parse().ok().filter(|number: &u32| number.to_string() == name);
    number.ok_or_else(|| format!("{:?} is no shard: a number from 0, or `meta`", flintwheel_model::ids::short(name)))
}

impl ClusterState {
    /// A node by its id or by its name, also after `node/`. An id comes first: who calls a node "3" will find node 3 by it.
    pub fn find_node(&self, text: &str) -> Option<&ClusterNode> {
        let name = text.strip_prefix("node/").unwrap_or(text);
        let by_id = name.parse().ok().and_then(|id: u64| self.node(id));
        by_id.or_else(|| self.nodes.iter().find(|node| node.name == name))
    }

    /// The id of the node that a wish is about. An id passes although no node has it: the cluster knows what became of it.
    pub fn node_id(&self, text: &str) -> Option<u64> {
        let id = || text.strip_prefix("node/").unwrap_or(text).parse().ok().filter(|id| *id > 0);
        self.find_node(text).map(|node| node.id).or_else(id)
    }

    /// A node by its id.
    pub fn node(&self, id: u64) -> Option<&ClusterNode> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// A node's name, or its id where it has none or is not part of the cluster.
    pub fn node_name(&self, id: u64) -> String {
        let name = self.node(id).map(|node| node.name.clone()).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterSettings, NodeState};
    use flintwheel_model::Span;

    fn node(id: u64, name: &str) -> ClusterNode {
        ClusterNode {
            id,
            name: name.into(),
            peer_address: String::new(),
            client_address: String::new(),
            http_address: String::new(),
            zone: None,
            state: NodeState::Up,
            alive: true,
            gone_since: None,
            epoch: 1,
            program: String::new(),
            replicas: 0,
            leaders: 0,
            bytes: 0,
            free: 0,
            capacity: None,
            clock_ahead_ms: None,
            disk_low: false,
        }
    }

    #[test]
    fn nodes_are_found_by_id_and_by_name() {
        let state = ClusterState {
            cluster_id: "7d2f".into(),
            observed_by: 1,
            observed_at: chrono::DateTime::UNIX_EPOCH,
            settings: ClusterSettings { shards: 4, replication: 3, repair_after: Span::ZERO, most_moves: 4 },
            nodes: vec![node(1, "a"), node(2, "3"), node(3, "b"), node(4, "")],
            shards: Vec::new(),
            moves: Vec::new(),
        };
        for (text, found) in [
            ("1", Some(1)),
            ("a", Some(1)),
            ("node/b", Some(3)),
            ("node/1", Some(1)),
            ("3", Some(3)),
            ("A", None),
            ("5", None),
        ] {
            assert_eq!(state.find_node(text).map(|node| node.id), found, "{text}");
        }
        for (text, id) in [("a", Some(1)), ("node/7", Some(7)), ("7", Some(7)), ("0", None), ("x", None)] {
            assert_eq!(state.node_id(text), id, "{text}");
        }
        let names: Vec<String> = [1, 4, 9].map(|id| state.node_name(id)).into();
        assert_eq!(names, ["a", "4", "9"]);
    }

    #[test]
    fn shards_are_read_as_they_are_written() {
        for shard in [0, 3, 4095, META_SHARD] {
            assert_eq!(parse_shard(&shard_name(shard)), Ok(shard));
            assert_eq!(parse_shard(&format!("shard/{}", shard_name(shard))), Ok(shard));
        }
        for text in ["", "x", "-1", "+3", "03", "4294967296", "3 "] {
            assert!(parse_shard(text).is_err_and(|why| why.ends_with("a number from 0, or `meta`")), "{text}");
        }
    }
}
