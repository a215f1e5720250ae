//! `--wait`: asks how the cluster stands until what was wished has come about, and tells how far it is.

use std::time::{Duration, Instant};

use flintwheel_client::{Client, ClusterState, Error, NodeState, PlannedStep, ReplicaRole, ShardMove};
use flintwheel_model::Span;

use super::words;
use crate::exit::{Exit, Failure, Outcome, exit_of};
use crate::output::{Watch, plural, say};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// A cluster that has not answered for so long is not waited for: its meta group has no leader, or nobody is there.
const SILENCE: Duration = Duration::from_secs(60);
/// A wish is seen as given up after so many looks in a row: the first ones may come from before it.
const LOOKS: u32 = 5;

/// Whether to wait, and how long.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Wait {
    /// Wait until it is done, and show how far it is; --wait=10m gives up after ten minutes, while the cluster goes on
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    wait: Option<Option<Span>>,
}

impl Wait {
    /// Whether to wait.
    pub fn is_wanted(self) -> bool {
        self.wait.is_some()
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The shard has a voter on the node.
    Moved {
        /// Which shard.
        shard: u32,
        /// Which node.
        to: u64,
    },
    /// The node holds nothing any more.
    Drained(u64),
    /// Nothing is moving, and nothing is left to even out.
    Even,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Look {
    Done(String),
    Going(String),
    /// Neither done nor going on.
    Still(String),
}

/// Returns at once where nobody wants to wait.
pub async fn until(client: &Client, goal: &Goal, wait: Wait) -> Outcome {
    let Some(most) = wait.wait else { return Ok(Exit::Ok) };
    let mut watch = Watch::new();
    let ended = watch_until(client, goal, most.map(Duration::from), &mut watch).await;
    watch.done();
    say(ended?);
    Ok(Exit::Ok)
}

async fn watch_until(
    client: &Client,
    goal: &Goal,
    most: Option<Duration>,
    watch: &mut Watch,
) -> Result<String, Failure> {
    let begun = Instant::now();
    let (mut heard, mut still) = (begun, 0);
    loop {
        let now = match look(client, goal).await {
            Ok(Look::Done(text)) => return Ok(text),
            Ok(Look::Still(text)) if still + 1 == LOOKS => return Err(Failure::new(Exit::Failed, text)),
            Ok(Look::Still(text)) => {
                (heard, still) = (Instant::now(), still + 1);
                text
            }
            Ok(Look::Going(text)) => {
                (heard, still) = (Instant::now(), 0);
                text
            }
            Err(error) if exit_of(error.code) != Exit::Unavailable || heard.elapsed() > SILENCE => {
                return Err(error.into());
            }
            Err(error) => format!("asked again: {error}"),
        };
        watch.tell(&now);
        if most.is_some_and(|most| begun.elapsed() >= most) {
            let text =
                format!("not done yet: {now}; the cluster goes on with it (`flintwheel cluster status` shows how far)");
            return Err(Failure::new(Exit::Failed, text));
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(client: &Client, goal: &Goal) -> Result<Look, Error> {
    let state = client.cluster_state().await?;
    Ok(match *goal {
        Goal::Moved { shard, to } => moved(&state, shard, to),
        Goal::Drained(node) => drained(&state, node),
        Goal::Even => even(&state, &client.rebalance(true).await?),
    })
}

fn moved(state: &ClusterState, shard: u32, to: u64) -> Look {
    let name = words::shard_title(shard);
    let node = words::titled_id(state, to);
    let Some(found) = state.shards.iter().find(|found| found.shard == shard) else {
        return Look::Still(format!("there is no {name}"));
    };
    let there = found.replicas.iter().any(|replica| replica.node == to && replica.role == ReplicaRole::Voter);
    match &found.moving {
        Some(one) => Look::Going(format!("{name}: {}", words::under_way(state, one))),
        None if there => Look::Done(format!("{name} has a replica on {node}")),
        None => Look::Still(format!("{name} has no replica on {node}, and none is on its way: the move was given up")),
    }
}

fn drained(state: &ClusterState, id: u64) -> Look {
    let name = words::titled_id(state, id);
    let Some(node) = state.node(id) else { return Look::Done(format!("{name} is no longer part of the cluster")) };
    if node.state != NodeState::Draining {
        return Look::Still(format!("{name} is not being drained: somebody has taken that back"));
    }
    if node.replicas == 0 {
        return Look::Done(format!("{name} holds nothing any more"));
    }
    let mut text = format!("{name}: {} left", plural(u64::from(node.replicas), "replica"));
    let own: Vec<&ShardMove> = state.moves.iter().filter(|one| one.from == Some(id)).collect();
    if let Some(oldest) = own.first() {
        let shard = words::shard_title(oldest.shard);
        text.push_str(&format!(", {} moving ({shard}: {})", own.len(), words::under_way(state, oldest)));
    }
    Look::Going(text)
}

fn even(state: &ClusterState, plan: &[PlannedStep]) -> Look {
    let (moves, steps) = (state.moves.len() as u64, plan.len() as u64);
    match (state.moves.first(), plan.first()) {
        (None, None) => Look::Done("nothing is moving, and nothing is left to even out".into()),
        (Some(oldest), _) => {
            let (shard, far) = (words::shard_title(oldest.shard), words::under_way(state, oldest));
            Look::Going(format!(
                "{} under way ({shard}: {far}), {} to come",
                plural(moves, "move"),
                plural(steps, "step")
            ))
        }
        (None, Some(next)) => Look::Going(format!("{} to come ({})", plural(steps, "step"), next.description)),
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_client::MoveReason;

    use super::super::sample;
    use super::*;

    fn done(text: &str) -> Look {
        Look::Done(text.into())
    }

    fn going(text: &str) -> Look {
        Look::Going(text.into())
    }

    fn is_still(look: &Look) -> bool {
        matches!(look, Look::Still(_))
    }

    #[test]
    fn a_move_is_done_when_its_replica_votes() {
        let mut state = sample::state();
        assert_eq!(moved(&state, 1, 4), going("shard 1: c -> d, catching up, 1,204 behind"));
        assert_eq!(moved(&state, 0, 3), done("shard 0 has a replica on node 3 (c)"));
        assert!(is_still(&moved(&state, 7, 3)));
        state.shards[1].moving = None;
        assert!(is_still(&moved(&state, 1, 4)), "a learner was left behind");
        state.shards[1].replicas[2].role = ReplicaRole::Voter;
        assert_eq!(moved(&state, 1, 4), done("shard 1 has a replica on node 4 (d)"));
    }

    #[test]
    fn a_node_is_drained_when_it_holds_nothing_or_is_gone() {
        let mut state = sample::state();
        assert_eq!(
            drained(&state, 3),
            going("node 3 (c): 3 replicas left, 1 moving (shard 1: c -> d, catching up, 1,204 behind)")
        );
        assert!(is_still(&drained(&state, 1)), "it is up");
        assert_eq!(drained(&state, 9), done("node 9 is no longer part of the cluster"));
        state.nodes[2].replicas = 0;
        assert_eq!(drained(&state, 3), done("node 3 (c) holds nothing any more"));
    }

    #[test]
    fn a_cluster_is_even_when_nothing_moves_and_nothing_is_planned() {
        let mut state = sample::state();
        let step = PlannedStep { shard: 0, reason: MoveReason::Rebalance, description: "shard 0: to d".into() };
        let plan = [step];
        assert_eq!(
            even(&state, &plan),
            going("1 move under way (shard 1: c -> d, catching up, 1,204 behind), 1 step to come")
        );
        state.moves.clear();
        assert_eq!(even(&state, &plan), going("1 step to come (shard 0: to d)"));
        assert_eq!(even(&state, &[]), done("nothing is moving, and nothing is left to even out"));
    }
}
