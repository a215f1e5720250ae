//! The cluster on one page: nodes, what is wrong, what is moving.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use flintwheel_client::{ClusterShard, ClusterState, NodeState, ReplicaRole, shard_name};

use super::rows;
use crate::output::{ago, grouped, plural, size, table};

/// Shards named in one line; more are counted.
const NAMED: usize = 8;

/// See the module.
pub fn page(state: &ClusterState, now: DateTime<Utc>, wide: bool) -> String {
    let mut page = head(state, now);
    for problem in problems(state) {
        // Writing into a String does not fail.
        let _ = writeln!(page, "{problem}");
    }
    let (head, nodes) = rows::nodes(state, now, wide);
    page.push('\n');
    page.push_str(&table(&head, &nodes));
    if !state.moves.is_empty() {
        let (head, moves) = rows::moves(state, now);
        page.push('\n');
        page.push_str(&table(&head, &moves));
    }
    page
}

fn head(state: &ClusterState, now: DateTime<Utc>) -> String {
    let settings = &state.settings;
    let bytes = state.nodes.iter().map(|node| node.bytes).fold(0, u64::saturating_add);
    let load = state.shards.iter().map(|shard| shard.load).fold(0, u64::saturating_add);
    format!(
        "cluster {}   {}, {}, replication {}   as {} has seen it, {}\n\
        data {}   load {} entries/s   moves {} (at most {} at once)   repair after {}\n",
        state.cluster_id,
        plural(state.nodes.len() as u64, "node"),
        plural(u64::from(settings.shards), "shard"),
        settings.replication,
        state.node_name(state.observed_by),
        ago(state.observed_at, now),
        size(bytes),
        grouped(load),
        state.moves.len(),
        settings.most_moves,
        settings.repair_after,
    )
}

/// One line each: what somebody should know before going on to the next node.
fn problems(state: &ClusterState) -> Vec<String> {
    let gone = state.nodes.iter().filter(|node| !node.alive && node.state != NodeState::Joining);
    let gone: Vec<String> = gone.map(|node| state.node_name(node.id)).collect();
    let wanted = state.settings.replication as usize;
    let lines = [
        ("nodes that do not answer", gone),
        ("shards without a leader", which(state, |shard| shard.leader.is_none())),
        ("shards without a majority", which(state, |shard| living(state, shard) * 2 <= voters(shard))),
        ("shards with damaged replicas", which(state, |shard| shard.replicas.iter().any(|replica| replica.damaged))),
        ("shards with fewer voters than wanted", which(state, |shard| voters(shard) < wanted)),
    ];
    let full = lines.into_iter().filter(|(_, names)| !names.is_empty());
    full.map(|(what, names)| format!("{what}: {}", few(&names))).collect()
}

/// The meta group is named like a shard, `meta`.
fn which(state: &ClusterState, is_so: impl Fn(&ClusterShard) -> bool) -> Vec<String> {
    state.shards.iter().filter(|shard| is_so(shard)).map(|shard| shard_name(shard.shard)).collect()
}

fn voters(shard: &ClusterShard) -> usize {
    shard.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter).count()
}

/// Voters that answer. One that is damaged is fenced: its node is up, and it does not vote.
fn living(state: &ClusterState, shard: &ClusterShard) -> usize {
    let voters = shard.replicas.iter().filter(|replica| replica.role == ReplicaRole::Voter && !replica.damaged);
    voters.filter(|replica| state.node(replica.node).is_some_and(|node| node.alive)).count()
}

fn few(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {} more", grouped(more as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn one_page_says_what_is_wrong_and_what_is_moving() {
        let expected = "\
cluster 7d2f   4 nodes, 3 shards, replication 3   as a has seen it, 1s ago
data 3.0 GiB   load 683 entries/s   moves 1 (at most 4 at once)   repair after 5m
nodes that do not answer: b
shards without a leader: 2
shards without a majority: 2
shards with fewer voters than wanted: 1, 2

NODE   NAME   STATE";
        let page = page(&sample::state(), sample::now(), false);
        assert!(page.starts_with(expected), "{page}");
        let lines: Vec<&str> = page.lines().collect();
        assert!(lines[13].starts_with("SHARD   MOVES"), "{page}");
        assert_eq!(lines.len(), 15, "{page}");
    }

    #[test]
    fn a_cluster_in_order_has_no_problems() {
        let mut state = sample::state();
        state.settings.replication = 2;
        state.nodes.iter_mut().for_each(|node| node.alive = true);
        state.shards[2].leader = Some(1);
        state.moves.clear();
        assert_eq!(problems(&state), [""; 0]);
        assert!(!page(&state, sample::now(), false).contains("MOVES"));
    }

    #[test]
    fn a_damaged_replica_is_named_and_counts_as_one_that_is_gone() {
        let mut state = sample::state();
        state.shards[0].replicas[0].damaged = true;
        let told = problems(&state);
        assert_eq!(told[2..4], ["shards without a majority: 0, 2", "shards with damaged replicas: 0"], "{told:?}");
        state.nodes.iter_mut().for_each(|node| node.alive = true);
        assert!(!problems(&state).iter().any(|line| line.contains("majority")), "two of three are left");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..1010).map(|i| i.to_string()).collect();
        assert_eq!(few(&names), "0, 1, 2, 3, 4, 5, 6, 7 and 1,002 more");
        assert_eq!(few(&names[..2]), "0, 1");
    }
}
