//! A backup brought in, row by row. What a row says of another row is checked before it is written: a row that does not fit is refused, and never
//! stops the shard.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::backfills::Backfill;
use crate::calendars::Head;
use crate::codec::{Encoder, count};
use crate::entry::Restore;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};
use crate::machine::Machine;
use crate::occurrence::{Chunk, End, NO_CHUNK, Reason, encode_ends};
use crate::outbox::{Open, Payloads};
use crate::query;
use crate::records::{DeadLetter, Restoration};
use crate::reply::{Applied, OutboxRef, Outcome, RestoreRefusal, Restored};
use crate::rows::{
    BackfillRow, CalendarRow, ChunkRow, CourseRow, CursorRow, Occurred, RetiredRow, Row, SeenRow, TrackRow, UsesRow,
    VersionRow,
};
use crate::slots::Slot;

use super::ack::REFUSED;
use super::decided::Decided;
use super::overlap;

/// Revisions are counted up from zero: a larger one was given out by nobody, and the next one must be larger still.
const LAST_REVISION: u64 = u64::MAX / 2;

/// Why a row was refused, after "row 7 of the backup".
type Fault = Result<(), String>;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, restore: Restore) -> Result<Applied, ReadError> {
    let ends = matches!(restore, Restore::Finish { .. });
    let done = match restore {
        Restore::Begin { backup, skip_before } => begin(m, txn, backup, skip_before),
        Restore::Rows { backup, from, rows } => match open(m, backup) {
            Ok(restoration) => bring(m, txn, restoration, from, rows)?,
            Err(refusal) => Err(refusal),
        },
        Restore::Cancel { backup } => open(m, backup).and_then(|restoration| cancel(m, txn, restoration)),
        Restore::Finish { backup, rows } => finish(m, txn, backup, rows)?,
    };
    let chunks = if ends && done.is_ok() { first_open(m) } else { Vec::new() };
    let finished = m.restoration().is_some_and(|restoration| restoration.finished);
    let restored = done.map_or_else(Restored::Refused, |rows| Restored::At { rows, finished });
    Ok(Applied { chunks, outcome: Outcome::Restored(restored) })
}

/// Begun again, it goes on as it was begun first.
fn begin(m: &mut Machine, txn: &mut Txn<'_>, backup: [u8; 16], skip_before: i64) -> Result<u64, RestoreRefusal> {
    match m.restoration() {
        Some(known) if known.backup == backup => Ok(known.rows),
        Some(_) => Err(RestoreRefusal::Another),
        None if !m.is_unused() => Err(RestoreRefusal::NotEmpty),
        None => {
            m.set_restoration(txn, Some(Restoration { backup, skip_before, rows: 0, finished: false }));
            Ok(0)
        }
    }
}

/// The restore of this backup, while it is under way.
fn open(m: &Machine, backup: [u8; 16]) -> Result<Restoration, RestoreRefusal> {
    match m.restoration() {
        None => Err(RestoreRefusal::NotBegun),
        Some(known) if known.backup != backup => Err(RestoreRefusal::Another),
        Some(known) if known.finished => Err(RestoreRefusal::Finished),
        Some(known) => Ok(known),
    }
}

fn bring(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    mut restoration: Restoration,
    from: u64,
    rows: Vec<Row>,
) -> Result<Result<u64, RestoreRefusal>, ReadError> {
    let here = restoration.rows;
    let Some(passed) = here.checked_sub(from) else {
        return Ok(Err(RestoreRefusal::Gap { rows: here, told: from }));
    };
    let passed = usize::try_from(passed).unwrap_or(usize::MAX);
    let mut refused = None;
    for row in rows.into_iter().skip(passed) {
        if let Err(why) = put(m, txn, row)? {
            refused = Some(RestoreRefusal::Row { row: restoration.rows, why });
            break;
        }
        restoration.rows += 1;
    }
    m.set_restoration(txn, Some(restoration));
    Ok(refused.map_or(Ok(restoration.rows), Err))
}

fn cancel(m: &mut Machine, txn: &mut Txn<'_>, restoration: Restoration) -> Result<u64, RestoreRefusal> {
    if restoration.rows > 0 {
        return Err(RestoreRefusal::NotEmpty);
    }
    m.set_restoration(txn, None);
    Ok(0)
}

