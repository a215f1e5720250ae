//! All that the meta group keeps, as bytes: nodes that have no replica of it hold such a copy.

use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};

use crate::keys;
use crate::machine::Meta;

/// Of the form, not of the rows: each of those has its own.
const VERSION: u8 = 1;

impl Meta {
    /// All rows, in the form in which they are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut e = Encoder::default();
        e.u8(VERSION);
        let settings = self.settings.iter().map(|settings| (keys::SETTINGS.to_vec(), settings.encode()));
        let counters = [(keys::COUNTERS.to_vec(), self.counters.encode())];
        let nodes = self.nodes.values().map(|node| (keys::node(node.id), node.encode()));
        let shards = self.shards.iter().map(|(shard, row)| (keys::shard(*shard), row.encode()));
        let rows: Vec<_> = settings.chain(counters).chain(nodes).chain(shards).collect();
        e.list(&rows, |e, (key, value)| {
            e.bytes(key);
            e.bytes(value);
        });
        e.finish()
    }

    /// The other way. What does not fit together is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        match d.u8()? {
            VERSION => {}
            other => return Err(DecodeError(format!("version {other} of the copy is not known ({VERSION} is)"))),
        }
        let mut meta = Self::default();
        d.list(|d| meta.load(d.bytes()?, d.bytes()?))?;
        d.end()?;
        meta.check()?;
        Ok(meta)
    }
}
