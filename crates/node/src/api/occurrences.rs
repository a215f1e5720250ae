//! The account asked: what became of each due time and each matched event, by definition or over the whole fleet.

use std::collections::VecDeque;

use flintwheel_client::{Occurrence, OccurrenceQuery, Outcome, Page, PageRequest};
use flintwheel_model::ids::{rfc3339, workflow_id};
use flintwheel_model::{ActivityDefinition, DefinitionKey, Violations, base64};
use flintwheel_shard::REFUSED;
use flintwheel_shard::occurrence::{End, Key, NO_CHUNK, Reason};
use flintwheel_shard::query::{self, Occurrence as Stored};
use flintwheel_shard::tracks::Waiting;

use super::ask::{Chunk, Look, Part, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, check_key, clock, one, page_size, time};
use crate::dispatch::firing_key;
use crate::error::EngineError;

/// Occurrences looked at for one page; a page may come back short, with a token to go on.
const LOOKED_AT: usize = 20_000;
/// Of them, at least so many by each shard that is asked.
const LOOKED_AT_ONCE: usize = 1024;
/// Occurrences of one definition read at a time.
const STEP: usize = 256;
/// One answer, roughly; it ends with the chunk that makes it as large.
const ANSWER_BYTES: usize = 1024 * 1024;
/// Reasons of what Temporal refused for good, and of what was given up after that.
const REFUSED_WORD: &str = "refused";
const DROPPED_WORD: &str = "dropped";
/// Of what a backfill has fired, where nothing else is to be said.
const BACKFILL_WORD: &str = "backfill";
/// What was decided later has a later time, but for this much, in microseconds: with another leader comes another clock.
const CLOCKS_APART: i64 = 60_000_000;
/// Of what waits for a run of its definition.
const WAITING_WORD: &str = "waiting";
/// Of what waits in the outbox.
const PENDING_WORD: &str = "pending";

/// All words that the reason of an occurrence may be; one that fired in time has none.
pub fn reasons() -> impl Iterator<Item = &'static str> {
    let others = [REFUSED_WORD, DROPPED_WORD, BACKFILL_WORD, WAITING_WORD, PENDING_WORD];
    Reason::ALL.into_iter().map(Reason::word).chain(others)
}

/// A word that no occurrence has would find none, and look like good news.
fn check_reason(reason: &str) -> Result<(), Violations> {
    if reason.is_empty() || reasons().any(|known| known == reason) {
        return Ok(());
    }
    Err(one("reason", format!("{reason:?} is none; one of {}", reasons().collect::<Vec<_>>().join(", "))))
}

impl Api {
    /// Occurrences, newest first: of one definition, or of all (of a namespace) where `definition_id` is empty.
    pub async fn occurrences(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        check_reason(&asked.reason)?;
        if asked.definition_id.is_empty() {
            self.of_fleet(asked, page).await
        } else {
            self.of_definition(asked, page).await
        }
    }

    async fn of_definition(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        let key = DefinitionKey::new(&asked.namespace, &asked.definition_id);
        check_key(&key)?;
        let from = if page.token.is_empty() { None } else { Some(read_tokens(&page.token, 1)?[0]) };
        let look = Look::Occurrences { query: asked.clone(), from, size: page_size(page.size) };
        match self.ask(self.shard_of(&key), look).await? {
            Told::Occurrences { items, next } => Ok(Page { items, next: next.map(|from| write_tokens(&[from])) }),
            _ => Err(otherwise()),
        }
    }

    /// Chunk by chunk, whichever of all shards' chunks is the latest.
    async fn of_fleet(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        let shards = self.shared.shards() as usize;
        let mut merge = if page.token.is_empty() {
            Merge::new(vec![None; shards])
        } else {
            Merge::new(read_tokens(&page.token, shards)?.into_iter().map(Some).collect())
        };
        let (size, mut items) = (page_size(page.size), Vec::new());
        let wanted = size.div_ceil(shards) + 1;
        let look = LOOKED_AT_ONCE.max(LOOKED_AT / shards);
        while items.len() < size {
            match merge.next() {
                Next::Chunk(chunk) => items.extend(chunk.items),
                Next::End => return Ok(Page { items, next: None }),
                Next::Unknown(_) if merge.looked >= LOOKED_AT => break,
                Next::Unknown(unknown) => {
                    let asks = unknown.iter().map(|shard| {
                        let before = merge.sides[*shard].before;
                        (*shard as u32, Look::Account { query: asked.clone(), before, wanted, look })
                    });
                    let told = self.ask_each(asks.collect::<Vec<_>>()).await?;
                    for (shard, told) in unknown.into_iter().zip(told) {
                        let Told::Account(part) = told else { return Err(otherwise()) };
                        merge.put(shard, part);
                    }
                }
            }
        }
        Ok(Page { items, next: Some(write_tokens(&merge.positions())) })
    }
}

