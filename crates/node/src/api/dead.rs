//! Dead letters: firings that the sink refused for good, looked at, retried or dropped.

use std::collections::BTreeMap;

use flintwheel_client::{DeadLetter, DeadLetterFilter, DeadLetterSelection, Page, PageRequest, Settled};
use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::workflow_id;
use flintwheel_shard::entry::{Body, DeadAction};
use flintwheel_shard::occurrence::Key;
use flintwheel_shard::query;
use flintwheel_shard::records::DeadLetter as Stored;
use flintwheel_shard::reply::Outcome;

use super::ask::{Act, Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, one, page_size, time};
use crate::dispatch::firing_key;
use crate::error::EngineError;

/// Dead letters settled by one entry.
const BATCH: usize = 256;
/// Dead letters that a shard looks at for one answer: each costs a look into the account.
const LOOKED_AT: usize = 2000;
/// One answer, roughly.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;
/// A letter in it, without its texts.
const LETTER_BYTES: usize = 600;

impl Api {
    /// Dead letters that fit the filter, oldest first in each shard.
    pub async fn list_dead(&self, filter: &DeadLetterFilter, page: &PageRequest) -> Result<Page<DeadLetter>, ApiError> {
        let (mut shard, mut from) = if page.token.is_empty() { (0, 0) } else { parse_id(&page.token)? };
        let size = page_size(page.size);
        let mut items: Vec<DeadLetter> = Vec::new();
        while shard < self.shared.shards() {
            // One more than wanted: it says whether there are more, and is where they begin.
            let look = Look::Dead { filter: filter.clone(), from, limit: size + 1 - items.len() };
            let Told::Dead { letters, next } = self.ask(shard, look).await? else { return Err(otherwise()) };
            items.extend(letters);
            if items.len() > size {
                let more = items.drain(size..).next();
                return Ok(Page { items, next: more.map(|letter| letter.id) });
            }
            (shard, from) = next.map_or((shard + 1, 0), |next| (shard, next));
        }
        Ok(Page { items, next: None })
    }

    /// Sends them again.
    pub async fn retry_dead(&self, selection: &DeadLetterSelection) -> Result<Settled, ApiError> {
        self.settle_dead(selection, true).await
    }

    /// Gives them up.
    pub async fn drop_dead(&self, selection: &DeadLetterSelection) -> Result<Settled, ApiError> {
        self.settle_dead(selection, false).await
    }

    async fn settle_dead(&self, selection: &DeadLetterSelection, retry: bool) -> Result<Settled, ApiError> {
        let ids = match selection {
            DeadLetterSelection::Ids(ids) => ids.clone(),
            DeadLetterSelection::Filter(filter) => self.ids_of(filter).await?,
        };
        let mut by_shard: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut settled = Settled { count: 0, not_found: Vec::new() };
        for id in ids {
            let (shard, seq) = parse_id(&id)?;
            if shard < self.shared.shards() {
                by_shard.entry(shard).or_default().push(seq);
            } else {
                settled.not_found.push(id);
            }
        }
        for (shard, seqs) in by_shard {
            for batch in seqs.chunks(BATCH) {
                self.settle_batch(shard, batch, retry, &mut settled).await?;
            }
        }
        Ok(settled)
    }

    async fn settle_batch(&self, shard: u32, seqs: &[u64], retry: bool, settled: &mut Settled) -> Result<(), ApiError> {
        let act = Act::Settle { letters: seqs.to_vec(), retry };
        let Told::Settled(found) = self.ask(shard, act).await? else { return Err(otherwise()) };
        for (seq, found) in seqs.iter().zip(found) {
            if found {
                settled.count += 1;
            } else {
                settled.not_found.push(write_id(shard, *seq));
            }
        }
        Ok(())
    }

