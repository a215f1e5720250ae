//! Operators: they pause definitions and let them go on, have due times of the past fire, stop that, and change a calendar.

use crate::clients::{NAMESPACE, change, claim, insist};
use crate::leader::{Ask, Told};
use crate::ledger::{Backfilling, Resumption, Turn};
use crate::stage::{SHARDS, Stage};
use crate::workload::Kind;
use flintwheel_model::definition::OnResume;
use flintwheel_model::ids::calendar_home;
use flintwheel_shard::entry::Range;
use flintwheel_shard::tracks::Policy;
use std::sync::Arc;

const SECOND: i64 = 1_000_000;
/// Of a thousand pauses: those that end by themselves, and after how many milliseconds.
const ENDS: u64 = 700;
const LASTS: std::ops::Range<u64> = 500..12_000;
/// Of a thousand resumes: those that say what becomes of what was missed.
const SAYS: u64 = 300;
/// Backfills of a definition: fewer than the shard remembers.
const BACKFILLS: usize = 8;
/// Due times of one.
const TIMES: std::ops::Range<u64> = 1..30;
/// A pause that ends within this time is about to end, in microseconds; and the moment in which it does, in milliseconds after that: whoever
/// ends it has asked for it, and it is not done yet.
const SOON: i64 = 3 * SECOND;
const JUST_THEN: std::ops::Range<u64> = 0..40;
/// Between two changes of the calendar, at least.
const TURN: i64 = 4 * SECOND;
/// How long a definition is paused that goes on while the calendar is changed, in microseconds; and how long before that it is changed, in
/// milliseconds, so that the days come to one shard, or also to the other one, just then.
const TURN_PAUSE: i64 = 3 * SECOND / 2;
const ONE_SHARD: std::ops::Range<u64> = 3..25;
const BOTH_SHARDS: std::ops::Range<u64> = 505..540;

/// A definition to be paused, or to go on.
#[derive(Clone, Debug)]
pub struct Switch {
    /// Which.
    pub id: String,
    /// Paused, or goes on.
    pub paused: bool,
    /// When it goes on by itself, in microseconds since the Unix epoch.
    pub until: Option<i64>,
    /// What becomes of what was missed, if not what the definition says.
    pub missed: Option<OnResume>,
    /// The same in each try.
    pub request: String,
}

/// Due times of the past to fire.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Of which definition.
    pub id: String,
    /// Which backfill.
    pub backfill: String,
    /// What is asked for.
    pub range: Range,
}

/// Does one thing.
pub async fn act(stage: &Arc<Stage>) {
    let timed = stage.ledger.lock().settled(|known| known.kind.is_some());
    let choice = stage.random().below(100);
    match choice {
        0..20 => pause(stage, &timed).await,
        20..35 => change_as_it_goes_on(stage, &timed).await,
        35..65 => resume(stage, &timed).await,
        65..85 => backfill(stage, &timed).await,
        85..92 => stop(stage).await,
        _ => turn(stage).await,
    }
}

/// Those that don't go away by themselves.
pub fn staying(stage: &Stage, among: &[String]) -> Vec<String> {
    let ledger = stage.ledger.lock();
    let stays = |id: &&String| {
        let timed = ledger.definitions.get(*id).and_then(|known| known.timed());
        !timed.is_some_and(|timed| timed.ends_deleted())
    };
    among.iter().filter(stays).cloned().collect()
}

/// What it says of what was missed in a pause, its shard, and a new request id.
fn look_up(stage: &Stage, id: &str) -> (OnResume, u32, String) {
    let mut ledger = stage.ledger.lock();
    let request = format!("s{}", ledger.next());
    let known = &ledger.definitions[id];
    (known.timed().map(|timed| timed.on_resume).unwrap_or_default(), known.shard, request)
}

fn note(stage: &Stage, id: &str, resumption: Resumption) -> usize {
    let mut ledger = stage.ledger.lock();
    let Some(known) = ledger.definitions.get_mut(id) else { return 0 };
    known.resumptions.push(resumption);
    known.resumptions.len() - 1
}

async fn pause(stage: &Arc<Stage>, among: &[String]) {
    let Some(id) = claim(stage, among) else { return };
    let ends = stage.random().chance(ENDS);
    let until = ends.then(|| stage.wall() + stage.random().within(LASTS) as i64 * 1000);
    pause_until(stage, id, until).await;
}

/// Pauses one that was claimed.
async fn pause_until(stage: &Arc<Stage>, id: String, until: Option<i64>) {
    let (missed, shard, request) = look_up(stage, &id);
    if let Some(until) = until {
        note(stage, &id, Resumption { from: until - 1, to: until - 1, exact: true, missed });
    }
    let switch = Switch { id: id.clone(), paused: true, until, missed: None, request };
    insist(stage, shard, u64::MAX, || Ask::Switch(switch.clone()), is_switched).await;
    stage.ledger.lock().busy.remove(&id);
}

/// Changes a definition whose pause ends by itself, in just that moment.
async fn change_as_it_goes_on(stage: &Arc<Stage>, among: &[String]) {
    let now = stage.wall();
    let soon: Vec<(String, i64)> = {
        let ledger = stage.ledger.lock();
        let ends = |id: &String| {
            let last = ledger.definitions[id].resumptions.last().filter(|last| last.exact)?;
            (now..now + SOON).contains(&last.to).then(|| (id.clone(), last.to))
        };
        among.iter().filter_map(ends).collect()
    };
    let Some((id, ends)) = stage.random().pick(&soon).cloned() else { return pause(stage, among).await };
    stage.sleep((ends - now) as u64 / 1000).await;
    stage.sleep_within(JUST_THEN).await;
    if stage.ledger.lock().settled(|_| true).contains(&id) {
        change(stage, &[id]).await;
    }
}

