//! The bytes of a shard's file: a head, blocks of rows, and an empty block at the end.
//!
//! All numbers are little-endian. The head: `FWBACKUP`, format (4), backup (16), shard (4). A block: stored length (4), plain length (4), rows (4),
//! checksum (8: XXH3 over the twelve bytes before it and what is stored, seeded with the block's number from 0), and the rows, compressed with
//! zlib. A block that is cut, changed, left out or out of its order is found.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use xxhash_rust::xxh3::Xxh3;

const MAGIC: [u8; 8] = *b"FWBACKUP";
/// Of the head.
pub const HEAD: usize = 32;
/// Of what stands before a block's rows.
pub const BLOCK_HEAD: usize = 20;
/// Rows of one block, compressed or not, at most: a length that lies reserves no more.
const BLOCK_BYTES: u32 = 32 * 1024 * 1024;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Of the file.
    pub format: u32,
    /// Which backup it is of.
    pub backup: [u8; 16],
    /// Whose rows it holds.
    pub shard: u32,
}

impl Head {
    /// As it stands in the file.
    pub fn encode(&self) -> Vec<u8> {
        let Self { format, backup, shard } = self;
        [&MAGIC[..], &format.to_le_bytes(), backup, &shard.to_le_bytes()].concat()
    }

    /// From the file's first bytes.
    pub fn decode(bytes: &[u8; HEAD]) -> Result<Self, String> {
        if bytes[..8] != MAGIC {
            return Err("it does not begin as a file of a backup does".into());
        }
        Ok(Self { format: number(&bytes[8..]), backup: array(&bytes[12..]), shard: number(&bytes[28..]) })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("as many bytes as were asked for")
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(array(bytes))
}

/// What stands before a block's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// Bytes that follow.
    pub stored: u32,
    plain: u32,
    /// Rows in them.
    pub rows: u32,
    checksum: u64,
}

impl BlockHead {
    /// From the bytes before a block.
    pub fn decode(bytes: &[u8; BLOCK_HEAD]) -> Result<Self, String> {
        let head = Self {
            stored: number(bytes),
            plain: number(&bytes[4..]),
            rows: number(&bytes[8..]),
            checksum: u64::from_le_bytes(array(&bytes[12..])),
        };
        if head.stored.max(head.plain) > BLOCK_BYTES {
            return Err(format!("a block says that it has {} bytes", head.stored.max(head.plain)));
        }
        Ok(head)
    }

    /// Whether it is the last one, which has nothing in it.
    pub fn is_end(&self) -> bool {
        self.stored == 0
    }

    /// The rows, from what is stored.
    pub fn open(&self, block: u64, stored: &[u8]) -> Result<Vec<u8>, String> {
        if checksum(block, &self.numbers(), stored) != self.checksum {
            return Err(format!("the checksum of block {block} does not match"));
        }
        let mut plain = Vec::with_capacity(self.plain as usize);
        if !self.is_end() {
            let mut decoder = ZlibDecoder::new(stored).take(u64::from(self.plain) + 1);
            decoder.read_to_end(&mut plain).map_err(|e| format!("block {block} can't be unpacked: {e}"))?;
        }
        if plain.len() != self.plain as usize {
            return Err(format!("block {block} has {} bytes of rows, and says {}", plain.len(), self.plain));
        }
        Ok(plain)
    }

    fn numbers(&self) -> [u8; 12] {
        array(&[self.stored, self.plain, self.rows].map(u32::to_le_bytes).concat())
    }
}

fn checksum(block: u64, numbers: &[u8; 12], stored: &[u8]) -> u64 {
    let mut hash = Xxh3::with_seed(block);
    hash.update(numbers);
    hash.update(stored);
    hash.digest()
}

/// A block of rows, or with none of them the end.
pub fn encode_block(block: u64, rows: &[u8], count: u32) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; BLOCK_HEAD];
    if !rows.is_empty() {
        // The fastest level: documents shrink to a fifth by it already.
        let mut encoder = ZlibEncoder::new(&mut bytes, Compression::fast());
        encoder.write_all(rows).and_then(|()| encoder.finish().map(drop)).map_err(|e| e.to_string())?;
    }
    let length = |bytes: usize| u32::try_from(bytes).ok().filter(|bytes| *bytes <= BLOCK_BYTES);
    let lengths = length(rows.len()).zip(length(bytes.len() - BLOCK_HEAD));
    let (plain, stored) = lengths.ok_or_else(|| format!("{} bytes of rows are too many for a block", rows.len()))?;
    let head = BlockHead { stored, plain, rows: count, checksum: 0 };
    let numbers = head.numbers();
    let checksum = checksum(block, &numbers, &bytes[BLOCK_HEAD..]);
    bytes[..12].copy_from_slice(&numbers);
    bytes[12..BLOCK_HEAD].copy_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(block: u64, bytes: &[u8]) -> Result<Vec<u8>, String> {
        let (head, stored) = bytes.split_first_chunk().ok_or("short")?;
        let head = BlockHead::decode(head)?;
        if stored.len() != head.stored as usize {
            return Err("cut".into());
        }
        head.open(block, stored)
    }

    #[test]
    fn a_file_begins_with_these_bytes() {
        let head = Head { format: 1, backup: *b"0123456789abcdef", shard: 258 };
        let bytes = head.encode();
        assert_eq!(bytes, b"FWBACKUP\x01\x00\x00\x000123456789abcdef\x02\x01\x00\x00");
        assert_eq!(Head::decode(&array(&bytes)), Ok(head));
        assert!(Head::decode(&[0; HEAD]).is_err());
    }

    #[test]
    fn the_end_has_these_bytes() {
        let end = encode_block(3, &[], 0).expect("fits");
        assert_eq!(end, [&[0; 12][..], &0x00a7_c083_b2b1_e670_u64.to_le_bytes()].concat());
        assert_eq!(opened(3, &end), Ok(Vec::new()));
    }

    #[test]
    fn rows_come_back_as_they_were() {
        for rows in [vec![1], vec![7; 100_000], (0..=255).collect()] {
            let bytes = encode_block(9, &rows, 5).expect("fits");
            assert_eq!(opened(9, &bytes), Ok(rows));
            assert!(opened(8, &bytes).is_err(), "another place in the file");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        let bytes = encode_block(0, b"some rows, which are not many", 2).expect("fits");
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(0, &flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(opened(0, &bytes[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_block_that_unpacks_to_more_than_it_says_is_not_unpacked() {
        let huge = encode_block(0, &vec![0; 1 << 20], 1).expect("fits");
        let mut head = BlockHead::decode(&array(&huge)).expect("sound");
        head.plain = 10;
        head.checksum = checksum(0, &head.numbers(), &huge[BLOCK_HEAD..]);
        assert!(head.open(0, &huge[BLOCK_HEAD..]).is_err_and(|why| why.contains("11 bytes")));
    }
}
