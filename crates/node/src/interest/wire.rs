//! What two nodes say to each other of subscriptions, as bytes. The first byte is the version.

use bytes::Bytes;
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};
use flintwheel_shard::query::Subscribed;

use super::lease::Position;

const VERSION: u8 = 1;

/// What a node asks another one that it believes to lead some shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The answer may not wait for news.
    pub urgent: bool,
    /// By shard.
    pub asked: Vec<Asked>,
}

/// What it asks of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub shard: u32,
    /// Up to where it has its subscriptions.
    pub has: Position,
    /// Where to go on, if it gets all of them.
    pub next: Option<Next>,
}

/// A place within all of a shard's subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// What stood there when their first page was read.
    pub of: Position,
    /// The key of the first that has not been sent.
    pub from: Vec<u8>,
}

/// What it is told of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The other node does not lead it; this one might.
    Elsewhere(Option<u64>),
    /// Ask again.
    Later,
    /// What has changed since.
    Changes {
        /// Up to where that goes.
        to: Position,
        /// Oldest first.
        changes: Vec<Change>,
        /// For how many microseconds from when it asked it may match; 0 where there is no lease (or it lacks more).
        lasts: i64,
    },
    /// All subscriptions, or a page of them.
    Rows {
        /// Up to where they go, at least.
        of: Position,
        /// In the order of their keys.
        rows: Vec<Subscribed>,
        /// Where the next page begins.
        next: Option<Vec<u8>>,
    },
}

/// The subscriptions of one definition from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which definition.
    pub number: u64,
    /// Its version.
    pub version: u32,
    /// Its namespace.
    pub namespace: String,
    /// Event types and how to match; none where it listens to nothing, or is gone.
    pub subscriptions: Vec<(String, Bytes)>,
}

impl Change {
    /// About as many as it takes on the wire.
    pub fn bytes(&self) -> usize {
        let one = |(index, (event_type, matcher)): (usize, &(String, Bytes))| {
            let matcher = if self.repeats(index) { 0 } else { matcher.len() };
            event_type.len() + matcher + 9
        };
        24 + self.namespace.len() + self.subscriptions.iter().enumerate().map(one).sum::<usize>()
    }

    /// All event types of a definition have the same matcher as a rule, and it may be large: it is sent once.
    fn repeats(&self, index: usize) -> bool {
        index > 0 && self.subscriptions[index].1 == self.subscriptions[index - 1].1
    }

    fn encode(e: &mut Encoder, item: &Self) {
        e.u64(item.number);
        e.u32(item.version);
        e.text(&item.namespace);
        let mut index = 0;
        e.list(&item.subscriptions, |e, (event_type, matcher)| {
            e.text(event_type);
            e.option(Some(matcher).filter(|_| !item.repeats(index)), |e, matcher| e.bytes(matcher));
            index += 1;
        });
    }

    fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (number, version, namespace) = (d.u64()?, d.u32()?, d.text()?);
        let mut last: Option<Bytes> = None;
        let subscriptions = d.list(|d| {
            let event_type = d.text()?;
            let own = d.option(|d| Ok(Bytes::copy_from_slice(d.bytes()?)))?;
            let matcher = own.or_else(|| last.clone());
            last.clone_from(&matcher);
            let matcher = matcher.ok_or_else(|| DecodeError("the first event type has no matcher".into()))?;
            Ok((event_type, matcher))
        })?;
        Ok(Self { number, version, namespace, subscriptions })
    }
}

impl Request {
    /// To the wire.
    pub fn encode(&self) -> Bytes {
        let mut e = Encoder::with_capacity(16 + self.asked.len() * 32);
        e.u8(VERSION);
        e.u8(self.urgent.into());
        e.list(&self.asked, |e, asked| {
            e.u32(asked.shard);
            position(e, asked.has);
            e.option(asked.next.as_ref(), |e, next| {
                position(e, next.of);
                e.bytes(&next.from);
            });
        });
        e.finish().into()
    }

    /// From the wire.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = begin(bytes)?;
        let urgent = d.u8()? != 0;
        let asked = d.list(|d| {
            let (shard, has) = (d.u32()?, read_position(d)?);
            let next = d.option(|d| Ok(Next { of: read_position(d)?, from: d.bytes()?.to_vec() }))?;
            Ok(Asked { shard, has, next })
        })?;
        d.end()?;
        Ok(Self { urgent, asked })
    }
}

/// An answer: by shard, in the order of the request.
pub fn encode_answer(told: &[(u32, Told)]) -> Bytes {
    let mut e = Encoder::with_capacity(16 + told.len() * 40);
    e.u8(VERSION);
    e.list(told, |e, (shard, told)| {
        e.u32(*shard);
        encode_told(e, told);
    });
    e.finish().into()
}

/// The same, from the wire.
pub fn decode_answer(bytes: &[u8]) -> Result<Vec<(u32, Told)>, DecodeError> {
    let mut d = begin(bytes)?;
    let told = d.list(|d| Ok((d.u32()?, decode_told(d)?)))?;
    d.end()?;
    Ok(told)
}

