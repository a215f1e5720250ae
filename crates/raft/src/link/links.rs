//! All links of this node to others: finds the one for a call.

use super::counters::{Counters, LinkStats};
use super::greeting::Identity;
use super::lane_link::{Call, Context, Heard, LaneLink};
use super::limits::largest_message;
use super::notices::Notices;
use super::presence::Presence;
use crate::transport::{CallError, Lane, Peer, Transport};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{self, BoxFuture};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Carries messages over one gRPC stream for each peer and lane, opened with the first call and shared by all groups.
///
/// A link that breaks fails the calls that wait on it. For a moment, at most a second, calls to it fail at once; the first one after that connects
/// again. Dropping this ends all links.
pub struct Links {
    context: Arc<Context>,
    peers: Mutex<HashMap<u64, Lanes>>,
}

/// What there is of one peer.
#[derive(Default)]
struct Lanes {
    heard: Arc<Heard>,
    links: HashMap<Lane, Arc<LaneLink>>,
}

impl Links {
    /// Connects to nobody yet. Connections live on `runtime`.
    pub fn new(me: Identity, runtime: Handle, presence: Arc<dyn Presence>) -> Self {
        let (counters, expelled) = (Arc::new(Counters::default()), watch::Sender::new(None));
        let notices = Notices::default();
        let context = Context { me, presence, runtime, expelled, counters, notices };
        Self { context: Arc::new(context), peers: Mutex::default() }
    }

    /// How long ago anything was received from a node on a link of ours; `None` where nothing ever was.
    pub fn heard(&self, node: u64) -> Option<Duration> {
        self.peers.lock().get(&node)?.heard.ago()
    }

    /// Why another node has said that this one must end, as soon as one has: its disk has forgotten what it said and must never speak
    /// again, or it was removed.
    pub fn expelled(&self) -> watch::Receiver<Option<String>> {
        self.context.expelled.subscribe()
    }

    /// Messages sent and answers received since this was made.
    pub fn stats(&self) -> LinkStats {
        self.context.counters.stats()
    }

    fn begin(&self, to: &Peer, lane: Lane, group: u32, message: Bytes, within: Duration) -> Result<Call, CallError> {
        let (bytes, limit) = (message.len(), largest_message(lane));
        if bytes > limit {
            return Err(CallError::TooLarge { bytes, limit });
        }
        self.link(to, lane).enter(group, message, within)
    }

    /// The link to a peer; one to another address of the same node is closed.
    fn link(&self, to: &Peer, lane: Lane) -> Arc<LaneLink> {
        let mut peers = self.peers.lock();
        let Lanes { heard, links } = peers.entry(to.node).or_default();
        if let Some(link) = links.get(&lane)
            && link.peer.address == to.address
        {
            return link.clone();
        }
        let link = Arc::new(LaneLink::new(self.context.clone(), to.clone(), lane, heard.clone()));
        let replaced = links.insert(lane, link.clone());
        drop(peers);
        if let Some(replaced) = replaced {
            replaced.close(&format!("the node's address is {} now", to.address));
        }
        link
    }
}

impl Transport for Links {
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        match self.begin(to, lane, group, message, within) {
            Ok(call) => call.outcome().boxed(),
            Err(error) => future::ready(Err(error)).boxed(),
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for lanes in self.peers.get_mut().values() {
            for link in lanes.links.values() {
                link.close("this node ends");
            }
        }
    }
}
