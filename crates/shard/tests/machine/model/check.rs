//! What is compared after each entry: replies, memory and tables with the model; and what the design promises, read from the account alone.

use std::collections::BTreeMap;

use flintwheel_shard::courses::Course;
use flintwheel_shard::entry::{Body, NEVER, Request};
use flintwheel_shard::occurrence::{End, Key, NO_CHUNK, Reason};
use flintwheel_shard::query::{self, Occurrence, Subscribed};
use flintwheel_shard::reply::{Applied, Defined, Deleted, Outcome, Pausing};
use flintwheel_shard::slots::NOT_YET;
use flintwheel_shard::tracks::{Track, left};
use flintwheel_shard::{Entry, REFUSED, Table};

use super::naive::{Definition, Happened, Model};
use super::ops::window_of;
use crate::support::Shard;

/// All occurrences in the account, oldest first.
fn account(shard: &Shard) -> Vec<Occurrence> {
    let counters = shard.machine.counters();
    let chunks = (counters.account_floor..counters.next_chunk).flat_map(|seq| of_chunk(shard, seq));
    chunks.collect()
}

fn of_chunk(shard: &Shard, seq: u64) -> Vec<Occurrence> {
    let chunk = query::chunk(&shard.state, seq).expect("reads").expect("every chunk from the floor on is kept");
    let ends = query::ends(&shard.state, seq).expect("reads");
    assert!(ends.is_empty() || ends.len() == chunk.records.len(), "ends are of all records or none");
    let numbered = chunk.records.into_iter().enumerate();
    let occurrences = numbered.map(|(index, what)| {
        let skipped = if what.skip.is_some() { End::Skipped } else { End::Pending };
        let end = ends.get(index).cloned().unwrap_or(skipped);
        Occurrence { chunk: seq, record: index as u32, decided: chunk.at, what, end }
    });
    occurrences.collect()
}

/// Learns where the account keeps what has just happened.
pub fn adopt(model: &mut Model, shard: &Shard) {
    for occurrence in account(shard) {
        let place = Some((occurrence.chunk, occurrence.record));
        if model.happened.iter().any(|h| h.place == place) {
            continue;
        }
        let same =
            |h: &&mut Happened| h.place.is_none() && h.number == occurrence.what.number && h.key == occurrence.what.key;
        let found = model.happened.iter_mut().find(same);
        found.unwrap_or_else(|| panic!("nobody decided {occurrence:?}")).place = place;
    }
    model.place_runs();
    let lost: Vec<_> = model.happened.iter().filter(|h| h.place.is_none()).collect();
    assert!(lost.is_empty(), "not in the account: {lost:?}");
}

/// The dispatcher is told of each chunk in which something is pending that was not before, and of each once.
pub fn work(model: &Model, reply: &Applied, pending_before: usize) {
    let mut told: Vec<_> = reply.chunks.iter().map(|chunk| (chunk.lane, chunk.seq)).collect();
    let count = told.len();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), count, "a chunk is told once");
    for chunk in &reply.chunks {
        let records = model.happened.iter().filter(|h| h.place.is_some_and(|(seq, _)| seq == chunk.seq));
        assert_eq!(records.count(), chunk.records as usize);
    }
    let pending_now = model.pending().count();
    let in_told = |h: &&Happened| h.place.is_some_and(|(seq, _)| told.contains(&(h.lane, seq)));
    let news = model.pending().filter(in_told).count();
    assert!(pending_now <= pending_before + news, "new firings that the dispatcher is not told of");
    assert!(told.is_empty() == (news == 0), "told of chunks without work");
}

/// What the machine has in memory.
pub fn memory(model: &Model, shard: &Shard) {
    let machine = &shard.machine;
    assert_eq!(machine.lanes(), model.lanes);
    assert_eq!(machine.paused(), model.definitions.values().filter(|d| d.note.is_some()).count());
    let numbers: Vec<u64> = machine.slots().iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, model.definitions.keys().copied().collect::<Vec<_>>());
    for (number, definition) in &model.definitions {
        let slot = shard.slot(*number);
        assert_eq!((slot.generation, slot.version), (definition.generation, definition.version), "{number}");
        assert_eq!((slot.next, slot.last), (definition.next, definition.last.unwrap_or(NOT_YET)), "{number}");
        assert_eq!((slot.is_enabled(), slot.is_paused()), (definition.enabled, definition.note.is_some()), "{number}");
        assert_eq!(machine.lanes()[usize::from(slot.lane)], definition.namespace);
        counts(model, *number, [slot.fired, slot.skipped, slot.failed]);
        let Definition { bounds, used, disabled, wanted, .. } = *definition;
        let course = Course { bounds, used, disabled, wanted_through: wanted };
        assert_eq!(machine.courses().get(*number).copied().unwrap_or_default(), course, "course of {number}");
        assert_eq!(machine.conclusion(*number), definition.conclusion(), "what becomes of {number}");
    }
    let counters = machine.counters();
    assert_eq!((counters.next_number, counters.dead), (model.numbers, model.letters.len() as u64));
    assert_eq!(counters.fired_through, model.fired_through.unwrap_or(i64::MIN));
    outbox(model, shard);
    runs(model, shard);
    by_themselves(model, shard);
}

