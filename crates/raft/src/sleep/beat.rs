//! The bytes of a beat and of its answer: what one node says to another of all groups that sleep on both.

use super::PAIR;
use super::pairs::Notice;
use crate::codec::{DecodeError, Decoded, place, put_number, sealed, take_number, unsealed};
use bytes::Bytes;

/// More groups than this in one beat were not sent by us.
const MOST: u64 = 10_000;

const BEAT: u8 = 48;
const BEATEN: u8 = 49;

/// A node lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// Which start of its program this is.
    pub(crate) boot: u64,
    /// Whether its disk does what it is asked. As long as it does not, the node is not to be counted on.
    pub(crate) well: bool,
    /// All that it owes the other one, until a beat with it is answered.
    pub(crate) notices: Vec<Notice>,
}

/// The answer: the same of who answers, but for the disk. Nobody unseats a leader because a follower's disk stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beaten {
    pub(crate) boot: u64,
    pub(crate) notices: Vec<Notice>,
}

fn seed() -> u64 {
    place(PAIR, u64::MAX)
}

impl Beat {
    pub(crate) fn encode(&self) -> Bytes {
        let mut into = Vec::new();
        sealed(&mut into, seed(), BEAT, |into| {
            put_number(into, self.boot);
            into.push(self.well.into());
            put_notices(into, &self.notices);
        });
        into.into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut body = of_kind(BEAT, bytes)?;
        let boot = take_number(&mut body)?;
        let (well, mut rest) = match body {
            [0, rest @ ..] => (false, rest),
            [1, rest @ ..] => (true, rest),
            _ => return Err(DecodeError::Malformed),
        };
        let notices = take_notices(&mut rest)?;
        if rest.is_empty() { Ok(Self { boot, well, notices }) } else { Err(DecodeError::Malformed) }
    }
}

impl Beaten {
    pub(crate) fn encode(&self) -> Bytes {
        let mut into = Vec::new();
        sealed(&mut into, seed(), BEATEN, |into| {
            put_number(into, self.boot);
            put_notices(into, &self.notices);
        });
        into.into()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut body = of_kind(BEATEN, bytes)?;
        let boot = take_number(&mut body)?;
        let notices = take_notices(&mut body)?;
        if body.is_empty() { Ok(Self { boot, notices }) } else { Err(DecodeError::Malformed) }
    }
}

fn of_kind(wanted: u8, bytes: &[u8]) -> Decoded<&[u8]> {
    match unsealed(seed(), bytes)? {
        (kind, body) if kind == wanted => Ok(body),
        _ => Err(DecodeError::Malformed),
    }
}

fn put_notices(into: &mut Vec<u8>, notices: &[Notice]) {
    put_number(into, notices.len() as u64);
    for Notice { group, token } in notices {
        put_number(into, (*group).into());
        put_number(into, *token);
    }
}

fn take_notices(from: &mut &[u8]) -> Decoded<Vec<Notice>> {
    let count = take_number(from)?;
    if count > MOST {
        return Err(DecodeError::Malformed);
    }
    let mut one = || {
        let group = u32::try_from(take_number(from)?).map_err(|_| DecodeError::Malformed)?;
        Ok(Notice { group, token: take_number(from)? })
    };
    // Nothing is allocated before it is there, so a lie costs nothing.
    (0..count).map(|_| one()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices() -> Vec<Notice> {
        vec![Notice { group: 3, token: 300 }, Notice { group: u32::MAX - 1, token: u64::MAX }]
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn beats_have_these_bytes_and_are_read_back() {
        let beat = Beat { boot: 7, well: true, notices: notices() };
        let beaten = Beaten { boot: 8, notices: vec![] };
        // Nodes of two versions speak to each other. (Version, checksum, kind, body.)
        let tail = |bytes: &[u8]| hex(&bytes[9..]);
        assert_eq!(tail(&beat.encode()), "3007010203ac02feffffff0fffffffffffffffffff01");
        assert_eq!(tail(&beaten.encode()), "310800");
        assert_eq!((Beat::decode(&beat.encode()), Beaten::decode(&beaten.encode())), (Ok(beat), Ok(beaten)));
    }

    #[test]
    fn what_was_cut_or_changed_is_no_beat() {
        let whole = Beat { boot: 7, well: false, notices: notices() }.encode();
        for cut in 0..whole.len() {
            assert!(Beat::decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Beat::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(Beaten::decode(&whole).is_err(), "a beat is no answer");
    }
}
