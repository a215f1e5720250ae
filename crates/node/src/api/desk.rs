//! Asks answered: by this node's replica of the shard, if it leads. Reads wait for the disk where that holds nobody up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::rows::Role;
use flintwheel_model::DefinitionKey;
use flintwheel_raft::{ChangeError, Group, Leadership};
use flintwheel_shard::Machine;
use flintwheel_shard::entry::Body;
use flintwheel_shard::reply::Outcome;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::ask::{Act, Ask, Look, Question, Reply, Told, read, write};
use super::switch::Switch;
use super::{Api, ApiError};
use crate::calendars::Given;
use crate::error::EngineError;
use crate::peers::{Answers, Subject};
use crate::shared::Shared;

/// For a majority to confirm that this node leads. One that is cut off does not hear of it otherwise.
const CONFIRM: Duration = Duration::from_secs(2);

/// Answers other nodes.
pub(super) struct Desk(pub(super) Api);

/// A shard's replica on this node.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) shared: Arc<Shared>,
    pub(super) shard: u32,
    pub(super) group: Group<Machine>,
}

impl Api {
    /// Answers from now on what other nodes ask this one, until [`Peers::close`](crate::peers::Peers::close) forgets it.
    pub fn answer_peers(&self) {
        self.shared.peers.register(Subject::Ask, Arc::new(Desk(self.clone())));
    }
}

impl Answers for Desk {
    fn answer(&self, _: u64, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let api = self.0.clone();
        async move {
            let reply = match read(&body)? {
                Question::Node => Reply::Told(Told::Node(api.node_part())),
                Question::Shard { shard, ask, again, stale } => answer(&api.shared, shard, &ask, again, stale).await,
            };
            write(&reply)
        }
        .boxed()
    }
}

/// Whether a view of a shard that may be stale can be had from the replica here. One that is only coming, or is made anew, would not show what was there all the time.
pub(super) fn shows(shared: &Shared, group: &Group<Machine>) -> bool {
    let (me, meta) = (shared.peers.me(), shared.peers.directory().meta());
    // (Without a row, its cluster is just being made.)
    let is_learner =
        meta.shard(group.shard()).is_some_and(|row| row.on(me).is_none_or(|replica| replica.role == Role::Learner));
    !is_learner && group.is_complete()
}

/// Answers an ask, if this node leads the shard, or has a replica where a stale view will do. `again` says that the same was asked before,
/// and may be done.
pub(super) async fn answer(shared: &Arc<Shared>, shard: u32, ask: &Ask, again: bool, stale: bool) -> Reply {
    let Some(group) = shared.groups.find(shard) else { return Reply::NotLed { leader: None } };
    let leadership = group.watch_leader().borrow().clone();
    match leadership {
        Leadership::Leader { .. } => {}
        Leadership::Follower { .. } if stale && shows(shared, &group) => {}
        Leadership::Follower { leader } => return Reply::NotLed { leader },
        // Here it stands still; another replica may go on.
        Leadership::Stopped(_) => return Reply::NotLed { leader: None },
    }
    let replica = Replica { shared: Arc::clone(shared), shard, group: group.clone() };
    let told = match ask {
        Ask::Look(look) => replica.look(look, stale).await,
        Ask::Act(act) => replica.act(act, again).await.map_err(Reply::Failed),
    };
    match told {
        Ok(told) => Reply::Told(told),
        // What it has turned out to be damaged meanwhile: it leads no more. What was proposed may have been applied.
        Err(Reply::Failed(ApiError::Engine(_))) if group.damage().is_some() => {
            Reply::Failed(EngineError::Restarting { shard }.into())
        }
        Err(reply) => reply,
    }
}

impl Replica {
    async fn look(&self, look: &Look, stale: bool) -> Result<Told, Reply> {
        if !stale {
            self.confirm().await?;
        }
        let look = look.clone();
        self.read(move |replica| replica.show(look)).await.map_err(Reply::Failed)
    }

