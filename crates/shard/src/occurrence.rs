//! The account: what stands in it for each occurrence, and how it is written. One chunk holds the occurrences that one entry decided for
//! one lane; how they ended is written beside it when the sink has answered.
//!
//! The occurrences of one definition form a chain: its cursor knows the newest chunk, each record knows the chunk before it. So an index
//! by definition costs no write of its own, and dropping old chunks just ends the chain.

use crate::codec::{DecodeError, Decoder, Encoder};

const VERSION: u8 = 1;
/// "No chunk": sequences begin at 1.
pub const NO_CHUNK: u64 = 0;

/// Why an occurrence did not fire. The codes stand on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// Met later than the misfire window allows.
    Late = 1,
    /// Missed, and the misfire mode `latest` fires only the latest one.
    Superseded = 2,
    /// Missed, and the misfire mode is `none`.
    Misfire = 3,
    /// The definition was paused.
    Paused = 4,
    /// It came with a backup, and whoever restored that said that nothing so old fires.
    Restored = 5,
    /// A run of the definition was open.
    Overlap = 6,
    /// It waited for a run to be cancelled or terminated, and a later one took its place.
    Replaced = 7,
    /// A run of the definition was open, and too many waited already.
    BufferFull = 8,
    /// It waited, and the definition was deleted.
    Deleted = 9,
    /// It waited, and all firings that the definition may have were used up.
    UsedUp = 14,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Late,
        Self::Superseded,
        Self::Misfire,
        Self::Paused,
        Self::Restored,
        Self::Overlap,
        Self::Replaced,
        Self::BufferFull,
        Self::Deleted,
        Self::UsedUp,
    ];

    /// As it stands on disk; 0 is "none".
    pub fn code(self) -> u8 {
        self as u8
    }

    /// From disk.
    pub fn from_code(code: u8) -> Result<Option<Self>, DecodeError> {
        if code == 0 {
            return Ok(None);
        }
        let found = Self::ALL.into_iter().find(|reason| reason.code() == code);
        found.map(Some).ok_or_else(|| DecodeError(format!("reason {code} is not known")))
    }

    /// A word for lists and filters.
    pub fn word(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Superseded => "superseded",
            Self::Misfire => "misfire",
            Self::Paused => "paused",
            Self::Restored => "restored",
            Self::Overlap => "overlap",
            Self::Replaced => "replaced",
            Self::BufferFull => "buffer_full",
            Self::Deleted => "deleted",
            Self::UsedUp => "used_up",
        }
    }
}

/// What made the occurrence one of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A due time: nominal, and when it was due with jitter; `count` of them where a range was skipped.
    Time {
        /// Microseconds since the epoch.
        nominal: i64,
        /// Microseconds since the epoch.
        due: i64,
        /// 1, or the length of a skipped range.
        count: u32,
    },
    /// An event's dedupe key.
    Event(String),
    /// A manual trigger's request id.
    Manual(String),
    /// A due time of the past, in a backfill.
    Backfill {
        /// Which one.
        id: String,
        /// Microseconds since the epoch.
        nominal: i64,
    },
}

impl Key {
    /// Somebody asked for it: it fires for paused and disabled definitions too.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Manual(_) | Self::Backfill { .. })
    }

    pub(crate) fn encode(e: &mut Encoder, key: &Self) {
        match key {
            Self::Time { nominal, due, count } => {
                e.u8(b't');
                e.i64(*nominal);
                e.i64(*due);
                e.u32(*count);
            }
            Self::Event(key) => {
                e.u8(b'e');
                e.text(key);
            }
            Self::Manual(request) => {
                e.u8(b'm');
                e.text(request);
            }
            Self::Backfill { id, nominal } => {
                e.u8(b'b');
                e.text(id);
                e.i64(*nominal);
            }
        }
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            b't' => Self::Time { nominal: d.i64()?, due: d.i64()?, count: d.u32()? },
            b'e' => Self::Event(d.text()?),
            b'm' => Self::Manual(d.text()?),
            b'b' => Self::Backfill { id: d.text()?, nominal: d.i64()? },
            other => return Err(DecodeError(format!("occurrence kind {other} is not known"))),
        })
    }
}

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which definition.
    pub number: u64,
    /// The definition's version that fires.
    pub version: u32,
    /// The chunk that holds this definition's occurrence before this one, or [`NO_CHUNK`].
    pub previous: u64,
    /// What set it off.
    pub key: Key,
    /// Why it was skipped; else it is a firing.
    pub skip: Option<Reason>,
}

