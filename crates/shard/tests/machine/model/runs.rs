//! The model's part for definitions whose runs are tracked. Written from what the policies mean.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_shard::entry::{Closed, RunEnd};
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::reply::Outcome;
use flintwheel_shard::tracks::{Ended, Policy, Run, Tracking, Waiting, Wish};

use super::naive::{Came, Model};

/// A run that has not ended.
#[derive(Clone, Debug)]
pub struct Open {
    seq: u64,
    /// Which of all that happened.
    happened: usize,
    key: Key,
    since: i64,
    wish: Wish,
    begun: bool,
    /// As it was when it was last looked up: where it stands in the outbox.
    place: Option<(u64, u32)>,
}

impl Open {
    fn is_in_the_way(&self) -> bool {
        !matches!(self.key, Key::Event(_))
    }
}

/// An occurrence that waits.
#[derive(Clone, Debug)]
pub struct Waits {
    seq: u64,
    pub key: Key,
    since: i64,
    policy: Option<Policy>,
    input: Option<Bytes>,
}

/// Of one definition.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    asks: Option<Tracking>,
    numbers: u64,
    open: Vec<Open>,
    pub waiting: Vec<Waits>,
    pub kept_out: u32,
    pub left: (Option<Bytes>, Option<Bytes>),
    /// When somebody last asked that others be told of their ends.
    pub followed: Option<i64>,
    /// Those of which they have not been told.
    pub ended: BTreeMap<u64, Ended>,
}

impl Runs {
    pub fn ask(&mut self, asks: Option<Tracking>) {
        self.asks = asks;
        if !asks.is_some_and(|asks| asks.carry) {
            self.left = (None, None);
        }
    }

    pub fn shown(&self) -> Vec<(u64, Run)> {
        let show = |open: &Open| {
            let Open { seq, key, since, wish, begun, place, .. } = open.clone();
            (seq, Run { key, since, wish, place: if begun { None } else { place } })
        };
        self.open.iter().map(show).collect()
    }

    pub fn shown_waiting(&self) -> Vec<(u64, Waiting)> {
        let show =
            |waits: &Waits| (waits.seq, Waiting { key: waits.key.clone(), since: waits.since, policy: waits.policy });
        self.waiting.iter().map(show).collect()
    }

    /// None is open, nothing waits, and nobody is to be told of any.
    pub fn are_none(&self) -> bool {
        self.open.is_empty() && self.waiting.is_empty() && self.ended.is_empty()
    }

    fn is_tracked(&self) -> bool {
        self.asks.is_some() || self.followed.is_some()
    }

    /// Those for which others of this definition wait.
    fn in_the_way(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|open| open.is_in_the_way())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers - 1
    }

    fn policy(&self, own: Option<Policy>) -> Policy {
        own.or(self.asks.map(|asks| asks.policy)).unwrap_or(Policy::AllowAll)
    }

    fn wish(&mut self, wish: Wish) {
        self.open.iter_mut().filter(|open| open.is_in_the_way()).for_each(|open| open.wish = open.wish.max(wish));
    }
}

fn stops(policy: Policy) -> Wish {
    match policy {
        Policy::CancelOther => Wish::Cancel,
        Policy::TerminateOther => Wish::Terminate,
        _ => Wish::None,
    }
}

impl Model {
    /// All open runs: definition and number.
    pub fn open(&self) -> impl Iterator<Item = (u64, u64)> {
        self.definitions.iter().flat_map(|(number, d)| d.runs.open.iter().map(|open| (*number, open.seq)))
    }

    /// Learns where the runs stand in the outbox.
    pub fn place_runs(&mut self) {
        for definition in self.definitions.values_mut() {
            for open in &mut definition.runs.open {
                open.place = self.happened[open.happened].place;
            }
        }
    }

    pub fn runs(&mut self, number: u64) -> &mut Runs {
        &mut self.definitions.get_mut(&number).expect("exists").runs
    }

    /// An occurrence that shall fire.
    pub fn come(&mut self, number: u64, key: Key, own: Option<Policy>, input: Option<Bytes>) -> Came {
        let brings = own.is_some_and(|own| own != Policy::AllowAll);
        if !brings && !self.runs(number).is_tracked() {
            let due = matches!(key, Key::Time { .. });
            self.happen(number, key, None, input);
            if due {
                self.count(number);
            }
            return Came::Fires;
        }
        let since = self.clock;
        let runs = self.runs(number);
        let policy = runs.policy(own);
        if policy == Policy::AllowAll || runs.in_the_way().next().is_none() {
            self.begin(number, key, input);
            self.drain(number);
            return Came::Fires;
        }
        let runs = self.runs(number);
        if policy == Policy::Skip || (policy == Policy::BufferOne && !runs.waiting.is_empty()) {
            self.overlap(number, key, Reason::Overlap);
            return Came::Skipped;
        }
        runs.wish(stops(policy));
        let seq = runs.number();
        runs.waiting.push(Waits { seq, key, since, policy: own, input });
        Came::Waits
    }

    fn begin(&mut self, number: u64, key: Key, input: Option<Bytes>) {
        self.happen(number, key.clone(), None, input);
        let happened = self.happened.len() - 1;
        let due = matches!(key, Key::Time { .. });
        self.open_run(number, key, happened);
        if due {
            self.count(number);
        }
    }

    /// No due time that waits fires when all firings are used up.
    fn drain(&mut self, number: u64) {
        if !self.is_used_up(number) {
            return;
        }
        let due = |waits: &Waits| matches!(waits.key, Key::Time { .. });
        let (gone, stay) = std::mem::take(&mut self.runs(number).waiting).into_iter().partition(due);
        self.runs(number).waiting = stay;
        let gone: Vec<Waits> = gone;
        gone.into_iter().for_each(|waits| self.overlap(number, waits.key, Reason::UsedUp));
    }