async fn resume(stage: &Arc<Stage>, among: &[String]) {
    let Some(id) = claim(stage, among) else { return };
    let (missed, shard, request) = look_up(stage, &id);
    let says = stage.random().chance(SAYS);
    let said = says.then(|| OnResume::ALL[stage.random().below(3) as usize]);
    let missed = said.unwrap_or(missed);
    let place = note(stage, &id, Resumption { from: stage.wall(), to: i64::MAX, exact: false, missed });
    let switch = Switch { id: id.clone(), paused: false, until: None, missed: said, request };
    insist(stage, shard, u64::MAX, || Ask::Switch(switch.clone()), is_switched).await;
    let mut ledger = stage.ledger.lock();
    ledger.busy.remove(&id);
    if let Some(resumption) = ledger.definitions.get_mut(&id).and_then(|known| known.resumptions.get_mut(place)) {
        resumption.to = stage.wall();
    }
}

fn is_switched(told: &Told) -> bool {
    matches!(told, Told::Switched | Told::Gone)
}

/// Of a definition whose due times are those of all its versions.
async fn backfill(stage: &Arc<Stage>, among: &[String]) {
    let rhythmic = {
        let ledger = stage.ledger.lock();
        let is = |id: &&String| {
            let many = ledger.backfills.keys().filter(|(of, _)| of == *id).count();
            let kind = ledger.definitions[*id].kind;
            many < BACKFILLS && matches!(kind, Some(Kind::Alone | Kind::Mixed | Kind::Bounded))
        };
        among.iter().filter(is).cloned().collect::<Vec<_>>()
    };
    let Some(id) = claim(stage, &staying(stage, &rhythmic)) else { return };
    let (_, shard, backfill) = look_up(stage, &id);
    let range = some_range(stage, &id);
    let begin = Begin { id: id.clone(), backfill: backfill.clone(), range };
    let is_final = |told: &Told| matches!(told, Told::Begun | Told::Refused | Told::Gone);
    let told = insist(stage, shard, u64::MAX, || Ask::Backfill(begin.clone()), is_final).await;
    let mut ledger = stage.ledger.lock();
    ledger.busy.remove(&id);
    if told == Some(Told::Begun) {
        ledger.backfills.insert((id, backfill), Backfilling { range, stopped: false });
    }
}

fn some_range(stage: &Stage, id: &str) -> Range {
    let (every, alone) = {
        let ledger = stage.ledger.lock();
        let known = &ledger.definitions[id];
        (known.timed().map_or(SECOND, |timed| timed.every), known.is_alone())
    };
    let now = stage.wall();
    let mut random = stage.random();
    let to = now - random.below(60 * SECOND as u64) as i64;
    let from = to - every * random.within(TIMES) as i64;
    // Where runs must not overlap, no policy may say that they do.
    let policies: &[Option<Policy>] =
        if alone { &[None, Some(Policy::Skip)] } else { &[None, Some(Policy::AllowAll), Some(Policy::BufferOne)] };
    let policy = policies[random.below(policies.len() as u64) as usize];
    Range { from, to, newest_first: random.chance(500), rate: random.within(1..30) as u32, policy }
}

async fn stop(stage: &Arc<Stage>) {
    let running: Vec<(String, String)> = {
        let ledger = stage.ledger.lock();
        ledger.backfills.iter().filter(|(_, one)| !one.stopped).map(|(which, _)| which.clone()).collect()
    };
    let Some((id, backfill)) = stage.random().pick(&running).cloned() else { return };
    let shard = stage.ledger.lock().definitions[&id].shard;
    let ask = || Ask::Stop(id.clone(), backfill.clone());
    let told = insist(stage, shard, u64::MAX, ask, |told| matches!(told, Told::Stopped | Told::Gone)).await;
    if told == Some(Told::Stopped)
        && let Some(one) = stage.ledger.lock().backfills.get_mut(&(id, backfill))
    {
        one.stopped = true;
    }
}

/// The calendar's day is taken out, or put in again: often while a definition that names it goes on after a pause.
async fn turn(stage: &Arc<Stage>) {
    let followers = stage.ledger.lock().settled(|known| known.kind == Some(Kind::Calendar));
    if let Some(id) = claim(stage, &followers) {
        let ends = stage.wall() + TURN_PAUSE;
        pause_until(stage, id, Some(ends)).await;
        let ahead = if stage.random().chance(500) { ONE_SHARD } else { BOTH_SHARDS };
        let ahead = stage.random().within(ahead) as i64 * 1000;
        stage.sleep((ends - ahead - stage.wall()).max(0) as u64 / 1000).await;
    }
    turn_now(stage).await;
}

async fn turn_now(stage: &Arc<Stage>) {
    let (closed, place, request) = {
        let mut ledger = stage.ledger.lock();
        let now = stage.wall();
        let closed = ledger.turns.last().is_some_and(|turn| !turn.closed);
        // One after the other.
        if ledger.turns.last().is_some_and(|turn| turn.done == i64::MAX || turn.done + TURN > now) {
            return;
        }
        let request = format!("c{}", ledger.next());
        ledger.turns.push(Turn { begun: now, done: i64::MAX, closed });
        (closed, ledger.turns.len() - 1, request)
    };
    let home = calendar_home(NAMESPACE, SHARDS);
    let ask = || Ask::Calendar(closed, request.clone());
    insist(stage, home, u64::MAX, ask, |told| *told == Told::Spread).await;
    stage.ledger.lock().turns[place].done = stage.wall();
}