/// What goes on without anybody: pauses that end, and backfills.
fn by_themselves(model: &Model, shard: &Shard) {
    let mut pauses: Vec<_> = model.definitions.iter().filter_map(|(number, d)| Some((d.until?, *number))).collect();
    pauses.sort_unstable();
    assert_eq!(shard.machine.pauses().ending_by(i64::MAX).collect::<Vec<_>>(), pauses);
    assert_eq!(shard.machine.pauses().next(), pauses.first().map(|(at, _)| *at));
    let of = |(number, d): (&u64, &Definition)| {
        let number = *number;
        let all = d.backfills.clone().into_iter().map(move |(id, one)| (number, id, one));
        all.collect::<Vec<_>>()
    };
    let backfills: Vec<_> = model.definitions.iter().flat_map(of).collect();
    let known = shard.machine.backfills().iter().map(|(number, id, one)| (number, id.to_owned(), one.clone()));
    assert_eq!(known.collect::<Vec<_>>(), backfills);
    assert_eq!(shard.machine.backfills().len(), backfills.len());
    let running = backfills.iter().filter(|(_, _, one)| one.ended.is_none()).map(|(n, id, _)| (*n, id.as_str()));
    assert_eq!(shard.machine.backfills().running().collect::<Vec<_>>(), running.collect::<Vec<_>>());
}

/// Which runs are open, and what waits for them.
fn runs(model: &Model, shard: &Shard) {
    let (mut open, mut waiting) = (0, 0);
    for (number, definition) in &model.definitions {
        let track = shard.machine.tracks().get(*number);
        let runs: Vec<_> = track.iter().flat_map(|track| track.open()).map(|(seq, run)| (seq, run.clone())).collect();
        assert_eq!(runs, definition.runs.shown(), "open runs of {number}");
        let waits: Vec<_> = track.iter().flat_map(|track| track.waiting()).map(|(seq, w)| (seq, w.clone())).collect();
        assert_eq!(waits, definition.runs.shown_waiting(), "what waits of {number}");
        assert_eq!(track.map_or(0, |track| track.kept_out), definition.runs.kept_out, "kept out of {number}");
        let kept = left(&shard.state, *number).expect("reads");
        assert_eq!((kept.result, kept.failure), definition.runs.left, "left by runs of {number}");
        (open, waiting) = (open + runs.len(), waiting + waits.len());
    }
    let tracks = shard.machine.tracks();
    assert_eq!((tracks.open(), tracks.waiting()), (open, waiting));
}

/// Fired, skipped and failed are what the account says.
fn counts(model: &Model, number: u64, counted: [u32; 3]) {
    let of = || model.happened.iter().filter(move |h| h.number == number);
    let many = |h: &Happened| if let Key::Time { count, .. } = h.key { count } else { 1 };
    let fired = of().filter(|h| h.skip.is_none()).count() as u32;
    let skipped = of().filter(|h| h.skip.is_some()).map(many).sum();
    let failed = of().filter(|h| matches!(h.end, End::Failed { .. } | End::Dropped { .. })).count() as u32;
    assert_eq!(counted, [fired, skipped, failed], "counts of {number}");
}

/// The outbox holds the chunks of all that is pending, with all that is needed to send it.
fn outbox(model: &Model, shard: &Shard) {
    let outbox = shard.machine.outbox();
    let mut open = BTreeMap::<(u32, u64), u32>::new();
    for pending in model.pending() {
        let (seq, record) = pending.place.expect("adopted");
        *open.entry((pending.lane, seq)).or_default() += 1;
        let (chunk, payloads) = query::outbox_chunk(&shard.state, pending.lane, seq).expect("reads").expect("is open");
        assert_eq!(chunk.records[record as usize].number, pending.number);
        assert_eq!(payloads.of(record), pending.payload.as_ref(), "payload of {pending:?}");
        let version = query::version(&shard.state, pending.number, pending.version).expect("reads");
        assert!(version.is_some(), "the version that {pending:?} runs is gone");
    }
    assert_eq!(outbox.pending(), model.pending().count() as u64);
    assert_eq!(outbox.oldest(), open.keys().map(|(_, seq)| *seq).min());
    assert_eq!(shard.state.count(Table::Outbox), open.len());
    for ((lane, seq), left) in open {
        assert_eq!(outbox.get(lane, seq).map(|open| open.left), Some(left));
    }
}

