//! Proposals to the meta group, and wishes of operators, from any node: brought to whoever leads it.
//!
//! A proposal whose outcome is not known is proposed again, because none does harm the second time: a node that joins is known by its token,
//! one that registers by its incarnation, the first cluster by its id; a change of a shard's row names the generation that it was computed
//! from, and is stale when it has been made; what drains, removes or sets is so already. (Two people who change the same thing against each
//! other at the same moment can't tell who came last, with or without this.)

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_client::{ClusterState, Granted, PlannedStep};
use flintwheel_cluster::entry::{Body, Entry};
use flintwheel_cluster::{Accepted, META, Refusal};
use flintwheel_raft::{CallError, Leadership, ProposeError};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::wish::Wish;
use super::{Placement, backoff};
use crate::peers::Subject;

/// How long a leader is looked for: less than the doors wait for a wish, so that why there is none is told.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long one node is waited for with a proposal, and with a wish.
const PROPOSAL: Duration = Duration::from_secs(2);
const WISH: Duration = PATIENCE;

/// The form of requests, and their kinds. Answers are JSON.
const VERSION: u8 = 1;
const PROPOSE: u8 = 1;
const WISHED: u8 = 2;

/// Why nothing was done, or is not known to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// It can't be; the text says why and what to do. Nothing has changed.
    #[error("{0}")]
    Refused(String),
    /// There is no such node or shard.
    #[error("{0}")]
    NotFound(String),
    /// Nobody who leads the meta group was found in time. It may still be done; asking again does no harm.
    #[error("the meta group does not answer: {0}; try again, and look whether a majority of its nodes is up")]
    NotReached(String),
}

/// What the leader of the meta group answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Node(u64),
    Registered {
        epoch: u64,
    },
    Shard {
        generation: u64,
    },
    Done,
    Same,
    Granted(Granted),
    Plan(Vec<PlannedStep>),
    State(Box<ClusterState>),
    Refused(String),
    NotFound(String),
    NotLeader {
        leader: Option<u64>,
    },
    /// It leads, and can't at this moment.
    Later(String),
}

impl From<Accepted> for Answer {
    fn from(accepted: Accepted) -> Self {
        match accepted {
            Accepted::Node(node) => Self::Node(node),
            Accepted::Registered { epoch } => Self::Registered { epoch },
            Accepted::Shard { generation } => Self::Shard { generation },
            Accepted::Done => Self::Done,
            Accepted::Same => Self::Same,
        }
    }
}

