//! Which firing keys have been seen. Keys stand in time buckets, and whole buckets are dropped.
//!
//! A bucket is at least as wide as the windows that use it, so a look-up reads two: the current one and the one before. The time of the
//! key decides whether it is still inside its window; so a window is exact whatever its bucket.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::Match;
use crate::keys;
use crate::kv::{ReadError, Table, Txn};

/// Width of a bucket by class, in seconds: 1 minute and then by four, up to 45 days.
const WIDTHS: [u32; 9] = [60, 240, 960, 3_840, 15_360, 61_440, 245_760, 983_040, 3_932_160];
/// Classes of windows.
pub const CLASSES: usize = WIDTHS.len();

/// From which bucket on a class has keys; those before have been dropped, or never were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedupe {
    since: [u32; CLASSES],
}

impl Default for Dedupe {
    fn default() -> Self {
        Self { since: [u32::MAX; CLASSES] }
    }
}

impl Dedupe {
    pub(crate) fn encode(&self, e: &mut Encoder) {
        self.since.iter().for_each(|bucket| e.u32(*bucket));
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let mut since = [0; CLASSES];
        for bucket in &mut since {
            *bucket = d.u32()?;
        }
        Ok(Self { since })
    }

    /// Remembers a key; `true` if it was not known within its window.
    pub fn insert(&mut self, txn: &mut Txn<'_>, at: i64, digest: &[u8; 16], window: u32) -> Result<bool, ReadError> {
        let class = class_of(window);
        let bucket = bucket_of(class, at);
        let horizon = at.saturating_sub(i64::from(window) * 1_000_000);
        for candidate in [Some(bucket), bucket.checked_sub(1)].into_iter().flatten() {
            if candidate >= self.since[class] && seen(txn, class, candidate, digest)?.is_some_and(|seen| seen > horizon)
            {
                return Ok(false);
            }
        }
        self.since[class] = self.since[class].min(bucket);
        txn.put(Table::Dedupe, keys::dedupe(class as u8, bucket, digest), at.to_le_bytes().to_vec());
        Ok(true)
    }

    /// Drops the buckets that no window reaches any more.
    pub fn expire(&mut self, txn: &mut Txn<'_>, at: i64) {
        for class in 0..CLASSES {
            let keep = bucket_of(class, at).saturating_sub(1);
            let since = &mut self.since[class];
            if *since < keep {
                let (from, to) = (keys::dedupe_bucket(class as u8, *since), keys::dedupe_bucket(class as u8, keep));
                txn.delete_range(Table::Dedupe, from, to);
                *since = keep;
            }
        }
    }
}

impl Match {
    /// The longest window that a match may have, in seconds.
    pub const MAX_WINDOW: u32 = WIDTHS[CLASSES - 1];
}

fn class_of(window: u32) -> usize {
    WIDTHS.iter().position(|width| *width >= window).unwrap_or(CLASSES - 1)
}

fn bucket_of(class: usize, at: i64) -> u32 {
    let seconds = (at / 1_000_000).max(0) as u64;
    (seconds / u64::from(WIDTHS[class])) as u32
}

fn seen(txn: &Txn<'_>, class: usize, bucket: u32, digest: &[u8; 16]) -> Result<Option<i64>, ReadError> {
    let value = txn.get(Table::Dedupe, &keys::dedupe(class as u8, bucket, digest))?;
    // A value of another length was written by nobody: count it as seen now, for doubling a firing is worse than dropping a repeat.
    Ok(value.map(|bytes| bytes.try_into().map_or(i64::MAX, i64::from_le_bytes)))
}
