//! Entries that bring a backup in.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::rows::Row;

/// One step of bringing a backup in. Until the last one the shard does nothing else: no half of a backup fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The first one; refused where there is or was anything.
    Begin {
        /// Which backup.
        backup: [u8; 16],
        /// Nothing that was due before this fires; in microseconds since the epoch.
        skip_before: i64,
    },
    /// Some of its rows.
    Rows {
        /// Which backup.
        backup: [u8; 16],
        /// How many rows of this shard came before: those that are here already are passed over.
        from: u64,
        /// In the order of the backup.
        rows: Vec<Row>,
    },
    /// Takes the first step back, where no row has come.
    Cancel {
        /// Which backup.
        backup: [u8; 16],
    },
    /// All is here: from now on the shard is as any other.
    Finish {
        /// Which backup.
        backup: [u8; 16],
        /// How many rows there must be.
        rows: u64,
    },
}

impl Restore {
    pub(super) fn encode(&self, e: &mut Encoder) {
        match self {
            Self::Begin { backup, skip_before } => {
                e.u8(1);
                e.raw(backup);
                e.i64(*skip_before);
            }
            Self::Rows { backup, from, rows } => {
                e.u8(2);
                e.raw(backup);
                e.u64(*from);
                e.list(rows, |e, row| row.put(e));
            }
            Self::Cancel { backup } => {
                e.u8(3);
                e.raw(backup);
            }
            Self::Finish { backup, rows } => {
                e.u8(4);
                e.raw(backup);
                e.u64(*rows);
            }
        }
    }

    pub(super) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (step, backup) = (d.u8()?, d.array()?);
        Ok(match step {
            1 => Self::Begin { backup, skip_before: d.i64()? },
            2 => Self::Rows { backup, from: d.u64()?, rows: d.list(Row::take)? },
            3 => Self::Cancel { backup },
            4 => Self::Finish { backup, rows: d.u64()? },
            other => return Err(DecodeError(format!("step {other} of a restore is not known to this program"))),
        })
    }
}
