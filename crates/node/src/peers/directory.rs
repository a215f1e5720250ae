//! Who is in the cluster and where each shard's replicas are, as this node knows it: a copy of the meta group's state, which may be a moment old.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use flintwheel_cluster::Meta;
use flintwheel_cluster::rows::{Node, NodeState};
use parking_lot::Mutex;
use tokio::sync::watch;

/// See the module.
pub struct Directory {
    meta: ArcSwap<Meta>,
    /// Where nodes are reached by others: asked for with each message.
    addresses: ArcSwap<BTreeMap<u64, Arc<str>>>,
    /// The entry of the meta group that the copy was made after.
    version: Mutex<u64>,
    changed: watch::Sender<u64>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            meta: ArcSwap::default(),
            addresses: ArcSwap::default(),
            version: Mutex::new(0),
            changed: watch::Sender::new(0),
        }
    }
}

impl Directory {
    /// The copy.
    pub fn meta(&self) -> Arc<Meta> {
        self.meta.load_full()
    }

    /// The entry of the meta group that it was made after.
    pub fn version(&self) -> u64 {
        *self.version.lock()
    }

    /// Its versions, as they come.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes a copy, unless it is older than what is here.
    pub fn set(&self, version: u64, meta: Meta) {
        let mut mine = self.version.lock();
        if version > *mine {
            *mine = version;
            let part = meta.nodes().filter(|node| node.state != NodeState::Removed);
            let addresses = part.map(|node| (node.id, node.addresses.peer.as_str().into()));
            self.addresses.store(Arc::new(addresses.collect()));
            self.meta.store(Arc::new(meta));
            self.changed.send_replace(version);
        }
    }

    /// Where a node is reached by others.
    pub fn address(&self, node: u64) -> Option<Arc<str>> {
        self.addresses.load().get(&node).cloned()
    }

    /// Nodes that take part, also those that only have an id yet.
    pub fn nodes(&self) -> Vec<Node> {
        self.meta.load().nodes().filter(|node| node.state != NodeState::Removed).cloned().collect()
    }

    /// Whether a node may talk to this one. One that is not known may be new.
    pub fn admit(&self, node: u64) -> Result<(), String> {
        match self.meta.load().node(node) {
            Some(known) if known.state == NodeState::Removed => {
                Err(format!("{} was removed from the cluster", known.title()))
            }
            _ => Ok(()),
        }
    }
}
