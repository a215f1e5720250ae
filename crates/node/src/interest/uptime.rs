//! The clock of leases: it never jumps, and it counts while the machine is suspended. What Raft measured by the other monotonic clock is
//! translated to it.
//!
//! Its rate is trusted (see `lease::MARGIN`). A virtual machine that is paused together with its clocks is beyond that.

use std::time::Instant;

use parking_lot::Mutex;

use crate::clock::boot;

/// Clocks that were read one after the other differ by less; what a suspended machine misses is more.
const APART: i64 = 5_000;

/// See the module.
pub struct Uptime {
    /// Both clocks at one instant. Since then they have gone alike.
    alike: Mutex<(Instant, i64)>,
}

impl Default for Uptime {
    fn default() -> Self {
        Self { alike: Mutex::new(read()) }
    }
}

impl Uptime {
    /// Microseconds since the machine started.
    pub fn now(&self) -> i64 {
        boot()
    }

    /// When that was, or a little before; `None` if the machine may have been suspended since.
    pub fn of(&self, instant: Instant) -> Option<i64> {
        self.translate(instant, read())
    }

    fn translate(&self, instant: Instant, (now, boot): (Instant, i64)) -> Option<i64> {
        let mut alike = self.alike.lock();
        let drift = (boot - alike.1) - micros(alike.0, now);
        if drift.abs() > APART {
            *alike = (now, boot);
        }
        // What lies before the instant from which they have gone alike is too old to be of use, or before a suspension.
        (instant >= alike.0).then(|| boot - micros(instant, now))
    }
}

/// Both clocks, the one that counts suspended time a little before the other.
fn read() -> (Instant, i64) {
    let boot = boot();
    (Instant::now(), boot)
}

/// From one instant to another, negative if the other was before.
fn micros(from: Instant, to: Instant) -> i64 {
    let (sign, between) = if to >= from { (1, to - from) } else { (-1, from - to) };
    sign * i64::try_from(between.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_before_the_machine_was_suspended_is_not_believed() {
        let start = Instant::now();
        let uptime = Uptime { alike: Mutex::new((start, 1_000_000)) };
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(uptime.translate(at(50), (at(100), 1_100_000)), Some(1_050_000));
        assert_eq!(uptime.translate(at(150), (at(200), 61_200_000)), None, "a minute was missed");
        assert_eq!(uptime.translate(at(150), (at(300), 61_300_000)), None);
        assert_eq!(uptime.translate(at(250), (at(300), 61_300_000)), Some(61_250_000));
    }
}
