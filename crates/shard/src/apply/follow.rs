//! Definitions whose runs others wait for, and who has been told of their ends. Told again, it changes nothing.

use crate::entry::FollowStep;
use crate::kv::Txn;
use crate::machine::Machine;
use crate::reply::Outcome;

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, steps: &[FollowStep]) -> Outcome {
    for step in steps {
        match *step {
            FollowStep::Follow { number, followed: false } => m.tracks.unfollow(txn, number, at),
            FollowStep::Follow { number, followed: true } => {
                // One that is gone has no runs to wait for.
                if let Some(lane) = m.slots.get(number).map(|slot| slot.lane) {
                    m.tracks.follow(txn, (number, lane), at);
                }
            }
            FollowStep::Told { number, run } => m.tracks.told(txn, number, run),
        }
    }
    Outcome::Done
}