impl Answer {
    fn accepted(self) -> Result<Accepted, MetaError> {
        match self {
            Self::Node(node) => Ok(Accepted::Node(node)),
            Self::Registered { epoch } => Ok(Accepted::Registered { epoch }),
            Self::Shard { generation } => Ok(Accepted::Shard { generation }),
            Self::Done => Ok(Accepted::Done),
            Self::Same => Ok(Accepted::Same),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn unexpected(self) -> MetaError {
        MetaError::NotReached(format!("it answered something else than was asked: {self:?}"))
    }
}

/// Why this node, as the meta group's leader, did not do something.
#[derive(Debug)]
pub(super) enum NotDone {
    Refused(String),
    NotFound(String),
    NotLeader {
        leader: Option<u64>,
    },
    /// It may work in a moment, or may have worked.
    Later(String),
}

impl From<Refusal> for NotDone {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownNode { .. } | Refusal::UnknownShard { .. } => Self::NotFound(refusal.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

impl From<NotDone> for Answer {
    fn from(not_done: NotDone) -> Self {
        match not_done {
            NotDone::Refused(why) => Self::Refused(why),
            NotDone::NotFound(why) => Self::NotFound(why),
            NotDone::NotLeader { leader } => Self::NotLeader { leader },
            NotDone::Later(why) => Self::Later(why),
        }
    }
}

/// What each node that was asked has said last. They are as many as have a replica of the meta group.
#[derive(Default)]
struct Said(BTreeMap<u64, String>);

impl Said {
    fn put(&mut self, node: u64, text: String) {
        self.0.insert(node, text);
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no node is known that has a replica of it");
        }
        let texts: Vec<&str> = self.0.values().map(String::as_str).collect();
        f.write_str(&texts.join("; "))
    }
}

impl Placement {
    /// Proposes a change to the meta group, wherever it is led. When this returns, it is durable and applied there; the directory of this
    /// node follows in a moment.
    pub async fn propose(&self, body: Body) -> Result<Accepted, MetaError> {
        // The leader puts its own time in.
        let entry = Entry { at: 0, body }.encode();
        let request = [&[VERSION, PROPOSE], entry.as_ref()].concat();
        let answer = self.ask_leader(request.into(), PROPOSAL).await?;
        self.outdated.notify_one();
        answer.accepted()
    }

    /// Asks the leader of the meta group for what an operator wants.
    pub(super) async fn wish(&self, wish: &Wish) -> Result<Answer, MetaError> {
        let json =
            serde_json::to_vec(wish).map_err(|e| MetaError::Refused(format!("it can't be written down: {e}")))?;
        let answer = self.ask_leader([&[VERSION, WISHED], json.as_slice()].concat().into(), WISH).await?;
        self.outdated.notify_one();
        Ok(answer)
    }

    async fn ask_leader(&self, request: Bytes, within: Duration) -> Result<Answer, MetaError> {
        let until = Instant::now() + PATIENCE;
        let mut why = Said::default();
        let (mut told, mut turn) = (None, 0);
        loop {
            let known = if turn % 2 == 0 { self.meta_leader() } else { None };
            let Some(node) = told.take().or(known).or_else(|| self.meta_replica(turn as usize / 2)) else {
                return Err(MetaError::NotReached(why.to_string()));
            };
            let left = until.saturating_duration_since(Instant::now());
            let answer = self.peers.call(node, Subject::Meta, request.clone(), within.min(left)).await;
            match answer.map(|answer| serde_json::from_slice(&answer)) {
                Ok(Ok(Answer::NotLeader { leader: Some(leader) })) if leader != node => {
                    why.put(node, format!("node {node} said that node {leader} leads it"));
                    told = Some(leader);
                }
                Ok(Ok(Answer::NotLeader { .. })) => why.put(node, format!("node {node} knows no leader")),
                Ok(Ok(Answer::Later(text))) => why.put(node, text),
                Ok(Ok(Answer::Refused(text))) => return Err(MetaError::Refused(text)),
                Ok(Ok(Answer::NotFound(text))) => return Err(MetaError::NotFound(text)),
                Ok(Ok(answer)) => {
                    self.hint.store(node, Ordering::Relaxed);
                    return Ok(answer);
                }
                Ok(Err(error)) => why.put(node, format!("the answer of node {node} can't be read: {error}")),
                Err(error) => why.put(node, self.not_reached(node, &error)),
            }
            if Instant::now() >= until {
                return Err(MetaError::NotReached(why.to_string()));
            }
            // Who was named is asked at once, but nobody runs in circles.
            let pause = if told.is_some() { Duration::from_millis(5) } else { backoff(turn / 2) };
            tokio::time::sleep(pause).await;
            turn += 1;
        }
    }

    fn not_reached(&self, node: u64, error: &CallError) -> String {
        let _ = self.hint.compare_exchange(node, 0, Ordering::Relaxed, Ordering::Relaxed);
        // It may have moved, or the meta group to others.
        self.outdated.notify_one();
        format!("node {node}: {error}")
    }

    /// Who leads the meta group, as far as this node knows.
    pub(super) fn meta_leader(&self) -> Option<u64> {
        let hint = Some(self.hint.load(Ordering::Relaxed)).filter(|node| *node != 0);
        let mine = self.meta.find(META).map(|group| group.status().leadership);
        match mine {
            Some(Leadership::Leader { .. }) => Some(self.peers.me()),
            Some(Leadership::Follower { leader: Some(leader) }) => Some(leader),
            _ => hint,
        }
    }

    /// A node that has a replica of the meta group, another one each turn. Where none is known, any node.
    fn meta_replica(&self, turn: usize) -> Option<u64> {
        let meta = self.peers.directory().meta();
        let mut nodes: Vec<u64> = meta.shard(META).iter().flat_map(|row| &row.replicas).map(|r| r.node).collect();
        if nodes.is_empty() {
            nodes = self.peers.directory().nodes().iter().map(|node| node.id).collect();
        }
        if nodes.is_empty() && self.meta.find(META).is_some() {
            nodes.push(self.peers.me());
        }
        nodes.get(turn % nodes.len().max(1)).copied()
    }

    /// Whether this node leads the meta group.
    pub(super) fn leads_meta(&self) -> bool {
        self.meta.find(META).is_some_and(|group| group.status().leadership.is_leader())
    }

    /// Proposes where this node leads the meta group.
    pub(super) async fn propose_here(&self, body: Body) -> Result<Accepted, NotDone> {
        let group = self.meta.find(META).ok_or(NotDone::NotLeader { leader: None })?;
        let entry = Entry { at: self.clock.now(), body }.encode();
        match group.propose(entry).await {
            Ok(Ok(accepted)) => {
                self.copy_own();
                Ok(accepted)
            }
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(ProposeError::NotLeader { leader }) => Err(NotDone::NotLeader { leader }),
            Err(other) => Err(NotDone::Later(other.to_string())),
        }
    }

    pub(super) async fn answer_meta(&self, request: &[u8]) -> Result<Bytes, String> {
        let unreadable = |why: &dyn fmt::Display| format!("a request to the meta group can't be read: {why}");
        let answer = match request {
            [VERSION, PROPOSE, entry @ ..] => {
                let Entry { body, .. } = Entry::decode(entry).map_err(|e| unreadable(&e))?;
                self.propose_here(body).await.map_or_else(Answer::from, Answer::from)
            }
            [VERSION, WISHED, json @ ..] => {
                let wish = serde_json::from_slice(json).map_err(|e| unreadable(&e))?;
                self.grant(wish).await.unwrap_or_else(Answer::from)
            }
            _ => return Err(unreadable(&"its form or kind is not known here")),
        };
        serde_json::to_vec(&answer).map(Bytes::from).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_is_told_from_what_is_refused() {
        let cases = [
            (Refusal::UnknownNode { node: 9 }, true),
            (Refusal::UnknownShard { shard: 9, shards: 4 }, true),
            (Refusal::LastNode { node: 1 }, false),
        ];
        for (refusal, not_found) in cases {
            let text = refusal.to_string();
            let answer = serde_json::to_string(&Answer::from(NotDone::from(refusal))).unwrap();
            let kind = if not_found { "not_found" } else { "refused" };
            assert_eq!(answer, format!("{{\"{kind}\":{}}}", serde_json::to_string(&text).unwrap()));
        }
    }

    #[test]
    fn each_node_that_was_asked_is_told_by_what_it_said_last() {
        let mut said = Said::default();
        assert_eq!(said.to_string(), "no node is known that has a replica of it");
        for (node, text) in
            [(2, "node 2: late"), (1, "node 1 said that node 2 leads it"), (1, "node 1 knows no leader")]
        {
            said.put(node, text.to_owned());
        }
        assert_eq!(said.to_string(), "node 1 knows no leader; node 2: late");
    }
}
