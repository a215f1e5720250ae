//! Reading a shard's state into rows: all of it, in the order in which a restore needs them.
//!
//! The state must stand still meanwhile. One record is read after the other: what is held is what is open (outbox chunks, dead letters) by its
//! place, and one chunk of occurrences.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use crate::calendars::{self, Head, UsedNames};
use crate::codec::{DecodeError, Decoder, count};
use crate::courses::Course;
use crate::keys::{self, CalendarPart};
use crate::kv::{Read, ReadError, Table};
use crate::occurrence::{Chunk, End, NO_CHUNK, Record};
use crate::outbox::Payloads;
use crate::query;
use crate::records::{DeadLetter, Origin, Version};
use crate::rows::{
    BackfillRow, CalendarRow, ChunkRow, CourseRow, CursorRow, Occurred, RetiredRow, Row, SeenRow, TrackRow, UsesRow,
    VersionRow,
};
use crate::scan::{self, corrupt};
use crate::slots::Slot;
use crate::tracks::{RUN, Run};

/// A row of occurrences ends when it has about so many bytes: it must fit into one log entry, whatever the chunk had.
const ROW_BYTES: usize = 1 << 20;
/// What an occurrence takes beside its texts, about.
const OCCURRENCE_BYTES: usize = 64;

/// Gets each row; breaks to end.
pub type Take<'a> = dyn FnMut(Row) -> ControlFlow<()> + 'a;

