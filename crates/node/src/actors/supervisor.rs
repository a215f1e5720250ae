//! Starts the actors and starts them anew when they fail: each begins with the shard's state, so nothing is lost but time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

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
}

/// The actor.
pub struct Supervisor;

/// Its children.
pub struct State {
    shared: Arc<Shared>,
    running: HashMap<ActorId, Child>,
    failures: HashMap<Child, u32>,
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
        let mut state = State { shared, running: HashMap::new(), failures: HashMap::new() };
        for shard in 0..state.shared.shards() {
            state.start(&myself, Child::Shard(shard)).await?;
        }
        for namespace in state.namespaces() {
            state.start(&myself, Child::Dispatcher(namespace)).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        SupervisorMessage::Start(child): SupervisorMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if state.running.values().any(|running| *running == child) {
            return Ok(());
        }
        if let Err(error) = state.start(&myself, child.clone()).await {
            state.failed(&myself, child, &error.to_string());
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
        if let Some(child) = state.running.remove(&cell.get_id()) {
            state.failed(&myself, child, &why);
        }
        Ok(())
    }
}

impl State {
    /// Namespaces that have definitions in any shard.
    fn namespaces(&self) -> Vec<String> {
        let mut all: Vec<String> = (0..self.shared.shards())
            .flat_map(|shard| self.shared.group(shard).read(|machine, _| machine.lanes().to_vec()).unwrap_or_default())
            .collect();
        all.sort();
        all.dedup();
        all
    }

    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, child: Child) -> Result<(), ActorProcessingErr> {
        let cell = myself.get_cell();
        let shared = Arc::clone(&self.shared);
        let id = match &child {
            Child::Shard(shard) => ShardActor::spawn_linked(None, ShardActor, (*shard, shared), cell).await?.0.get_id(),
            Child::Dispatcher(namespace) => {
                let arguments = (namespace.clone(), shared);
                DispatcherActor::spawn_linked(None, DispatcherActor, arguments, cell).await?.0.get_id()
            }
        };
        self.running.insert(id, child);
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
