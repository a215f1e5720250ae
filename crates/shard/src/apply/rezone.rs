//! Definitions due by other time-zone data.

use crate::apply::calendar::move_one;
use crate::codec::count;
use crate::kv::Txn;
use crate::machine::Machine;
use crate::reply::Outcome;
use crate::zones::{Rezone, Zoned};

/// In order, up to the first that has changed since it was computed: the leader goes on from there. Data of another version than the last one's begins
/// anew, from the first definition on.
pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, rezone: &Rezone) -> Outcome {
    let known = m.zoned().filter(|zoned| zoned.version == rezone.version).cloned();
    let mut zoned = known.unwrap_or(Zoned { version: rezone.version.clone(), from: 0, done: false });
    let mut moved = 0;
    for item in rezone.items.iter().filter(|item| item.number >= zoned.from) {
        let Some(has_moved) = move_one(m, txn, item) else {
            zoned.from = item.number;
            m.set_zoned(txn, zoned);
            return Outcome::Rezoned { moved };
        };
        moved += count(usize::from(has_moved));
    }
    zoned.from = zoned.from.max(rezone.from);
    zoned.done |= rezone.last;
    m.set_zoned(txn, zoned);
    Outcome::Rezoned { moved }
}
