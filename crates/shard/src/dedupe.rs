//! Which firing keys have been seen, and which requests carried out. Keys stand in time buckets, and whole buckets are dropped.
//!
//! A bucket is at least as wide as the windows that use it, so a look-up reads two: the current one and the one before. The time of the
//! key decides whether it is still inside its window; so a window is exact whatever its bucket.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::Match;
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};

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
        let known = self.find(txn, at, digest, window, seen)?.is_some();
        if !known {
            self.put(txn, at, digest, window, at.to_le_bytes().to_vec());
        }
        Ok(!known)
    }

    /// What is remembered of a key within its window; `read` finds in it when the key was taken.
    pub(crate) fn find(
        &self,
        state: &dyn Read,
        at: i64,
        digest: &[u8; 16],
        window: u32,
        read: impl Fn(&[u8]) -> i64,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        let class = class_of(window);
        let bucket = bucket_of(class, at);
        let horizon = at.saturating_sub(i64::from(window) * 1_000_000);
        for candidate in [Some(bucket), bucket.checked_sub(1)].into_iter().flatten() {
            if candidate < self.since[class] {
                continue;
            }
            let value = state.get(Table::Dedupe, &keys::dedupe(class as u8, candidate, digest))?;
            if let Some(value) = value.filter(|value| read(value) > horizon) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// Remembers a key, from now on.
    pub(crate) fn put(&mut self, txn: &mut Txn<'_>, at: i64, digest: &[u8; 16], window: u32, value: Vec<u8>) {
        let class = class_of(window);
        let bucket = bucket_of(class, at);
        self.since[class] = self.since[class].min(bucket);
        txn.put(Table::Dedupe, keys::dedupe(class as u8, bucket, digest), value);
    }

    /// Whether there is anything for [`Dedupe::expire`] to drop.
    pub fn has_expired(&self, at: i64) -> bool {
        (0..CLASSES).any(|class| self.since[class] < bucket_of(class, at).saturating_sub(1))
    }

    /// Remembers a key that was seen elsewhere at this time, and what is remembered with it; `false` where there is no such class.
    pub fn restore(&mut self, txn: &mut Txn<'_>, class: u8, at: i64, digest: &[u8; 16], more: &[u8]) -> bool {
        let Some(since) = self.since.get_mut(usize::from(class)) else { return false };
        let bucket = bucket_of(class.into(), at);
        *since = (*since).min(bucket);
        txn.put(Table::Dedupe, keys::dedupe(class, bucket, digest), [at.to_le_bytes().as_slice(), more].concat());
        true
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

/// A value of another length was written by nobody: it counts as seen now, for doubling a firing is worse than dropping a repeat.
fn seen(value: &[u8]) -> i64 {
    value.try_into().map_or(i64::MAX, i64::from_le_bytes)
}