/// Gives all rows of a shard, unless it is told to stop; says whether it was.
pub fn export(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    for table in [versions, cursors, tracks, courses, backfills, named_calendars, uses, retired, seen, chunks] {
        if table(state, take)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Visits a table whose records need others to be read.
fn walk(
    state: &dyn Read,
    table: Table,
    visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, ReadError>,
) -> Result<ControlFlow<()>, ReadError> {
    walk_range(state, table, (&[], &keys::after(&[])), visit)
}

fn walk_range(
    state: &dyn Read,
    table: Table,
    (from, to): (&[u8], &[u8]),
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, ReadError>,
) -> Result<ControlFlow<()>, ReadError> {
    let (mut fault, mut flow) = (None, ControlFlow::Continue(()));
    state.scan(table, from, to, &mut |key, value| {
        flow = visit(key, value).unwrap_or_else(|error| {
            fault = Some(error);
            ControlFlow::Break(())
        });
        flow
    })?;
    fault.map_or(Ok(flow), Err)
}

fn versions(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk(state, Table::Definitions, |key, value| {
        let (number, version) = keys::parse_definition(key).map_err(corrupt)?;
        let value = Version::decode(value).map_err(corrupt)?;
        Ok(take(Row::Version(VersionRow { number, version, value })))
    })
}

fn cursors(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk(state, Table::Cursors, |key, value| {
        let number = keys::parse_cursor(key).map_err(corrupt)?;
        let slot = Slot::decode(value).map_err(corrupt)?;
        Ok(take(Row::Cursor(cursor(state, number, slot)?)))
    })
}

fn cursor(state: &dyn Read, number: u64, mut slot: Slot) -> Result<CursorRow, ReadError> {
    let missing = |what: String| ReadError(format!("definition {number} has no {what}"));
    let version = query::version(state, number, slot.version)?;
    let version = version.ok_or_else(|| missing(format!("version {}", slot.version)))?;
    let mut subscriptions = Vec::with_capacity(version.event_types.len());
    for event_type in &version.event_types {
        let value = state.get(Table::Subscriptions, &keys::subscription(&version.namespace, event_type, number))?;
        let value = value.ok_or_else(|| missing(format!("subscription to {event_type}")))?;
        let mut d = Decoder::new(&value);
        d.u32().map_err(corrupt)?;
        subscriptions.push((event_type.clone(), Bytes::copy_from_slice(&value[4..])));
    }
    let origin = state.get(Table::Meta, &keys::origin(number))?;
    let origin = origin.map(|bytes| Origin::decode(&bytes).map_err(corrupt)).transpose()?;
    (slot.lane, slot.chunk) = (0, NO_CHUNK);
    let pause = query::pause_note(state, number)?;
    let Version { namespace, id, .. } = version;
    Ok(CursorRow { number, namespace, id, slot, origin, subscriptions, pause })
}

fn tracks(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk_range(state, Table::Meta, (keys::TRACKS, &keys::after(keys::TRACKS)), |key, value| {
        let (number, part, seq) = keys::parse_track(key).map_err(corrupt)?;
        let mut value = value.to_vec();
        if part == RUN {
            let run = Run::decode(&value).map_err(corrupt)?;
            value = Run { place: run.place.map(|_| (NO_CHUNK, 0)), ..run }.encode();
        }
        Ok(take(Row::Track(TrackRow { number, part, seq, value: value.into() })))
    })
}

fn courses(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk_range(state, Table::Meta, (keys::COURSES, &keys::after(keys::COURSES)), |key, value| {
        let number = keys::parse_course(key).map_err(corrupt)?;
        Ok(take(Row::Course(CourseRow { number, value: Course::decode(value).map_err(corrupt)? })))
    })
}

fn backfills(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk_range(state, Table::Meta, (keys::BACKFILLS, &keys::after(keys::BACKFILLS)), |key, value| {
        let (number, id) = keys::parse_backfill(key).map_err(corrupt)?;
        let value = Bytes::copy_from_slice(value);
        Ok(take(Row::Backfill(BackfillRow { number, id: id.to_owned(), value })))
    })
}

fn named_calendars(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    let range = keys::calendar_part(CalendarPart::Head);
    walk_range(state, Table::Meta, (&range, &keys::after(&range)), |key, value| {
        let (namespace, name) = keys::parse_calendar(key).map_err(corrupt)?;
        let head = Head::decode(value).map_err(corrupt)?;
        let document = calendars::document(state, namespace, name)?;
        let document = document.ok_or_else(|| ReadError(format!("calendar {namespace}/{name} has no document")))?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(take(Row::Calendar(CalendarRow { namespace, name, head, document })))
    })
}

fn uses(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    let range = keys::calendar_part(CalendarPart::Names);
    walk_range(state, Table::Meta, (&range, &keys::after(&range)), |key, value| {
        let number = keys::parse_calendar_names(key).map_err(corrupt)?;
        Ok(take(Row::Uses(UsesRow { number, used: UsedNames::decode(value).map_err(corrupt)? })))
    })
}

fn retired(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk(state, Table::Retired, |key, _| {
        let hour = keys::parse_retired_hour(key).map_err(corrupt)?;
        let (number, version) = keys::parse_retired(key).map_err(corrupt)?;
        Ok(take(Row::Retired(RetiredRow { hour, number, version })))
    })
}

fn seen(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    walk(state, Table::Dedupe, |key, value| {
        let (class, digest) = keys::parse_dedupe(key).map_err(corrupt)?;
        let at = Decoder::new(value).i64().map_err(corrupt)?;
        let more = Bytes::copy_from_slice(&value[size_of::<i64>()..]);
        Ok(take(Row::Seen(SeenRow { class, at, digest, more })))
    })
}

/// Where the chunks stand of which something waits for the sink or for an operator.
struct Unsettled {
    lanes: Vec<String>,
    /// The lane of each open chunk.
    open: HashMap<u64, u32>,
    /// By chunk: the records that are dead letters, and where those stand.
    dead: HashMap<u64, Vec<(u32, u64)>>,
}

impl Unsettled {
    fn read(state: &dyn Read) -> Result<Self, ReadError> {
        let (mut lanes, mut open, mut dead) = (Vec::new(), HashMap::new(), HashMap::<_, Vec<_>>::new());
        while let Some(name) = state.get(Table::Meta, &keys::lane(count(lanes.len())))? {
            lanes.push(String::from_utf8(name).map_err(|_| ReadError("a lane's namespace is not UTF-8".into()))?);
        }
        scan::each(state, Table::Outbox, (&[], &keys::after(&[])), |key, _| {
            let (lane, seq) = keys::parse_outbox(key)?;
            open.insert(seq, lane);
            Ok(ControlFlow::Continue(()))
        })?;
        scan::each(state, Table::Dead, (&[], &keys::after(&[])), |key, value| {
            let letter = DeadLetter::decode(value)?;
            dead.entry(letter.chunk).or_default().push((letter.record, keys::parse_cursor(key)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Self { lanes, open, dead })
    }

    /// A chunk with what its occurrences need to be sent.
    fn chunk(&self, state: &dyn Read, seq: u64, chunk: Chunk) -> Result<Whole, ReadError> {
        let mut whole = Whole { at: chunk.at, ends: query::ends(state, seq)?, ..Whole::default() };
        let mut lane = self.open.get(&seq).copied();
        if let Some(lane) = lane {
            let value = state.get(Table::Outbox, &keys::outbox(lane, seq))?;
            let value = value.ok_or_else(|| ReadError(format!("open chunk {seq} is gone")))?;
            whole.payloads = Payloads::decode(&value).map_err(corrupt)?.1;
        }
        for (record, dead) in self.dead.get(&seq).into_iter().flatten() {
            let value = state.get(Table::Dead, &keys::dead(*dead))?;
            let value = value.ok_or_else(|| ReadError(format!("dead letter {dead} is gone")))?;
            let letter = DeadLetter::decode(&value).map_err(corrupt)?;
            lane = Some(letter.lane);
            whole.dead.insert(*record, letter.payload);
        }
        if let Some(lane) = lane {
            let name = self.lanes.get(lane as usize);
            whole.namespace = name.ok_or_else(|| ReadError(format!("lane {lane} has no namespace")))?.clone();
        }
        whole.records = chunk.records;
        Ok(whole)
    }
}

fn chunks(state: &dyn Read, take: &mut Take<'_>) -> Result<ControlFlow<()>, ReadError> {
    let unsettled = Unsettled::read(state)?;
    walk(state, Table::Account, |key, value| {
        let Some(seq) = keys::parse_account(key).map_err(corrupt)? else { return Ok(ControlFlow::Continue(())) };
        let chunk = unsettled.chunk(state, seq, Chunk::decode(value).map_err(corrupt)?)?;
        for row in chunk.rows().map_err(corrupt)? {
            if take(Row::Chunk(row)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// A chunk, with all that belongs to it.
#[derive(Default)]
struct Whole {
    at: i64,
    namespace: String,
    records: Vec<Record>,
    ends: Vec<End>,
    payloads: Payloads,
    /// By record: the payload of a dead letter.
    dead: HashMap<u32, Option<Bytes>>,
}

impl Whole {
    /// In rows that are not too long.
    fn rows(mut self) -> Result<Vec<ChunkRow>, DecodeError> {
        let (mut rows, mut row, mut bytes) = (Vec::new(), self.row(), 0);
        // The blobs of `row`, by where they stand in the chunk's payloads.
        let mut known: HashMap<u32, u32> = HashMap::new();
        for (index, what) in std::mem::take(&mut self.records).into_iter().enumerate() {
            if bytes >= ROW_BYTES {
                rows.push(std::mem::replace(&mut row, self.row()));
                known.clear();
                bytes = 0;
            }
            let index = count(index);
            let one = self.occurred(index, Record { previous: NO_CHUNK, ..what })?;
            bytes += OCCURRENCE_BYTES;
            let payload = if one.dead {
                self.dead.remove(&index).flatten().map(|blob| keep(&mut row, &mut bytes, blob))
            } else if one.end == End::Pending {
                self.shared(index).map(|(place, blob)| {
                    *known.entry(place).or_insert_with(|| keep(&mut row, &mut bytes, blob.clone()))
                })
            } else {
                None
            };
            row.occurrences.push(Occurred { payload, ..one });
        }
        rows.push(row);
        Ok(rows)
    }

    fn row(&self) -> ChunkRow {
        ChunkRow { at: self.at, namespace: self.namespace.clone(), blobs: Vec::new(), occurrences: Vec::new() }
    }

    fn occurred(&self, index: u32, what: Record) -> Result<Occurred, DecodeError> {
        let end = match (self.ends.get(index as usize), what.skip) {
            (Some(end), _) => end.clone(),
            (None, Some(_)) => End::Skipped,
            (None, None) => End::Pending,
        };
        let dead = self.dead.contains_key(&index);
        if dead && !matches!(end, End::Failed { .. }) {
            return Err(DecodeError(format!("an occurrence is a dead letter, and has not failed: {end:?}")));
        }
        Ok(Occurred { what, end, payload: None, dead })
    }

    /// The payload that an open firing shares with others, and where it stands.
    fn shared(&self, index: u32) -> Option<(u32, &Bytes)> {
        let place = (*self.payloads.by_record.get(index as usize)?)?;
        Some((place, self.payloads.blobs.get(place as usize)?))
    }
}

fn keep(row: &mut ChunkRow, bytes: &mut usize, blob: Bytes) -> u32 {
    *bytes += blob.len();
    row.blobs.push(blob);
    count(row.blobs.len() - 1)
}
