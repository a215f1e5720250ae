//! What other nodes ask of this node's replicas, answered. Each message is of one group, and is checked before its Raft sees it.

use crate::group::Group;
use crate::groups::Replicas;
use crate::message::{Answer, Offer, Request};
use crate::mute;
use crate::receive_snapshot::{Incoming, ReceiveError};
use crate::runtime::blocking;
use crate::sleep::{Heard, PAIR, Sleepers};
use crate::snapshot::{Data, remove};
use crate::state_machine::StateMachine;
use crate::transport::Inbound;
use crate::types::{SnapshotMeta, Types, Vote};
use bytes::Bytes;
use flintwheel_shard::Replicated;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse};
use openraft::{Raft, Snapshot};
use std::sync::Arc;

/// Answers for all groups of a node. Clones answer for the same ones.
pub struct Receiver<M: Replicated> {
    pub(crate) replicas: Arc<Replicas<M>>,
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) sleepers: Arc<Sleepers>,
}

impl<M: Replicated> Clone for Receiver<M> {
    fn clone(&self) -> Self {
        let (replicas, incoming, sleepers) = (self.replicas.clone(), self.incoming.clone(), self.sleepers.clone());
        Self { replicas, incoming, sleepers }
    }
}

impl<M: Replicated> Inbound for Receiver<M> {
    fn answer(&self, from: u64, group: u32, message: Bytes) -> BoxFuture<'static, Bytes> {
        let this = self.clone();
        async move {
            if group == PAIR {
                let answer = this.sleepers.answer(from, &message);
                return answer.unwrap_or_else(|| Answer::Failed("a beat can't be read".to_owned()).encode(group));
            }
            let answered = match Request::decode(group, &message) {
                Ok(request) => this.take(from, group, request).await,
                Err(error) => Err(format!("a message from node {from} can't be read: {error}")),
            };
            if let Err(why) = &answered {
                tracing::debug!(from, group, %why, "a message of another node was not taken");
            }
            answered.unwrap_or_else(Answer::Failed).encode(group)
        }
        .boxed()
    }
}

/// Why it is not done; for people.
type Failure = String;

impl<M: Replicated> Receiver<M> {
    async fn take(&self, from: u64, number: u32, request: Request) -> Result<Answer, Failure> {
        let group = self.replicas.find(number).ok_or_else(|| format!("this node has no replica of shard {number}"))?;
        let raft = running(&group)?;
        let failed = |error: &dyn std::fmt::Display| format!("its replica of shard {number} does not answer: {error}");
        match request {
            Request::Append(request) => {
                let _heard = group.inner.hear_append(&request.vote, request.entries.is_empty());
                let commit = mute::counts(&request);
                let answer = raft.append_entries(request).await.map_err(|e| failed(&e))?;
                if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                    group.inner.told.set();
                }
                if answer == AppendEntriesResponse::Success {
                    mute::heed(&group.inner, raft, commit).await;
                }
                Ok(Answer::Append(answer))
            }
            Request::Vote(request) => match hear_vote(&group, &request, request.leadership_transfer) {
                Ok(_heard) => raft.vote(request).await.map(Answer::Vote).map_err(|e| failed(&e)),
                Err(refusal) => Ok(Answer::Vote(refusal)),
            },
            Request::PreVote(request) => match hear_vote(&group, &request, false) {
                Ok(_heard) => raft.pre_vote(request).await.map(Answer::Vote).map_err(|e| failed(&e)),
                Err(refusal) => Ok(Answer::Vote(refusal)),
            },
            Request::TakeLead { from, to, last } => {
                let _heard = group.inner.hear();
                let request = TransferLeaderRequest::new(from, to, last);
                raft.handle_transfer_leader(request).await.map(Answer::TakeLead).map_err(|e| failed(&e))
            }
            Request::Sleep { token, vote, last } => {
                let agreed = group.inner.agree(from, token, vote, last).await;
                agreed.map_err(|why| format!("its replica of shard {number} does not sleep: {why}"))
            }
            Request::Offer(offer) => self.offer(number, offer, raft).await,
            Request::Piece { offer, file, offset, bytes } => {
                self.on_disk(move |incoming| incoming.piece(number, offer, file, offset, &bytes)).await?;
                Ok(Answer::Taken)
            }
            Request::Install { offer, vote } => {
                let _heard = group.inner.hear();
                self.install(number, offer, vote, raft).await
            }
        }
    }

    async fn offer(&self, group: u32, offer: Offer, raft: &Raft<Types, StateMachine<M>>) -> Result<Answer, Failure> {
        // A leader that has been replaced shall not fill the disk.
        let mine = raft.metrics().borrow_watched().vote;
        if mine > offer.vote {
            return Ok(Answer::Installed { vote: mine });
        }
        let (offer, have) = self.on_disk(move |incoming| incoming.offer(group, offer)).await?;
        Ok(Answer::Wanted { offer, have })
    }

    async fn install(
        &self,
        group: u32,
        offer: u64,
        vote: Vote,
        raft: &Raft<Types, StateMachine<M>>,
    ) -> Result<Answer, Failure> {
        let complete = self.on_disk(move |incoming| incoming.complete(group, offer)).await?;
        let (applied, dir) = (complete.offer.applied.clone(), complete.dir.clone());
        let meta = SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership };
        let snapshot = Snapshot { meta, snapshot: Data::Staged(complete) };
        let installed = raft.install_full_snapshot(vote, snapshot).await;
        // Still there if it was refused, or not needed any more.
        remove(&dir);
        installed.map(|answer| Answer::Installed { vote: answer.vote }).map_err(|error| error.to_string())
    }

    /// Runs what blocks on a thread for it.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Incoming) -> Result<T, ReceiveError> + Send + 'static,
    ) -> Result<T, Failure> {
        let incoming = self.incoming.clone();
        let done = blocking(move || work(&incoming)).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// A candidate asks for a vote, or whether it would get one; refused without asking the group's Raft, where that would grant what it must not.
fn hear_vote<'a, M: Replicated>(
    group: &'a Group<M>,
    request: &VoteRequest<Types>,
    is_transfer: bool,
) -> Result<Heard<'a, M>, VoteResponse<Types>> {
    let heard = group.inner.hear_vote(is_transfer)?;
    mute::refusal(&group.inner.log, request).map_or(Ok(heard), Err)
}

/// The group's Raft, unless it has ended: openraft asserts that nobody asks a core that is just ending.
fn running<M: Replicated>(group: &Group<M>) -> Result<&Raft<Types, StateMachine<M>>, Failure> {
    match (group.inner.machine.stopped(), &group.inner.raft) {
        (None, Some(raft)) => Ok(raft),
        (stopped, _) => Err(stopped.map_or_else(|| "the shard has ended".to_owned(), |stopped| stopped.to_string())),
    }
}
