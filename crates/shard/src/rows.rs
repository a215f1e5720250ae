//! A shard's state as rows that depend neither on its keys nor on the number of shards: what a backup holds, and what a restore brings in.
//!
//! The bytes of a row stand in backups that are kept for years: a kind is never changed, a new one is added beside it. What a row holds of a
//! stored value (a version, a cursor, a note) is that value's own versioned encoding.

use bytes::Bytes;

use crate::calendar_entry::plain_name;
use crate::calendars::{Head, UsedNames};
use crate::codec::{DecodeError, Decoder, Encoder};
use crate::courses::Course;
use crate::occurrence::{End, Record};
use crate::records::{Origin, PauseNote, Version};
use crate::slots::Slot;

/// One row. They come in the order of the kinds, so that each finds what it speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// One version of a definition.
    Version(VersionRow),
    /// A definition that is there.
    Cursor(CursorRow),
    /// A version that may be dropped when it is old enough.
    Retired(RetiredRow),
    /// A dedupe key that was seen.
    Seen(SeenRow),
    /// Occurrences that were decided together.
    Chunk(ChunkRow),
    /// A part of what is known of a definition's runs.
    Track(TrackRow),
    /// How far a definition's schedule has come beyond its cursor.
    Course(CourseRow),
    /// A backfill of a definition.
    Backfill(BackfillRow),
    /// A named calendar.
    Calendar(CalendarRow),
    /// The calendars that a definition uses.
    Uses(UsesRow),
}

/// One version of a definition. All of one stand together, in order of version; a definition that was deleted has no cursor, and its versions
/// stay for as long as something may load them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    /// Which definition, in its shard.
    pub number: u64,
    /// Of the definition as given.
    pub version: u32,
    /// The version.
    pub value: Version,
}

/// A definition that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorRow {
    /// Which one.
    pub number: u64,
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Its cursor. Lane and newest chunk are those of the shard that it comes from, and mean nothing elsewhere.
    pub slot: Slot,
    /// Under which number its dedupe keys were made, where that is not its own.
    pub origin: Option<Origin>,
    /// Event types that it listens to, each with what the ingress needs to match.
    pub subscriptions: Vec<(String, Bytes)>,
    /// Why it is paused.
    pub pause: Option<PauseNote>,
}

/// A version that was superseded, or whose definition was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredRow {
    /// When, in whole hours since the epoch.
    pub hour: u32,
    /// Of which definition.
    pub number: u64,
    /// Which version.
    pub version: u32,
}

/// A dedupe key that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Of its window.
    pub class: u8,
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// Of definition and key.
    pub digest: [u8; 16],
    /// What else is remembered with it. Empty for the key of a firing, which alone is made of the definition's number.
    pub more: Bytes,
}

/// A part of what is known of a definition's runs, as it stands in the shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRow {
    /// Of which definition.
    pub number: u64,
    /// Which kind of part; the head comes first.
    pub part: u8,
    /// Tells runs from each other, and what waits.
    pub seq: u64,
    /// The part. A run that waits for the sink has no place in it: that is told by its occurrence.
    pub value: Bytes,
}

/// How far a definition's schedule has come beyond its cursor. After the parts of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CourseRow {
    /// Of which definition.
    pub number: u64,
    /// How far.
    pub value: Course,
}

/// A backfill of a definition, under way or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillRow {
    /// Of which definition.
    pub number: u64,
    /// Which of its backfills.
    pub id: String,
    /// As it stands in the shard.
    pub value: Bytes,
}

/// A named calendar, of the shard where it is at home. Days that shards have are not kept: they are made anew of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarRow {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// What is known of it.
    pub head: Head,
    /// As given.
    pub document: Bytes,
}

/// The calendars that a definition uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsesRow {
    /// Which definition.
    pub number: u64,
    /// Its namespace, and their names.
    pub used: UsedNames,
}

/// Occurrences that were decided together, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// When, in microseconds since the epoch.
    pub at: i64,
    /// Of those that wait for the sink or are dead letters; empty where there are none.
    pub namespace: String,
    /// Events and inputs of those, each once.
    pub blobs: Vec<Bytes>,
    /// In the order of decision.
    pub occurrences: Vec<Occurred>,
}

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurred {
    /// What was decided. The chunk before it is that of the shard that it comes from, and means nothing elsewhere.
    pub what: Record,
    /// How it ended.
    pub end: End,
    /// Its event or input: index into the row's blobs.
    pub payload: Option<u32>,
    /// It was refused for good, and is a dead letter.
    pub dead: bool,
}

