//! Nothing fires before it was due: by the clock of the leader that decides it, which others do not contradict, and by the true time as far as clocks are
//! right.

use crate::faults::CLOCK;

/// Needs to remember nothing.
#[derive(Default)]
pub struct NothingEarly;

impl NothingEarly {
    /// A leader decides that something fires that was due then. All in microseconds since the Unix epoch.
    pub fn decided(&self, clock: i64, due: i64) -> Result<(), String> {
        if clock >= due {
            return Ok(());
        }
        Err(format!("decided {} ms before it was due, by the leader's own clock", (due - clock) / 1000))
    }

    /// And its clock was compared with those of others, and no majority contradicts it.
    pub fn by_a_clock(&self, may_fire: bool) -> Result<(), String> {
        if may_fire {
            Ok(())
        } else {
            Err("decided by a clock that nobody has confirmed, or a majority contradicts".to_owned())
        }
    }

    /// A start reaches the sink: by the true time, for another node than the one that decided it may send it.
    pub fn started(&self, true_time: i64, due: i64) -> Result<(), String> {
        if true_time >= due.saturating_sub(CLOCK) {
            return Ok(());
        }
        Err(format!("started {} ms before it was due; no clock is as wrong", (due - true_time) / 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_is_seen_by_either_clock() {
        let second = 1_000_000;
        assert!(NothingEarly.decided(100 * second, 100 * second).is_ok());
        assert!(NothingEarly.decided(99 * second, 100 * second).is_err());
        assert!(NothingEarly.started(95 * second, 100 * second).is_ok());
        assert!(NothingEarly.started(80 * second, 100 * second).is_err());
    }
}
