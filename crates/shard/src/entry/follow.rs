//! Entries about definitions whose runs others wait for.

use crate::codec::{DecodeError, Decoder, Encoder};

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowStep {
    /// The ends of a definition's runs are to be told to others; or not any more, unless that was asked for lately.
    Follow {
        /// Which definition.
        number: u64,
        /// To be told.
        followed: bool,
    },
    /// All who wait for the end of a run have been told, and have it on disk.
    Told {
        /// Of which definition.
        number: u64,
        /// Which of its runs.
        run: u64,
    },
}

impl FollowStep {
    pub(crate) fn encode(e: &mut Encoder, step: &Self) {
        match step {
            Self::Follow { number, followed } => {
                e.u8(1);
                e.u64(*number);
                e.u8((*followed).into());
            }
            Self::Told { number, run } => {
                e.u8(2);
                e.u64(*number);
                e.u64(*run);
            }
        }
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (step, number) = (d.u8()?, d.u64()?);
        Ok(match step {
            1 => Self::Follow { number, followed: d.flag()? },
            2 => Self::Told { number, run: d.u64()? },
            other => return Err(DecodeError(format!("step {other} about runs that others wait for is not known"))),
        })
    }
}
