//! What the leader of the meta group observes: it asks all nodes in each round, and makes of their reports what the planner looks at.
//!
//! It begins anew with each leader: since when a node is gone is then counted again, so a repair comes later rather than too early.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::plan::{NodeSeen, Seen, ShardSeen};

use super::Placement;
use super::report::{Led, Report};
use crate::peers::Subject;
use crate::room::Level;

/// How long one node is waited for.
const WITHIN: Duration = Duration::from_millis(1500);

/// One round's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) seen: Seen,
    /// By shard that is led: the leader's term.
    pub(super) terms: BTreeMap<u32, u64>,
    /// By shard that is led: who takes part, by the group's own word.
    pub(super) members: BTreeMap<u32, Vec<u64>>,
}

/// Reports of some rounds.
#[derive(Default)]
pub(super) struct Observer {
    nodes: BTreeMap<u64, Contact>,
    loads: BTreeMap<u32, Load>,
    latest: Observed,
}

#[derive(Default)]
struct Contact {
    /// When it was first asked, or first did not answer after it had.
    silent_since: Option<i64>,
    /// It has answered before.
    heard: bool,
    last: NodeSeen,
}

/// Entries of a shard's log a second, smoothed: what changes leaders must not follow every gust.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load {
    entries: u64,
    at: i64,
    rate: f64,
}

impl Load {
    /// As much of each second's rate counts.
    const WEIGHT: f64 = 0.1;

    fn next(before: Option<Self>, entries: u64, now: i64) -> Self {
        let new = Self { entries, at: now, rate: 0.0 };
        let Some(before) = before else { return new };
        let seconds = (now - before.at) as f64 / 1e6;
        if seconds <= 0.0 {
            return Self { rate: before.rate, ..new };
        }
        let rate = entries.saturating_sub(before.entries) as f64 / seconds;
        let weight = 1.0 - (1.0 - Self::WEIGHT).powf(seconds);
        Self { rate: before.rate + (rate - before.rate) * weight, ..new }
    }
}

impl Observer {
    /// Asks all nodes that are part of the cluster.
    pub(super) async fn observe(&mut self, placement: &Placement) -> Observed {
        let nodes: Vec<u64> = placement.peers.directory().nodes().iter().map(|node| node.id).collect();
        let began = placement.clock.now();
        let asked = nodes.iter().map(|node| async {
            let call = placement.peers.call(*node, Subject::Seen, Bytes::new(), WITHIN);
            let report = call.await.map_err(|e| e.to_string());
            (*node, report.and_then(|bytes| Report::decode(&bytes).map_err(|e| e.to_string())))
        });
        let reports = futures::future::join_all(asked).await;
        let grace = i64::try_from(placement.pace.grace.as_micros()).unwrap_or(i64::MAX);
        let mut observed = self.digest(reports, began, grace);
        for (node, seen) in &mut observed.seen.nodes {
            seen.clock_ahead = placement.peers.clocks().astray(*node);
            seen.disk_low = placement.peers.rooms().of(*node, placement.peers.me()) != Level::Plenty;
        }
        observed
    }

    fn digest(&mut self, reports: Vec<(u64, Result<Report, String>)>, now: i64, grace: i64) -> Observed {
        self.nodes.retain(|node, _| reports.iter().any(|(asked, _)| asked == node));
        let mut observed = Observed { seen: Seen { now, ..Seen::default() }, ..Observed::default() };
        for (node, report) in reports {
            let contact = self.nodes.entry(node).or_default();
            match report {
                Ok(report) => {
                    contact.answered(node, &report);
                    observed.seen.damaged.extend(report.damaged.iter().map(|shard| (*shard, node)));
                    report.shards.into_iter().for_each(|led| observed.add(node, led));
                }
                Err(why) => contact.silent(node, now, &why),
            }
            if let Some(seen) = contact.seen(now, grace) {
                observed.seen.nodes.insert(node, seen);
            }
        }
        self.weigh(&mut observed, now);
        self.latest = observed.clone();
        observed
    }

    /// Loads, and sizes of shards that nobody leads at this moment: they are what they were.
    fn weigh(&mut self, observed: &mut Observed, now: i64) {
        for (shard, seen) in &mut observed.seen.shards {
            let load = Load::next(self.loads.get(shard).copied(), seen.load, now);
            seen.load = load.rate.round() as u64;
            self.loads.insert(*shard, load);
        }
        for (shard, before) in &self.latest.seen.shards {
            let unled = || ShardSeen { leader: None, lag: BTreeMap::new(), ..before.clone() };
            observed.seen.shards.entry(*shard).or_insert_with(unled);
        }
    }
}

impl Observed {
    /// Of two that think they lead, the one with the higher term does. (Its `load` is still the number of entries.)
    fn add(&mut self, leader: u64, led: Led) {
        if self.terms.get(&led.shard).is_some_and(|term| *term >= led.term) {
            return;
        }
        self.terms.insert(led.shard, led.term);
        self.members.insert(led.shard, led.members);
        let lag = led.lag.into_iter().collect();
        let seen = ShardSeen { leader: Some(leader), bytes: led.bytes, load: led.entries, lag };
        self.seen.shards.insert(led.shard, seen);
    }
}