/// The occurrences that one entry decided for one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// When they were decided.
    pub at: i64,
    /// In the order of decision.
    pub records: Vec<Record>,
}

impl Chunk {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(16 + self.records.len() * 48);
        e.u8(VERSION);
        e.i64(self.at);
        e.list(&self.records, Record::encode);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "account chunk")?;
        let chunk = Self { at: d.i64()?, records: d.list(Record::decode)? };
        d.end()?;
        Ok(chunk)
    }
}

pub(crate) fn check_version(version: u8, what: &str) -> Result<(), DecodeError> {
    if version == VERSION { Ok(()) } else { Err(DecodeError(format!("{what} version {version} is not known"))) }
}

impl Record {
    pub(crate) fn encode(e: &mut Encoder, record: &Self) {
        e.u64(record.number);
        e.u32(record.version);
        e.u64(record.previous);
        e.u8(record.skip.map_or(0, Reason::code));
        Key::encode(e, &record.key);
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (number, version, previous) = (d.u64()?, d.u32()?, d.u64()?);
        let skip = Reason::from_code(d.u8()?)?;
        Ok(Self { number, version, previous, key: Key::decode(d)?, skip })
    }
}

/// How a firing ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The sink has not answered for good.
    #[default]
    Pending,
    /// Started, at this time; the note says why it was late, if it had to wait.
    Started {
        /// Microseconds since the epoch.
        at: i64,
        /// Empty where nothing held it up.
        note: String,
    },
    /// Refused for good, at this time.
    Failed {
        /// Microseconds since the epoch.
        at: i64,
        /// What the sink said.
        reason: String,
    },
    /// Skipped when it was decided; stands here so that a chunk's ends are complete.
    Skipped,
    /// Refused, and then dropped from the dead letters by an operator.
    Dropped {
        /// Microseconds since the epoch.
        at: i64,
        /// What the sink had said.
        reason: String,
    },
    /// Skipped because of another run of the definition.
    Overlapped {
        /// Which firing that is of.
        by: Key,
        /// When that was decided, in microseconds since the epoch.
        since: i64,
    },
}

impl End {
    /// Of an occurrence that did not fire.
    pub fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped | Self::Overlapped { .. })
    }

    pub(crate) fn encode(e: &mut Encoder, end: &Self) {
        match end {
            Self::Pending => e.u8(0),
            Self::Started { at, note } => {
                e.u8(1);
                e.i64(*at);
                e.text(note);
            }
            Self::Failed { at, reason } => {
                e.u8(2);
                e.i64(*at);
                e.text(reason);
            }
            Self::Skipped => e.u8(3),
            Self::Dropped { at, reason } => {
                e.u8(4);
                e.i64(*at);
                e.text(reason);
            }
            Self::Overlapped { by, since } => {
                e.u8(5);
                Key::encode(e, by);
                e.i64(*since);
            }
        }
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(match d.u8()? {
            0 => Self::Pending,
            1 => Self::Started { at: d.i64()?, note: d.text()? },
            2 => Self::Failed { at: d.i64()?, reason: d.text()? },
            3 => Self::Skipped,
            4 => Self::Dropped { at: d.i64()?, reason: d.text()? },
            5 => Self::Overlapped { by: Key::decode(d)?, since: d.i64()? },
            other => return Err(DecodeError(format!("end {other} is not known"))),
        })
    }
}

/// All ends of a chunk, by record.
pub fn encode_ends(ends: &[End]) -> Vec<u8> {
    let mut e = Encoder::with_capacity(8 + ends.len() * 14);
    e.u8(VERSION);
    e.list(ends, End::encode);
    e.finish()
}

/// From disk.
pub fn decode_ends(bytes: &[u8]) -> Result<Vec<End>, DecodeError> {
    let mut d = Decoder::new(bytes);
    check_version(d.u8()?, "account ends")?;
    let ends = d.list(End::decode)?;
    d.end()?;
    Ok(ends)
}