/// The shards' parts of the account on their way to be one: newest first, whatever shard it is of.
struct Merge {
    sides: Vec<Side>,
    /// Occurrences that the shards have looked at.
    looked: usize,
}

/// What is known of one shard.
struct Side {
    /// Not taken yet, newest first.
    chunks: VecDeque<Chunk>,
    /// Chunks before this one are not known; None at the beginning.
    before: Option<u64>,
    /// None of those is newer than this.
    newest: i64,
    /// There are none.
    end: bool,
}

/// What comes next.
enum Next {
    /// This chunk.
    Chunk(Chunk),
    /// It depends on these shards, of which more must be known.
    Unknown(Vec<usize>),
    /// Nothing.
    End,
}

impl Merge {
    /// By shard: begins before this chunk, or with the newest.
    fn new(before: Vec<Option<u64>>) -> Self {
        let side = |before| Side { chunks: VecDeque::new(), before, newest: i64::MAX, end: false };
        Self { sides: before.into_iter().map(side).collect(), looked: 0 }
    }

    fn put(&mut self, shard: usize, part: Part) {
        let side = &mut self.sides[shard];
        side.chunks.extend(part.chunks);
        (side.before, side.newest, side.end) = (Some(part.before), part.decided, part.end);
        self.looked += part.looked;
    }

    fn next(&mut self) -> Next {
        let heads = self.sides.iter().enumerate().filter_map(|(i, side)| Some((side.chunks.front()?.decided, i)));
        let head = heads.max();
        let open = |side: &Side| side.chunks.is_empty() && !side.end;
        let newer = |side: &Side| head.is_none_or(|(decided, _)| side.newest > decided);
        let unknown = self.sides.iter().enumerate().filter(|(_, side)| open(side) && newer(side));
        let unknown: Vec<usize> = unknown.map(|(shard, _)| shard).collect();
        if !unknown.is_empty() {
            return Next::Unknown(unknown);
        }
        match head.and_then(|(_, shard)| self.sides[shard].chunks.pop_front()) {
            Some(chunk) => Next::Chunk(chunk),
            None => Next::End,
        }
    }

    /// By shard: chunks before this one have not been taken.
    fn positions(&self) -> Vec<u64> {
        let position = |side: &Side| side.chunks.front().map_or(side.before.unwrap_or(u64::MAX), |chunk| chunk.seq + 1);
        self.sides.iter().map(position).collect()
    }
}

impl Replica {
    pub(super) fn occurrences(
        &self,
        asked: &OccurrenceQuery,
        from: Option<u64>,
        size: usize,
    ) -> Result<Told, ApiError> {
        let key = DefinitionKey::new(&asked.namespace, &asked.definition_id);
        let state = self.group.state();
        let number = query::number(&state, &key.namespace, &key.id)?;
        let slot = self.group.read(|m, _| number.and_then(|n| m.slots().get(n).map(|slot| (n, slot.chunk))))?;
        let (number, newest) = slot.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let mut items = if from.is_none() { self.waiting(&key, number)? } else { Vec::new() };
        items.retain(|occurrence| wanted(asked, occurrence));
        let (mut from, mut looked_at, mut bytes) = (from.unwrap_or(newest), 0, 0);
        while from != NO_CHUNK && items.len() < size && looked_at < LOOKED_AT && bytes < ANSWER_BYTES {
            let (found, next) = query::occurrences(&state, number, from, size.min(STEP))?;
            looked_at += found.len();
            let is_over = found.last().is_some_and(|last| before_since(asked, last.decided));
            let shown = found.iter().map(|stored| self.show_one(&key, stored));
            for occurrence in shown.filter(|occurrence| wanted(asked, occurrence)) {
                bytes += bytes_of(&occurrence);
                items.push(occurrence);
            }
            from = if is_over { NO_CHUNK } else { next };
        }
        if let Some((_, stored)) = self.stored(&key)?.filter(|_| !items.is_empty()) {
            let definition: ActivityDefinition = serde_json::from_slice(&stored.document)
                .map_err(|e| EngineError::Read(format!("{key} can't be read: {e}")))?;
            clock::tell_occurrences(&definition, &mut items);
        }
        Ok(Told::Occurrences { items, next: Some(from).filter(|from| *from != NO_CHUNK) })
    }