/// What the queries answer.
pub fn tables(model: &Model, shard: &Shard) {
    let state = &shard.state;
    let mut names: Vec<_> = model.definitions.iter().map(|(n, d)| (d.namespace.clone(), d.id.clone(), *n)).collect();
    names.sort();
    assert_eq!(query::names(state, None, None, usize::MAX).expect("reads"), names);
    assert_eq!(query::subscriptions(state).expect("reads"), subscriptions(model));
    for (number, definition) in &model.definitions {
        let note = query::pause_note(state, *number).expect("reads");
        assert_eq!(note.as_ref().and_then(|note| note.until), definition.until);
        assert_eq!(note.map(|note| (note.at, note.note)), definition.note);
        let newest_first: Vec<_> = chain(model, *number);
        assert_eq!(places(&shard.occurrences(*number)), newest_first, "occurrences of {number}");
    }
    assert_eq!(state.count(Table::Definitions), model.made.len());
    for ((number, version), made) in &model.made {
        let kept = query::version(state, *number, *version).expect("reads").expect("is kept");
        assert_eq!((kept.incarnation, kept.created, &kept.document), (made.incarnation, made.created, &made.document));
    }
    letters(model, shard);
    misses(model, shard);
}

fn subscriptions(model: &Model) -> Vec<Subscribed> {
    let each = model.definitions.iter().flat_map(|(number, definition)| {
        definition.subscriptions.iter().map(|(event_type, matcher)| Subscribed {
            namespace: definition.namespace.clone(),
            event_type: event_type.clone(),
            number: *number,
            version: definition.version,
            matcher: matcher.to_vec(),
        })
    });
    let mut all: Vec<_> = each.collect();
    all.sort_by_key(|s| (s.namespace.clone(), s.event_type.clone(), s.number));
    all
}

/// In the order in which they happened, newest first, as far as they are kept.
fn chain(model: &Model, number: u64) -> Vec<(u64, u32)> {
    let of = model.happened.iter().rev().filter(|h| h.number == number && !h.dropped);
    of.filter_map(|h| h.place).collect()
}

fn places(occurrences: &[Occurrence]) -> Vec<(u64, u32)> {
    occurrences.iter().map(|o| (o.chunk, o.record)).collect()
}

fn letters(model: &Model, shard: &Shard) {
    let letters = query::dead_letters(&shard.state, 0, usize::MAX).expect("reads");
    assert_eq!(
        letters.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        model.letters.keys().copied().collect::<Vec<_>>()
    );
    for (seq, letter) in letters {
        let happened = &model.happened[model.letters[&seq]];
        assert_eq!(Some((letter.chunk, letter.record)), happened.place);
        assert_eq!((letter.lane, &letter.payload), (happened.lane, &happened.payload));
        assert_eq!(End::Failed { at: letter.at, reason: letter.reason }, happened.end);
    }
}

fn misses(model: &Model, shard: &Shard) {
    let codes = Reason::ALL.into_iter().map(|reason| (reason.code(), Some(reason))).chain([(REFUSED, None)]);
    for (code, reason) in codes {
        let wanted = |h: &&Happened| match h.end {
            End::Skipped | End::Overlapped { .. } => h.skip == reason,
            End::Failed { .. } | End::Dropped { .. } => reason.is_none(),
            _ => false,
        };
        let kept = model.happened.iter().filter(|h| !h.dropped);
        let mut expected: Vec<_> = kept.filter(wanted).filter_map(|h| h.place).collect();
        expected.sort_unstable_by(|a, b| b.cmp(a));
        let found = query::misses(&shard.state, code, u64::MAX, usize::MAX).expect("reads");
        assert_eq!(places(&found), expected, "misses of code {code}");
    }
}

