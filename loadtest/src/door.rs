//! The engine's gRPC door, through the client that users have: definitions applied and events published, with the times that the
//! ledger needs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use flintwheel_client::{Client, Options, PublishResult, Publisher, PublisherOptions};
use flintwheel_model::ActivityDefinition;

use crate::clock::now_us;
use crate::events::{EventDoor, Taken};
use crate::ledger::Expected;
use crate::plan::{Cause, Planned};

/// Definitions handed to the client at a time: enough to keep it busy, few enough to hold in memory.
const CHUNK: usize = 50_000;

/// A definition that the engine has taken, and between which two moments it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What was applied.
    pub planned: Planned,
    /// Before the call: microseconds since the Unix epoch.
    pub asked_us: i64,
    /// When its acknowledgement was read.
    pub acked_us: i64,
}

impl Applied {
    /// What its schedule brings until `until_us`. What is due before the acknowledgement, or from `end_us` on, may be started;
    /// what is due between must.
    pub fn expected(&self, end_us: i64, until_us: i64) -> Vec<Expected> {
        let Cause::Time(rhythm) = self.planned.cause else { return Vec::new() };
        rhythm
            .within(self.asked_us, until_us)
            .map(|due_us| Expected {
                workflow_id: self.planned.timed_workflow_id(due_us),
                due_us,
                must: due_us >= self.acked_us && due_us < end_us,
            })
            .collect()
    }
}

/// A client of the engine. A clone is the same one.
#[derive(Clone)]
pub struct Door {
    client: Client,
}

impl Door {
    /// Connects when first used.
    pub fn new(address: SocketAddr) -> Result<Self> {
        Self::of(&[address])
    }

    /// The same for the nodes of a cluster.
    pub fn of(addresses: &[SocketAddr]) -> Result<Self> {
        // A proof goes on through restarts of the engine, and says itself when it has waited long enough.
        let options = Options { retry_for: Duration::from_secs(300), ..Options::default() };
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        Ok(Self { client: Client::new(&addresses, options).map_err(|e| anyhow!("{e}"))? })
    }

    /// The client that it goes through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Applies all of them; an error if the engine refuses any.
    pub async fn apply(&self, plan: Vec<Planned>) -> Result<Vec<Applied>> {
        let mut applied = Vec::with_capacity(plan.len());
        for chunk in plan.chunks(CHUNK) {
            let definitions: Vec<ActivityDefinition> = chunk.iter().map(Planned::definition).collect();
            let asked_us = now_us();
            let mut acked = vec![0; chunk.len()];
            let results = self.client.apply_many(&definitions, false, &mut |place, _| acked[place] = now_us()).await;
            for ((planned, result), acked_us) in chunk.iter().zip(results).zip(acked) {
                result.map_err(|e| anyhow!("{e}")).with_context(|| format!("apply {}", planned.id))?;
                applied.push(Applied { planned: planned.clone(), asked_us, acked_us });
            }
        }
        Ok(applied)
    }

    /// Applies definitions that are made already; an error if the engine refuses any.
    pub async fn load(&self, definitions: &[ActivityDefinition]) -> Result<()> {
        let results = self.client.apply_many(definitions, false, &mut |_, _| ()).await;
        for (definition, result) in definitions.iter().zip(results) {
            result.map_err(|e| anyhow!("{e}")).with_context(|| format!("apply {}", definition.metadata.id))?;
        }
        Ok(())
    }

    /// A stream of events into one namespace, with so many batches under way.
    pub fn events(&self, namespace: &str, window: usize) -> Events {
        let options = PublisherOptions { window, give_up_after: Duration::from_secs(600) };
        Events { publisher: Arc::new(self.client.publisher(namespace, options)) }
    }
}

/// The way in for events of one namespace.
#[derive(Clone)]
pub struct Events {
    publisher: Arc<Publisher>,
}

impl Events {
    /// Hands a batch over as soon as there is room; the future that comes back waits for its acknowledgement.
    pub async fn send(&self, events: Vec<Bytes>) -> Result<impl Future<Output = Result<Taken>> + use<>> {
        let ticket = self.publisher.send(events).await.map_err(|e| anyhow!("{e}"))?;
        Ok(async { ticket.acknowledged().await.map_err(|e| anyhow!("{e}")).and_then(taken) })
    }
}

impl EventDoor for Events {
    async fn publish(&self, events: Vec<Bytes>) -> Result<Taken> {
        self.send(events).await?.await
    }
}

fn taken(result: PublishResult) -> Result<Taken> {
    if let Some(rejected) = result.rejected.first() {
        return Err(anyhow!(
            "event {} of the batch was refused: {} {}",
            rejected.index,
            rejected.reason,
            rejected.message
        ));
    }
    let [matched, duplicate, fired] = [result.matched, result.duplicate, result.fired].map(u64::from);
    Ok(Taken { matched, duplicate, fired })
}