    async fn ids_of(&self, filter: &DeadLetterFilter) -> Result<Vec<String>, ApiError> {
        let mut ids = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.list_dead(filter, &PageRequest { size: super::PAGE, token }).await?;
            ids.extend(page.items.into_iter().map(|letter| letter.id));
            match page.next {
                Some(next) => token = next,
                None => return Ok(ids),
            }
        }
    }
}

impl Replica {
    pub(super) fn dead(&self, filter: &DeadLetterFilter, mut from: u64, limit: usize) -> Result<Told, ApiError> {
        let state = self.group.state();
        let (mut letters, mut bytes) = (Vec::new(), 0);
        let stored = query::dead_letters(&state, from, LOOKED_AT)?;
        let more = stored.len() == LOOKED_AT;
        for (seq, letter) in stored {
            if letters.len() >= limit || bytes >= ANSWER_BYTES {
                return Ok(Told::Dead { letters, next: Some(from) });
            }
            from = seq + 1;
            if let Some(shown) = self.show_dead(seq, &letter)?.filter(|shown| fits(filter, shown)) {
                bytes += LETTER_BYTES + shown.reason.len() + shown.firing_key.len() + shown.workflow_id.len();
                letters.push(shown);
            }
        }
        Ok(Told::Dead { letters, next: more.then_some(from) })
    }

    fn show_dead(&self, seq: u64, letter: &Stored) -> Result<Option<DeadLetter>, ApiError> {
        let state = self.group.state();
        let record = query::chunk(&state, letter.chunk)?
            .and_then(|c| Some((c.at, c.records.into_iter().nth(letter.record as usize)?)));
        let Some((decided, record)) = record else { return Ok(None) };
        let Some(version) = query::version(&state, record.number, record.version)? else { return Ok(None) };
        let definition = DefinitionKey::new(version.namespace, version.id);
        let firing = firing_key(&record.key);
        let due = match record.key {
            Key::Time { due, .. } => due,
            Key::Backfill { nominal, .. } => nominal,
            Key::Event(_) | Key::Manual(_) => decided,
        };
        Ok(Some(DeadLetter {
            id: write_id(self.shard, seq),
            workflow_id: workflow_id(&self.shared.dispatchers.prefix, &definition, &firing),
            definition,
            version: record.version.into(),
            firing_key: firing.text(),
            reason: letter.reason.clone(),
            due: time(due),
            refused_at: time(letter.at),
        }))
    }

    /// Retries or drops them. Asked again after a try that nobody knows the end of, that one may have done it: one that is no dead letter any
    /// more counts as settled then. An id that never was one does too; that is told wrongly once, where the other way would be each time.
    pub(super) async fn settle(&self, letters: &[u64], retry: bool, again: bool) -> Result<Told, ApiError> {
        let actions = letters.iter().map(|seq| DeadAction { seq: *seq, retry }).collect();
        match self.command(Body::Dead(actions), letters.len() * 16).await? {
            Outcome::Dead(found) => Ok(Told::Settled(found.into_iter().map(|found| found || again).collect())),
            _ => Err(EngineError::Read("a dead-letter entry was answered otherwise".into()).into()),
        }
    }
}

fn fits(filter: &DeadLetterFilter, letter: &DeadLetter) -> bool {
    (filter.namespace.is_empty() || filter.namespace == letter.definition.namespace)
        && (filter.definition_id.is_empty() || filter.definition_id == letter.definition.id)
        && letter.reason.contains(&filter.reason_contains)
        && filter.refused_before.is_none_or(|before| letter.refused_at < before)
}

/// A dead letter's id: its shard and its sequence there.
fn write_id(shard: u32, seq: u64) -> String {
    format!("{shard}-{seq}")
}

fn parse_id(id: &str) -> Result<(u32, u64), ApiError> {
    let parts = id.split_once('-').and_then(|(shard, seq)| Some((shard.parse().ok()?, seq.parse().ok()?)));
    let message = || format!("{:?} is not a dead letter's id, such as 3-17", flintwheel_model::ids::short(id));
    parts.ok_or_else(|| one("ids", message()).into())
}
