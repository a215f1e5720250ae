//! What stands in a shard's log about named calendars: changes of the truth, at the home of a namespace's calendars, and what follows from
//! them in every shard. One kind of entry, told apart by its first byte.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::Request;

/// The cluster's format from which on there are calendars.
pub const CALENDARS_SINCE: u32 = 4;

/// What is decided about a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalendarStep {
    /// At home: it is created or changed.
    Put(PutCalendar),
    /// At home: it shall go.
    Remove(RemoveCalendar),
    /// At home: it stays after all, as some shard has a definition that uses it.
    Keep(CalendarMark),
    /// At home: all shards have this revision; or none has it any more, and it is gone.
    Spread {
        /// Which revision.
        mark: CalendarMark,
        /// Definitions that use it, in all shards.
        users: u64,
        /// Definitions whose next due time has moved.
        moved: u64,
    },
    /// In every shard: its days.
    Days {
        /// Which revision.
        mark: CalendarMark,
        /// Opaque here.
        days: Bytes,
    },
    /// In every shard: it goes, unless a definition uses it.
    Drop(CalendarMark),
    /// In every shard: next due times of definitions that use it, by its new days.
    Retime(Retime),
    /// In every shard: next due times of definitions that were to be looked at again.
    Again(Vec<Retimed>),
}

/// A calendar as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutCalendar {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// As given, in canonical JSON; opaque here.
    pub document: Bytes,
    /// Calendars that it refers to.
    pub refers: Vec<String>,
    /// Calendars that refer to it, at whatever distance: their days change with its own.
    pub touched: Vec<String>,
    /// Compare and set: 0 means "must not exist", `None` means "whatever it is".
    pub expected_version: Option<u32>,
    /// The newest revision at home, by which all of this was found: with another one it is found anew.
    pub truth: u64,
    /// Whose it is, if that is to be remembered.
    pub request: Option<Request>,
}

/// A calendar to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveCalendar {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Only if it has this version.
    pub expected_version: Option<u32>,
    /// As with [`PutCalendar`].
    pub truth: u64,
    /// Whose it is, if that is to be remembered.
    pub request: Option<Request>,
}

/// One revision of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalendarMark {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Which revision.
    pub revision: u64,
}

/// Definitions that use a calendar, due anew: some of them, in order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retime {
    /// Whose days they are computed by.
    pub mark: CalendarMark,
    /// In ascending order.
    pub items: Vec<Retimed>,
    /// Where to go on: definitions with a smaller number are done.
    pub from: u64,
    /// There are no others.
    pub last: bool,
}

/// One definition, due anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retimed {
    /// Which definition.
    pub number: u64,
    /// The generation that it was computed from.
    pub generation: u32,
    /// The due time at which its cursor stands.
    pub nominal: i64,
    /// Where it shall stand, or [`NEVER`](crate::entry::NEVER).
    pub next: i64,
}

/// The calendars that a definition names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// The newest revision of its namespace in this shard, by which its due time was computed: with another one it is computed anew.
    pub revision: u64,
    /// Each once, in order.
    pub names: Vec<String>,
}