    /// What waits for a run of the definition, newest first: not in the account yet.
    pub(super) fn waiting(&self, key: &DefinitionKey, number: u64) -> Result<Vec<Occurrence>, ApiError> {
        let waits = self.group.read(|machine, _| {
            let version = machine.slots().get(number).map_or(0, |slot| slot.version);
            let waiting = machine.tracks().get(number).into_iter().flat_map(|track| track.waiting());
            waiting.map(|(_, waiting)| (version, waiting.clone())).collect::<Vec<_>>()
        })?;
        let shown = waits.into_iter().rev().map(|(version, Waiting { key: what, since, .. })| {
            let due = match what {
                Key::Time { due, .. } => due,
                Key::Backfill { nominal, .. } => nominal,
                Key::Event(_) | Key::Manual(_) => since,
            };
            let firing = firing_key(&what);
            Occurrence {
                definition: key.clone(),
                version: version.into(),
                firing_key: firing.text(),
                outcome: Outcome::Fired,
                reason: WAITING_WORD.to_owned(),
                detail: "waits for a run to end".to_owned(),
                due: time(due),
                decided_at: time(since),
                started_at: None,
                workflow_id: workflow_id(&self.shared.dispatchers.prefix, key, &firing),
                count: 1,
                utc_offset_seconds: None,
            }
        });
        Ok(shown.collect())
    }

    /// From before a chunk on, back in time. What did not fire has an index by reason: few among millions are found without looking at all.
    pub(super) fn account(
        &self,
        asked: &OccurrenceQuery,
        before: Option<u64>,
        enough: usize,
        look: usize,
    ) -> Result<Told, ApiError> {
        let misses = misses(asked);
        let (newest, floor) = self.group.read(|m, _| (m.counters().next_chunk, m.counters().account_floor))?;
        let before = before.map_or(newest, |before| before.min(newest));
        let mut part = Part { chunks: Vec::new(), before, decided: i64::MAX, looked: 0, end: false };
        let (mut found, mut bytes) = (0, 0);
        while found < enough && part.looked < look && bytes < ANSWER_BYTES {
            let stored = self.chunk_before(&mut part.before, floor, misses.as_deref())?;
            let Some(first) = stored.first() else {
                part.end = true;
                break;
            };
            part.before -= 1;
            part.decided = first.decided;
            if before_since(asked, part.decided) {
                part.end = true;
                break;
            }
            part.looked += stored.len();
            let mut items = Vec::new();
            for stored in &stored {
                items.extend(self.show_named(stored)?.into_iter().filter(|occurrence| wanted(asked, occurrence)));
            }
            if !items.is_empty() {
                found += items.len();
                bytes += items.iter().map(bytes_of).sum::<usize>();
                part.chunks.push(Chunk { seq: part.before, decided: part.decided, items });
            }
        }
        Ok(Told::Account(part))
    }

    /// The occurrences of the newest chunk before a position, which is moved to just after it; empty when there is none. With `misses`, of
    /// the newest one that holds an occurrence of any of these reason codes.
    fn chunk_before(&self, position: &mut u64, floor: u64, misses: Option<&[u8]>) -> Result<Vec<Stored>, ApiError> {
        let state = self.group.state();
        while *position > floor {
            if let Some(codes) = misses {
                let newest = codes.iter().map(|code| query::miss_before(&state, *code, *position));
                *position = newest.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().max().map_or(0, |seq| seq + 1);
                if *position <= floor {
                    break;
                }
            }
            let found = query::of_chunk(&state, *position - 1)?;
            if !found.is_empty() {
                return Ok(found);
            }
            *position -= 1;
        }
        Ok(Vec::new())
    }

    /// With the name of its definition; nothing where that is not kept any more.
    fn show_named(&self, stored: &Stored) -> Result<Option<Occurrence>, ApiError> {
        let version = query::version(&self.group.state(), stored.what.number, stored.what.version)?;
        Ok(version.map(|v| self.show_one(&DefinitionKey::new(v.namespace, v.id), stored)))
    }

