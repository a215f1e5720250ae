//! Clients: they create, change and remove definitions, publish events and fire by hand, and try again until they are told what became of it.

use crate::leader::{Ask, Event, Message, Once, SOURCE, Told};
use crate::ledger::{Cause, Known, Sent};
use crate::network::{ELSEWHERE, hop};
use crate::operators;
use crate::properties::carried_out_once;
use crate::stage::{NODES, SHARDS, Stage};
use crate::workload::{TYPES, changed, definition, some_cause};
use flintwheel_model::DefinitionKey;
use flintwheel_node::cloudevents;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// The tenant of all definitions.
pub const NAMESPACE: &str = "sim";
/// At a time.
const CLIENTS: u64 = 3;
/// Definitions with a schedule, and with events; and in a run in which groups get to sleep.
const SCHEDULES: usize = 8;
const LISTENERS: usize = 5;
const FEW: usize = 2;
/// Of a thousand things that are done in a rich run: those of operators.
const OPERATORS: u64 = 300;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// For how long an event is tried: with what clocks jump, and with a leader that stood still, it stays within the dedupe window.
const TRY_EVENT: u64 = 12_000_000_000;
/// Of a thousand messages of clients: those that come once more, after so many milliseconds at most.
const TWICE: u64 = 60;
const TWICE_WITHIN: u64 = 5_000;
/// How late a producer may send an event once more.
const AGAIN: u64 = 8_000_000_000;

/// Starts all of them.
pub fn start(stage: &Arc<Stage>) {
    for _ in 0..CLIENTS {
        let stage = stage.clone();
        stage.clone().executor.spawn_outside(async move {
            loop {
                stage.sleep_within(if stage.is_quiet { 200..4000 } else { 20..400 }).await;
                if stage.ledger.lock().closing {
                    return;
                }
                stage.ledger.lock().open += 1;
                act(&stage).await;
                stage.ledger.lock().open -= 1;
            }
        });
    }
}

async fn act(stage: &Arc<Stage>) {
    if stage.is_rich && stage.random().chance(OPERATORS) {
        return operators::act(stage).await;
    }
    let choice = stage.random().below(100);
    let is_timed = |known: &Known| matches!(known.cause(), Some(Cause::Every(_)));
    let (timed, listening) = {
        let ledger = stage.ledger.lock();
        (ledger.settled(is_timed), ledger.settled(|known| !is_timed(known)))
    };
    let (schedules, listeners) = if stage.is_quiet { (FEW, FEW) } else { (SCHEDULES, LISTENERS) };
    match choice {
        _ if timed.len() < schedules / 2 => create(stage, true).await,
        _ if listening.len() < listeners / 2 => create(stage, false).await,
        0..8 if timed.len() < schedules => create(stage, true).await,
        8..16 if listening.len() < listeners => create(stage, false).await,
        16..24 => change(stage, &timed).await,
        24..28 => remove(stage, &[timed, listening].concat()).await,
        28..33 => by_hand(stage, &timed).await,
        33..48 => publish_again(stage).await,
        _ => publish(stage).await,
    }
}

async fn create(stage: &Arc<Stage>, timed: bool) {
    let cause = some_cause(stage, timed);
    let id = {
        let mut ledger = stage.ledger.lock();
        let id = format!("d{}", ledger.next());
        let shard = DefinitionKey::new(NAMESPACE, &id).shard(SHARDS);
        let kind = if let Cause::Every(timed) = &cause { Some(timed.kind) } else { None };
        let known = Known {
            shard,
            kind,
            number: None,
            versions: BTreeMap::new(),
            leaving: false,
            gone: false,
            resumptions: Vec::new(),
        };
        ledger.definitions.insert(id.clone(), known);
        ledger.busy.insert(id.clone());
        id
    };
    define(stage, &id, cause).await;
}

