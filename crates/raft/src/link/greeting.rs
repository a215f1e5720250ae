//! How a link begins: both sides say who they are, and refuse whom they must not talk to.

use super::presence::{Rejection, SINCE, Start};
use crate::transport::{CallError, Lane};
use bytes::Bytes;
use flintwheel_proto::peer::{Hello, Lane as WireLane, Welcome};
use std::fmt::Write;
use std::ops::RangeInclusive;
use tonic::Status;

/// Protocol versions that this program speaks: what messages and entries look like and mean. From version 2 on, entries may carry requests and groups
/// may sleep; from 3 on, nodes say at which start of their program they are, and entries may carry rows of a backup and speak of overlapping runs;
/// from 4 on, entries may bound how often a definition fires and say what becomes of it in the end, and speak of pauses that end by themselves, of
/// backfills, of versions that are kept, and of calendars.
pub const PROTOCOL_VERSIONS: RangeInclusive<u32> = 1..=4;

/// Who this node says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Made with the cluster, the same on all its nodes.
    pub cluster: [u8; 16],
    /// This node's id.
    pub node: u64,
    /// Protocol versions that it speaks: [`PROTOCOL_VERSIONS`].
    pub versions: RangeInclusive<u32>,
}

impl Identity {
    /// First words of a link to another node.
    pub(super) fn hello(&self, to: u64, lane: Lane, mine: Start) -> Hello {
        Hello {
            cluster: Bytes::copy_from_slice(&self.cluster),
            from: self.node,
            to,
            oldest_version: *self.versions.start(),
            newest_version: *self.versions.end(),
            lane: wire(lane).into(),
            epoch: mine.epoch,
            incarnation: mine.incarnation,
            written: mine.written,
        }
    }

    /// Checks a caller's first words, and answers them.
    pub(super) fn welcome(&self, hello: &Hello, mine: Start) -> Result<(Lane, Welcome), Status> {
        let lane = lane(hello)?;
        if hello.cluster != self.cluster[..] {
            let (ours, theirs) = (hex(&self.cluster), hex(&hello.cluster));
            return Err(refused(format!("node {} is of cluster {ours}, the caller of cluster {theirs}", self.node)));
        }
        if hello.to != self.node {
            return Err(refused(format!("this is node {}, the caller looks for node {}", self.node, hello.to)));
        }
        let version = self.common_version(hello).map_err(refused)?;
        let (cluster, node) = (Bytes::copy_from_slice(&self.cluster), self.node);
        let Start { epoch, incarnation, written } = mine;
        Ok((lane, Welcome { cluster, node, version, epoch, incarnation, written }))
    }

    /// The newest that both speak.
    fn common_version(&self, hello: &Hello) -> Result<u32, String> {
        let newest = hello.newest_version.min(*self.versions.end());
        if newest >= hello.oldest_version && newest >= *self.versions.start() {
            return Ok(newest);
        }
        let ours = format!("node {} speaks protocol versions {:?}", self.node, self.versions);
        let theirs = format!("node {} speaks {:?}", hello.from, hello.oldest_version..=hello.newest_version);
        Err(format!("{ours}, {theirs}: upgrade the older one"))
    }

    /// Checks what the node that should be `to` has answered.
    pub(super) fn check(&self, to: u64, welcome: &Welcome) -> Result<(), CallError> {
        if welcome.cluster != self.cluster[..] {
            let (ours, theirs) = (hex(&self.cluster), hex(&welcome.cluster));
            return Err(CallError::Refused(format!("the node is of cluster {theirs}, this one of cluster {ours}")));
        }
        if welcome.node != to {
            return Err(CallError::Refused(format!("it is node {}, not node {to}", welcome.node)));
        }
        if !self.versions.contains(&welcome.version) {
            let text = format!("it chose protocol version {}, allowed is {:?}", welcome.version, self.versions);
            return Err(CallError::Refused(text));
        }
        Ok(())
    }
}

/// At which start a caller says that it is; none where the link's version has no words for it.
pub(super) fn start_of_caller(hello: &Hello, version: u32) -> Result<Option<Start>, String> {
    let Hello { epoch, incarnation, written, .. } = *hello;
    start(hello.from, Start { epoch, incarnation, written }, version)
}

/// The same of who is called.
pub(super) fn start_of_called(welcome: &Welcome) -> Result<Option<Start>, String> {
    let Welcome { epoch, incarnation, written, version, .. } = *welcome;
    start(welcome.node, Start { epoch, incarnation, written }, version)
}

fn start(node: u64, start: Start, version: u32) -> Result<Option<Start>, String> {
    match (version < SINCE, start.epoch) {
        (true, _) => Ok(None),
        (false, 0) => Err(format!("node {node} does not say how often it has started")),
        (false, _) => Ok(Some(start)),
    }
}

