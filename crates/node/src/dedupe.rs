//! Under which digest a firing key is remembered: that of the definition's number, or for a restored definition of the number that it had in its
//! first cluster, so that what was sent again is known here too.

use flintwheel_model::FiringKey;
use flintwheel_model::ids::dedupe_digest;
use flintwheel_shard::Machine;
use flintwheel_shard::entry::Match;

/// Of a definition of this shard.
pub fn digest(machine: &Machine, number: u64, key: &FiringKey) -> [u8; 16] {
    match machine.origin(number) {
        Some(origin) => origin.masked(dedupe_digest(origin.number, key)),
        None => dedupe_digest(number, key),
    }
}

/// The digests of matches, which came with those of the numbers that definitions have here.
pub fn as_restored(machine: &Machine, matches: &mut [Match]) {
    if !machine.has_origins() {
        return;
    }
    for matched in matches.iter_mut().filter(|matched| machine.origin(matched.number).is_some()) {
        matched.digest = digest(machine, matched.number, &FiringKey::Event(matched.key.clone()));
    }
}
