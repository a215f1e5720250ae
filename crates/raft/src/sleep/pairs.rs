//! What this node knows of each other one: whether it lives, and which groups sleep there and here.
//!
//! Time is passed in. Knows no group but by number, and sends nothing.

use super::{AWAY, LEASE, LOST, Why};
use crate::runtime::Moment;
use crate::transport::Peer;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A group does not sleep any more by this token: what one node owes another that counted on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) group: u32,
    pub(crate) token: u64,
}

/// A notice, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) notice: Notice,
    pub(crate) why: Why,
}

/// The other node's part in a group that sleeps here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theirs {
    /// It leads.
    Leads,
    /// It follows, and sleeps.
    Follows,
    /// It was away.
    Away,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Pairs {
    nodes: Mutex<BTreeMap<u64, Pair>>,
}

#[derive(Default)]
struct Pair {
    /// Where it is, if it takes part in a group of this node.
    address: Option<Arc<str>>,
    /// Which start of its program has spoken last.
    boot: Option<u64>,
    /// When its last beat came that said that its disk is well.
    heard: Option<Moment>,
    /// When the last of our beats was sent that it has answered.
    answered: Option<Moment>,
    /// Since when no beat has reached it.
    unreached: Option<Moment>,
    asleep: BTreeMap<u32, (u64, Theirs)>,
    /// What it is owed: the token by group.
    owed: BTreeMap<u32, u64>,
}

impl Pairs {
    /// Another node takes part in a group. Says whether it was not known before.
    pub(crate) fn meet(&self, peer: &Peer) -> bool {
        let mut nodes = self.nodes.lock();
        nodes.entry(peer.node).or_default().address.replace(peer.address.clone()).is_none()
    }

    /// Forgets nodes that take part in nothing any more.
    pub(crate) fn keep(&self, members: &BTreeSet<u64>) {
        self.nodes.lock().retain(|node, pair| members.contains(node) || !pair.asleep.is_empty());
    }

    /// For a beat to a node: where it is and what it is owed. `None` if it was forgotten.
    pub(crate) fn due(&self, node: u64) -> Option<(Peer, Vec<Notice>)> {
        let nodes = self.nodes.lock();
        let pair = nodes.get(&node)?;
        Some((Peer { node, address: pair.address.clone()? }, pair.owed()))
    }

    /// What a node is owed.
    pub(crate) fn owed(&self, node: u64) -> Vec<Notice> {
        self.nodes.lock().get(&node).map(Pair::owed).unwrap_or_default()
    }

    /// A node has spoken, in a beat or an answer. What ends by that is to be ended before anything is made of it.
    pub(crate) fn hear(&self, node: u64, boot: u64, notices: &[Notice]) -> Vec<End> {
        let mut nodes = self.nodes.lock();
        let pair = nodes.entry(node).or_default();
        let restarted = pair.boot.replace(boot).is_some_and(|before| before != boot);
        if restarted {
            pair.answered = None;
        }
        let ended = pair.asleep.iter().filter_map(|(group, (token, theirs))| {
            let notice = Notice { group: *group, token: *token };
            match theirs {
                Theirs::Away => Some(End { notice, why: Why::Back }),
                _ if restarted => Some(End { notice, why: Why::Restarted }),
                _ => None,
            }
        });
        ended.chain(notices.iter().map(|notice| End { notice: *notice, why: Why::Told })).collect()
    }

    /// A beat has come from a node whose disk is well.
    pub(crate) fn beaten(&self, node: u64, now: Moment) {
        self.nodes.lock().entry(node).or_default().heard = Some(now);
    }

    /// A beat that was sent then, with these notices, was answered; what [`Pairs::hear`] made of the answer is done.
    pub(crate) fn answered(&self, node: u64, boot: u64, sent: Moment, notices: &[Notice]) {
        let mut nodes = self.nodes.lock();
        let Some(pair) = nodes.get_mut(&node) else { return };
        pair.unreached = None;
        if pair.boot == Some(boot) {
            pair.answered = pair.answered.max(Some(sent));
        }
        for Notice { group, token } in notices {
            if pair.owed.get(group) == Some(token) {
                pair.owed.remove(group);
            }
        }
    }

    /// A beat did not reach its node, or its answer did not come back.
    pub(crate) fn unanswered(&self, node: u64, now: Moment) {
        if let Some(pair) = self.nodes.lock().get_mut(&node) {
            pair.unreached.get_or_insert(now);
        }
    }

