//! Matches for a shard that another node leads: brought there, and taken in there. Sent twice they do no harm, for their keys were seen.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_raft::CallError;
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};
use flintwheel_shard::entry::{Ingest, Match};
use flintwheel_shard::reply::Ingested;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::weight;
use crate::actors::shard::IngestJob;
use crate::error::EngineError;
use crate::peers::{Answers, Subject};
use crate::shared::{Place, Shared};

const VERSION: u8 = 1;
/// Of matches that make definitions due.
const DUE_VERSION: u8 = 2;
/// For room at the leader: who asked waits a little longer.
const ADMISSION: Duration = Duration::from_secs(2);
/// When too much is on its way to a node.
const FULL: Duration = Duration::from_millis(10);

/// What the other node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// By match, durable.
    Taken(Vec<Ingested>),
    /// It does not lead the shard; this one might.
    Elsewhere(Option<u64>),
    /// It has no room.
    Busy,
    /// Not now.
    Later,
    /// It can't.
    Failed(String),
    /// The disks of these nodes have no room.
    DiskLow(Vec<u64>),
}

/// Brings matches to the node that leads their shard. Begins at once, whether the future is polled or not.
pub fn bring(
    shared: &Arc<Shared>,
    (node, shard): (u64, u32),
    events: Vec<Bytes>,
    matches: Vec<Match>,
    deadline: Instant,
) -> BoxFuture<'static, Result<Vec<Ingested>, EngineError>> {
    let shared = Arc::clone(shared);
    let count = matches.len();
    let body = encode(shard, &Ingest { events, matches });
    let call = move |shared: &Shared| {
        let rest = deadline.saturating_duration_since(Instant::now());
        shared.peers.call(node, Subject::Ingest, body.clone(), rest)
    };
    let mut first = Some(call(&shared));
    async move {
        let answer = loop {
            let answer = first.take().unwrap_or_else(|| call(&shared)).await;
            if answer != Err(CallError::Busy) || Instant::now() + FULL > deadline {
                break answer;
            }
            sleep(FULL).await;
        };
        settle(&shared, node, shard, count, answer)
    }
    .boxed()
}

fn settle(
    shared: &Shared,
    node: u64,
    shard: u32,
    count: usize,
    answer: Result<Bytes, CallError>,
) -> Result<Vec<Ingested>, EngineError> {
    let answer = match answer.map(|bytes| Answer::decode(&bytes)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(EngineError::Read(format!("node {node}'s answer to matches: {error}"))),
        Err(CallError::Busy) => return Err(EngineError::Busy),
        Err(CallError::TooLarge { bytes, limit }) => {
            return Err(EngineError::Read(format!("matches for a shard have {bytes} bytes; {limit} can be sent")));
        }
        Err(error) => {
            tracing::debug!(node, shard, %error, "a shard's leader was not reached");
            shared.not_led_by(shard, node, None);
            return Err(EngineError::NotLed);
        }
    };
    match answer {
        Answer::Taken(outcomes) if outcomes.len() == count => Ok(outcomes),
        Answer::Taken(outcomes) => {
            Err(EngineError::Read(format!("node {node} answered {} of {count} matches", outcomes.len())))
        }
        Answer::Elsewhere(leader) => {
            shared.not_led_by(shard, node, leader);
            Err(EngineError::NotLed)
        }
        Answer::Busy => Err(EngineError::Busy),
        Answer::Later => Err(EngineError::Restarting { shard }),
        Answer::Failed(why) => {
            shared.not_led_by(shard, node, None);
            Err(EngineError::ShardStopped(why))
        }
        Answer::DiskLow(nodes) => Err(EngineError::DiskLow { shard, nodes }),
    }
}

/// Takes matches in that other nodes bring.
pub struct Taker(pub Arc<Shared>);

impl Answers for Taker {
    fn answer(&self, _: u64, body: Bytes) -> BoxFuture<'static, Result<Bytes, String>> {
        let shared = Arc::clone(&self.0);
        async move {
            let (shard, ingest) = decode(&body).map_err(|e| format!("matches for a shard: {e}"))?;
            if shard >= shared.shards() {
                return Err(format!("matches for shard {shard}: there are {}", shared.shards()));
            }
            Ok(take(&shared, shard, ingest).await.encode())
        }
        .boxed()
    }
}

async fn take(shared: &Shared, shard: u32, Ingest { events, matches }: Ingest) -> Answer {
    match shared.place(shard) {
        Place::Here => {}
        Place::At(node) => return Answer::Elsewhere(Some(node)),
        Place::Nowhere => return Answer::Elsewhere(None),
    }
    let permit = match timeout(ADMISSION, shared.admit(shard, weight(&events, &matches))).await {
        Ok(Ok(permit)) => permit,
        Ok(Err(_)) => return Answer::Later,
        Err(_) => return Answer::Busy,
    };
    let (reply, answer) = oneshot::channel();
    match shared.ingest(shard, IngestJob { events, matches, reply, permit }) {
        Ok(()) => {}
        Err(EngineError::DiskLow { nodes, .. }) => return Answer::DiskLow(nodes),
        Err(_) => return Answer::Later,
    }
    match answer.await {
        Ok(Ok(outcomes)) => Answer::Taken(outcomes),
        Ok(Err(EngineError::Busy)) => Answer::Busy,
        Ok(Err(error)) if !error.is_passing() => Answer::Failed(error.to_string()),
        Ok(Err(_)) | Err(_) => Answer::Later,
    }
}