impl Row {
    /// As it stands in a backup and in an entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        self.put(&mut e);
        e.finish()
    }

    pub(crate) fn put(&self, e: &mut Encoder) {
        match self {
            Self::Version(row) => {
                e.u8(1);
                e.u64(row.number);
                e.u32(row.version);
                e.bytes(&row.value.encode());
            }
            Self::Cursor(row) => {
                e.u8(2);
                row.put(e);
            }
            Self::Retired(RetiredRow { hour, number, version }) => {
                e.u8(3);
                e.u32(*hour);
                e.u64(*number);
                e.u32(*version);
            }
            Self::Seen(SeenRow { class, at, digest, more }) => {
                e.u8(4);
                e.u8(*class);
                e.i64(*at);
                e.raw(digest);
                e.bytes(more);
            }
            Self::Chunk(row) => {
                e.u8(5);
                row.put(e);
            }
            Self::Track(TrackRow { number, part, seq, value }) => {
                e.u8(6);
                e.u64(*number);
                e.u8(*part);
                e.u64(*seq);
                e.bytes(value);
            }
            Self::Course(CourseRow { number, value }) => {
                e.u8(16);
                e.u64(*number);
                e.bytes(&value.encode());
            }
            Self::Backfill(BackfillRow { number, id, value }) => {
                e.u8(27);
                e.u64(*number);
                e.text(id);
                e.bytes(value);
            }
            Self::Calendar(CalendarRow { namespace, name, head, document }) => {
                e.u8(24);
                e.text(namespace);
                e.text(name);
                e.bytes(&head.encode());
                e.bytes(document);
            }
            Self::Uses(UsesRow { number, used }) => {
                e.u8(25);
                e.u64(*number);
                e.bytes(&used.encode());
            }
        }
    }

    /// The other way.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let row = Self::take(&mut d)?;
        d.end()?;
        Ok(row)
    }

    pub(crate) fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            1 => {
                let (number, version) = (d.u64()?, d.u32()?);
                Self::Version(VersionRow { number, version, value: Version::decode(d.bytes()?)? })
            }
            2 => Self::Cursor(CursorRow::take(d)?),
            3 => Self::Retired(RetiredRow { hour: d.u32()?, number: d.u64()?, version: d.u32()? }),
            4 => {
                let (class, at, digest) = (d.u8()?, d.i64()?, d.array()?);
                Self::Seen(SeenRow { class, at, digest, more: Bytes::copy_from_slice(d.bytes()?) })
            }
            5 => Self::Chunk(ChunkRow::take(d)?),
            6 => {
                let (number, part, seq) = (d.u64()?, d.u8()?, d.u64()?);
                Self::Track(TrackRow { number, part, seq, value: Bytes::copy_from_slice(d.bytes()?) })
            }
            16 => Self::Course(CourseRow { number: d.u64()?, value: Course::decode(d.bytes()?)? }),
            24 => {
                let (namespace, name) = (plain_name(d.text()?)?, plain_name(d.text()?)?);
                let head = Head::decode(d.bytes()?)?;
                Self::Calendar(CalendarRow { namespace, name, head, document: Bytes::copy_from_slice(d.bytes()?) })
            }
            25 => Self::Uses(UsesRow { number: d.u64()?, used: UsedNames::decode(d.bytes()?)? }),
            27 => {
                let (number, id) = (d.u64()?, d.text()?);
                Self::Backfill(BackfillRow { number, id, value: Bytes::copy_from_slice(d.bytes()?) })
            }
            other => return Err(DecodeError(format!("a row of kind {other} is not known to this program"))),
        })
    }
}

impl CursorRow {
    fn put(&self, e: &mut Encoder) {
        e.u64(self.number);
        e.text(&self.namespace);
        e.text(&self.id);
        e.bytes(&self.slot.encode());
        e.option(self.origin.as_ref(), |e, origin| e.bytes(&origin.encode()));
        e.list(&self.subscriptions, |e, (event_type, matcher)| {
            e.text(event_type);
            e.bytes(matcher);
        });
        e.option(self.pause.as_ref(), |e, note| e.bytes(&note.encode()));
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: d.u64()?,
            namespace: d.text()?,
            id: d.text()?,
            slot: Slot::decode(d.bytes()?)?,
            origin: d.option(|d| Origin::decode(d.bytes()?))?,
            subscriptions: d.list(|d| Ok((d.text()?, Bytes::copy_from_slice(d.bytes()?))))?,
            pause: d.option(|d| PauseNote::decode(d.bytes()?))?,
        })
    }
}

impl ChunkRow {
    fn put(&self, e: &mut Encoder) {
        e.i64(self.at);
        e.text(&self.namespace);
        e.list(&self.blobs, |e, blob| e.bytes(blob));
        e.list(&self.occurrences, |e, one| {
            Record::encode(e, &one.what);
            End::encode(e, &one.end);
            e.option(one.payload.as_ref(), |e, blob| e.u32(*blob));
            e.u8(one.dead.into());
        });
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (at, namespace) = (d.i64()?, d.text()?);
        let blobs = d.list(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?;
        let occurrences = d.list(|d| {
            let (what, end) = (Record::decode(d)?, End::decode(d)?);
            Ok(Occurred { what, end, payload: d.option(Decoder::u32)?, dead: d.flag()? })
        })?;
        let beyond = |one: &&Occurred| one.payload.is_some_and(|blob| blob as usize >= blobs.len());
        match occurrences.iter().find(beyond) {
            Some(one) => Err(DecodeError(format!("an occurrence has blob {:?} of {}", one.payload, blobs.len()))),
            None => Ok(Self { at, namespace, blobs, occurrences }),
        }
    }
}

/// Rows as they travel and stand in a backup: each with its length.
pub fn encode_all(rows: &[Row]) -> Vec<u8> {
    let mut e = Encoder::default();
    rows.iter().for_each(|row| e.bytes(&row.encode()));
    e.finish()
}

/// The other way.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Row>, DecodeError> {
    let (mut d, mut rows) = (Decoder::new(bytes), Vec::new());
    while !d.is_empty() {
        rows.push(Row::decode(d.bytes()?)?);
    }
    Ok(rows)
}
