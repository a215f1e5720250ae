//! What stands in a shard's log about pauses.

use super::Request;
use crate::codec::{DecodeError, Decoder, Encoder};

/// A definition to pause or to resume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub id: String,
    /// Pause, or resume.
    pub paused: bool,
    /// Why, for people.
    pub note: String,
    /// On resume: the first nominal due time after now. A cursor that stands beyond it stays there.
    pub next: i64,
    /// On resume: due times between that were passed over.
    pub missed: u32,
    /// On resume: each due time up to here that is not passed over is to fire, whatever the misfire mode says. Microseconds since the epoch.
    pub wanted_through: Option<i64>,
    /// On pause: when it ends by itself, in microseconds since the epoch; without it, it does not. On resume: only if the pause is to end then.
    pub until: Option<i64>,
    /// On resume: what its due times were computed from.
    pub computed: Option<Computed>,
    /// Whose it is, if that is to be remembered.
    pub request: Option<Request>,
}

/// What a resume was computed from, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// The definition's generation; a later one makes the resume stale.
    pub generation: u32,
    /// The last nominal time that is passed over: it is decided, and is not decided again, whoever's clock is behind.
    pub passed: Option<i64>,
}

impl Computed {
    fn encode(e: &mut Encoder, item: &Self) {
        e.u32(item.generation);
        e.option(item.passed.as_ref(), |e, nominal| e.i64(*nominal));
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self { generation: d.u32()?, passed: d.option(Decoder::i64)? })
    }
}

/// What an entry's kind has beyond the oldest one: requests; wishes and ends; what it was computed from.
type More = (bool, bool, bool);

impl Pause {
    pub(super) fn encode(e: &mut Encoder, item: &Self, (requests, bounds, computed): More) {
        e.text(&item.namespace);
        e.text(&item.id);
        e.u8(item.paused.into());
        e.text(&item.note);
        e.i64(item.next);
        e.u32(item.missed);
        if requests || bounds {
            Request::encode(e, item.request.as_ref());
        }
        if bounds {
            e.option(item.wanted_through.as_ref(), |e, through| e.i64(*through));
            e.option(item.until.as_ref(), |e, until| e.i64(*until));
        }
        if computed {
            e.option(item.computed.as_ref(), Computed::encode);
        }
    }

    pub(super) fn decode(d: &mut Decoder, (requests, bounds, computed): More) -> Result<Self, DecodeError> {
        Ok(Self {
            namespace: d.text()?,
            id: d.text()?,
            paused: d.flag()?,
            note: d.text()?,
            next: d.i64()?,
            missed: d.u32()?,
            request: if requests { Request::decode(d)? } else { None },
            wanted_through: if bounds { d.option(Decoder::i64)? } else { None },
            until: if bounds { d.option(Decoder::i64)? } else { None },
            computed: if computed { d.option(Computed::decode)? } else { None },
        })
    }
}