fn encode(shard: u32, ingest: &Ingest) -> Bytes {
    let mut e = Encoder::with_capacity(16 + weight(&ingest.events, &ingest.matches) + ingest.matches.len() * 64);
    e.u8(if ingest.has_due() { DUE_VERSION } else { VERSION });
    e.u32(shard);
    Ingest::encode(&mut e, ingest);
    e.finish().into()
}

fn decode(bytes: &[u8]) -> Result<(u32, Ingest), DecodeError> {
    let (mut d, due) = match bytes.split_first() {
        Some((&DUE_VERSION, rest)) => (Decoder::new(rest), true),
        _ => (begin(bytes)?, false),
    };
    let found = (d.u32()?, Ingest::decode(&mut d, due)?);
    d.end()?;
    Ok(found)
}

impl Answer {
    fn encode(&self) -> Bytes {
        let mut e = Encoder::default();
        e.u8(VERSION);
        match self {
            Self::Taken(outcomes) => {
                e.u8(0);
                e.list(outcomes, |e, outcome| e.u8(code(*outcome)));
            }
            Self::Elsewhere(leader) => {
                e.u8(1);
                e.option(leader.as_ref(), |e, leader| e.u64(*leader));
            }
            Self::Busy => e.u8(2),
            Self::Later => e.u8(3),
            Self::Failed(why) => {
                e.u8(4);
                e.text(why);
            }
            Self::DiskLow(nodes) => {
                e.u8(5);
                e.list(nodes, |e, node| e.u64(*node));
            }
        }
        e.finish().into()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = begin(bytes)?;
        let answer = match d.u8()? {
            0 => Self::Taken(d.list(|d| outcome(d.u8()?))?),
            1 => Self::Elsewhere(d.option(Decoder::u64)?),
            2 => Self::Busy,
            3 => Self::Later,
            4 => Self::Failed(d.text()?),
            5 => Self::DiskLow(d.list(Decoder::u64)?),
            other => return Err(DecodeError(format!("{other} is no answer to matches"))),
        };
        d.end()?;
        Ok(answer)
    }
}

fn begin(bytes: &[u8]) -> Result<Decoder<'_>, DecodeError> {
    let mut d = Decoder::new(bytes);
    match d.u8()? {
        VERSION => Ok(d),
        other => Err(DecodeError(format!("version {other} is not known to this program ({VERSION} is)"))),
    }
}

fn code(outcome: Ingested) -> u8 {
    match outcome {
        Ingested::Fired => 0,
        Ingested::Duplicate => 1,
        Ingested::Skipped => 2,
        Ingested::Stale => 3,
    }
}

fn outcome(code: u8) -> Result<Ingested, DecodeError> {
    Ok(match code {
        0 => Ingested::Fired,
        1 => Ingested::Duplicate,
        2 => Ingested::Skipped,
        3 => Ingested::Stale,
        other => return Err(DecodeError(format!("{other} is no outcome of a match"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn matches_are_these_bytes() {
        let matched =
            Match { event: 0, number: 9, version: 4, key: "k".into(), digest: [0xAB; 16], window: 60, due: None };
        let ingest = Ingest { events: vec![Bytes::from_static(b"e")], matches: vec![matched] };
        let bytes = encode(7, &ingest);
        let digest = "ab".repeat(16);
        let golden = format!(
            "01 07000000 01000000 01000000 65 01000000 00000000 0900000000000000 04000000 01000000 6b {digest} 3c000000"
        );
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
        assert_eq!(decode(&bytes), Ok((7, ingest.clone())));
        let matches = vec![Match { due: Some(5), ..ingest.matches[0].clone() }];
        let due = Ingest { matches, ..ingest };
        let with_due = encode(7, &due);
        assert_eq!(hex(&with_due), format!("02{}010500000000000000", &hex(&bytes)[2..]));
        assert_eq!(decode(&with_due), Ok((7, due)));
        assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).is_err()));
    }

    #[test]
    fn answers_to_matches_are_these_bytes() {
        let all = vec![Ingested::Fired, Ingested::Duplicate, Ingested::Skipped, Ingested::Stale];
        for (answer, golden) in [
            (Answer::Taken(all), "01 00 04000000 00 01 02 03"),
            (Answer::Elsewhere(None), "01 01 00"),
            (Answer::Elsewhere(Some(5)), "01 01 01 0500000000000000"),
            (Answer::Busy, "01 02"),
            (Answer::Later, "01 03"),
            (Answer::Failed("x".into()), "01 04 01000000 78"),
            (Answer::DiskLow(vec![2, 3]), "01 05 02000000 0200000000000000 0300000000000000"),
        ] {
            let bytes = answer.encode();
            assert_eq!(hex(&bytes), golden.replace(' ', ""), "{answer:?}");
            assert_eq!(Answer::decode(&bytes), Ok(answer));
        }
        assert!(Answer::decode(&[2, 2]).is_err_and(|error| error.0.contains("version 2")));
        assert!(Answer::decode(&[1, 9]).is_err());
    }
}