fn finish(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    backup: [u8; 16],
    rows: u64,
) -> Result<Result<u64, RestoreRefusal>, ReadError> {
    match m.restoration() {
        // Nobody knew that the first try had done it.
        Some(known) if known.backup == backup && known.finished && known.rows == rows => Ok(Ok(rows)),
        _ => {
            let known = match open(m, backup) {
                Ok(known) => known,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if known.rows != rows {
                return Ok(Err(RestoreRefusal::Gap { rows: known.rows, told: rows }));
            }
            m.set_restoration(txn, Some(Restoration { finished: true, ..known }));
            settle_runs(m, txn, known.skip_before)?;
            Ok(Ok(rows))
        }
    }
}

/// Runs whose firing will not be sent are in nobody's way, and what waits fires only if it is not too old.
fn settle_runs(m: &mut Machine, txn: &mut Txn<'_>, skip_before: i64) -> Result<(), ReadError> {
    let mut decided = Decided::new(m.counters.clock);
    let mut numbers: Vec<u64> = m.tracks.iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    for number in numbers {
        let Some(mut slot) = m.slots.get(number).copied() else { continue };
        overlap::restored(m, txn, (number, &mut slot), skip_before, &mut decided)?;
        m.put_slot(txn, number, slot);
    }
    decided.put(m, txn);
    Ok(())
}

/// One open chunk of each namespace that has some: so its dispatcher starts, which finds the others itself.
fn first_open(m: &Machine) -> Vec<OutboxRef> {
    let first = |lane: u32| {
        let (seq, open) = m.outbox().range(lane, 0).next()?;
        Some(OutboxRef { lane, seq, records: open.records })
    };
    (0..count(m.lanes().len())).filter_map(first).collect()
}

fn put(m: &mut Machine, txn: &mut Txn<'_>, row: Row) -> Result<Fault, ReadError> {
    Ok(match row {
        Row::Version(row) => put_version(m, txn, &row),
        Row::Cursor(row) => put_cursor(m, txn, row)?,
        Row::Retired(row) => put_retired(m, txn, row),
        Row::Seen(row) => put_seen(m, txn, row),
        Row::Chunk(row) => put_chunk(m, txn, row),
        Row::Track(row) => put_track(m, txn, &row),
        Row::Course(row) => put_course(m, txn, row),
        Row::Backfill(row) => put_backfill(m, txn, row),
        Row::Calendar(row) => put_calendar(m, txn, row),
        Row::Uses(row) => put_uses(m, txn, row)?,
    })
}

/// Numbers are given out in order: so no row can claim memory for those that do not exist.
fn put_version(m: &mut Machine, txn: &mut Txn<'_>, row: &VersionRow) -> Fault {
    let next = m.counters.next_number;
    if row.number != next && row.number.checked_add(1) != Some(next) {
        return Err(format!("is of definition {}, and {next} comes next", row.number));
    }
    m.counters.next_number = row.number + 1;
    txn.put(Table::Definitions, keys::definition(row.number, row.version), row.value.encode());
    Ok(())
}

fn put_cursor(m: &mut Machine, txn: &mut Txn<'_>, row: CursorRow) -> Result<Fault, ReadError> {
    let CursorRow { number, namespace, id, mut slot, origin, subscriptions, pause } = row;
    if m.slots.get(number).is_some() {
        return Ok(Err(format!("is the second cursor of definition {number}")));
    }
    let version = query::version(txn, number, slot.version)?;
    if !version.is_some_and(|version| version.namespace == namespace && version.id == id) {
        return Ok(Err(format!("is the cursor of {namespace}/{id}, whose version {} is missing", slot.version)));
    }
    if query::number(txn, &namespace, &id)?.is_some() {
        return Ok(Err(format!("is {namespace}/{id}, which is there already")));
    }
    let Some(lane) = m.lane(txn, &namespace) else {
        return Ok(Err(format!("is of namespace {namespace}, and the shard serves 65,536 others already")));
    };
    txn.put(Table::Names, keys::name(&namespace, &id), number.to_le_bytes().to_vec());
    for (event_type, matcher) in subscriptions {
        let mut value = Encoder::default();
        value.u32(slot.version);
        value.raw(&matcher);
        txn.put(Table::Subscriptions, keys::subscription(&namespace, &event_type, number), value.finish());
    }
    if let Some(note) = pause {
        m.put_pause_note(txn, number, &note);
    }
    if let Some(origin) = origin {
        m.set_origin(txn, number, origin);
    }
    (slot.lane, slot.chunk) = (lane, NO_CHUNK);
    m.put_slot(txn, number, slot);
    Ok(Ok(()))
}

fn put_retired(m: &Machine, txn: &mut Txn<'_>, row: RetiredRow) -> Fault {
    let RetiredRow { hour, number, version } = row;
    known(m, number)?;
    txn.put(Table::Retired, keys::retired(hour, number, version), Vec::new());
    Ok(())
}

fn put_seen(m: &mut Machine, txn: &mut Txn<'_>, row: SeenRow) -> Fault {
    let SeenRow { class, at, digest, more } = row;
    if m.counters.dedupe.restore(txn, class, at, &digest, &more) {
        Ok(())
    } else {
        Err(format!("is a dedupe key of class {class}, which this program does not know"))
    }
}

fn put_track(m: &mut Machine, txn: &mut Txn<'_>, row: &TrackRow) -> Fault {
    let TrackRow { number, part, seq, value } = row;
    let Some(lane) = m.slots.get(*number).map(|slot| slot.lane) else {
        return Err(format!("is of the runs of definition {number}, which has no cursor"));
    };
    m.tracks.restore(txn, (*number, lane), (*part, *seq), value).map_err(|error| error.to_string())
}

fn put_course(m: &mut Machine, txn: &mut Txn<'_>, row: CourseRow) -> Fault {
    let CourseRow { number, value } = row;
    let Some(slot) = m.slots.get(number) else {
        return Err(format!("is of the schedule of definition {number}, which has no cursor"));
    };
    m.courses.restore(txn, (number, slot), value)
}

fn put_backfill(m: &mut Machine, txn: &mut Txn<'_>, row: BackfillRow) -> Fault {
    let BackfillRow { number, id, value } = row;
    if m.slots.get(number).is_none() {
        return Err(format!("is a backfill of definition {number}, which has no cursor"));
    }
    let value = Backfill::decode(&value).map_err(|error| error.to_string())?;
    m.backfills.put(txn, number, &id, value);
    Ok(())
}

/// No shard has its days yet: it is brought to all of them as soon as the restore is finished.
fn put_calendar(m: &mut Machine, txn: &mut Txn<'_>, row: CalendarRow) -> Fault {
    let CalendarRow { namespace, name, head, document } = row;
    if m.calendars.home(&namespace, &name).is_some() {
        return Err(format!("is calendar {namespace}/{name}, which is there already"));
    }
    if head.revision > LAST_REVISION {
        return Err(format!("is calendar {namespace}/{name} of revision {}, which nobody gave out", head.revision));
    }
    m.calendars.raise_truth(txn, head.revision);
    m.calendars.put_document(txn, &namespace, &name, &document);
    m.calendars.put_home(txn, &namespace, &name, Head { pending: true, ..head });
    Ok(())
}

fn put_uses(m: &mut Machine, txn: &mut Txn<'_>, row: UsesRow) -> Result<Fault, ReadError> {
    let UsesRow { number, used } = row;
    if m.slots.get(number).is_none() {
        return Ok(Err(format!("is of the calendars of definition {number}, which has no cursor")));
    }
    m.calendars.give_up(txn, number)?;
    m.calendars.take_up(txn, number, used);
    Ok(Ok(()))
}

fn known(m: &Machine, number: u64) -> Fault {
    let there = m.counters.next_number;
    if number < there { Ok(()) } else { Err(format!("names definition {number}, and there are {there}")) }
}

fn put_chunk(m: &mut Machine, txn: &mut Txn<'_>, row: ChunkRow) -> Fault {
    let ChunkRow { at, namespace, blobs, occurrences } = row;
    if occurrences.is_empty() {
        return Err("has no occurrence".into());
    }
    occurrences.iter().try_for_each(|one| check(m, one))?;
    let is_pending = |one: &Occurred| one.end == End::Pending;
    let lane = if occurrences.iter().any(|one| one.dead || is_pending(one)) {
        if namespace.is_empty() {
            return Err("has firings to be sent, and no namespace".into());
        }
        let lane = m.lane(txn, &namespace);
        Some(lane.ok_or_else(|| format!("is of namespace {namespace}, and the shard serves 65,536 others already"))?)
    } else {
        None
    };
    let seq = m.next_chunk(txn, at);
    let ends: Vec<End> = occurrences.iter().map(|one| one.end.clone()).collect();
    let payload = |one: &Occurred| one.payload.and_then(|blob| blobs.get(blob as usize)).cloned();
    let payloads: Vec<Option<Bytes>> = occurrences.iter().map(payload).collect();
    let dead: Vec<bool> = occurrences.iter().map(|one| one.dead).collect();
    for (index, one) in occurrences.iter().enumerate().filter(|(_, one)| is_pending(one)) {
        m.tracks.place_run(txn, one.what.number, &one.what.key, (seq, count(index)));
    }
    put_misses(txn, seq, &occurrences);
    put_account(m, txn, seq, at, occurrences);
    put_ends(txn, seq, &ends);
    if let Some(lane) = lane {
        let place = (u32::from(lane), seq);
        put_dead(m, txn, place, &ends, &payloads, &dead);
        put_open(m, txn, place, ends, payloads);
    }
    Ok(())
}

/// Whether an occurrence makes sense.
fn check(m: &Machine, one: &Occurred) -> Fault {
    known(m, one.what.number)?;
    if one.what.skip.is_some() != one.end.is_skipped() {
        return Err(format!("has an occurrence that ended as {:?}, and skips for {:?}", one.end, one.what.skip));
    }
    if one.dead && !matches!(one.end, End::Failed { .. }) {
        return Err(format!("has a dead letter that ended as {:?}", one.end));
    }
    Ok(())
}

/// The occurrences, each with a place in its definition's chain.
fn put_account(m: &mut Machine, txn: &mut Txn<'_>, seq: u64, at: i64, occurrences: Vec<Occurred>) {
    let mut touched: BTreeMap<u64, Slot> = BTreeMap::new();
    let mut records = Vec::with_capacity(occurrences.len());
    for Occurred { what: mut record, .. } in occurrences {
        // One that was deleted has no chain.
        let slot = touched.get(&record.number).or_else(|| m.slots.get(record.number)).copied();
        record.previous = slot.map_or(NO_CHUNK, |slot| slot.chunk);
        if let Some(mut slot) = slot {
            slot.chunk = seq;
            touched.insert(record.number, slot);
        }
        records.push(record);
    }
    txn.put(Table::Account, keys::account(seq), Chunk { at, records }.encode());
    touched.into_iter().for_each(|(number, slot)| m.put_slot(txn, number, slot));
}

/// By which reasons the chunk is found.
fn put_misses(txn: &mut Txn<'_>, seq: u64, occurrences: &[Occurred]) {
    let refused = |one: &Occurred| matches!(one.end, End::Failed { .. } | End::Dropped { .. }).then_some(REFUSED);
    let code = |one: &Occurred| one.what.skip.map(Reason::code).or_else(|| refused(one));
    let codes: BTreeSet<u8> = occurrences.iter().filter_map(code).collect();
    codes.into_iter().for_each(|code| txn.put(Table::Misses, keys::miss(code, seq), Vec::new()));
}

fn put_ends(txn: &mut Txn<'_>, seq: u64, ends: &[End]) {
    let all = |one: End| ends.iter().all(|end| *end == one);
    if !all(End::Skipped) && !all(End::Pending) {
        txn.put(Table::Account, keys::account_ends(seq), encode_ends(ends));
    }
}

fn put_dead(
    m: &mut Machine,
    txn: &mut Txn<'_>,
    (lane, seq): (u32, u64),
    ends: &[End],
    payloads: &[Option<Bytes>],
    dead: &[bool],
) {
    let records = count(ends.len());
    for (index, end) in ends.iter().enumerate().filter(|(index, _)| dead[*index]) {
        let End::Failed { at, reason } = end.clone() else { continue };
        let payload = payloads[index].clone();
        let letter = DeadLetter { chunk: seq, record: count(index), records, lane, at, reason, payload };
        txn.put(Table::Dead, keys::dead(m.counters.next_dead), letter.encode());
        m.counters.next_dead += 1;
        m.counters.dead += 1;
    }
}

fn put_open(m: &mut Machine, txn: &mut Txn<'_>, (lane, seq): (u32, u64), ends: Vec<End>, payloads: Vec<Option<Bytes>>) {
    let records = count(ends.len());
    if !ends.contains(&End::Pending) {
        return;
    }
    let mut kept = Payloads::default();
    let pending = payloads.into_iter().zip(&ends).map(|(payload, end)| payload.filter(|_| *end == End::Pending));
    for payload in pending {
        let place = payload.map(|blob| keep(&mut kept.blobs, blob));
        kept.by_record.push(place);
    }
    if kept.blobs.is_empty() {
        kept.by_record.clear();
    }
    txn.put(Table::Outbox, keys::outbox(lane, seq), kept.encode(records));
    let all_pending = ends.iter().all(|end| *end == End::Pending);
    m.outbox.insert(lane, seq, if all_pending { Open::new(records) } else { Open::with_ends(records, ends) });
}

/// Each payload once: those of one event are the same bytes in memory, one after the other.
fn keep(blobs: &mut Vec<Bytes>, blob: Bytes) -> u32 {
    let same = |known: &Bytes| known.as_ptr() == blob.as_ptr() && known.len() == blob.len();
    let place = blobs.iter().rposition(same);
    count(place.unwrap_or_else(|| {
        blobs.push(blob);
        blobs.len() - 1
    }))
}
