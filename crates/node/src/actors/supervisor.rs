//! Starts the actors and starts them anew when they fail: each begins with the shard's state, so nothing is lost but time. A shard has an actor
//! as long as this node leads it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flintwheel_raft::{Group, Leadership};
use flintwheel_shard::Machine;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use crate::actors::shard::ShardActor;
use crate::dispatch::DispatcherActor;
use crate::shared::Shared;

/// Before the first restart of an actor; doubled with each further one up to [`SLOWEST`].
const FIRST: Duration = Duration::from_millis(20);
const SLOWEST: Duration = Duration::from_secs(5);
/// For actors to end what they are at.
const STOP: Duration = Duration::from_secs(5);

/// Which actor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Child {
    /// Of a shard.
    Shard(u32),
    /// Of a namespace.
    Dispatcher(String),
}

/// What the supervisor is told.
pub enum SupervisorMessage {
    /// Start this actor, unless it runs.
    Start(Child),
    /// This node leads a shard, since this term.
    Lead {
        /// Which.
        shard: u32,
        /// Another one than before: what the actor keeps in memory may be old.
        term: u64,
    },
    /// This node does not lead a shard, or not any more.
    Lose {
        /// Which.
        shard: u32,
    },
}

/// The actor.
pub struct Supervisor;

/// Its children.
pub struct State {
    shared: Arc<Shared>,
    running: HashMap<ActorId, (Child, ActorCell)>,
    failures: HashMap<Child, u32>,
    /// The terms of the shards that this node leads.
    terms: HashMap<u32, u64>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        shared: Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        shared.dispatchers.set_supervisor(myself.clone());
        let mut state = State { shared, running: HashMap::new(), failures: HashMap::new(), terms: HashMap::new() };
        for (shard, term) in state.led() {
            state.lead(&myself, shard, term).await;
        }
        for namespace in state.namespaces() {
            state.start(&myself, Child::Dispatcher(namespace)).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SupervisorMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Start(child) => state.start_if_missing(&myself, child).await,
            SupervisorMessage::Lead { shard, term } => state.lead(&myself, shard, term).await,
            SupervisorMessage::Lose { shard } => state.lose(shard),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, why) => (cell, why.unwrap_or_else(|| "stopped".into())),
            _ => return Ok(()),
        };
        if let Some((child, _)) = state.running.remove(&cell.get_id()) {
            state.failed(&myself, child, &why);
        }
        Ok(())
    }
}

impl State {
    fn led(&self) -> Vec<(u32, u64)> {
        let term = |group: Group<Machine>| match *group.watch_leader().borrow() {
            Leadership::Leader { term } => Some((group.shard(), term)),
            _ => None,
        };
        self.shared.groups.iter().filter_map(term).collect()
    }

    /// An actor of an earlier term goes: others may have led the shard in between.
    async fn lead(&mut self, myself: &ActorRef<SupervisorMessage>, shard: u32, term: u64) {
        if self.terms.get(&shard) == Some(&term) {
            return;
        }
        self.lose(shard);
        self.terms.insert(shard, term);
        self.shared.expect_actor(shard, term);
        self.start_if_missing(myself, Child::Shard(shard)).await;
        for namespace in self.namespaces_of(shard) {
            self.start_if_missing(myself, Child::Dispatcher(namespace)).await;
        }
    }

    /// What the actor had proposed may still be applied; nobody waits for it any more.
    fn lose(&mut self, shard: u32) {
        if self.terms.remove(&shard).is_none() {
            return;
        }
        self.shared.expect_actor(shard, 0);
        // What failed then says nothing of the next time.
        self.failures.remove(&Child::Shard(shard));
        self.running.retain(|_, (child, cell)| {
            let goes = *child == Child::Shard(shard);
            if goes {
                cell.stop(Some("another node leads the shard".to_owned()));
            }
            !goes
        });
        self.shared.interest.lose(shard);
        self.shared.dispatchers.restarted(shard);
    }

    async fn start_if_missing(&mut self, myself: &ActorRef<SupervisorMessage>, child: Child) {
        let elsewhere = matches!(child, Child::Shard(shard) if !self.terms.contains_key(&shard));
        if elsewhere || self.running.values().any(|(running, _)| *running == child) {
            return;
        }
        if let Err(error) = self.start(myself, child.clone()).await {
            self.failed(myself, child, &error.to_string());
        }
    }

    fn namespaces_of(&self, shard: u32) -> Vec<String> {
        let group = self.shared.led(shard);
        group.map(|group| group.read(|machine, _| machine.lanes().to_vec()).unwrap_or_default()).unwrap_or_default()
    }

    /// Namespaces that have definitions in any shard that this node leads.
    fn namespaces(&self) -> Vec<String> {
        let mut all: Vec<String> = self.terms.keys().flat_map(|shard| self.namespaces_of(*shard)).collect();
        all.sort();
        all.dedup();
        all
    }

    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, child: Child) -> Result<(), ActorProcessingErr> {
        let cell = myself.get_cell();
        let shared = Arc::clone(&self.shared);
        let started = match &child {
            Child::Shard(shard) => {
                let term = self.terms.get(shard).copied().unwrap_or_default();
                ShardActor::spawn_linked(None, ShardActor, (*shard, term, shared), cell).await?.0.get_cell()
            }
            Child::Dispatcher(namespace) => {
                let arguments = (namespace.clone(), shared);
                DispatcherActor::spawn_linked(None, DispatcherActor, arguments, cell).await?.0.get_cell()
            }
        };
        self.running.insert(started.get_id(), (child, started));
        Ok(())
    }

    fn failed(&mut self, myself: &ActorRef<SupervisorMessage>, child: Child, why: &str) {
        if self.shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let failures = self.failures.entry(child.clone()).or_default();
        *failures += 1;
        let wait = FIRST.saturating_mul(1 << (*failures - 1).min(10)).min(SLOWEST);
        tracing::error!(?child, failures = *failures, %why, ?wait, "an actor failed; it is started anew");
        self.shared.metrics.actor_failed();
        let myself = myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let _ = myself.cast(SupervisorMessage::Start(child));
        });
    }
}

/// Stops all actors, and waits until they have.
pub async fn stop(supervisor: &ActorRef<SupervisorMessage>, shared: &Shared) {
    shared.stopping.store(true, Ordering::Release);
    supervisor.get_cell().stop_children_and_wait(None, Some(STOP)).await;
    // It has no work of its own; a failure means that it has stopped already.
    let _ = supervisor.stop_and_wait(None, Some(STOP)).await;
}
