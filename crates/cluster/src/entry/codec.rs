//! Entries as bytes. Frozen: another form is another version beside it.

use bytes::Bytes;
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder, decode_entry, encode_entry};

use super::{
    BeginMove, Body, Change, Drain, EndMove, Entry, Init, Join, MoveOutcome, Placement, Register, Remove, StepMove,
};
use crate::rows::{Addresses, Formats, MoveStep, Reason, Settings};

/// Of the whole encoding; the first byte of each entry.
const VERSION: u8 = 1;

impl Entry {
    /// As it stands in the log.
    pub fn encode(&self) -> Bytes {
        encode_entry(VERSION, self.body.kind(), self.at, 256, |e| self.body.put(e)).into()
    }

    /// From the log.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (at, body) = decode_entry(VERSION, bytes, Body::take)?;
        Ok(Self { at, body })
    }
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Init(_) => 1,
            Self::Join(_) => 2,
            Self::Register(_) => 3,
            Self::Drain(_) => 4,
            Self::Remove(_) => 5,
            Self::SetSettings(_) => 6,
            Self::BeginMove(_) => 7,
            Self::StepMove(_) => 8,
            Self::EndMove(_) => 9,
            Self::SetReplicas(_) => 10,
        }
    }

    fn put(&self, e: &mut Encoder) {
        match self {
            Self::Init(init) => {
                Settings::put(e, &init.settings);
                Join::put(e, &init.first);
            }
            Self::Join(join) => Join::put(e, join),
            Self::Register(register) => Register::put(e, register),
            Self::Drain(Drain { node, drain }) => {
                e.u64(*node);
                e.u8((*drain).into());
            }
            Self::Remove(Remove { node, force }) => {
                e.u64(*node);
                e.u8((*force).into());
            }
            Self::SetSettings(change) => Change::put(e, change),
            Self::BeginMove(begin) => BeginMove::put(e, begin),
            Self::StepMove(step) => {
                e.u32(step.shard);
                e.u64(step.generation);
                e.u8(step.step.code());
            }
            Self::EndMove(end) => {
                e.u32(end.shard);
                e.u64(end.generation);
                e.u8(end.outcome.code());
            }
            Self::SetReplicas(items) => e.list(items, Placement::put),
        }
    }

    fn take(kind: u8, d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Self::Init(Init { settings: Settings::take(d)?, first: Join::take(d)? }),
            2 => Self::Join(Join::take(d)?),
            3 => Self::Register(Register::take(d)?),
            4 => Self::Drain(Drain { node: d.u64()?, drain: flag(d)? }),
            5 => Self::Remove(Remove { node: d.u64()?, force: flag(d)? }),
            6 => Self::SetSettings(Change::take(d)?),
            7 => Self::BeginMove(BeginMove::take(d)?),
            8 => {
                let (shard, generation) = (d.u32()?, d.u64()?);
                Self::StepMove(StepMove { shard, generation, step: MoveStep::from_code(d.u8()?)? })
            }
            9 => {
                let (shard, generation) = (d.u32()?, d.u64()?);
                Self::EndMove(EndMove { shard, generation, outcome: MoveOutcome::from_code(d.u8()?)? })
            }
            10 => Self::SetReplicas(d.list(Placement::take)?),
            other => return Err(DecodeError(format!("entry kind {other} is not known to this program"))),
        })
    }
}

fn flag(d: &mut Decoder<'_>) -> Result<bool, DecodeError> {
    match d.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(DecodeError(format!("{other} is not a flag"))),
    }
}

impl Join {
    fn put(e: &mut Encoder, item: &Self) {
        e.text(&item.name);
        Addresses::put(e, &item.addresses);
        e.option(item.zone.as_ref(), |e, zone| e.text(zone));
        e.option(item.capacity.as_ref(), |e, capacity| e.u64(*capacity));
        e.raw(&item.token.to_le_bytes());
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: d.text()?,
            addresses: Addresses::take(d)?,
            zone: d.option(Decoder::text)?,
            capacity: d.option(Decoder::u64)?,
            token: d.array().map(u128::from_le_bytes)?,
        })
    }
}

impl Register {
    fn put(e: &mut Encoder, item: &Self) {
        e.u64(item.node);
        e.u64(item.epoch);
        e.u64(item.incarnation);
        Addresses::put(e, &item.addresses);
        e.option(item.zone.as_ref(), |e, zone| e.text(zone));
        e.option(item.capacity.as_ref(), |e, capacity| e.u64(*capacity));
        e.text(&item.program);
        Formats::put(e, &item.formats);
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: d.u64()?,
            epoch: d.u64()?,
            incarnation: d.u64()?,
            addresses: Addresses::take(d)?,
            zone: d.option(Decoder::text)?,
            capacity: d.option(Decoder::u64)?,
            program: d.text()?,
            formats: Formats::take(d)?,
        })
    }
}

impl Change {
    fn put(e: &mut Encoder, item: &Self) {
        e.option(item.replication.as_ref(), |e, value| e.u32(*value));
        e.option(item.repair_after.as_ref(), |e, value| e.i64(*value));
        e.option(item.most_moves.as_ref(), |e, value| e.u32(*value));
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            replication: d.option(Decoder::u32)?,
            repair_after: d.option(Decoder::i64)?,
            most_moves: d.option(Decoder::u32)?,
        })
    }
}

impl BeginMove {
    fn put(e: &mut Encoder, item: &Self) {
        e.u32(item.shard);
        e.u64(item.generation);
        e.option(item.from.as_ref(), |e, node| e.u64(*node));
        e.option(item.to.as_ref(), |e, node| e.u64(*node));
        e.u8(item.reason.code());
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            shard: d.u32()?,
            generation: d.u64()?,
            from: d.option(Decoder::u64)?,
            to: d.option(Decoder::u64)?,
            reason: Reason::from_code(d.u8()?)?,
        })
    }
}

impl MoveOutcome {
    fn code(self) -> u8 {
        match self {
            Self::Done => 1,
            Self::Abandoned => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        match code {
            1 => Ok(Self::Done),
            2 => Ok(Self::Abandoned),
            other => Err(DecodeError(format!("outcome {other} is not known to this program"))),
        }
    }
}

impl Placement {
    fn put(e: &mut Encoder, item: &Self) {
        e.u32(item.shard);
        e.list(&item.nodes, |e, node| e.u64(*node));
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { shard: d.u32()?, nodes: d.list(Decoder::u64)? })
    }
}