fn encode_told(e: &mut Encoder, told: &Told) {
    match told {
        Told::Elsewhere(leader) => {
            e.u8(0);
            e.option(leader.as_ref(), |e, leader| e.u64(*leader));
        }
        Told::Later => e.u8(1),
        Told::Changes { to, changes, lasts } => {
            e.u8(2);
            position(e, *to);
            e.list(changes, Change::encode);
            e.i64(*lasts);
        }
        Told::Rows { of, rows, next } => {
            e.u8(3);
            position(e, *of);
            e.list(rows, encode_row);
            e.option(next.as_ref(), |e, next| e.bytes(next));
        }
    }
}

fn decode_told(d: &mut Decoder) -> Result<Told, DecodeError> {
    Ok(match d.u8()? {
        0 => Told::Elsewhere(d.option(Decoder::u64)?),
        1 => Told::Later,
        2 => Told::Changes { to: read_position(d)?, changes: d.list(Change::decode)?, lasts: d.i64()? },
        3 => Told::Rows {
            of: read_position(d)?,
            rows: d.list(decode_row)?,
            next: d.option(|d| Ok(d.bytes()?.to_vec()))?,
        },
        other => return Err(DecodeError(format!("{other} is no answer about subscriptions"))),
    })
}

fn encode_row(e: &mut Encoder, row: &Subscribed) {
    e.text(&row.namespace);
    e.text(&row.event_type);
    e.u64(row.number);
    e.u32(row.version);
    e.bytes(&row.matcher);
}

fn decode_row(d: &mut Decoder) -> Result<Subscribed, DecodeError> {
    Ok(Subscribed {
        namespace: d.text()?,
        event_type: d.text()?,
        number: d.u64()?,
        version: d.u32()?,
        matcher: d.bytes()?.to_vec(),
    })
}

fn position(e: &mut Encoder, position: Position) {
    e.u64(position.term);
    e.u32(position.run);
    e.u64(position.seq);
}

fn read_position(d: &mut Decoder) -> Result<Position, DecodeError> {
    Ok(Position { term: d.u64()?, run: d.u32()?, seq: d.u64()? })
}

fn begin(bytes: &[u8]) -> Result<Decoder<'_>, DecodeError> {
    let mut d = Decoder::new(bytes);
    match d.u8()? {
        VERSION => Ok(d),
        other => Err(DecodeError(format!("version {other} is not known to this program ({VERSION} is)"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { term: 3, run: 2, seq: 1 };
    const AT_BYTES: &str = "0300000000000000 02000000 0100000000000000";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn requests_are_these_bytes() {
        let next = Next { of: AT, from: vec![0xAB] };
        let request = Request { urgent: true, asked: vec![Asked { shard: 7, has: AT, next: Some(next) }] };
        let bytes = request.encode();
        let golden = format!("01 01 01000000 07000000 {AT_BYTES} 01 {AT_BYTES} 01000000 ab").replace(' ', "");
        assert_eq!(hex(&bytes), golden);
        assert_eq!(Request::decode(&bytes), Ok(request));
    }

    #[test]
    fn answers_are_these_bytes() {
        let matcher = Bytes::from_static(b"m");
        let subscriptions = vec![("t".into(), matcher.clone()), ("u".into(), matcher.clone())];
        let change = Change { number: 9, version: 4, namespace: "n".into(), subscriptions };
        let row = Subscribed {
            namespace: "n".into(),
            event_type: "t".into(),
            number: 9,
            version: 4,
            matcher: matcher.to_vec(),
        };
        for (told, golden) in [
            (Told::Elsewhere(Some(5)), "00 01 0500000000000000".to_owned()),
            (Told::Later, "01".to_owned()),
            (
                Told::Changes { to: AT, changes: vec![change], lasts: 6 },
                format!(
                    "02 {AT_BYTES} 01000000 0900000000000000 04000000 01000000 6e 02000000 01000000 74 01 01000000 6d 01000000 75 00 0600000000000000"
                ),
            ),
            (
                Told::Rows { of: AT, rows: vec![row], next: Some(vec![0xAB]) },
                format!(
                    "03 {AT_BYTES} 01000000 01000000 6e 01000000 74 0900000000000000 04000000 01000000 6d 01 01000000 ab"
                ),
            ),
        ] {
            let bytes = encode_answer(&[(7, told.clone())]);
            assert_eq!(hex(&bytes), format!("01 01000000 07000000 {golden}").replace(' ', ""), "{told:?}");
            assert_eq!(decode_answer(&bytes), Ok(vec![(7, told)]));
        }
    }

    #[test]
    fn what_is_cut_or_of_another_version_is_refused() {
        let bytes = encode_answer(&[(7, Told::Elsewhere(Some(5)))]);
        for length in 0..bytes.len() {
            assert!(decode_answer(&bytes[..length]).is_err(), "{length}");
            assert!(Request::decode(&bytes[..length]).is_err(), "{length}");
        }
        let other = [&[2], &bytes[1..]].concat();
        assert!(decode_answer(&other).is_err_and(|error| error.0.contains("version 2")));
    }
}