    pub(super) fn show_one(&self, definition: &DefinitionKey, stored: &Stored) -> Occurrence {
        let firing = firing_key(&stored.what.key);
        let (due, count) = match &stored.what.key {
            Key::Time { due, count, .. } => (*due, *count),
            Key::Backfill { nominal, .. } => (*nominal, 1),
            Key::Event(_) | Key::Manual(_) => (stored.decided, 1),
        };
        let (outcome, reason, detail, started) = of_backfill(&stored.what.key, ended(stored));
        let workflow_id = match outcome {
            Outcome::Fired | Outcome::Failed => workflow_id(&self.shared.dispatchers.prefix, definition, &firing),
            Outcome::Skipped | Outcome::Dropped => String::new(),
        };
        Occurrence {
            definition: definition.clone(),
            version: stored.what.version.into(),
            firing_key: firing.text(),
            outcome,
            reason,
            detail,
            due: time(due),
            decided_at: time(stored.decided),
            started_at: started.map(time),
            workflow_id,
            count,
            utc_offset_seconds: None,
        }
    }
}

/// In an answer, roughly.
fn bytes_of(occurrence: &Occurrence) -> usize {
    let Occurrence { definition, firing_key, reason, detail, workflow_id, .. } = occurrence;
    let texts = [&definition.namespace, &definition.id, firing_key, reason, detail, workflow_id];
    300 + texts.iter().map(|text| text.len()).sum::<usize>()
}

/// Outcome, reason for programs, detail for people, time of the start.
type Ended = (Outcome, String, String, Option<i64>);

fn ended(stored: &Stored) -> Ended {
    if let Some(skip) = stored.what.skip {
        let detail = match &stored.end {
            End::Overlapped { by, since } if skip == Reason::Replaced => {
                format!("{} took its place at {}", firing_key(by).text(), rfc3339(*since))
            }
            End::Overlapped { by, since } => {
                format!("run of {} open since {}", firing_key(by).text(), rfc3339(*since))
            }
            _ => String::new(),
        };
        return (Outcome::Skipped, skip.word().to_owned(), detail, None);
    }
    match &stored.end {
        End::Pending | End::Skipped | End::Overlapped { .. } => {
            (Outcome::Fired, PENDING_WORD.to_owned(), "waits in the outbox".to_owned(), None)
        }
        End::Started { at, note } if note.is_empty() => (Outcome::Fired, String::new(), String::new(), Some(*at)),
        End::Started { at, note } => (Outcome::Fired, Reason::Late.word().to_owned(), note.clone(), Some(*at)),
        End::Failed { reason, .. } => (Outcome::Failed, REFUSED_WORD.to_owned(), reason.clone(), None),
        End::Dropped { reason, .. } => (Outcome::Dropped, DROPPED_WORD.to_owned(), reason.clone(), None),
    }
}

/// What a backfill has decided says so: its due time alone would look like one that was met years late.
fn of_backfill(key: &Key, (outcome, reason, detail, started): Ended) -> Ended {
    let Key::Backfill { id, .. } = key else { return (outcome, reason, detail, started) };
    let reason = if reason.is_empty() { BACKFILL_WORD.to_owned() } else { reason };
    let detail = if detail.is_empty() { format!("backfill {id}") } else { format!("backfill {id}: {detail}") };
    (outcome, reason, detail, started)
}

/// The codes by which what is asked for can be found, if nothing that fired is.
fn misses(asked: &OccurrenceQuery) -> Option<Vec<u8>> {
    let no_fired = !asked.outcomes.is_empty() && !asked.outcomes.contains(&Outcome::Fired);
    let reason = Reason::ALL.into_iter().find(|reason| reason.word() == asked.reason);
    match (asked.reason.as_str(), reason) {
        ("", _) if no_fired => Some(Reason::ALL.map(Reason::code).into_iter().chain([REFUSED]).collect()),
        (REFUSED_WORD | DROPPED_WORD, _) => Some(vec![REFUSED]),
        // A firing that was started late has this reason too.
        (_, Some(Reason::Late)) if !no_fired => None,
        (_, Some(reason)) => Some(vec![reason.code()]),
        _ => None,
    }
}

/// Whether all that comes after this one, going back in time, was decided before what is asked for.
fn before_since(asked: &OccurrenceQuery, decided: i64) -> bool {
    asked.since.is_some_and(|since| decided < since.timestamp_micros().saturating_sub(CLOCKS_APART))
}

fn wanted(asked: &OccurrenceQuery, o: &Occurrence) -> bool {
    (asked.namespace.is_empty() || asked.namespace == o.definition.namespace)
        && (asked.outcomes.is_empty() || asked.outcomes.contains(&o.outcome))
        && (asked.reason.is_empty() || asked.reason == o.reason)
        && (asked.firing_key.is_empty() || asked.firing_key == o.firing_key)
        && asked.since.is_none_or(|since| o.decided_at >= since)
        && asked.until.is_none_or(|until| o.decided_at < until)
}

