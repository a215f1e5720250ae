//! A node without its doors: data opened, actors started, log and state looked after, everything closed in turn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use flintwheel_cluster::Meta;
use flintwheel_raft::{
    Founding, Group, Groups, Host, Identity, NoTransport, OpenOptions, PROTOCOL_VERSIONS, Starts, Transport,
};
use flintwheel_shard::Machine;
use flintwheel_shard::entry::{Body, Expire, OPERATIONS_SINCE};
use flintwheel_store::{DataDir, StateOptions};
use flintwheel_temporal::TemporalSink;
use ractor::{Actor, ActorRef};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::actors::supervisor::{self, Supervisor, SupervisorMessage};
use crate::actors::{leaders, ticker};
use crate::api::{Api, NodeInfo, Operator};
use crate::clock::{Clock, SystemClock};
use crate::config::{NamespaceSettings, Settings, SinkKind};
use crate::dispatch::{Dispatchers, Route, Routes, Sink};
use crate::error::{RunError, failed};
use crate::membership::{self, Admission, Card, New, Part, Registrar};
use crate::metrics::Metrics;
use crate::paces::Paces;
use crate::peers::{Directory, Doorman, Guests, Link, Peers, Subject};
use crate::placement::{self, Placement};
use crate::shared::Shared;
use crate::{after, backfills, calendars, clocks, hand_over, ingress, interest, pauses, room, runs, zone_data};

/// Who makes a cluster gets this id.
pub const FOUNDER: u64 = 1;
/// How often log and state are looked after.
const MAINTAIN: Duration = Duration::from_secs(1);
/// How often old time buckets are dropped.
const EXPIRE: Duration = Duration::from_secs(60);
/// The newest versions of a definition, which are kept for as long as it is there: enough to go back to, and some dozen kilobytes.
const HISTORY: u32 = 20;

/// How much of the state is verified in a second: at first as fast as most disks can, since nothing is compacted before; then so that nobody notices.
const FIRST_VERIFIED: u64 = 256 << 20;
const VERIFIED: u64 = 8 << 20;
/// How long the first time may take before compactions begin all the same: what is written meanwhile piles up.
const UNCOMPACTED: Duration = Duration::from_secs(60);
/// Between two times.
const VERIFY: Duration = Duration::from_secs(24 * 3600);

/// For the leaders of a node that stops to be handed over.
const HAND_OVER: Duration = Duration::from_secs(3);

/// A running engine.
pub struct Engine {
    api: Api,
    stop: watch::Sender<bool>,
    tasks: JoinSet<Result<(), RunError>>,
    groups: Arc<Groups<Machine>>,
    meta: Arc<Groups<Meta>>,
    host: Host,
    supervisor: ActorRef<SupervisorMessage>,
    link: Option<Link>,
}

/// What an engine begins with.
pub struct Start {
    /// The data directory, claimed.
    pub data: DataDir,
    /// Its part in the cluster.
    pub part: Part,
    /// What it says of itself.
    pub card: Card,
    /// Its door for other nodes; none for a cluster of one.
    pub peer: Option<TcpListener>,
}

impl Engine {
    /// Starts the engine of a cluster of one; returns when it takes work. `address` is what it tells others of itself.
    pub async fn start(settings: &Settings, address: String) -> Result<Self, RunError> {
        let data = DataDir::open(&settings.data_dir, FOUNDER, None)?;
        let mut card = Card { token: data.token()?, ..Card::default() };
        card.addresses.client = address;
        let start = Start { data, part: Part::Founder(New::default()), card, peer: None };
        Self::start_with(settings, start, Arc::new(SystemClock::default())).await
    }