impl Uses {
    pub(crate) fn encode(e: &mut Encoder, uses: Option<&Self>) {
        e.option(uses, |e, uses| {
            e.u64(uses.revision);
            e.list(&uses.names, |e, name| e.text(name));
        });
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Option<Self>, DecodeError> {
        d.option(|d| Ok(Self { revision: d.u64()?, names: d.list(read_name)? }))
    }
}

/// A name as it stands in keys, which part it from others by a zero byte.
pub(crate) fn plain_name(name: String) -> Result<String, DecodeError> {
    if name.contains('\0') { Err(DecodeError("a name holds a zero byte".into())) } else { Ok(name) }
}

fn read_name(d: &mut Decoder) -> Result<String, DecodeError> {
    plain_name(d.text()?)
}

const PUT: u8 = 1;
const REMOVE: u8 = 2;
const KEEP: u8 = 3;
const SPREAD: u8 = 4;
const DAYS: u8 = 5;
const DROP: u8 = 6;
const RETIME: u8 = 7;
const AGAIN: u8 = 8;

impl CalendarStep {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        match self {
            Self::Put(put) => {
                e.u8(PUT);
                put.encode(e);
            }
            Self::Remove(remove) => {
                e.u8(REMOVE);
                remove.encode(e);
            }
            Self::Keep(mark) => {
                e.u8(KEEP);
                mark.encode(e);
            }
            Self::Spread { mark, users, moved } => {
                e.u8(SPREAD);
                mark.encode(e);
                e.u64(*users);
                e.u64(*moved);
            }
            Self::Days { mark, days } => {
                e.u8(DAYS);
                mark.encode(e);
                e.bytes(days);
            }
            Self::Drop(mark) => {
                e.u8(DROP);
                mark.encode(e);
            }
            Self::Retime(retime) => {
                e.u8(RETIME);
                retime.encode(e);
            }
            Self::Again(items) => {
                e.u8(AGAIN);
                e.list(items, Retimed::encode);
            }
        }
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            PUT => Self::Put(PutCalendar::decode(d)?),
            REMOVE => Self::Remove(RemoveCalendar::decode(d)?),
            KEEP => Self::Keep(CalendarMark::decode(d)?),
            SPREAD => Self::Spread { mark: CalendarMark::decode(d)?, users: d.u64()?, moved: d.u64()? },
            DAYS => Self::Days { mark: CalendarMark::decode(d)?, days: Bytes::copy_from_slice(d.bytes()?) },
            DROP => Self::Drop(CalendarMark::decode(d)?),
            RETIME => Self::Retime(Retime::decode(d)?),
            AGAIN => Self::Again(d.list(Retimed::decode)?),
            other => return Err(DecodeError(format!("step {other} of a calendar is not known to this program"))),
        })
    }
}

impl PutCalendar {
    fn encode(&self, e: &mut Encoder) {
        e.text(&self.namespace);
        e.text(&self.name);
        e.bytes(&self.document);
        e.list(&self.refers, |e, name| e.text(name));
        e.list(&self.touched, |e, name| e.text(name));
        e.option(self.expected_version.as_ref(), |e, version| e.u32(*version));
        e.u64(self.truth);
        Request::encode(e, self.request.as_ref());
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            namespace: read_name(d)?,
            name: read_name(d)?,
            document: Bytes::copy_from_slice(d.bytes()?),
            refers: d.list(read_name)?,
            touched: d.list(read_name)?,
            expected_version: d.option(Decoder::u32)?,
            truth: d.u64()?,
            request: Request::decode(d)?,
        })
    }
}

impl RemoveCalendar {
    fn encode(&self, e: &mut Encoder) {
        e.text(&self.namespace);
        e.text(&self.name);
        e.option(self.expected_version.as_ref(), |e, version| e.u32(*version));
        e.u64(self.truth);
        Request::encode(e, self.request.as_ref());
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            namespace: read_name(d)?,
            name: read_name(d)?,
            expected_version: d.option(Decoder::u32)?,
            truth: d.u64()?,
            request: Request::decode(d)?,
        })
    }
}

impl CalendarMark {
    fn encode(&self, e: &mut Encoder) {
        e.text(&self.namespace);
        e.text(&self.name);
        e.u64(self.revision);
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self { namespace: read_name(d)?, name: read_name(d)?, revision: d.u64()? })
    }
}

impl Retimed {
    pub(crate) fn encode(e: &mut Encoder, item: &Self) {
        e.u64(item.number);
        e.u32(item.generation);
        e.i64(item.nominal);
        e.i64(item.next);
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self { number: d.u64()?, generation: d.u32()?, nominal: d.i64()?, next: d.i64()? })
    }
}

impl Retime {
    fn encode(&self, e: &mut Encoder) {
        self.mark.encode(e);
        e.list(&self.items, Retimed::encode);
        e.u64(self.from);
        e.u8(self.last.into());
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let mark = CalendarMark::decode(d)?;
        Ok(Self { mark, items: d.list(Retimed::decode)?, from: d.u64()?, last: d.flag()? })
    }
}