fn write_tokens(positions: &[u64]) -> String {
    let bytes: Vec<u8> = positions.iter().flat_map(|position| position.to_be_bytes()).collect();
    base64::encode(&bytes)
}

fn read_tokens(token: &str, count: usize) -> Result<Vec<u64>, ApiError> {
    let bytes = base64::decode(token).filter(|bytes| bytes.len() == count * 8);
    let bytes = bytes.ok_or_else(|| one("page_token", "is not one that this server gave out"))?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_be_bytes(*chunk)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_no_occurrence_can_have_is_refused_with_those_that_there_are() {
        for known in reasons().chain([""]) {
            assert!(check_reason(known).is_ok(), "{known}");
        }
        for unknown in ["lat", "Late", "late ", "fired"] {
            let refused = check_reason(unknown).expect_err("is none").to_string();
            assert!(
                refused.starts_with(&format!("reason: {unknown:?} is none; one of late, superseded, ")),
                "{refused}"
            );
            assert!(refused.ends_with("dropped, backfill, waiting, pending"), "{refused}");
        }
    }

    /// Chunks of one shard as it knows them: sequence and time.
    type Chunks<'a> = &'a [(u64, i64)];

    /// Takes all chunks as they come, each shard giving so many at a time.
    fn taken(shards: &[Chunks<'_>], at_a_time: usize, limit: usize) -> (Vec<(u64, i64)>, Option<Vec<u64>>) {
        let (mut merge, mut taken) = (Merge::new(vec![None; shards.len()]), Vec::new());
        while taken.len() < limit {
            match merge.next() {
                Next::Chunk(chunk) => taken.push((chunk.seq, chunk.decided)),
                Next::End => return (taken, None),
                Next::Unknown(unknown) => {
                    for shard in unknown {
                        let before = merge.sides[shard].before.unwrap_or(u64::MAX);
                        merge.put(shard, part(shards[shard], before, at_a_time));
                    }
                }
            }
        }
        (taken, Some(merge.positions()))
    }

    fn part(chunks: Chunks<'_>, before: u64, at_a_time: usize) -> Part {
        let left = chunks.iter().filter(|(seq, _)| *seq < before);
        let given: Vec<(u64, i64)> = left.take(at_a_time).copied().collect();
        let (before, decided) = given.last().copied().unwrap_or((before.min(100), i64::MAX));
        let end = given.len() < at_a_time;
        let chunks = given.into_iter().map(|(seq, decided)| Chunk { seq, decided, items: Vec::new() });
        Part { chunks: chunks.collect(), before, decided, looked: 0, end }
    }

    #[test]
    fn chunks_of_all_shards_come_in_order_of_time_however_they_are_asked_for() {
        let shards: [Chunks<'_>; 4] =
            [&[(9, 50), (8, 20), (7, 20), (3, 10)], &[(4, 60), (2, 15)], &[], &[(5, 40), (1, 39)]];
        let all = [(4, 60), (9, 50), (5, 40), (1, 39), (8, 20), (7, 20), (2, 15), (3, 10)];
        for at_a_time in 1..5 {
            assert_eq!(taken(&shards, at_a_time, 100), (all.to_vec(), None), "{at_a_time}");
        }
    }

    #[test]
    fn positions_are_after_what_was_not_taken() {
        let shards: [Chunks<'_>; 2] = [&[(9, 50), (8, 20)], &[(4, 60), (2, 30)]];
        for (limit, positions) in [(1, vec![10, 4]), (2, vec![9, 4]), (3, vec![9, 2])] {
            let (_, left) = taken(&shards, 1, limit);
            let left = left.expect("there is more");
            // A side whose next chunk is not known yet stands where it was asked up to.
            assert!(left.iter().zip(&positions).all(|(left, position)| left <= position), "{limit}: {left:?}");
            let mut merge = Merge::new(left.into_iter().map(Some).collect());
            let mut rest = 0;
            loop {
                match merge.next() {
                    Next::Chunk(_) => rest += 1,
                    Next::End => break,
                    Next::Unknown(unknown) => {
                        for shard in unknown {
                            let before = merge.sides[shard].before.expect("is known");
                            merge.put(shard, part(shards[shard], before, 1));
                        }
                    }
                }
            }
            assert_eq!(rest, 4 - limit, "what is left comes once");
        }
    }
}
