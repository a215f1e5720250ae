//! The account asked: what became of each due time and each matched event, by definition or over the whole fleet.

use flintwheel_client::{Occurrence, OccurrenceQuery, Outcome, Page, PageRequest};
use flintwheel_model::ids::workflow_id;
use flintwheel_model::{DefinitionKey, base64};
use flintwheel_shard::REFUSED;
use flintwheel_shard::occurrence::{End, Key, NO_CHUNK, Reason};
use flintwheel_shard::query::{self, Occurrence as Stored};

use super::{Api, ApiError, check_key, one, page_size, time};
use crate::dispatch::firing_key;

/// Occurrences looked at for one page; a page may come back short, with a token to go on.
const LOOKED_AT: usize = 20_000;
/// Reasons of what Temporal refused for good, and of what was given up after that.
const REFUSED_WORD: &str = "refused";
const DROPPED_WORD: &str = "dropped";

impl Api {
    /// Occurrences, newest first: of one definition, or of all (of a namespace) where `definition_id` is empty.
    pub fn occurrences(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        if asked.definition_id.is_empty() { self.of_fleet(asked, page) } else { self.of_definition(asked, page) }
    }

    fn of_definition(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        let key = DefinitionKey::new(&asked.namespace, &asked.definition_id);
        check_key(&key)?;
        let group = self.shared.group(self.shard_of(&key));
        let number = query::number(&group.state(), &key.namespace, &key.id)?;
        let slot = group.read(|m, _| number.and_then(|n| m.slots().get(n).map(|slot| (n, slot.chunk))))?;
        let (number, newest) = slot.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        let mut from = if page.token.is_empty() { newest } else { read_tokens(&page.token, 1)?[0] };
        let (size, mut looked_at, mut items) = (page_size(page.size), 0, Vec::new());
        while from != NO_CHUNK && items.len() < size && looked_at < LOOKED_AT {
            let (found, next) = query::occurrences(&group.state(), number, from, size)?;
            looked_at += found.len();
            let shown = found.iter().map(|stored| self.show(&key, stored));
            items.extend(shown.filter(|occurrence| wanted(asked, occurrence)));
            from = next;
        }
        Ok(Page { items, next: (from != NO_CHUNK).then(|| write_tokens(&[from])) })
    }

    /// Chunk by chunk from the newest of each shard on, whichever is the latest. What did not fire has an index by reason: few among
    /// millions are found without looking at all.
    fn of_fleet(&self, asked: &OccurrenceQuery, page: &PageRequest) -> Result<Page<Occurrence>, ApiError> {
        let misses = misses(asked);
        let mut before = self.newest(&page.token)?;
        let (size, mut looked_at, mut items) = (page_size(page.size), 0, Vec::new());
        let mut heads = Vec::new();
        for shard in 0..self.shared.shards() {
            heads.push(self.chunk_before(shard, &mut before, misses.as_deref())?);
        }
        while items.len() < size && looked_at < LOOKED_AT {
            let newest = (0..heads.len()).filter(|i| !heads[*i].is_empty()).max_by_key(|i| heads[*i][0].decided);
            let Some(shard) = newest else { return Ok(Page { items, next: None }) };
            for stored in std::mem::take(&mut heads[shard]) {
                looked_at += 1;
                let shown = self.show_of(shard as u32, &stored)?;
                items.extend(shown.filter(|occurrence| wanted(asked, occurrence)));
            }
            before[shard] -= 1;
            heads[shard] = self.chunk_before(shard as u32, &mut before, misses.as_deref())?;
        }
        Ok(Page { items, next: Some(write_tokens(&before)) })
    }

    fn newest(&self, token: &str) -> Result<Vec<u64>, ApiError> {
        let shards = self.shared.shards();
        if !token.is_empty() {
            return read_tokens(token, shards as usize);
        }
        (0..shards).map(|s| Ok(self.shared.group(s).read(|m, _| m.counters().next_chunk)?)).collect()
    }

    /// The occurrences of the newest chunk before a position, which is moved to just after it; empty when there is none. With `misses`, of
    /// the newest one that holds an occurrence of any of these reason codes.
    fn chunk_before(&self, shard: u32, before: &mut [u64], misses: Option<&[u8]>) -> Result<Vec<Stored>, ApiError> {
        let group = self.shared.group(shard);
        let (state, floor) = (group.state(), group.read(|m, _| m.counters().account_floor)?);
        let position = &mut before[shard as usize];
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
    fn show_of(&self, shard: u32, stored: &Stored) -> Result<std::option::IntoIter<Occurrence>, ApiError> {
        let version = query::version(&self.shared.group(shard).state(), stored.what.number, stored.what.version)?;
        let shown = version.map(|v| self.show(&DefinitionKey::new(v.namespace, v.id), stored));
        Ok(shown.into_iter())
    }

    fn show(&self, definition: &DefinitionKey, stored: &Stored) -> Occurrence {
        let firing = firing_key(&stored.what.key);
        let (due, count) = match &stored.what.key {
            Key::Time { due, count, .. } => (*due, *count),
            Key::Event(_) | Key::Manual(_) => (stored.decided, 1),
        };
        let (outcome, reason, detail, started) = ended(stored);
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
        }
    }
}

/// Outcome, reason for programs, detail for people, time of the start.
fn ended(stored: &Stored) -> (Outcome, String, String, Option<i64>) {
    if let Some(skip) = stored.what.skip {
        return (Outcome::Skipped, skip.word().to_owned(), String::new(), None);
    }
    match &stored.end {
        End::Pending | End::Skipped => (Outcome::Fired, "pending".to_owned(), "waits in the outbox".to_owned(), None),
        End::Started { at, note } if note.is_empty() => (Outcome::Fired, String::new(), String::new(), Some(*at)),
        End::Started { at, note } => (Outcome::Fired, "late".to_owned(), note.clone(), Some(*at)),
        End::Failed { reason, .. } => (Outcome::Failed, REFUSED_WORD.to_owned(), reason.clone(), None),
        End::Dropped { reason, .. } => (Outcome::Dropped, DROPPED_WORD.to_owned(), reason.clone(), None),
    }
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
