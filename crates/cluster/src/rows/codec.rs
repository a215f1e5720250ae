//! Rows and their parts as bytes. Frozen: another form is another version beside it.

use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};

use super::{Addresses, Counters, Formats, Move, MoveStep, Node, NodeState, Reason, Replica, Role, Settings, Shard};

const VERSION: u8 = 1;

fn check_version(version: u8, what: &str) -> Result<(), DecodeError> {
    if version == VERSION { Ok(()) } else { Err(DecodeError(format!("{what} version {version} is not known"))) }
}

/// A row: its version, its fields, nothing else.
fn row<T>(
    bytes: &[u8],
    what: &str,
    fields: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut d = Decoder::new(bytes);
    check_version(d.u8()?, what)?;
    let value = fields(&mut d)?;
    d.end()?;
    Ok(value)
}

fn written(fields: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut e = Encoder::with_capacity(128);
    e.u8(VERSION);
    fields(&mut e);
    e.finish()
}

fn unknown<T>(what: &str, code: u8) -> Result<T, DecodeError> {
    Err(DecodeError(format!("{what} {code} is not known to this program")))
}

impl Settings {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        written(|e| Self::put(e, self))
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        row(bytes, "settings", Self::take)
    }

    pub(crate) fn put(e: &mut Encoder, item: &Self) {
        e.raw(&item.cluster);
        e.u32(item.shards);
        e.u32(item.replication);
        e.i64(item.repair_after);
        e.u32(item.most_moves);
    }

    pub(crate) fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            cluster: d.array()?,
            shards: d.u32()?,
            replication: d.u32()?,
            repair_after: d.i64()?,
            most_moves: d.u32()?,
        })
    }
}

impl Counters {
    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        written(|e| {
            e.i64(self.clock);
            e.u64(self.next_node);
        })
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        row(bytes, "counters", |d| Ok(Self { clock: d.i64()?, next_node: d.u64()? }))
    }
}

impl Addresses {
    pub(crate) fn put(e: &mut Encoder, item: &Self) {
        e.text(&item.peer);
        e.text(&item.client);
        e.text(&item.http);
    }

    pub(crate) fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { peer: d.text()?, client: d.text()?, http: d.text()? })
    }
}

impl Formats {
    pub(crate) fn put(e: &mut Encoder, item: &Self) {
        e.u32(item.least);
        e.u32(item.most);
    }

    pub(crate) fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { least: d.u32()?, most: d.u32()? })
    }
}

impl Node {
    /// As it stands on disk. Its id is in the key.
    pub fn encode(&self) -> Vec<u8> {
        written(|e| {
            e.text(&self.name);
            Addresses::put(e, &self.addresses);
            e.option(self.zone.as_ref(), |e, zone| e.text(zone));
            e.option(self.capacity.as_ref(), |e, capacity| e.u64(*capacity));
            e.raw(&self.token.to_le_bytes());
            e.u8(self.state.code());
            e.i64(self.since);
            e.u64(self.epoch);
            e.u64(self.incarnation);
            e.text(&self.program);
            Formats::put(e, &self.formats);
        })
    }

    /// From disk.
    pub fn decode(id: u64, bytes: &[u8]) -> Result<Self, DecodeError> {
        row(bytes, "node", |d| {
            Ok(Self {
                id,
                name: d.text()?,
                addresses: Addresses::take(d)?,
                zone: d.option(Decoder::text)?,
                capacity: d.option(Decoder::u64)?,
                token: d.array().map(u128::from_le_bytes)?,
                state: NodeState::from_code(d.u8()?)?,
                since: d.i64()?,
                epoch: d.u64()?,
                incarnation: d.u64()?,
                program: d.text()?,
                formats: Formats::take(d)?,
            })
        })
    }
}

impl Shard {
    /// As it stands on disk. Its number is in the key.
    pub fn encode(&self) -> Vec<u8> {
        written(|e| {
            e.u64(self.generation);
            e.list(&self.replicas, Replica::put);
            e.option(self.pending.as_ref(), Move::put);
        })
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        row(bytes, "shard", |d| {
            Ok(Self { generation: d.u64()?, replicas: d.list(Replica::take)?, pending: d.option(Move::take)? })
        })
    }
}

impl Replica {
    fn put(e: &mut Encoder, item: &Self) {
        e.u64(item.node);
        e.u8(item.role.code());
        e.u64(item.since);
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self { node: d.u64()?, role: Role::from_code(d.u8()?)?, since: d.u64()? })
    }
}

impl Move {
    fn put(e: &mut Encoder, item: &Self) {
        e.option(item.from.as_ref(), |e, node| e.u64(*node));
        e.option(item.to.as_ref(), |e, node| e.u64(*node));
        e.u8(item.step.code());
        e.i64(item.started);
        e.u8(item.reason.code());
    }

    fn take(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            from: d.option(Decoder::u64)?,
            to: d.option(Decoder::u64)?,
            step: MoveStep::from_code(d.u8()?)?,
            started: d.i64()?,
            reason: Reason::from_code(d.u8()?)?,
        })
    }
}

impl NodeState {
    fn code(self) -> u8 {
        match self {
            Self::Joining => 1,
            Self::Up => 2,
            Self::Draining => 3,
            Self::Removed => 4,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            1 => Self::Joining,
            2 => Self::Up,
            3 => Self::Draining,
            4 => Self::Removed,
            other => return unknown("node state", other),
        })
    }
}

impl Role {
    fn code(self) -> u8 {
        match self {
            Self::Voter => 1,
            Self::Learner => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            1 => Self::Voter,
            2 => Self::Learner,
            other => return unknown("role", other),
        })
    }
}

impl MoveStep {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::AddLearner => 1,
            Self::CatchUp => 2,
            Self::Promote => 3,
            Self::Remove => 4,
            Self::Abandon => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            1 => Self::AddLearner,
            2 => Self::CatchUp,
            3 => Self::Promote,
            4 => Self::Remove,
            5 => Self::Abandon,
            other => return unknown("step", other),
        })
    }
}

impl Reason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Repair => 1,
            Self::Drain => 2,
            Self::Zone => 3,
            Self::Rebalance => 4,
            Self::Command => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Result<Self, DecodeError> {
        Ok(match code {
            1 => Self::Repair,
            2 => Self::Drain,
            3 => Self::Zone,
            4 => Self::Rebalance,
            5 => Self::Command,
            other => return unknown("reason", other),
        })
    }
}