/// Each occurrence ends in one way, and no key fires twice: read from the account, without the model's judgement.
pub fn promises(model: &Model, shard: &Shard) {
    let account = account(shard);
    let kept: BTreeMap<_, _> = model.happened.iter().filter(|h| !h.dropped).map(|h| (h.place, h)).collect();
    assert_eq!(account.len(), kept.len(), "what is kept");
    let mut fired = BTreeMap::<(u64, String), i64>::new();
    for o in account {
        let happened = kept[&Some((o.chunk, o.record))];
        assert_eq!((&o.end, o.decided, o.what.version), (&happened.end, happened.decided, happened.version), "{o:?}");
        assert_eq!(o.what.skip, happened.skip);
        assert!(o.what.previous == NO_CHUNK || o.what.previous <= o.chunk, "{o:?}");
        if o.what.skip.is_some() {
            continue;
        }
        let (key, window) = match &o.what.key {
            Key::Time { nominal, .. } => (format!("t:{nominal}"), i64::MAX),
            Key::Event(key) => (format!("e:{key}"), i64::from(window_of(o.what.number)) * 1_000_000),
            // One that waited fires when it has been remembered for a while already.
            Key::Manual(_) if happened.waited => continue,
            Key::Manual(request) => (format!("m:{request}"), 86_400_000_000),
            Key::Backfill { id, nominal } => (format!("b:{id}:{nominal}"), i64::MAX),
        };
        if let Some(before) = fired.insert((o.what.number, key), o.decided) {
            assert!(o.decided - before >= window, "fired twice within its window: {o:?}");
        }
    }
}

/// No definition has had more firings than its bound allows: counted from what was told, without the model's judgement.
pub fn bounds(shard: &Shard) {
    for (number, course) in shard.machine.courses().iter() {
        let Some(max) = course.bounds.and_then(|bounds| bounds.max) else { continue };
        let slot = shard.slot(number);
        assert!(course.used < max || slot.next == NEVER, "{number} has had {} of {max}, and is due again", course.used);
        assert!(course.used <= slot.fired, "{number} has had {} firings, and counts {}", slot.fired, course.used);
    }
}

/// Who waits for runs is told of each end, and is due once for it: what is known of that, in memory.
pub fn after(model: &Model, shard: &Shard) {
    let tracks = shard.machine.tracks();
    let mut untold = Vec::new();
    for (number, definition) in &model.definitions {
        let track = tracks.get(*number);
        let followed = track.and_then(Track::followed_since);
        assert_eq!(followed, definition.runs.followed, "whether runs of {number} are followed");
        let ended = track.into_iter().flat_map(Track::ended).map(|(run, ended)| (run, ended.clone()));
        assert_eq!(ended.collect::<BTreeMap<_, _>>(), definition.runs.ended, "ended runs of {number}");
        let coming: BTreeMap<_, _> =
            track.into_iter().flat_map(Track::coming).map(|(t, why)| (t, why.clone())).collect();
        assert_eq!(coming, definition.coming, "what comes of {number}");
        let slot = shard.slot(*number);
        let lies_ahead = |nominal: &i64| *nominal >= slot.next && *nominal > slot.last;
        assert!(coming.keys().all(lies_ahead), "{number} is next due at {}, and {coming:?} comes", slot.next);
        untold.extend(definition.runs.ended.keys().map(|run| (*number, *run)));
    }
    assert_eq!(tracks.ended_from((0, 0)).collect::<Vec<_>>(), untold);
    let followed = model.definitions.iter().filter(|(_, definition)| definition.runs.followed.is_some());
    assert_eq!(tracks.followed().collect::<Vec<_>>(), followed.map(|(number, _)| *number).collect::<Vec<_>>());
}

/// When each request was last carried out, by its digest.
pub type CarriedOut = BTreeMap<[u8; 16], i64>;

/// No request is carried out twice within its window: read from the replies, without the model's judgement.
pub fn requests(known: &mut CarriedOut, clock: i64, entry: &Entry, outcome: &Outcome) {
    for request in carried_out(entry, outcome) {
        if let Some(before) = known.insert(request.digest, clock) {
            let window = i64::from(request.window) * 1_000_000;
            assert!(clock - before >= window, "carried out twice within its window: {request:?}");
        }
    }
}

fn carried_out(entry: &Entry, outcome: &Outcome) -> Vec<Request> {
    let each: Vec<(Option<Request>, bool)> = match (&entry.body, outcome) {
        (Body::Define(items), Outcome::Defined(results)) => {
            let done = |r: &_| matches!(r, Defined::Created(_) | Defined::Configured(_) | Defined::Unchanged(_));
            items.iter().zip(results).map(|(item, result)| (item.request, done(result))).collect()
        }
        (Body::Delete(items), Outcome::Deleted(results)) => {
            let done = |r: &_| matches!(r, Deleted::Gone { .. });
            items.iter().zip(results).map(|(item, result)| (item.request, done(result))).collect()
        }
        (Body::Pause(items), Outcome::Paused(results)) => {
            let done = |r: &_| matches!(r, Pausing::Changed(_) | Pausing::Same(_));
            items.iter().zip(results).map(|(item, result)| (item.request, done(result))).collect()
        }
        _ => Vec::new(),
    };
    each.into_iter().filter(|(_, done)| *done).filter_map(|(request, _)| request).collect()
}
