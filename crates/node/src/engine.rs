//! A node without its doors: data opened, actors started, log and state looked after, everything closed in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use flintwheel_raft::{Groups, NoTransport, OpenOptions};
use flintwheel_shard::Machine;
use flintwheel_shard::entry::{Body, Expire};
use flintwheel_store::DataDir;
use flintwheel_temporal::TemporalSink;
use ractor::{Actor, ActorRef};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::actors::supervisor::{self, Supervisor, SupervisorMessage};
use crate::actors::ticker;
use crate::api::{Api, NodeInfo};
use crate::clock::{Clock, SystemClock};
use crate::config::{NamespaceSettings, Settings, SinkKind};
use crate::dispatch::{Dispatchers, Route, Routes, Sink};
use crate::error::{RunError, failed};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::shared::Shared;

/// The only node of a cluster of one.
const NODE: u64 = 1;
/// How often log and state are looked after.
const MAINTAIN: Duration = Duration::from_secs(1);
/// How often old time buckets are dropped.
const EXPIRE: Duration = Duration::from_secs(60);

/// A running engine.
pub struct Engine {
    api: Api,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), RunError>>,
    groups: Arc<Groups<Machine>>,
    supervisor: ActorRef<SupervisorMessage>,
}

impl Engine {
    /// Starts the engine; returns when it takes work. `address` is what it tells others of itself.
    pub async fn start(settings: &Settings, address: String) -> Result<Self, RunError> {
        Self::start_with(settings, claim(settings)?, address, Arc::new(SystemClock::default())).await
    }

    /// The same on a data directory that has been claimed, and by another clock.
    pub async fn start_with(
        settings: &Settings,
        data: DataDir,
        address: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RunError> {
        let routes = routes(settings)?;
        let cluster_id = data.identity().cluster.to_string();
        let options = OpenOptions::new(data, settings.shards);
        let groups = Arc::new(Groups::<Machine>::open(options).await.map_err(|e| failed("data_dir", &e))?);
        let dispatchers = Dispatchers::new(settings.workflow_prefix.clone(), routes);
        let peers = Arc::new(Peers::new(NODE, Arc::new(NoTransport), Arc::default()));
        let metrics = Metrics::new(settings.shards);
        let shared = Arc::new(Shared::new(Arc::clone(&groups), peers, clock, metrics, dispatchers));
        let (supervisor, _) = Supervisor::spawn(None, Supervisor, Arc::clone(&shared))
            .await
            .map_err(|e| failed("the actors did not start", &e))?;
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let retention = i64::try_from(settings.account_retention.micros()).unwrap_or(i64::MAX);
        tasks.spawn(endless(ticker::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(maintain(Arc::clone(&groups)), stopping.clone()));
        tasks.spawn(endless(expire(Arc::clone(&shared), retention), stopping));
        let info = NodeInfo {
            cluster_id,
            id: NODE,
            address,
            started: Utc::now(),
            data_dir: settings.data_dir.clone(),
            sampled: parking_lot::Mutex::default(),
        };
        Ok(Self { api: Api::new(shared, info), stop, tasks, groups, supervisor })
    }

    /// What it can be asked.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Waits until a part of it fails, which is never in good times.
    pub async fn failed(&mut self) -> RunError {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => failed("a part of the engine failed", &error),
            Some(Ok(Ok(()))) | None => RunError("a part of the engine ended".into()),
        }
    }

    /// Ends the actors, flushes the state so that the next start has nothing to apply again, and closes the databases.
    pub async fn close(mut self) -> Result<(), RunError> {
        // Nobody listens any more if all tasks have ended.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        supervisor::stop(&self.supervisor, &self.api.shared).await;
        drop(self.api);
        let flushed = self.groups.flush().await;
        flushed.map_err(|e| failed("the state was not flushed; the next start applies the log again", &e))?;
        match Arc::try_unwrap(self.groups) {
            Ok(groups) => groups.shutdown().await.map_err(|e| failed("the databases were not closed", &e)),
            // A request that was cut off holds on; all is on disk, and the process ends.
            Err(_) => Ok(()),
        }
    }
}

/// Makes sure that the data directory is ours, and locks it.
pub fn claim(settings: &Settings) -> Result<DataDir, RunError> {
    DataDir::open(&settings.data_dir, NODE, None).map_err(|e| failed("data_dir", &e))
}

/// Where the firings of each namespace go.
fn routes(settings: &Settings) -> Result<Routes, RunError> {
    let (sink, default_namespace) = match settings.sink {
        SinkKind::Null => (Sink::Null, "null".to_owned()),
        SinkKind::Temporal => {
            let target = settings.temporal_target().map_err(|e| RunError(e.to_string()))?;
            let namespace = target.namespace().to_owned();
            let sink = TemporalSink::new(target).map_err(|e| failed("temporal", &e))?;
            (Sink::Temporal(Arc::new(sink)), namespace)
        }
    };
    let route = |own: &NamespaceSettings| Route {
        sink: sink.clone(),
        temporal_namespace: own.temporal_namespace.as_ref().unwrap_or(&default_namespace).clone(),
        task_queue: own.task_queue.as_ref().unwrap_or(&settings.task_queue).clone(),
    };
    let named: HashMap<String, Route> =
        settings.namespaces.iter().map(|(name, own)| (name.clone(), route(own))).collect();
    Ok(Routes::new(route(&NamespaceSettings::default()), named))
}

/// Work without an end of its own, until the engine stops.
async fn endless(work: impl Future<Output = ()>, mut stopping: watch::Receiver<bool>) -> Result<(), RunError> {
    tokio::select! {
        () = work => Err(RunError("work without an end has ended".into())),
        // An error means that the engine is gone: stop as well.
        _ = stopping.wait_for(|stop| *stop) => Ok(()),
    }
}

async fn maintain(groups: Arc<Groups<Machine>>) {
    let mut every = tokio::time::interval(MAINTAIN);
    loop {
        every.tick().await;
        if let Err(error) = groups.maintain().await {
            tracing::error!(%error, "the state was not flushed");
        }
    }
}

async fn expire(shared: Arc<Shared>, retention: i64) {
    let mut every = tokio::time::interval(EXPIRE);
    loop {
        every.tick().await;
        let before = shared.clock.now() - retention;
        let expire = Expire { account_before: before, versions_before: before };
        for shard in 0..shared.shards() {
            if let Err(error) = shared.command(shard, Body::Expire(expire), 0).await {
                tracing::warn!(shard, %error, "old data was not dropped; tried again in a minute");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flintwheel_client::{ApplyOptions, OccurrenceQuery, Outcome, PageRequest};
    use flintwheel_model::ActivityDefinition;
    use flintwheel_proto::cloudevents::CloudEvent;
    use prost::Message;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn definition(id: &str, trigger: Value) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
            "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
        }))
        .expect("a definition")
    }