/// Why a caller is not talked to, as it is told.
pub(super) fn rejected(rejection: Rejection) -> Status {
    match rejection {
        Rejection::Refused(why) => refused(why),
        Rejection::RolledBack(why) | Rejection::Removed(why) => Status::permission_denied(why),
    }
}

/// The link is not opened; trying again is of no use until somebody has mended it.
pub(super) fn refused(message: String) -> Status {
    Status::failed_precondition(message)
}

fn wire(lane: Lane) -> WireLane {
    match lane {
        Lane::Log => WireLane::Log,
        Lane::Beat => WireLane::Beat,
        Lane::Bulk => WireLane::Bulk,
        Lane::Call => WireLane::Call,
    }
}

fn lane(hello: &Hello) -> Result<Lane, Status> {
    match WireLane::try_from(hello.lane) {
        Ok(WireLane::Log) => Ok(Lane::Log),
        Ok(WireLane::Beat) => Ok(Lane::Beat),
        Ok(WireLane::Bulk) => Ok(Lane::Bulk),
        Ok(WireLane::Call) => Ok(Lane::Call),
        Ok(WireLane::Unspecified) | Err(_) => Err(refused(format!("lane {} is not known here", hello.lane))),
    }
}

fn hex(bytes: &[u8]) -> String {
    // Whatever a caller has sent, a message stays short.
    let mut text = String::new();
    for byte in bytes.iter().take(16) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start { epoch: 4, incarnation: 5, written: 6 };

    fn identity(versions: RangeInclusive<u32>) -> Identity {
        Identity { cluster: [7; 16], node: 2, versions }
    }

    #[test]
    fn the_newest_common_version_is_chosen() {
        for (ours, theirs, chosen) in [
            (1..=1, 1..=1, Some(1)),
            (1..=2, 2..=3, Some(2)),
            (2..=3, 1..=2, Some(2)),
            (1..=9, 3..=4, Some(4)),
            (1..=1, 2..=3, None),
            (4..=5, 2..=3, None),
            // Forged: oldest above newest.
            (1..=9, RangeInclusive::new(5, 3), None),
        ] {
            let hello = Identity { node: 1, ..identity(theirs.clone()) }.hello(2, Lane::Log, START);
            let version = identity(ours.clone()).welcome(&hello, START).ok().map(|(_, welcome)| welcome.version);
            assert_eq!(version, chosen, "{ours:?} and {theirs:?}");
        }
    }

    #[test]
    fn forged_first_words_are_refused() {
        let me = identity(1..=1);
        let good = || me.hello(2, Lane::Bulk, START);
        assert_eq!(me.welcome(&good(), START).map(|(lane, _)| lane).ok(), Some(Lane::Bulk));
        for (hello, text) in [
            (Hello::default(), "lane 0 is not known here"),
            (Hello { lane: 5, ..good() }, "lane 5 is not known here"),
            (Hello { lane: -1, ..good() }, "lane -1 is not known here"),
            (
                Hello { cluster: Bytes::new(), ..good() },
                "node 2 is of cluster 07070707070707070707070707070707, the caller of cluster ",
            ),
            (Hello { to: u64::MAX, ..good() }, "this is node 2, the caller looks for node 18446744073709551615"),
        ] {
            let status = me.welcome(&hello, START).map(|_| ()).unwrap_err();
            assert_eq!(status.message(), text);
        }
    }

    #[test]
    fn a_wrong_welcome_is_refused() {
        let me = identity(1..=1);
        let good = || Welcome { cluster: Bytes::from(vec![7; 16]), node: 3, version: 1, ..Welcome::default() };
        assert_eq!(me.check(3, &good()), Ok(()));
        for wrong in [
            Welcome::default(),
            Welcome { cluster: Bytes::from(vec![7; 17]), ..good() },
            Welcome { node: 2, ..good() },
            Welcome { version: 2, ..good() },
        ] {
            assert!(matches!(me.check(3, &wrong), Err(CallError::Refused(_))), "{wrong:?}");
        }
    }

    #[test]
    fn both_sides_say_at_which_start_they_are_where_both_know_how() {
        for (theirs, ours, told) in [(1..=3, 1..=3, Some(START)), (2..=4, 1..=3, Some(START)), (1..=2, 1..=3, None)] {
            let hello = Identity { node: 1, ..identity(theirs) }.hello(2, Lane::Log, START);
            let (_, welcome) = identity(ours).welcome(&hello, START).unwrap();
            assert_eq!(start_of_caller(&hello, welcome.version), Ok(told));
            assert_eq!(start_of_called(&welcome), Ok(told));
        }
        let silent = identity(1..=3).hello(2, Lane::Log, Start::default());
        assert_eq!(start_of_caller(&silent, 3), Err("node 2 does not say how often it has started".to_owned()));
        assert_eq!(start_of_caller(&silent, 2), Ok(None));
    }
}