    /// A beat was answered, but by a program that does not know beats.
    pub(crate) fn not_understood(&self, node: u64) {
        if let Some(pair) = self.nodes.lock().get_mut(&node) {
            pair.unreached = None;
        }
    }

    /// Whether a node was heard a moment ago, and its disk was well.
    pub(crate) fn is_alive(&self, node: u64, now: Moment) -> bool {
        let heard = self.nodes.lock().get(&node).and_then(|pair| pair.heard);
        heard.is_some_and(|heard| now.saturating_duration_since(heard) < LEASE)
    }

    /// Whether a node has answered a beat that was sent a moment ago.
    pub(crate) fn answers(&self, node: u64, now: Moment) -> bool {
        let answered = self.nodes.lock().get(&node).and_then(|pair| pair.answered);
        answered.is_some_and(|sent| now.saturating_duration_since(sent) < LEASE)
    }

    /// Whether a node has not been reached for a while, nor heard.
    pub(crate) fn is_away(&self, node: u64, now: Moment) -> bool {
        let nodes = self.nodes.lock();
        let Some(pair) = nodes.get(&node) else { return false };
        let heard = pair.heard.is_some_and(|heard| now.saturating_duration_since(heard) < AWAY);
        !heard && pair.unreached.is_some_and(|since| now.saturating_duration_since(since) >= AWAY)
    }

    /// A group sleeps from now on; another node has this part in it, since that start of its program. `false` if it has been restarted since.
    pub(crate) fn sleep(&self, node: u64, boot: Option<u64>, notice: Notice, theirs: Theirs) -> bool {
        let mut nodes = self.nodes.lock();
        let pair = nodes.entry(node).or_default();
        let same = boot.is_none_or(|boot| pair.boot == Some(boot));
        if same {
            pair.asleep.insert(notice.group, (notice.token, theirs));
            pair.owed.remove(&notice.group);
        }
        same
    }

    /// Which start of a node's program has spoken last.
    pub(crate) fn boot(&self, node: u64) -> Option<u64> {
        self.nodes.lock().get(&node)?.boot
    }

    /// A group does not sleep any more: all who count on it are owed a notice.
    pub(crate) fn wake(&self, notice: Notice) {
        for pair in self.nodes.lock().values_mut() {
            if pair.asleep.get(&notice.group).is_some_and(|(token, _)| *token == notice.token) {
                pair.asleep.remove(&notice.group);
                pair.owed.insert(notice.group, notice.token);
            }
        }
    }

    /// A node has agreed to sleep, but this one does not.
    pub(crate) fn owe(&self, node: u64, notice: Notice) {
        self.nodes.lock().entry(node).or_default().owed.insert(notice.group, notice.token);
    }

    /// Groups that sleep here, led by nodes of which nothing is heard any more.
    pub(crate) fn lost(&self, now: Moment) -> Vec<End> {
        let nodes = self.nodes.lock();
        let silent = |pair: &&Pair| pair.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= LOST);
        let led = nodes.values().filter(silent).flat_map(|pair| &pair.asleep);
        let led = led.filter(|(_, (_, theirs))| *theirs == Theirs::Leads);
        led.map(|(group, (token, _))| End { notice: Notice { group: *group, token: *token }, why: Why::Lost }).collect()
    }

    /// An instant at which a majority of the voters of a group had not left the leader `me`, which sleeps with these nodes since these starts of
    /// their programs. (Whoever has answered a beat sent then had left nobody without a notice, which was taken before the answer counted.)
    pub(crate) fn majority(&self, me: u64, voters: &[u64], with: &[(u64, u64)], now: Moment) -> Option<Moment> {
        let nodes = self.nodes.lock();
        let since = |voter: &u64| {
            if *voter == me {
                return Some(now);
            }
            let (_, boot) = with.iter().find(|(node, _)| node == voter)?;
            nodes.get(voter).filter(|pair| pair.boot == Some(*boot))?.answered
        };
        let mut since: Vec<Option<Moment>> = voters.iter().map(since).collect();
        since.sort_by(|one, other| other.cmp(one));
        since.get(voters.len() / 2).copied().flatten()
    }
}

impl Pair {
    fn owed(&self) -> Vec<Notice> {
        self.owed.iter().map(|(group, token)| Notice { group: *group, token: *token }).collect()
    }
}
