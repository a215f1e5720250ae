//! Nodes, shards and moves as rows of tables.

use chrono::{DateTime, Utc};
use flintwheel_client::{ClusterNode, ClusterShard, ClusterState, ShardMove, shard_name};

use super::words;
use crate::output::{compact, grouped, size};

/// What is above a table, and the table.
pub type Table = (Vec<&'static str>, Vec<Vec<String>>);

/// One row a node.
pub fn nodes(state: &ClusterState, now: DateTime<Utc>, wide: bool) -> Table {
    let mut head = vec!["NODE", "NAME", "STATE", "ZONE", "LEADS", "REPLICAS", "DATA", "FREE"];
    if wide {
        head.extend(["CAPACITY", "EPOCH", "VERSION", "PEERS", "GRPC", "HTTP"]);
    }
    let row = |node: &ClusterNode| {
        let mut row = vec![
            node.id.to_string(),
            node.name.clone(),
            words::standing(node, now),
            node.zone.clone().unwrap_or_default(),
            node.leaders.to_string(),
            node.replicas.to_string(),
            size(node.bytes),
            size(node.free),
        ];
        if wide {
            row.extend([node.capacity.map(size).unwrap_or_default(), node.epoch.to_string(), node.program.clone()]);
            row.extend([&node.peer_address, &node.client_address, &node.http_address].map(Clone::clone));
        }
        row
    };
    (head, state.nodes.iter().map(row).collect())
}

/// One row a shard.
pub fn shards(state: &ClusterState, shards: &[&ClusterShard], wide: bool) -> Table {
    let mut head = vec!["SHARD", "LEADER", "REPLICAS", "LAG", "SIZE", "LOAD"];
    if wide {
        head.push("TERM");
    }
    head.push("MOVING");
    let row = |shard: &&ClusterShard| {
        let replicas: Vec<String> = shard.replicas.iter().map(|one| words::replica(state, one)).collect();
        let mut row = vec![
            shard_name(shard.shard),
            shard.leader.map_or_else(|| "none".to_owned(), |leader| state.node_name(leader)),
            replicas.join(", "),
            lag(shard),
            size(shard.bytes),
            format!("{}/s", grouped(shard.load)),
        ];
        if wide {
            row.push(shard.term.to_string());
        }
        row.push(shard.moving.as_ref().map(|one| words::under_way(state, one)).unwrap_or_default());
        row
    };
    (head, shards.iter().map(row).collect())
}

/// The replica that is furthest behind its leader; `?` where one that follows does not say.
fn lag(shard: &ClusterShard) -> String {
    let followers = || shard.replicas.iter().filter(|replica| Some(replica.node) != shard.leader);
    let known = followers().filter_map(|replica| replica.lag).max();
    let silent = followers().any(|replica| replica.lag.is_none());
    match (known, silent) {
        (None, true) => "?".to_owned(),
        (Some(most), true) => format!("{} ?", grouped(most)),
        (most, false) => grouped(most.unwrap_or(0)),
    }
}

/// One row for each that is under way.
pub fn moves(state: &ClusterState, now: DateTime<Utc>) -> Table {
    let row = |one: &ShardMove| {
        let since = (now - one.started).to_std().map(compact).unwrap_or_default();
        vec![
            shard_name(one.shard),
            words::route(state, one),
            words::step(one.step).to_owned(),
            one.lag.map(grouped).unwrap_or_default(),
            words::reason(one.reason).to_owned(),
            since,
        ]
    };
    (vec!["SHARD", "MOVES", "STEP", "BEHIND", "WHY", "FOR"], state.moves.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::output::table;

    fn shown((head, rows): Table) -> String {
        table(&head, &rows)
    }

    #[test]
    fn nodes_are_shown_with_what_they_hold() {
        let expected = "\
NODE   NAME   STATE            ZONE   LEADS   REPLICAS   DATA      FREE
1      a      up                z1     2       3          1.0 GiB   20 GiB
2      b      up, gone 3m12s   z2     0       3          1.0 GiB   20 GiB
3      c      draining          z3     1       3          1.0 GiB   20 GiB
4      d      joining                  0       1          0 B       0 B
";
        assert_eq!(squeezed(&shown(nodes(&sample::state(), sample::now(), false))), squeezed(expected));
        let wide = shown(nodes(&sample::state(), sample::now(), true));
        let first: Vec<&str> = wide.lines().nth(1).expect("a row").split_whitespace().skip(10).collect();
        assert_eq!(first, ["30", "GiB", "7", "0.1.0", "a:7735", "a:7733", "a:7734"]);
    }

    #[test]
    fn shards_are_shown_with_who_leads_and_who_is_behind() {
        let state = sample::state();
        let expected = "\
SHARD   LEADER   REPLICAS                  LAG       SIZE      LOAD    MOVING
0       a        a, b (gone), c            12 ?      64 MiB    340/s
1       c        a, c, d (learner)         1,204     64 MiB    340/s   c -> d, catching up, 1,204 behind
2       none     a, b (gone)               ?         0 B       0/s
meta    a        a, b (gone), c            0         1.0 MiB   3/s
";
        let all: Vec<&ClusterShard> = state.shards.iter().collect();
        assert_eq!(squeezed(&shown(shards(&state, &all, false))), squeezed(expected));
        let wide = shown(shards(&state, &all[..1], true));
        assert_eq!(
            words_of(&wide),
            words_of("SHARD LEADER REPLICAS LAG SIZE LOAD TERM MOVING 0 a a, b (gone), c 12 ? 64 MiB 340/s 9")
        );
    }

    #[test]
    fn a_damaged_replica_is_marked() {
        let mut state = sample::state();
        state.shards[0].replicas[2].damaged = true;
        let shown = shown(shards(&state, &[&state.shards[0]], false));
        assert!(shown.contains("a, b (gone), c (damaged)"), "{shown}");
    }

    /// How columns are aligned is the table's business.
    fn squeezed(text: &str) -> Vec<String> {
        text.lines().map(words_of).collect()
    }

    fn words_of(line: &str) -> String {
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn moves_are_shown_with_how_far_they_are() {
        let expected = "\
SHARD   MOVES    STEP          BEHIND   WHY      FOR
1       c -> d   catching up   1,204    drain    12s
";
        assert_eq!(squeezed(&shown(moves(&sample::state(), sample::now()))), squeezed(expected));
    }
}