    fn event(id: usize) -> Bytes {
        let event = CloudEvent {
            id: id.to_string(),
            source: "test".into(),
            spec_version: "1.0".into(),
            r#type: "t".into(),
            ..CloudEvent::default()
        };
        event.encode_to_vec().into()
    }

    /// Firing keys of what has been started, oldest first.
    fn fired(engine: &Engine, id: &str) -> Vec<String> {
        let of =
            OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
        let page = engine.api().occurrences(&of, &PageRequest { size: 1000, ..PageRequest::default() }).expect("read");
        let started = page.items.into_iter().filter(|o| o.outcome == Outcome::Fired && o.started_at.is_some());
        let mut keys: Vec<String> = started.map(|o| o.firing_key).collect();
        keys.reverse();
        keys
    }

    /// As a client does: again, while the actor that takes it is being started anew.
    async fn publish(engine: &Engine, id: usize) -> (u32, u32) {
        let begun = std::time::Instant::now();
        loop {
            match engine.api().publish("default", &[event(id)]).await {
                Ok(published) => return (published.fired, published.duplicate),
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn actors_that_die_begin_again_with_the_state_and_nothing_is_lost_or_doubled() {
        let directory = tempfile::tempdir().expect("a directory");
        let flags =
            [("data_dir", directory.path().display().to_string()), ("sink", "null".into()), ("shards", "2".into())];
        let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
        let engine = Engine::start(&settings, "test".into()).await.expect("starts");
        for (id, trigger) in
            [("tick", json!({"schedule": {"interval": {"every": "1s"}}})), ("listen", json!({"event": {"types": "t"}}))]
        {
            engine.api().apply(&definition(id, trigger), &ApplyOptions::default()).await.expect("applied");
        }
        let rounds = 5;
        for round in 0..rounds {
            let (fired, duplicate) = publish(&engine, round).await;
            // A death between the disk and the answer makes the next try a duplicate.
            assert_eq!(fired + duplicate, 1, "round {round}");
            engine.supervisor.get_cell().get_children().iter().for_each(ractor::ActorCell::kill);
        }
        let begun = std::time::Instant::now();
        while fired(&engine, "tick").len() < 3 || fired(&engine, "listen").len() < rounds {
            assert!(begun.elapsed() < PATIENCE, "{:?} {:?}", fired(&engine, "tick"), fired(&engine, "listen"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut heard = fired(&engine, "listen");
        heard.sort();
        assert_eq!(heard, (0..rounds).map(|id| format!("e:test|{id}")).collect::<Vec<_>>());
        let ticks = fired(&engine, "tick");
        let seconds: Vec<i64> = ticks.iter().map(|key| second(key)).collect();
        assert!(seconds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{ticks:?}");
        let metrics = engine.api().metrics();
        let failures = metrics.lines().find_map(|line| line.strip_prefix("flintwheel_actor_failures_total "));
        assert!(
            failures.and_then(|count| count.parse::<usize>().ok()).is_some_and(|count| count >= rounds),
            "{metrics}"
        );
        engine.close().await.expect("closes");
    }

    /// Of a firing key `t:2026-11-23T08:00:00Z`.
    fn second(key: &str) -> i64 {
        let time = key.strip_prefix("t:").expect("a due time");
        chrono::DateTime::parse_from_rfc3339(time).expect("a time").timestamp()
    }
}
