//! Keeps this node's copy of the meta group's state fresh: from its own replica where it has one, and from other nodes.
//!
//! Versions are entries of the meta group, so they mean the same everywhere, and a copy only ever gives way to a newer one. What a copy is
//! said to be made after is the least that is in it.

use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::{META, Meta};
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};

use super::Placement;
use crate::peers::Subject;

/// Of the question and of the answer.
const VERSION: u8 = 1;
/// How long one node is waited for.
const WITHIN: Duration = Duration::from_secs(2);
/// Nodes that are asked at most before it is left for the next time.
const ASKED: usize = 4;
/// Who hears often that there is something newer does not ask more often than this.
const PAUSE: Duration = Duration::from_millis(20);

/// What is asked.
struct Question {
    /// What the asker has.
    version: u64,
    /// Only the meta group's leader may answer, when it has made sure that it is: with what nothing is newer than, at this time.
    confirmed: bool,
}

impl Question {
    fn encode(&self) -> Bytes {
        let mut e = Encoder::default();
        e.u8(VERSION);
        e.u64(self.version);
        e.u8(self.confirmed.into());
        e.finish().into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        known(d.u8()?)?;
        let question = Self { version: d.u64()?, confirmed: d.u8()? != 0 };
        d.end()?;
        Ok(question)
    }
}

fn known(version: u8) -> Result<(), DecodeError> {
    if version == VERSION { Ok(()) } else { Err(DecodeError(format!("form {version} is not known ({VERSION} is)"))) }
}

/// The answer: its version, and the copy if it is newer than what the asker has.
fn encode(version: u64, copy: Option<&Meta>) -> Bytes {
    let mut e = Encoder::default();
    e.u8(VERSION);
    e.u64(version);
    e.option(copy, |e, meta| e.bytes(&meta.to_bytes()));
    e.finish().into()
}

fn decode(bytes: &[u8]) -> Result<(u64, Option<Meta>), DecodeError> {
    let mut d = Decoder::new(bytes);
    known(d.u8()?)?;
    let version = d.u64()?;
    let copy = d.option(|d| d.bytes().and_then(Meta::from_bytes))?;
    d.end()?;
    Ok((version, copy))
}

impl Placement {
    /// Takes a copy of this node's own replica of the meta group, if there is one, and it is newer.
    pub(super) fn copy_own(&self) {
        let directory = self.peers.directory();
        let Some(group) = self.meta.find(META) else { return };
        let Some(applied) = group.status().applied.filter(|applied| *applied > directory.version()) else { return };
        // A replica that is being brought up has nothing yet.
        if let Ok(Some(meta)) = group.read(|meta, _| meta.settings().map(|_| meta.clone())) {
            directory.set(applied, meta);
        }
    }

    pub(super) async fn follow_own(&self) {
        loop {
            self.copy_own();
            tokio::time::sleep(self.pace.copy).await;
        }
    }

    /// Asks others what is new, also where this node has a replica of the meta group: it may have been taken out, and would never know.
    pub(super) async fn ask_others(&self) {
        for turn in 0.. {
            let told = tokio::time::timeout(self.pace.round, self.outdated.notified()).await;
            if !self.leads_meta() {
                self.ask_some(turn).await;
            }
            if told.is_ok() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn ask_some(&self, turn: usize) {
        for node in self.in_the_know(turn).into_iter().take(ASKED) {
            match self.ask_directory(node, false).await {
                Ok(_) => return,
                Err(why) => tracing::debug!(node, why, "a node does not say who is in the cluster"),
            }
        }
    }

    /// Whom to ask: who leads the meta group, then who has a replica of it, then anybody; others each turn.
    fn in_the_know(&self, turn: usize) -> Vec<u64> {
        let (me, meta) = (self.peers.me(), self.peers.directory().meta());
        let mut replicas: Vec<u64> = meta.shard(META).iter().flat_map(|row| &row.replicas).map(|r| r.node).collect();
        let mut nodes: Vec<u64> = self.peers.directory().nodes().iter().map(|node| node.id).collect();
        for list in [&mut replicas, &mut nodes] {
            let by = turn % list.len().max(1);
            list.rotate_left(by);
        }
        let mut order = Vec::new();
        for node in self.meta_leader().into_iter().chain(replicas).chain(nodes) {
            if node != me && !order.contains(&node) {
                order.push(node);
            }
        }
        order
    }

    async fn ask_directory(&self, node: u64, confirmed: bool) -> Result<u64, String> {
        let question = Question { version: self.peers.directory().version(), confirmed };
        let answer = self.peers.call(node, Subject::Directory, question.encode(), WITHIN).await;
        let answer = answer.map_err(|e| e.to_string())?;
        let (version, copy) = decode(&answer).map_err(|e| format!("its answer can't be read: {e}"))?;
        if let Some(meta) = copy {
            self.peers.directory().set(version, meta);
        }
        Ok(version)
    }

    /// Makes sure that this node's copy is not older than what the meta group had decided when this was called.
    pub(super) async fn bring_up_to_date(&self) -> Result<(), String> {
        let mut why = "nobody is known to ask".to_owned();
        // All: one of them leads.
        let mut asked = self.in_the_know(0);
        if self.leads_meta() {
            asked.insert(0, self.peers.me());
        }
        for node in asked {
            match self.ask_directory(node, true).await {
                Ok(version) if self.peers.directory().version() >= version => return Ok(()),
                Ok(version) => why = format!("node {node} has version {version}, and did not send it"),
                Err(error) => why = format!("node {node}: {error}"),
            }
        }
        Err(why)
    }

    pub(super) async fn answer_directory(&self, question: &[u8]) -> Result<Bytes, String> {
        let question = Question::decode(question).map_err(|e| format!("the question can't be read: {e}"))?;
        if question.confirmed {
            let group = self.meta.find(META).ok_or("this node has no replica of the meta group")?;
            group.confirm().await.map_err(|e| e.to_string())?;
        }
        self.copy_own();
        let directory = self.peers.directory();
        // In this order: what is set in between is newer than it says.
        let version = directory.version();
        let meta = directory.meta();
        Ok(encode(version, (version > question.version).then_some(&meta)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_and_answer_have_these_bytes() {
        let question = Question { version: 7, confirmed: true }.encode();
        assert_eq!(&question[..], [1, 7, 0, 0, 0, 0, 0, 0, 0, 1]);
        let read = Question::decode(&question).unwrap();
        assert_eq!((read.version, read.confirmed), (7, true));
        assert_eq!(&encode(9, None)[..], [1, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        let (version, copy) = decode(&encode(9, Some(&Meta::default()))).unwrap();
        assert_eq!((version, copy), (9, Some(Meta::default())));
    }

    #[test]
    fn what_is_cut_or_of_another_form_is_refused() {
        let whole = encode(9, Some(&Meta::default()));
        (0..whole.len()).for_each(|len| assert!(decode(&whole[..len]).is_err(), "{len} bytes"));
        assert!(Question::decode(&[2, 7, 0, 0, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(Question::decode(&[1, 7, 0, 0, 0, 0, 0, 0, 0, 1, 0]).is_err());
    }
}
