//! What a node tells the leader of the meta group, about once a second: its room, and of each shard that it leads how that stands.
//!
//! Binary with a version, because there may be thousands of shards in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flintwheel_raft::{Group, Groups, Leadership};
use flintwheel_shard::Replicated;
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};
use flintwheel_store::free_space;
use tokio::time::Instant;

use super::Placement;

const VERSION: u8 = 1;
/// The same, and the damaged ones at the end. Only told where there are some: a program that knows no other form must not take its node for gone.
const WITH_DAMAGE: u8 = 2;

/// Of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Bytes of its databases.
    pub(super) bytes: u64,
    /// Bytes free on their disk.
    pub(super) free: u64,
    /// Those that it leads.
    pub(super) shards: Vec<Led>,
    /// Those whose replicas here are damaged.
    pub(super) damaged: Vec<u32>,
}

/// Of one shard, by its leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Led {
    pub(super) shard: u32,
    pub(super) term: u64,
    /// Of the leader's replica.
    pub(super) bytes: u64,
    /// Entries that its log has ever had.
    pub(super) entries: u64,
    /// Who takes part, by the group's own word.
    pub(super) members: Vec<u64>,
    /// Entries that each is behind. Who has not said yet what it has is not in it: it may have nothing.
    pub(super) lag: Vec<(u64, u64)>,
}

impl Report {
    fn encode(&self) -> Bytes {
        let mut e = Encoder::default();
        e.u8(if self.damaged.is_empty() { VERSION } else { WITH_DAMAGE });
        e.u64(self.bytes);
        e.u64(self.free);
        e.list(&self.shards, |e, led| {
            e.u32(led.shard);
            e.u64(led.term);
            e.u64(led.bytes);
            e.u64(led.entries);
            e.list(&led.members, |e, node| e.u64(*node));
            e.list(&led.lag, |e, (node, lag)| {
                e.u64(*node);
                e.u64(*lag);
            });
        });
        if !self.damaged.is_empty() {
            e.list(&self.damaged, |e, shard| e.u32(*shard));
        }
        e.finish().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let form = d.u8()?;
        if !(VERSION..=WITH_DAMAGE).contains(&form) {
            return Err(DecodeError(format!("form {form} is not known ({VERSION} and {WITH_DAMAGE} are)")));
        }
        let (bytes, free) = (d.u64()?, d.u64()?);
        let shards = d.list(|d| {
            Ok(Led {
                shard: d.u32()?,
                term: d.u64()?,
                bytes: d.u64()?,
                entries: d.u64()?,
                members: d.list(Decoder::u64)?,
                lag: d.list(|d| Ok((d.u64()?, d.u64()?)))?,
            })
        })?;
        let damaged = if form == WITH_DAMAGE { d.list(Decoder::u32)? } else { Vec::new() };
        d.end()?;
        Ok(Self { bytes, free, shards, damaged })
    }
}

/// A shard's bytes, and when they were asked of the database: that is not for nothing.
pub(super) struct Size {
    bytes: u64,
    at: Instant,
}

impl Placement {
    pub(super) async fn answer_seen(self: &Arc<Self>) -> Result<Bytes, String> {
        let this = Arc::clone(self);
        // Sizes come from the disk.
        let report = tokio::task::spawn_blocking(move || this.report()).await;
        report.map(|report| report.encode()).map_err(|e| format!("it could not observe itself: {e}"))
    }

    fn report(&self) -> Report {
        let me = self.peers.me();
        let (mut shards, mut damaged) = (Vec::new(), Vec::new());
        look(&self.shards, me, &mut shards, &mut damaged);
        look(&self.meta, me, &mut shards, &mut damaged);
        let mut sizes = self.sizes.lock();
        let before = std::mem::take(&mut *sizes);
        for led in &mut shards {
            let size = self.size(led.shard, &before);
            led.bytes = size.bytes;
            sizes.insert(led.shard, size);
        }
        drop(sizes);
        let bytes = self.shards.state_stats().on_disk + self.shards.log_stats().on_disk;
        // A disk that does not say has no room for more.
        let free = free_space(&self.dir).map_or(0, |space| space.available);
        Report { bytes, free, shards, damaged }
    }

    fn size(&self, shard: u32, before: &BTreeMap<u32, Size>) -> Size {
        match before.get(&shard).filter(|size| size.at.elapsed() < self.pace.sizes) {
            Some(size) => Size { ..*size },
            None => Size { bytes: self.shards.bytes(shard), at: Instant::now() },
        }
    }
}

fn look<M: Replicated>(groups: &Groups<M>, me: u64, shards: &mut Vec<Led>, damaged: &mut Vec<u32>) {
    groups.each(|group| {
        shards.extend(led(me, group));
        damaged.extend(group.damage().map(|_| group.shard()));
    });
}

fn led<M: Replicated>(me: u64, group: &Group<M>) -> Option<Led> {
    if !group.leads() {
        return None;
    }
    let status = group.status();
    let Leadership::Leader { term } = status.leadership else { return None };
    let next = |last: Option<u64>| last.map_or(0, |last| last + 1);
    let entries = next(status.last_log);
    let replication = group.replication().into_iter().filter(|(node, has)| *node != me && has.is_some());
    let others = replication.map(|(node, has)| (node, entries.saturating_sub(next(has))));
    let lag = std::iter::once((me, 0)).chain(others).collect();
    let members = group.members();
    let members = members.voters.union(&members.learners).copied().collect();
    Some(Led { shard: group.shard(), term, bytes: 0, entries, members, lag })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let led = Led { shard: 7, term: 2, bytes: 10, entries: 5, members: vec![1, 3], lag: vec![(1, 0), (3, 4)] };
        Report { bytes: 100, free: 200, shards: vec![led], damaged: Vec::new() }
    }

    #[test]
    fn a_report_has_these_bytes() {
        let expected = [
            &[1][..],
            &[100, 0, 0, 0, 0, 0, 0, 0],
            &[200, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0],
            &[7, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0],
            &[10, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0],
            &[3, 0, 0, 0, 0, 0, 0, 0],
            &[4, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(report().encode(), expected);
        assert_eq!(Report::decode(&expected), Ok(report()));
        let damaged = Report { damaged: vec![7, 9], ..report() };
        let expected = [&[2][..], &expected[1..], &[2, 0, 0, 0], &[7, 0, 0, 0], &[9, 0, 0, 0]].concat();
        assert_eq!(damaged.encode(), expected);
        assert_eq!(Report::decode(&expected), Ok(damaged));
    }

    #[test]
    fn a_report_that_is_cut_is_refused() {
        let whole = report().encode();
        (0..whole.len()).for_each(|len| assert!(Report::decode(&whole[..len]).is_err(), "{len} bytes"));
        let newer = [&[3][..], &whole[1..]].concat();
        assert!(Report::decode(&newer).is_err());
    }
}
