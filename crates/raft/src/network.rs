//! openraft's view of the other replicas: what it asks of them becomes messages, and their answers become its.
//!
//! Knows no connections: a [`Transport`] carries the messages, and is what tests and simulations replace.

use crate::machine::Machine;
use crate::message::{Answer, Request};
use crate::send_snapshot;
use crate::sleep::Sleepers;
use crate::snapshot::{Data, Exports};
use crate::transport::{CallError, Lane, Peer, Transport};
use crate::types::{Types, Vote};
use flintwheel_shard::Replicated;
use openraft::alias::SnapshotOf;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{BasicNode, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// How long entries may take to be on the other's disk. Longer than a heartbeat: a disk that is slow for a second shall not be sent the
/// same entries five times more.
const APPEND: Duration = Duration::from_secs(5);

/// One group's way to its other replicas.
pub(crate) struct Network<M> {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) machine: Arc<Machine<M>>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) sleepers: Arc<Sleepers>,
}

/// The way to one of them.
pub(crate) struct Replica<M> {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) machine: Arc<Machine<M>>,
    pub(crate) exports: Arc<Exports>,
    pub(crate) peer: Peer,
    lane: Lane,
}

impl<M: Replicated> Network<M> {
    fn client(&self, target: u64, node: &BasicNode, lane: Lane) -> Replica<M> {
        let (transport, machine, exports) = (self.transport.clone(), self.machine.clone(), self.exports.clone());
        let peer = Peer { node: target, address: node.addr.as_str().into() };
        self.sleepers.meet(&peer);
        Replica { transport, machine, exports, peer, lane }
    }
}

impl<M: Replicated> RaftNetworkFactory<Types> for Network<M> {
    type Network = Replica<M>;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Replica<M> {
        self.client(target, node, Lane::Log)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &BasicNode) -> Replica<M> {
        self.client(target, node, Lane::Beat)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &BasicNode) -> Replica<M> {
        self.client(target, node, Lane::Bulk)
    }
}

impl<M: Replicated> Replica<M> {
    /// Asks the other replica. What it can't do, and what is no answer, is an error that openraft waits after.
    pub(crate) async fn ask(&self, request: Request, within: Duration) -> Result<Answer, RPCError<Types>> {
        let group = self.machine.group;
        let call = self.transport.call(&self.peer, self.lane, group, request.encode(group), within);
        let answer = call.await.map_err(|error| self.not_delivered(error))?;
        match Answer::decode(group, &answer) {
            Ok(Answer::Failed(why)) => Err(self.unreachable(&why)),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.unreachable(&format!("its answer can't be read: {error}"))),
        }
    }

    fn not_delivered(&self, error: CallError) -> RPCError<Types> {
        match error {
            // Tried again at once: it is this node's own queue that is full, or took too long.
            CallError::Busy | CallError::TimedOut(_) => RPCError::Network(NetworkError::new(&error)),
            other => self.unreachable(&other.to_string()),
        }
    }

    fn unreachable(&self, why: &str) -> RPCError<Types> {
        self.away(why).into()
    }

    /// It can't do what was asked, for now.
    pub(crate) fn away(&self, why: &str) -> Unreachable<Types> {
        Unreachable::from_string(format!("node {} at {}: {why}", self.peer.node, self.peer.address))
    }

    fn unexpected(&self, answer: &Answer) -> RPCError<Types> {
        self.unreachable(&format!("answered something else than was asked: {answer:?}"))
    }
}

impl<M: Replicated> RaftNetworkV2<Types> for Replica<M> {
    type SnapshotData = Data;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let within = if request.entries.is_empty() { option.soft_ttl() } else { APPEND };
        let from_start = request.prev_log_id.is_none();
        match self.ask(Request::Append(request), within).await? {
            // Nothing can conflict with the empty log; openraft relies on that.
            Answer::Append(AppendEntriesResponse::Conflict) if from_start => {
                Err(self.unreachable("says that its log conflicts with an empty one"))
            }
            Answer::Append(answer) => Ok(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(Request::Vote(request), option.soft_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    /// The default would grant it.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(Request::PreVote(request), option.soft_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            other => Err(self.unexpected(&other)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<Types, Data>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        // What is sent is the state as it is now, which is at or after the position that openraft knows.
        let sending = send_snapshot::send(self, vote, snapshot.meta.last_log_id, option.soft_ttl());
        tokio::select! {
            // In order, so that nothing depends on chance.
            biased;
            sent = sending => sent,
            closed = cancel => Err(closed.into()),
        }
    }

    /// The default says that nobody can be reached.
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let (from, to) = (*request.from_leader(), *request.to_node_id());
        let ask = Request::TakeLead { from, to, last: request.last_log_id().copied() };
        match self.ask(ask, option.soft_ttl()).await? {
            Answer::TakeLead(answer) => Ok(answer),
            other => Err(self.unexpected(&other)),
        }
    }
}
