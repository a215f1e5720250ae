//! The way of rows into a cluster with another number of shards. A definition goes to the shard of its name, and gets the next number there; what
//! speaks of it follows. The same backup gives the same rows in the same order each time: so a restore that broke off goes on where it was.

use std::collections::{BTreeMap, HashMap};

use flintwheel_model::DefinitionKey;
use flintwheel_model::ids::calendar_home;
use flintwheel_shard::occurrence::{End, Key, Reason};
use flintwheel_shard::records::Origin;
use flintwheel_shard::rows::{
    BackfillRow, ChunkRow, CourseRow, CursorRow, Occurred, RetiredRow, Row, SeenRow, TrackRow, UsesRow, VersionRow,
};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

/// A row that does not fit to those before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(String);

/// See the module.
pub struct Router {
    sources: u32,
    targets: u32,
    backup: Uuid,
    /// Firings that wait, and were due before this (microseconds), do not fire.
    skip_before: i64,
    /// By source: where each definition has gone.
    gone: Vec<HashMap<u64, Gone>>,
    /// By target: the next definition's number.
    next: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Gone {
    target: u32,
    number: u64,
}

/// A row, and the shard that it goes to.
pub type Routed = (u32, Row);

impl Router {
    /// From so many shards into so many.
    pub fn new(backup: Uuid, sources: u32, targets: u32, skip_before: i64) -> Self {
        let gone = (0..sources).map(|_| HashMap::new()).collect();
        Self { sources, targets, backup, skip_before, gone, next: vec![0; targets as usize] }
    }

    /// Where a row of a source goes, in the order of its file.
    pub fn route(&mut self, source: u32, row: Row) -> Result<Vec<Routed>, RouteError> {
        Ok(match row {
            Row::Version(row) => vec![self.version(source, row)],
            Row::Cursor(row) => vec![self.cursor(source, row)?],
            Row::Retired(row) => {
                let Gone { target, number } = self.gone(source, row.number)?;
                vec![(target, Row::Retired(RetiredRow { number, ..row }))]
            }
            Row::Track(row) => {
                let Gone { target, number } = self.gone(source, row.number)?;
                vec![(target, Row::Track(TrackRow { number, ..row }))]
            }
            Row::Course(row) => {
                let Gone { target, number } = self.gone(source, row.number)?;
                vec![(target, Row::Course(CourseRow { number, ..row }))]
            }
            Row::Backfill(row) => {
                let Gone { target, number } = self.gone(source, row.number)?;
                vec![(target, Row::Backfill(BackfillRow { number, ..row }))]
            }
            Row::Uses(row) => {
                let Gone { target, number } = self.gone(source, row.number)?;
                vec![(target, Row::Uses(UsesRow { number, ..row }))]
            }
            Row::Calendar(row) => vec![(calendar_home(&row.namespace, self.targets), Row::Calendar(row))],
            Row::Seen(row) => self.seen(source, row),
            Row::Chunk(row) => self.chunk(source, row)?,
        })
    }

    fn version(&mut self, source: u32, row: VersionRow) -> Routed {
        let target = DefinitionKey::new(&row.value.namespace, &row.value.id).shard(self.targets);
        let next = &mut self.next[target as usize];
        let gone = self.gone[source as usize].entry(row.number).or_insert_with(|| {
            let number = *next;
            *next += 1;
            Gone { target, number }
        });
        (gone.target, Row::Version(VersionRow { number: gone.number, ..row }))
    }

    fn cursor(&self, source: u32, row: CursorRow) -> Result<Routed, RouteError> {
        let Gone { target, number } = self.gone(source, row.number)?;
        let before = row.origin.unwrap_or(Origin { number: row.number, mask: [0; 16] });
        let origin = Some(Origin { number: before.number, mask: xor(before.mask, self.mask(source)) });
        Ok((target, Row::Cursor(CursorRow { number, origin, ..row })))
    }

    /// A digest does not say of which definition it is. So the key goes to every shard that could have that: where the numbers of shards are
    /// multiples of each other, to one, or to as many as the shard was split into.
    fn seen(&self, source: u32, row: SeenRow) -> Vec<Routed> {
        // What is more than the key of a firing is told by the definition's name, which is the same everywhere.
        let digest = if row.more.is_empty() { xor(row.digest, self.mask(source)) } else { row.digest };
        let common = gcd(self.sources, self.targets);
        let may_hold = |target: &u32| target % common == source % common;
        (0..self.targets)
            .filter(may_hold)
            .map(|target| (target, Row::Seen(SeenRow { digest, ..row.clone() })))
            .collect()
    }

    fn chunk(&self, source: u32, row: ChunkRow) -> Result<Vec<Routed>, RouteError> {
        let ChunkRow { at, namespace, blobs, occurrences } = row;
        let mut parts: BTreeMap<u32, (ChunkRow, HashMap<u32, u32>)> = BTreeMap::new();
        for mut one in occurrences {
            let Gone { target, number } = match self.gone(source, one.what.number) {
                Ok(gone) => gone,
                Err(error) if one.dead || one.end == End::Pending => return Err(error),
                // Of a definition that was deleted so long ago that nothing is left of it but this.
                Err(_) => continue,
            };
            one.what.number = number;
            self.pass_over(at, &mut one);
            let empty = || ChunkRow { at, namespace: namespace.clone(), blobs: Vec::new(), occurrences: Vec::new() };
            let (part, known) = parts.entry(target).or_insert_with(|| (empty(), HashMap::new()));
            one.payload = one.payload.map(|blob| {
                *known.entry(blob).or_insert_with(|| {
                    part.blobs.push(blobs[blob as usize].clone());
                    part.blobs.len() as u32 - 1
                })
            });
            part.occurrences.push(one);
        }
        Ok(parts.into_iter().map(|(target, (part, _))| (target, Row::Chunk(part))).collect())
    }

    /// What waits for the sink and is too old is skipped.
    fn pass_over(&self, at: i64, one: &mut Occurred) {
        let due = if let Key::Time { due, .. } = one.what.key { due } else { at };
        if one.end == End::Pending && due < self.skip_before {
            one.what.skip = Some(Reason::Restored);
            one.end = End::Skipped;
            one.payload = None;
        }
    }

    fn gone(&self, source: u32, number: u64) -> Result<Gone, RouteError> {
        let gone = self.gone[source as usize].get(&number).copied();
        gone.ok_or_else(|| {
            RouteError(format!("definition {number} of shard {source} is named, and no version of it is there"))
        })
    }

    /// Tells digests of one source from those of others: both may count their definitions from zero.
    fn mask(&self, source: u32) -> [u8; 16] {
        let name = [self.backup.as_bytes().as_slice(), &source.to_le_bytes()].concat();
        xxh3_128(&name).to_le_bytes()
    }
}

fn xor(one: [u8; 16], other: [u8; 16]) -> [u8; 16] {
    Origin { number: 0, mask: other }.masked(one)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
