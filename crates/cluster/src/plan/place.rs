//! The first replicas of shards that have none.

use super::View;
use super::board::Board;
use crate::entry::Placement;

/// Where to put shards that have no replicas yet: as many as are wanted and can be, in different zones, evenly. Empty where all have
/// some, or no node can take any.
pub fn first_replicas(view: &View<'_>) -> Vec<Placement> {
    let Some(mut board) = Board::new(view, u64::MAX) else { return Vec::new() };
    let unplaced = (0..board.settings.shards).filter(|shard| view.meta.shard(*shard).is_none());
    unplaced.map(|shard| Placement { shard, nodes: choose(&mut board) }).filter(|one| !one.nodes.is_empty()).collect()
}

fn choose(board: &mut Board<'_>) -> Vec<u64> {
    let mut nodes = Vec::new();
    while nodes.len() < board.settings.replication as usize {
        let candidates = board.spots.iter().filter(|(node, spot)| spot.takes() && !nodes.contains(*node));
        let rank = |node: u64, replicas: usize| (board.conflicts(&[&nodes[..], &[node]].concat()), replicas, node);
        let best = candidates.map(|(node, spot)| rank(*node, spot.replicas)).min();
        let Some((.., node)) = best else { break };
        nodes.push(node);
        if let Some(spot) = board.spots.get_mut(&node) {
            spot.replicas += 1;
        }
    }
    nodes
}
