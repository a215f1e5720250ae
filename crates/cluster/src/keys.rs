//! The keys of the meta group's rows, all in `Table::Meta`. Numbers are big-endian, so that byte order is numeric order.

use flintwheel_shard::codec::{DecodeError, Decoder};

/// The settings.
pub const SETTINGS: &[u8] = b"s";
/// The counters.
pub const COUNTERS: &[u8] = b"c";
/// All nodes' keys begin with this.
pub const NODE: u8 = b'n';
/// All shards' keys begin with this.
pub const SHARD: u8 = b'h';

/// One node.
pub fn node(id: u64) -> Vec<u8> {
    [[NODE].as_slice(), &id.to_be_bytes()].concat()
}

/// The id in a node's key.
pub fn parse_node(key: &[u8]) -> Result<u64, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(1)?;
    let id = d.array().map(u64::from_be_bytes)?;
    d.end()?;
    Ok(id)
}

/// One shard.
pub fn shard(shard: u32) -> Vec<u8> {
    [[SHARD].as_slice(), &shard.to_be_bytes()].concat()
}

/// The number in a shard's key.
pub fn parse_shard(key: &[u8]) -> Result<u32, DecodeError> {
    let mut d = Decoder::new(key);
    d.raw(1)?;
    let shard = d.array().map(u32::from_be_bytes)?;
    d.end()?;
    Ok(shard)
}