    /// Starts the engine of a node, by any clock.
    pub async fn start_with(settings: &Settings, start: Start, clock: Arc<dyn Clock>) -> Result<Self, RunError> {
        // Before any schedule is compiled.
        if let Some(dir) = &settings.timezone_data {
            zone_data::load(dir)?;
        }
        let routes = routes(settings)?;
        let opened = Opened::open(settings, &start).await?;
        let dispatchers = Dispatchers::new(settings.workflow_prefix.clone(), routes);
        let (groups, peers) = (Arc::clone(&opened.groups), Arc::clone(&opened.peers));
        let metrics = Metrics::new(groups.shards());
        let shared = Shared::new(groups, peers, Arc::clone(&clock), metrics, dispatchers, paces(settings));
        let shared = Arc::new(shared);
        let (supervisor, _) = Supervisor::spawn(None, Supervisor, Arc::clone(&shared))
            .await
            .map_err(|e| failed("the actors did not start", &e))?;
        let identity = start.data.identity();
        let info = NodeInfo {
            cluster_id: identity.cluster.to_string(),
            id: identity.node,
            address: start.card.addresses.client.clone(),
            started: Utc::now(),
            data_dir: settings.data_dir.clone(),
            sampled: parking_lot::Mutex::default(),
        };
        let api = Api::new(Arc::clone(&shared), info);
        api.answer_peers();
        interest::register(&shared);
        ingress::register(&shared);
        clocks::register(&shared);
        room::register(&shared.peers);
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let retention = i64::try_from(settings.account_retention.micros()).unwrap_or(i64::MAX);
        tasks.spawn(endless(interest::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(leaders::run(Arc::clone(&shared), supervisor.clone()), stopping.clone()));
        tasks.spawn(endless(ticker::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(runs::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(pauses::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(after::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(backfills::run(Arc::clone(&shared)), stopping.clone()));
        tasks.spawn(endless(calendars::spread::run(api.clone()), stopping.clone()));
        tasks.spawn(endless(maintain(Arc::clone(&opened.groups), Arc::clone(&opened.meta)), stopping.clone()));
        tasks.spawn(endless(clocks::run(Arc::clone(&shared), Arc::clone(&opened.meta)), stopping.clone()));
        let looking =
            room::run(Arc::clone(&shared), Arc::clone(&opened.meta), settings.data_dir.clone(), settings.disk_reserve);
        tasks.spawn(endless(looking, stopping.clone()));
        tasks.spawn(endless(verify(Arc::clone(&opened.groups), Arc::clone(&opened.meta)), stopping.clone()));
        tasks.spawn(endless(expire(shared, retention), stopping.clone()));
        api.set_operator(opened.take_part(settings, start, clock, &mut tasks, stopping));
        let Opened { groups, meta, host, link, .. } = opened;
        Ok(Self { api, stop, tasks, groups, meta, host, supervisor, link })
    }

    /// What it can be asked.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Waits until a part of it fails, which is never in good times.
    pub async fn failed(&mut self) -> RunError {
        loop {
            match self.tasks.join_next().await {
                // What is done once is done.
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => return error,
                Some(Err(error)) => return failed("a part of the engine failed", &error),
                None => return RunError("all parts of the engine have ended".into()),
            }
        }
    }

    /// Gives the shards that it leads to other nodes that have them, so that nobody waits for an election when this one is gone.
    pub async fn hand_over(&self) {
        // Who leads the meta group takes it for away from now on: it would give leaders back to a node that leads so few.
        self.api.shared.peers.forget(Subject::Seen);
        let clocks = self.api.shared.peers.clocks();
        let fit = |node| clocks.astray(node).is_none();
        hand_over::all(&self.groups, &self.meta, self.api.node.id, fit, HAND_OVER).await;
    }

    /// Ends the actors, flushes the state so that the next start has nothing to apply again, and closes the databases.
    pub async fn close(mut self) -> Result<(), RunError> {
        // Nobody listens any more if all tasks have ended.
        let _ = self.stop.send(true);
        if let Some(link) = self.link.take() {
            link.close();
        }
        while self.tasks.join_next().await.is_some() {}
        supervisor::stop(&self.supervisor, &self.api.shared).await;
        self.api.set_operator(None);
        self.api.shared.exports.close();
        self.api.shared.peers.close();
        drop(self.api);
        let flushed = self.groups.flush().await;
        flushed.map_err(|e| failed("the state was not flushed; the next start applies the log again", &e))?;
        // A request that was cut off may hold on; all is on disk, and the process ends.
        let (Ok(groups), Ok(meta)) = (Arc::try_unwrap(self.groups), Arc::try_unwrap(self.meta)) else { return Ok(()) };
        let ended = (groups.shutdown().await, meta.shutdown().await);
        self.host.close().await;
        let closed = |error: &dyn std::fmt::Display| failed("the databases were not closed", error);
        ended.0.map_err(|e| closed(&e))?;
        ended.1.map_err(|e| closed(&e))
    }
}

/// What stands open under the actors.
struct Opened {
    host: Host,
    groups: Arc<Groups<Machine>>,
    meta: Arc<Groups<Meta>>,
    peers: Arc<Peers>,
    directory: Arc<Directory>,
    /// None for a cluster of one.
    link: Option<Link>,
    /// Which start of the node's program this is: epoch and incarnation.
    start: (u64, u64),
}

impl Opened {
    async fn open(settings: &Settings, start: &Start) -> Result<Self, RunError> {
        let Start { data, part, card, peer } = start;
        let identity = data.identity().clone();
        // Before the groups: they look for the others at once.
        let directory = Arc::<Directory>::default();
        placement::load_directory(data.path(), &directory);
        if let Part::Member { directory: (version, meta), .. } = part {
            directory.set(*version, (**meta).clone());
        }
        let guests = Arc::new(Guests::load(data.path(), Arc::clone(&directory)));
        let link = match peer {
            Some(_) => {
                let (cluster, node) = (identity.cluster.into_bytes(), identity.node);
                let me = Identity { cluster, node, versions: PROTOCOL_VERSIONS };
                Some(Link::new(me, Arc::clone(&directory), Arc::clone(&guests))?)
            }
            None => None,
        };
        let transport: Arc<dyn Transport> = link.as_ref().map_or_else(|| Arc::new(NoTransport) as _, Link::transport);
        let options = OpenOptions {
            founding: if identity.node == FOUNDER { Founding::Alone } else { Founding::Member },
            address: card.addresses.peer.as_str().into(),
            transport: Arc::clone(&transport),
            // Until it has been verified: a compaction that comes to a damaged block would end the node.
            state: StateOptions { hold_compactions: true, ..StateOptions::default() },
            has_peers: directory.nodes().iter().any(|node| node.id != identity.node),
            ..OpenOptions::new(data.clone(), shards(settings, part)?)
        };
        let host = Host::open(options).await.map_err(|e| failed("data_dir", &e))?;
        // Its log is there: from now on, a directory without one has lost it.
        data.founded()?;
        // Before the groups: nothing is said to others before it is said at which start this node is.
        let (epoch, incarnation) = host.starts().begin().await.map_err(|e| failed("data_dir", &e))?;
        guests.begin(epoch, incarnation, host.starts());
        let groups = Arc::new(host.shards::<Machine>().await.map_err(|e| failed("data_dir", &e))?);
        let meta = Arc::new(host.meta::<Meta>().await.map_err(|e| failed("data_dir", &e))?);
        let peers = Arc::new(Peers::new(identity.node, transport, Arc::clone(&directory)));
        Ok(Self { host, groups, meta, peers, directory, link, start: (epoch, incarnation) })
    }

    /// Opens the door for other nodes, and takes part in the cluster: registers, and brings replicas to where they belong. Nothing of it for a
    /// node without such a door.
    fn take_part(
        &self,
        settings: &Settings,
        start: Start,
        clock: Arc<dyn Clock>,
        tasks: &mut JoinSet<Result<(), RunError>>,
        stopping: watch::Receiver<bool>,
    ) -> Option<Arc<dyn Operator>> {
        let Start { data, part, card, peer } = start;
        let (link, listener) = (self.link.as_ref()?, peer?);
        let (groups, meta, peers) = (&self.groups, &self.meta, Arc::clone(&self.peers));
        let own = card.addresses.peer.clone();
        let placement = Placement::new(
            Arc::clone(groups),
            Arc::clone(meta),
            Arc::clone(&peers),
            Arc::clone(&clock),
            data.path().to_owned(),
        );
        placement.register();
        tasks.spawn(endless(Arc::clone(&placement).run(), stopping.clone()));
        let doorman = Doorman { shards: groups.receiver(), meta: meta.receiver(), peers };
        let admission = Admission { placement: Arc::clone(&placement), directory: Arc::clone(&self.directory) };
        tasks.spawn(link.serve(listener, doorman, admission));
        let wanted = if let Part::Founder(new) = &part { new.replication } else { None };
        let registrar = Registrar {
            meta: Arc::clone(meta),
            placement: Arc::clone(&placement),
            clock,
            cluster: data.identity().cluster.into_bytes(),
            shards: groups.shards(),
            replication: wanted.unwrap_or(settings.replication),
            node: data.identity().node,
            epoch: self.start.0,
            incarnation: self.start.1,
            starts: self.host.starts(),
            card,
        };
        tasks.spawn(until(expelled(link.expelled(), self.host.starts()), stopping.clone()));
        if matches!(part, Part::Known) {
            let others = settings.join.iter().filter(|seed| **seed != own).cloned().collect();
            let cluster = data.identity().cluster;
            tasks.spawn(until(membership::same_cluster(others, cluster), stopping.clone()));
        }
        tasks.spawn(until(registrar.run(), stopping));
        Some(placement)
    }
}

/// Ends the node when another one says that its disk was rolled back, or that it was removed, for good: the next start would be refused as well, or worse, let in.
async fn expelled(mut told: watch::Receiver<Option<String>>, starts: Starts) -> Result<(), RunError> {
    let why = told.wait_for(Option::is_some).await.map_or(None, |why| why.clone());
    let Some(why) = why else { return std::future::pending().await };
    tracing::error!(why, "this node must end, and never start again with this disk");
    starts.expel(why.clone()).await.map_err(|e| failed("data_dir", &e))?;
    Err(RunError(why))
}

/// How many shards the cluster has, as far as that is not read from the data directory.
fn shards(settings: &Settings, part: &Part) -> Result<Option<u32>, RunError> {
    let given = settings.shards_given.then_some(settings.shards);
    match (part, given) {
        (Part::Founder(new), _) => Ok(Some(new.shards.unwrap_or(settings.shards))),
        (Part::Known, given) => Ok(given),
        (Part::Member { shards, .. }, Some(given)) if given != *shards => Err(RunError(format!(
            "shards = {given}, but the cluster has {shards}: the number is fixed when a cluster is made; leave it out here"
        ))),
        (Part::Member { shards, .. }, _) => Ok(Some(*shards)),
    }
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

/// How fast what is late is let through, for each namespace.
fn paces(settings: &Settings) -> Paces {
    let own = |(name, own): (&String, &NamespaceSettings)| Some((name.clone(), own.catch_up_pace?));
    Paces::new(settings.catch_up_pace, settings.namespaces.iter().filter_map(own).collect())
}

/// Work that ends, at the latest when the engine stops.
async fn until(
    work: impl Future<Output = Result<(), RunError>>,
    mut stopping: watch::Receiver<bool>,
) -> Result<(), RunError> {
    tokio::select! {
        done = work => done,
        // An error means that the engine is gone: stop as well.
        _ = stopping.wait_for(|stop| *stop) => Ok(()),
    }
}

/// Work without an end of its own, until the engine stops.
async fn endless(work: impl Future<Output = ()>, mut stopping: watch::Receiver<bool>) -> Result<(), RunError> {
    tokio::select! {
        () = work => Err(RunError("work without an end has ended".into())),
        // An error means that the engine is gone: stop as well.
        _ = stopping.wait_for(|stop| *stop) => Ok(()),
    }
}

async fn maintain(groups: Arc<Groups<Machine>>, meta: Arc<Groups<Meta>>) {
    let mut every = tokio::time::interval(MAINTAIN);
    loop {
        every.tick().await;
        for maintained in [groups.maintain().await, meta.maintain().await] {
            if let Err(error) = maintained {
                tracing::error!(%error, "the state was not flushed");
            }
        }
    }
}

/// Reads the whole state after each start, and once a day, so that what the disk has damaged is found while others still have it.
async fn verify(groups: Arc<Groups<Machine>>, meta: Arc<Groups<Meta>>) {
    let first = async {
        meta.verify(FIRST_VERIFIED).await;
        groups.verify(FIRST_VERIFIED).await;
    };
    if tokio::time::timeout(UNCOMPACTED, first).await.is_err() {
        tracing::info!(within = ?UNCOMPACTED, "the state is larger than what could be verified before it is compacted");
    }
    if let Err(error) = groups.release_compactions() {
        tracing::error!(%error, "the state is not compacted: restart this node");
    }
    loop {
        tokio::time::sleep(VERIFY).await;
        meta.verify(VERIFIED).await;
        groups.verify(VERIFIED).await;
    }
}

/// How many versions of a definition are kept, however old. A node of an older version would keep none: there, as many as ever.
fn history(shared: &Shared, group: &Group<Machine>) -> u32 {
    let known = match shared.peers.directory().meta().format() {
        Some(format) => format >= OPERATIONS_SINCE,
        None => interest::is_alone(shared, group),
    };
    if known { HISTORY } else { 0 }
}

async fn expire(shared: Arc<Shared>, retention: i64) {
    let mut every = tokio::time::interval(EXPIRE);
    loop {
        every.tick().await;
        let now = shared.clock.now();
        let before = now - retention;
        for group in shared.led_groups() {
            let shard = group.shard();
            let expire = Expire { account_before: before, versions_before: before, keep: history(&shared, &group) };
            // Where there is nothing to drop, the shard is left asleep.
            let due = move || group.read(|machine, state| machine.expires(state, now, expire));
            let due = tokio::task::spawn_blocking(due).await.map_err(|e| e.to_string());
            let due = due.and_then(|due| due.map_err(|e| e.to_string())?.map_err(|e| e.to_string()));
            let dropped = match due {
                Ok(true) => shared.command(shard, Body::Expire(expire), 0).await.map(drop).map_err(|e| e.to_string()),
                other => other.map(drop),
            };
            if let Err(error) = dropped {
                tracing::warn!(shard, error, "old data was not dropped; tried again in a minute");
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
    async fn fired(engine: &Engine, id: &str) -> Vec<String> {
        let of =
            OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
        let page = engine.api().occurrences(&of, &PageRequest { size: 1000, ..PageRequest::default() }).await;
        let page = page.expect("read");
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
        let (ticks, mut heard) = loop {
            let (ticks, heard) = (fired(&engine, "tick").await, fired(&engine, "listen").await);
            if ticks.len() >= 3 && heard.len() >= rounds {
                break (ticks, heard);
            }
            assert!(begun.elapsed() < PATIENCE, "{ticks:?} {heard:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        heard.sort();
        assert_eq!(heard, (0..rounds).map(|id| format!("e:test|{id}")).collect::<Vec<_>>());
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
