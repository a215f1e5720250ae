//! What comes in at the door for peers, handed to whom it is for: a shard's replica, the meta group's, or who answers a subject.

use std::sync::Arc;

use bytes::Bytes;
use flintwheel_cluster::Meta;
use flintwheel_raft::{Inbound, META, PAIR, Receiver};
use flintwheel_shard::Machine;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{FIRST, Peers, Subject, close};

/// See the module.
pub struct Doorman {
    /// Answers for shards.
    pub shards: Receiver<Machine>,
    /// Answers for the meta group.
    pub meta: Receiver<Meta>,
    /// Knows who answers what.
    pub peers: Arc<Peers>,
}

impl Inbound for Doorman {
    fn answer(&self, from: u64, group: u32, message: Bytes) -> BoxFuture<'static, Bytes> {
        if group == META {
            return self.meta.answer(from, group, message);
        }
        // Beats are of all groups, and any receiver answers them.
        if group < FIRST || group == PAIR {
            return self.shards.answer(from, group, message);
        }
        let answer = match Subject::of_group(group) {
            Some(subject) => self.peers.answer(from, subject, message),
            None => futures::future::ready(Err(format!("subject {group:#x} is not known here"))).boxed(),
        };
        answer.map(close).boxed()
    }
}
