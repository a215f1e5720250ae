//! From the outbox to the sink: reads chunks of firings, makes a start of each, sends them with a bounded number in flight, and has the answers
//! written down. One dispatcher a namespace, so that a namespace whose Temporal is gone holds nobody else up.

mod dispatcher;
mod gate;
mod launch;
mod line;
mod ready;
mod route;
mod sink;

pub use dispatcher::{DispatchMessage, DispatcherActor};
pub use gate::backoff;
pub use launch::{Launch, firing_key};
pub use route::{Route, Routes};
pub use sink::Sink;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use flintwheel_shard::reply::OutboxRef;
use parking_lot::RwLock;
use ractor::ActorRef;

use crate::actors::supervisor::{Child, SupervisorMessage};
use crate::shared::Shared;

/// The ways to the dispatchers, by namespace, and what they all need.
pub struct Dispatchers {
    /// First part of every workflow id.
    pub prefix: String,
    /// Where each namespace's firings go.
    pub routes: Routes,
    running: RwLock<HashMap<String, ActorRef<DispatchMessage>>>,
    supervisor: OnceLock<ActorRef<SupervisorMessage>>,
}

impl Dispatchers {
    /// Before any of them runs.
    pub fn new(prefix: String, routes: Routes) -> Self {
        Self { prefix, routes, running: RwLock::default(), supervisor: OnceLock::new() }
    }

    /// Who starts those that are missing.
    pub(crate) fn set_supervisor(&self, supervisor: ActorRef<SupervisorMessage>) {
        // A second supervisor would be a second node in this process; the first one stays.
        let _ = self.supervisor.set(supervisor);
    }

    pub(crate) fn set(&self, namespace: &str, dispatcher: ActorRef<DispatchMessage>) {
        self.running.write().insert(namespace.to_owned(), dispatcher);
    }

    /// Tells all dispatchers that a shard's actor has begun anew, or ended. Those that are missing begin with the outbox themselves.
    pub(crate) fn restarted(&self, shard: u32) {
        for dispatcher in self.running.read().values() {
            // One that has failed meanwhile has a successor to come.
            let _ = dispatcher.cast(DispatchMessage::Restarted { shard });
        }
    }

    /// Tells the dispatchers of the namespaces that have new work, and whether it was decided late: then it goes behind all that is not. A dispatcher
    /// that is missing or has failed finds the work itself when it starts: it begins with what stands in the outbox.
    pub(crate) fn notify(&self, shared: &Arc<Shared>, shard: u32, chunks: &[OutboxRef], late: bool) {
        for chunk in chunks {
            let lane = chunk.lane as usize;
            let group = shared.led(shard);
            let namespace = group.map(|group| group.read(|machine, _| machine.lanes().get(lane).cloned()));
            // A shard that has stopped, or is led elsewhere, dispatches nothing more here.
            let Some(Ok(Some(namespace))) = namespace else { continue };
            let work = DispatchMessage::Work { shard, chunk: *chunk, late };
            let told = self.running.read().get(&namespace).map(|d| d.cast(work));
            if !matches!(told, Some(Ok(())))
                && let Some(supervisor) = self.supervisor.get()
            {
                // Fails only while the node stops.
                let _ = supervisor.cast(SupervisorMessage::Start(Child::Dispatcher(namespace)));
            }
        }
    }
}
