//! What a node can be asked, whatever the door: gRPC and HTTP only translate. Takes and gives the types of `model` and `client`.
//!
//! Any node answers anything. What is about a shard becomes an ask ([`ask`](mod@ask)), which goes to the node that leads it ([`route`]), and is
//! answered there ([`desk`]); each file here holds both halves of its topic.

mod after;
mod apply;
mod ask;
mod backfill;
mod backup;
mod bulk;
mod calendar_ask;
mod calendar_desk;
mod calendars;
mod clock;
mod cluster;
mod crowd;
mod dead;
mod definitions;
mod desk;
mod due;
mod error;
mod explain;
mod forget;
mod history;
mod occurrences;
mod request;
mod route;
mod selector;
mod status;
mod switch;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use calendar_ask::CalendarAt;
pub use cluster::{OperateError, Operator};
pub use error::ApiError;
pub use occurrences::reasons as occurrence_reasons;
pub use selector::Selector;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_model::ids::{check_id, check_namespace};
use flintwheel_model::violation::{Violation, Violations};
use flintwheel_model::{DefinitionKey, limits};
use parking_lot::RwLock;

use crate::ingress::{self, Published};
use crate::metrics::Totals;
use crate::shared::{Place, Shared};

/// Most items of one page.
pub const PAGE: u32 = 1000;

/// One node's engine, as its doors see it.
#[derive(Clone)]
pub struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: Arc<NodeInfo>,
    operator: Arc<RwLock<Option<Arc<dyn Operator>>>>,
    /// Reads may show what any replica knows by now.
    stale: bool,
}

/// What a node knows of itself.
pub struct NodeInfo {
    /// Of the data directory.
    pub cluster_id: String,
    /// Its number in the cluster.
    pub id: u64,
    /// Where it listens for gRPC.
    pub address: String,
    /// When it started.
    pub started: DateTime<Utc>,
    /// Of the data directory; for sizes.
    pub data_dir: std::path::PathBuf,
    /// The totals at an earlier moment, for rates.
    pub(crate) sampled: parking_lot::Mutex<Option<(Instant, Totals)>>,
}

impl Api {
    /// Of a running engine.
    pub fn new(shared: Arc<Shared>, node: NodeInfo) -> Self {
        Self { shared, node: Arc::new(node), operator: Arc::default(), stale: false }
    }

    /// The same, whose reads are answered, where `stale`, by this node's replica if it has one, also when it doesn't lead or can't reach those
    /// who do: what they show was right once. Else they show all that was acknowledged before.
    #[must_use]
    pub fn reading(&self, stale: bool) -> Self {
        Self { stale, ..self.clone() }
    }

    /// Takes a batch of encoded CloudEvents in; returns when all that fires is durable. Waits while the shards are full.
    pub async fn publish(&self, namespace: &str, events: &[Bytes]) -> Result<Published, ApiError> {
        check_namespace(namespace).map_err(|why| one("namespace", why))?;
        Ok(ingress::publish(&self.shared, namespace, events).await?)
    }

    /// The counters as OpenMetrics text.
    pub fn metrics(&self) -> String {
        self.shared.metrics.set_gauges(&self.snapshot());
        self.shared.metrics.encode()
    }

    /// Whether this node takes work: it is fit to, and no backup is being restored. `Err` says why not.
    pub fn ready(&self) -> Result<(), String> {
        self.fit().and_then(|()| self.whole())
    }

    /// Whether all that is to be here is: no backup is being restored. `Err` says that one is.
    pub(crate) fn whole(&self) -> Result<(), String> {
        match self.shared.interest.restoring() {
            Some(_) => {
                Err("a backup is being restored into this cluster: nothing else is done until all of it is there"
                    .into())
            }
            None => Ok(()),
        }
    }

    /// Whether this node is fit to take work: it knows who leads each shard of which it has a replica, none of these is being made anew, and the clock is
    /// believed. `Err` says why not.
    pub fn fit(&self) -> Result<(), String> {
        let now = self.counts();
        if now.awaited > 0 {
            return Err(self.damaged().join("; "));
        }
        if now.clock_held {
            return Err("the wall clock has jumped ahead; set it right, or restart this node to accept it".into());
        }
        if let Some(micros) = now.clock_ahead {
            let (seconds, where_to) =
                ((micros.abs() + 500_000) / 1_000_000, if micros < 0 { "behind" } else { "ahead of" });
            return Err(format!(
                "the clock is {seconds} s {where_to} those of the other nodes; set it right: until then this node leads nothing"
            ));
        }
        // After what an operator has to set right: this passes by itself.
        if now.unled > 0 {
            let mine = self.shared.groups.iter().count();
            return Err(format!("of {mine} shards with a replica here, {} have no leader that is known", now.unled));
        }
        Ok(())
    }

    /// How many shards there are, and where clients reach the node that leads a definition's shard, if that is another node.
    pub fn led_elsewhere(&self, key: &DefinitionKey) -> Option<(u32, String)> {
        let Place::At(leader) = self.shared.place(self.shard_of(key)) else { return None };
        let meta = self.shared.peers.directory().meta();
        let address = &meta.node(leader)?.addresses.client;
        Some((self.shared.shards(), address.clone())).filter(|(_, address)| !address.is_empty())
    }

    fn now(&self) -> i64 {
        self.shared.clock.now()
    }

    fn shard_of(&self, key: &DefinitionKey) -> u32 {
        key.shard(self.shared.shards())
    }
}

fn one(field: &str, message: impl Into<String>) -> Violations {
    Violations(vec![Violation::new(field, message)])
}

/// A name as it may come from outside.
fn check_key(key: &DefinitionKey) -> Result<(), Violations> {
    let mut faults = Violations::default();
    if let Err(why) = check_namespace(&key.namespace) {
        faults.push("ref.namespace", why);
    }
    if let Err(why) = check_id(&key.id) {
        faults.push("ref.id", why);
    }
    faults.into_result()
}

fn check_request_id(request_id: &str) -> Result<(), Violations> {
    if request_id.len() > limits::REQUEST_ID_LEN || request_id.chars().any(char::is_control) {
        let message =
            format!("{} bytes; at most {} without control characters", request_id.len(), limits::REQUEST_ID_LEN);
        return Err(one("request_id", message));
    }
    Ok(())
}

fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// A page's size as asked for: 0 means the default.
fn page_size(asked: u32) -> usize {
    (if asked == 0 { 100 } else { asked.min(PAGE) }) as usize
}
