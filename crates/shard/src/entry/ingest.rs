//! Entries about events: those that matched definitions of the shard, and ends of runs elsewhere that make some of them due.

use bytes::Bytes;

use crate::codec::{DecodeError, Decoder, Encoder};

/// Events matched to definitions of this shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// The events as they came in (CloudEvents protobuf), each once; for what makes a definition due, why it does.
    pub events: Vec<Bytes>,
    /// What they matched.
    pub matches: Vec<Match>,
}

/// One event that matched one definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index into the entry's events.
    pub event: u32,
    /// Which definition.
    pub number: u64,
    /// The definition's version whose subscription matched; another one makes the match stale.
    pub version: u32,
    /// The dedupe key, as written in the firing key.
    pub key: String,
    /// Of definition and key.
    pub digest: [u8; 16],
    /// For how long the key is remembered, in seconds.
    pub window: u32,
    /// It does not fire, but makes the definition due then, in microseconds since the epoch; or [`NEVER`](super::NEVER), where the schedule
    /// excludes that time.
    pub due: Option<i64>,
}

impl Ingest {
    /// Needs a form that nodes know since [`AFTER_SINCE`](super::AFTER_SINCE).
    pub fn has_due(&self) -> bool {
        self.matches.iter().any(|matched| matched.due.is_some())
    }

    /// As it stands in an entry.
    pub fn encode(e: &mut Encoder, item: &Self) {
        let due = item.has_due();
        e.list(&item.events, |e, event| e.bytes(event));
        e.list(&item.matches, |e, matched| {
            Match::encode(e, matched);
            if due {
                e.option(matched.due.as_ref(), |e, due| e.i64(*due));
            }
        });
    }

    /// From an entry; `due` says whether it may make definitions due.
    pub fn decode(d: &mut Decoder, due: bool) -> Result<Self, DecodeError> {
        let events = d.list(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?;
        let matches = d.list(|d| {
            let matched = Match::decode(d)?;
            Ok(Match { due: if due { d.option(Decoder::i64)? } else { None }, ..matched })
        })?;
        match matches.iter().find(|matched| matched.event as usize >= events.len()) {
            Some(Match { event, .. }) => Err(DecodeError(format!("a match is of event {event} of {}", events.len()))),
            None => Ok(Self { events, matches }),
        }
    }
}

impl Match {
    fn encode(e: &mut Encoder, item: &Self) {
        e.u32(item.event);
        e.u64(item.number);
        e.u32(item.version);
        e.text(&item.key);
        e.raw(&item.digest);
        e.u32(item.window);
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        Ok(Self {
            event: d.u32()?,
            number: d.u64()?,
            version: d.u32()?,
            key: d.text()?,
            digest: d.array()?,
            window: d.u32()?,
            due: None,
        })
    }
}