    fn show(&self, look: Look) -> Result<Told, ApiError> {
        match look {
            Look::Preview(items) => {
                let given = Given::default();
                Ok(Told::Applied(items.iter().map(|item| self.preview(item, &given)).collect()))
            }
            Look::Identity(key) => self.identity(&key),
            Look::Definition { key, version, incarnation } => self.definition(&key, version, incarnation),
            Look::Times { key, count, after } => self.times(&key, count, after),
            Look::Explain { key, at } => self.explain(&key, at),
            Look::Due { query, after } => self.due(&query, after.as_ref()),
            Look::Occurrences { query, from, size } => self.occurrences(&query, from, size),
            Look::Names { namespace, after, limit } => self.names(namespace.as_deref(), after.as_ref(), limit),
            Look::Records { keys, selector, paused, bytes } => self.records(&keys, &selector, paused, bytes),
            Look::Account { query, before, wanted, look } => self.account(&query, before, wanted, look),
            Look::Dead { filter, from, limit } => self.dead(&filter, from, limit),
            Look::Standing => self.standing(),
            Look::Restoration => self.restoration(),
            Look::Backfill { key, request } => self.backfill_preview(&key, &request),
            Look::Backfills(query) => self.backfills(&query),
            Look::Versions { key, before, limit } => self.versions(&key, before, limit),
            Look::Calendar(look) => self.show_calendar(look),
        }
    }

    async fn act(&self, act: &Act, again: bool) -> Result<Told, ApiError> {
        match act {
            Act::Apply(items) => self.apply(items, again).await.map(Told::Applied),
            Act::Delete { key, incarnation, expected_version, request_id } => {
                self.delete(key, *incarnation, *expected_version, request_id, again).await
            }
            Act::Switch { key, paused, note, request_id, missed, until } => {
                let switch = Switch { paused: *paused, note, missed: *missed, until: *until };
                self.switch(key, switch, request_id, again).await
            }
            Act::Trigger { key, request_id, input, overlap } => self.trigger(key, request_id, input, *overlap).await,
            Act::Settle { letters, retry } => self.settle(letters, *retry, again).await,
            Act::Export(export) => self.export(export).await,
            Act::Restore { backup, step } => self.restore(*backup, step).await,
            Act::Backfill { key, act } => self.backfill(key, act).await,
            Act::Follow(key) => self.follow(key).await,
            Act::Calendar(act) => self.act_on_calendar(act).await,
        }
    }

    /// That this node leads still, and its machine has all that was committed before: what is read after this is current.
    pub(super) async fn confirm(&self) -> Result<(), Reply> {
        match tokio::time::timeout(CONFIRM, self.group.confirm()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ChangeError::NotLeader { leader })) => Err(Reply::NotLed { leader }),
            // Stopped between our look at it and now: another replica may go on.
            Ok(Err(_)) | Err(_) => Err(Reply::NotLed { leader: None }),
        }
    }

    /// Reads where waiting for the disk holds nobody up.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Self) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let replica = self.clone();
        let read = tokio::task::spawn_blocking(move || look(&replica)).await;
        read.map_err(|error| EngineError::Read(format!("the request failed: {error}")))?
    }

    /// Has decisions written down.
    pub(super) async fn command(&self, body: Body, bytes: usize) -> Result<Outcome, ApiError> {
        Ok(self.shared.command(self.shard, body, bytes).await?.outcome)
    }

    /// By this node's clock, in microseconds since the epoch.
    pub(super) fn now(&self) -> i64 {
        self.shared.clock.now()
    }

    /// Who asks counts the cluster's shards as this node does. If not, a definition would be where nobody finds it.
    pub(super) fn check_place(&self, key: &DefinitionKey) -> Result<(), ApiError> {
        let place = key.shard(self.shared.shards());
        if place == self.shard {
            return Ok(());
        }
        let asked = self.shard;
        Err(EngineError::Read(format!("{key} is of shard {place}, and was asked of shard {asked}")).into())
    }
}