impl Contact {
    fn answered(&mut self, node: u64, report: &Report) {
        if self.heard && self.silent_since.is_some() {
            tracing::info!(node, "a node answers again");
        }
        *self = Self {
            silent_since: None,
            heard: true,
            last: NodeSeen { bytes: report.bytes, free: report.free, ..NodeSeen::default() },
        };
    }

    fn silent(&mut self, node: u64, now: i64, why: &str) {
        if self.silent_since.is_none() {
            tracing::warn!(node, why, "a node does not answer");
            self.silent_since = Some(now);
        }
    }

    /// One that was never heard has just joined, or who asks has: for a while nothing is known of it.
    fn seen(&self, now: i64, grace: i64) -> Option<NodeSeen> {
        match self.silent_since {
            Some(since) if !self.heard && now.saturating_sub(since) < grace => None,
            gone_since => Some(NodeSeen { gone_since, ..self.last }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const GRACE: i64 = 10 * SECOND;

    fn led(shard: u32, term: u64, entries: u64) -> Led {
        Led { shard, term, entries, members: vec![1, 2], lag: vec![(1, 0), (2, 5)], bytes: 100 }
    }

    fn report(shards: Vec<Led>) -> Result<Report, String> {
        Ok(Report { bytes: 7, free: 9, shards, damaged: Vec::new() })
    }

    fn silent() -> Result<Report, String> {
        Err("no answer".to_owned())
    }

    #[test]
    fn a_node_is_gone_since_it_first_did_not_answer() {
        let mut observer = Observer::default();
        let gone = |observer: &mut Observer, at: i64, report| {
            observer.digest(vec![(1, report)], at * SECOND, GRACE).seen.nodes.get(&1).map(|node| node.gone_since)
        };
        assert_eq!(gone(&mut observer, 0, report(vec![])), Some(None));
        assert_eq!(gone(&mut observer, 1, silent()), Some(Some(SECOND)));
        assert_eq!(gone(&mut observer, 9, silent()), Some(Some(SECOND)));
        assert_eq!(gone(&mut observer, 10, report(vec![])), Some(None));
        assert_eq!(gone(&mut observer, 11, silent()), Some(Some(11 * SECOND)));
    }

    #[test]
    fn a_node_that_was_never_heard_is_unknown_before_it_is_gone() {
        let mut observer = Observer::default();
        let mut gone = |at: i64| {
            observer.digest(vec![(1, silent())], at * SECOND, GRACE).seen.nodes.get(&1).map(|node| node.gone_since)
        };
        assert_eq!([gone(5), gone(14), gone(15)], [None, None, Some(Some(5 * SECOND))]);
    }

    #[test]
    fn of_two_leaders_the_later_one_is_believed() {
        let mut observer = Observer::default();
        let reports = vec![(1, report(vec![led(0, 4, 10)])), (2, report(vec![led(0, 5, 11), led(1, 1, 1)]))];
        let observed = observer.digest(reports, 0, GRACE);
        assert_eq!(observed.seen.shards[&0].leader, Some(2));
        assert_eq!(observed.terms, BTreeMap::from([(0, 5), (1, 1)]));
        assert_eq!(observed.seen.nodes[&1], NodeSeen { bytes: 7, free: 9, ..NodeSeen::default() });
    }

    #[test]
    fn damage_is_known_as_long_as_its_node_says_so() {
        let mut observer = Observer::default();
        let mut damaged = |damaged: Vec<u32>| {
            let report = report(vec![]).map(|report| Report { damaged, ..report });
            observer.digest(vec![(2, report)], 0, GRACE).seen.damaged.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(damaged(vec![3, 5]), [(3, 2), (5, 2)]);
        assert_eq!(damaged(vec![]), []);
    }

    #[test]
    fn a_shard_without_leader_keeps_its_size() {
        let mut observer = Observer::default();
        observer.digest(vec![(1, report(vec![led(0, 4, 10)]))], 0, GRACE);
        let observed = observer.digest(vec![(1, report(vec![]))], SECOND, GRACE);
        let shard = &observed.seen.shards[&0];
        assert_eq!((shard.leader, shard.bytes, shard.lag.len()), (None, 100, 0));
        assert!(observed.terms.is_empty());
    }

    #[test]
    fn load_follows_the_log_slowly() {
        let mut observer = Observer::default();
        let mut load = |at: i64, entries| {
            let observed = observer.digest(vec![(1, report(vec![led(0, 1, entries)]))], at * SECOND, GRACE);
            observed.seen.shards[&0].load
        };
        assert_eq!(load(0, 5_000), 0, "what was before is not known");
        assert_eq!(load(1, 6_000), 100);
        assert_eq!(load(2, 7_000), 190);
        assert_eq!(load(100, 105_000), 1_000);
    }
}