/// Changes one of them.
pub async fn change(stage: &Arc<Stage>, among: &[String]) {
    let Some(id) = claim(stage, &operators::staying(stage, among)) else { return };
    let before = stage.ledger.lock().definitions[&id].cause().cloned();
    if let Some(before) = before {
        define(stage, &id, changed(stage, &before)).await;
    }
}

/// Takes one for this client alone.
pub fn claim(stage: &Stage, among: &[String]) -> Option<String> {
    let id = stage.random().pick(among).cloned()?;
    stage.ledger.lock().busy.insert(id.clone()).then_some(id)
}

async fn define(stage: &Arc<Stage>, id: &str, cause: Cause) {
    let known = stage.ledger.lock().definitions[id].clone();
    let (before, definition) = (known.version(), definition(id, &cause));
    // One that goes by itself may be gone when it is asked again whether there is none.
    let ends_deleted = matches!(&cause, Cause::Every(timed) if timed.ends_deleted());
    let by_request = stage.random().chance(500) || ends_deleted;
    let once =
        if by_request { Once::Request(format!("q{}", stage.ledger.lock().next())) } else { Once::Expected(before) };
    let ask = || Ask::Define(Box::new(definition.clone()), once.clone());
    // A try that nobody knew the end of has made the version that was not expected.
    let is_final = |told: &Told| matches!(told, Told::Defined(_) | Told::Repeated(_) | Told::Conflict(_));
    let told = insist(stage, known.shard, u64::MAX, ask, is_final).await;
    if let Some(version) = told.as_ref().and_then(Told::version) {
        stage.check("a change is made once", |_| carried_out_once::check(id, before, version));
    }
    let mut ledger = stage.ledger.lock();
    ledger.busy.remove(id);
    let Some(known) = ledger.definitions.get_mut(id) else { return };
    match told {
        Some(Told::Defined(definite)) => {
            known.number = Some(definite.number);
            known.versions.insert(definite.version, cause);
        }
        Some(Told::Conflict(version) | Told::Repeated(version)) => {
            known.versions.insert(version, cause);
        }
        _ => {}
    }
}

async fn remove(stage: &Arc<Stage>, among: &[String]) {
    let Some(id) = claim(stage, among) else { return };
    let shard = {
        let mut ledger = stage.ledger.lock();
        let Some(known) = ledger.definitions.get_mut(&id) else { return };
        known.leaving = true;
        known.shard
    };
    let ask = || Ask::Delete(NAMESPACE.to_owned(), id.clone());
    let told = insist(stage, shard, u64::MAX, ask, |told| *told == Told::Deleted).await;
    if told.is_some()
        && let Some(known) = stage.ledger.lock().definitions.get_mut(&id)
    {
        known.gone = true;
    }
}

async fn by_hand(stage: &Arc<Stage>, among: &[String]) {
    let Some(id) = claim(stage, &operators::staying(stage, among)) else { return };
    let (shard, request) = {
        let mut ledger = stage.ledger.lock();
        (ledger.definitions[&id].shard, format!("r{}", ledger.next()))
    };
    let ask = || Ask::Trigger(NAMESPACE.to_owned(), id.clone(), request.clone());
    let told = insist(stage, shard, u64::MAX, ask, |told| *told == Told::Triggered).await;
    let mut ledger = stage.ledger.lock();
    ledger.busy.remove(&id);
    if told.is_some() {
        ledger.triggers.push((id, request));
    }
}

async fn publish(stage: &Arc<Stage>) {
    let event_type = format!("type-{}", stage.random().below(TYPES));
    let id = {
        let mut ledger = stage.ledger.lock();
        let id = format!("e{}", ledger.next());
        let (at, listeners) = (stage.executor.now(), BTreeSet::new());
        let sent = Sent { event_type, at, listeners, acknowledged: false };
        ledger.events.insert(id.clone(), sent);
        id
    };
    send(stage, id).await;
}