    pub fn open_run(&mut self, number: u64, key: Key, happened: usize) {
        let since = self.clock;
        let runs = self.runs(number);
        let seq = runs.number();
        runs.open.push(Open { seq, happened, key, since, wish: Wish::None, begun: false, place: None });
    }

    fn overlap(&mut self, number: u64, key: Key, reason: Reason) {
        self.happen(number, key, Some(reason), None);
        let runs = self.runs(number);
        let by = runs.in_the_way().next().map(|open| (open.key.clone(), open.since));
        if reason == Reason::Overlap {
            runs.kept_out += 1;
        }
        if let (Some((by, since)), true) = (by, !matches!(reason, Reason::Paused | Reason::UsedUp)) {
            self.happened.last_mut().expect("it happened").end = End::Overlapped { by, since };
        }
    }

    /// Those who wait have their turn, if nothing runs, or if the policy has `changed`.
    pub fn turn(&mut self, number: u64, changed: bool) {
        let definition = &self.definitions[&number];
        let acts = definition.enabled && definition.note.is_none();
        let runs = self.runs(number);
        let running = runs.in_the_way().next().is_some();
        if running && !changed {
            return;
        }
        let (mut fires, mut skips, mut stay): (Vec<Waits>, Vec<(Waits, Reason)>, Vec<Waits>) = Default::default();
        let mut chosen: Option<Waits> = None;
        for waits in std::mem::take(&mut runs.waiting) {
            let may = acts || waits.key.is_by_hand();
            let policy = runs.policy(waits.policy);
            let stops = stops(policy);
            match policy {
                Policy::AllowAll if may => fires.push(waits),
                Policy::AllowAll => skips.push((waits, Reason::Paused)),
                _ if !running && chosen.is_none() && may => chosen = Some(waits),
                _ if !running && chosen.is_none() => skips.push((waits, Reason::Paused)),
                Policy::Skip => skips.push((waits, Reason::Overlap)),
                Policy::BufferOne if !stay.is_empty() => skips.push((waits, Reason::Overlap)),
                Policy::BufferOne | Policy::BufferAll => stay.push(waits),
                _ if running => {
                    runs.wish(stops);
                    stay.push(waits);
                }
                _ if may => skips.extend(chosen.replace(waits).map(|before| (before, Reason::Replaced))),
                _ => skips.push((waits, Reason::Paused)),
            }
        }
        runs.waiting = stay;
        fires.extend(chosen);
        fires.sort_by_key(|waits| waits.seq);
        skips.sort_by_key(|(waits, _)| waits.seq);
        for Waits { key, input, .. } in fires {
            if matches!(key, Key::Time { .. }) && self.is_used_up(number) {
                self.overlap(number, key, Reason::UsedUp);
                continue;
            }
            self.begin(number, key, input);
            self.happened.last_mut().expect("it happened").waited = true;
        }
        for (waits, reason) in skips {
            self.overlap(number, waits.key, reason);
        }
        self.drain(number);
    }

    pub fn closed(&mut self, items: &[Closed]) -> Outcome {
        let (mut closed, mut paused) = (0, Vec::new());
        for item in items {
            let Some(definition) = self.definitions.get_mut(&item.number) else { continue };
            let Some(place) = definition.runs.open.iter().position(|open| open.seq == item.run) else { continue };
            let ended = definition.runs.open.remove(place);
            closed += 1;
            self.note_end(item, ended.key.clone());
            if !ended.is_in_the_way() {
                continue;
            }
            let definition = self.definitions.get_mut(&item.number).expect("exists");
            definition.runs.kept_out = 0;
            let asks = definition.runs.asks;
            if asks.is_some_and(|asks| asks.carry) {
                match item.end {
                    RunEnd::Completed => definition.runs.left = (item.left.clone(), None),
                    RunEnd::Failed => definition.runs.left.1 = item.left.clone(),
                    _ => {}
                }
            }
            let failed = matches!(item.end, RunEnd::Failed | RunEnd::TimedOut);
            if failed && asks.is_some_and(|asks| asks.pause_on_failure) && definition.note.is_none() {
                definition.note = Some((self.clock, item.note.clone()));
                definition.generation += 1;
                paused.push(item.number);
            }
            self.turn(item.number, false);
            self.pass();
        }
        Outcome::Closed { closed, paused }
    }

    /// The sink has answered.
    pub fn answered(&mut self, happened: usize, refused: bool) {
        let number = self.happened[happened].number;
        let Some(definition) = self.definitions.get_mut(&number) else { return };
        let runs = &mut definition.runs;
        let Some(open) = runs.open.iter_mut().find(|open| open.happened == happened && !open.begun) else { return };
        open.begun = !refused;
        let in_the_way = open.is_in_the_way();
        if refused {
            runs.open.retain(|open| open.happened != happened || open.begun);
            if in_the_way {
                runs.kept_out = 0;
                self.turn(number, false);
            }
        }
    }

    /// A dead letter is.
    pub fn sent_again(&mut self, happened: usize) {
        let (number, key) = (self.happened[happened].number, self.happened[happened].key.clone());
        let is_run = |runs: &Runs| if let Key::Event(_) = key { runs.followed.is_some() } else { runs.is_tracked() };
        if self.definitions.get(&number).is_some_and(|definition| is_run(&definition.runs)) {
            self.open_run(number, key, happened);
        }
    }
}