/// A producer that is not sure sends an event once more.
async fn publish_again(stage: &Arc<Stage>) {
    let now = stage.executor.now();
    let recent: Vec<String> = {
        let ledger = stage.ledger.lock();
        ledger.events.iter().filter(|(_, sent)| sent.at + AGAIN > now).map(|(id, _)| id.clone()).collect()
    };
    let Some(id) = stage.random().pick(&recent).cloned() else { return };
    send(stage, id).await;
}

async fn send(stage: &Arc<Stage>, id: String) {
    let (sent, listeners) = {
        let ledger = stage.ledger.lock();
        let sent = ledger.events[&id].clone();
        let listens = |known: &Known| known.cause() == Some(&Cause::Event(sent.event_type.clone()));
        let there = ledger.definitions.iter().filter(|(_, k)| k.number.is_some() && !k.leaving && listens(k));
        let listeners: BTreeSet<String> = there.map(|(id, _)| id.clone()).collect();
        (sent, listeners)
    };
    let attributes = json!({"specversion": "1.0", "id": id, "source": SOURCE, "type": sent.event_type});
    let model = flintwheel_model::Event::from_json(attributes).expect("it is an event");
    let bytes = cloudevents::encode(&model).expect("its attributes are texts");
    for shard in 0..SHARDS {
        let event = Event { id: id.clone(), event_type: sent.event_type.clone(), bytes: bytes.clone() };
        let until = sent.at + TRY_EVENT;
        let told = insist(stage, shard, until, || Ask::Publish(event.clone()), |told| *told == Told::Published).await;
        if told.is_none() {
            return;
        }
    }
    let mut ledger = stage.ledger.lock();
    let ledger = &mut *ledger;
    let still = listeners.into_iter().filter(|id| ledger.definitions.get(id).is_some_and(|known| !known.leaving));
    if let Some(sent) = ledger.events.get_mut(&id) {
        sent.acknowledged = true;
        sent.listeners.extend(still);
    }
}

/// Asks one node after the other until one of them gives a final answer, or until an instant.
pub async fn insist(
    stage: &Arc<Stage>,
    shard: u32,
    until: u64,
    ask: impl Fn() -> Ask,
    is_final: impl Fn(&Told) -> bool,
) -> Option<Told> {
    while stage.executor.now() < until {
        let leading = (1..=NODES).filter(|node| stage.nodes[node].desk(shard).is_some()).collect::<Vec<_>>();
        let node = stage.random().pick(&leading).copied();
        if let Some(node) = node
            && let Some(told) = ask_once(stage, node, shard, ask()).await
            && is_final(&told)
        {
            return Some(told);
        }
        stage.sleep_within(10..200).await;
    }
    None
}

async fn ask_once(stage: &Arc<Stage>, node: u64, shard: u32, ask: Ask) -> Option<Told> {
    let there = hop(stage, ELSEWHERE, node)?;
    stage.executor.sleep(there).await;
    // (Who only says that there must be none yet may make it again when it is gone.)
    let is_safe = !matches!(ask, Ask::Define(_, Once::Expected(0)));
    if is_safe && stage.random().chance(TWICE) {
        stage.executor.spawn_outside(once_more(stage.clone(), node, shard, ask.clone()));
    }
    let desk = stage.nodes[&node].desk(shard)?;
    let (to, told) = oneshot::channel();
    desk.try_send(Message::Ask(ask, to)).ok()?;
    let patience = stage.executor.sleep(PATIENCE);
    let told = tokio::select! {
        biased;
        told = told => told.ok()?,
        () = patience => return None,
    };
    let back = hop(stage, node, ELSEWHERE)?;
    stage.executor.sleep(back).await;
    Some(told)
}

/// A message that was thought lost comes late, and nobody hears what it is answered.
async fn once_more(stage: Arc<Stage>, node: u64, shard: u32, ask: Ask) {
    stage.sleep_within(1..TWICE_WITHIN).await;
    let (to, _) = oneshot::channel();
    if let Some(desk) = stage.nodes[&node].desk(shard) {
        let _ = desk.try_send(Message::Ask(ask, to));
    }
}
