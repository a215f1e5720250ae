//! How many starts may be on their way to a target, and when it must be left alone for a while.

use std::time::{Duration, Instant};

/// Starts on their way at a time when all is well: enough to fill a connection's round trip at tens of thousands a second.
const WINDOW: usize = 512;
/// After a failure only this many are tried at first; each success doubles it.
const PROBES: usize = 4;
const FIRST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);

/// One target's gate.
#[derive(Debug)]
pub struct Gate {
    window: usize,
    closed_until: Option<Instant>,
    failures: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { window: WINDOW, closed_until: None, failures: 0 }
    }
}

impl Gate {
    /// How many more may be sent with `in_flight` on their way.
    pub fn room(&self, in_flight: usize, now: Instant) -> usize {
        if self.closed_until.is_some_and(|until| until > now) { 0 } else { self.window.saturating_sub(in_flight) }
    }

    /// The target answered.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_until = None;
        self.window = (self.window * 2).min(WINDOW);
    }

    /// The target as a whole can't be reached or is throttling. Returns for how long it is left alone; `None` if it is already.
    pub fn failed(&mut self, now: Instant, spread: f64) -> Option<Duration> {
        self.window = PROBES;
        if self.closed_until.is_some_and(|until| until > now) {
            return None;
        }
        let wait = backoff(self.failures, spread);
        self.failures += 1;
        self.closed_until = Some(now + wait);
        Some(wait)
    }
}

/// Exponential, from 100 ms to 5 s, spread over its upper half by a number in 0..1: dispatchers that failed together don't come back together.
pub fn backoff(failures: u32, spread: f64) -> Duration {
    let full = FIRST.saturating_mul(1 << failures.min(10)).min(SLOWEST);
    full.mul_f64(0.5 + 0.5 * spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_fails_is_left_alone_longer_and_longer_then_probed() {
        let mut gate = Gate::default();
        let mut now = Instant::now();
        assert_eq!(gate.room(12, now), WINDOW - 12);
        let waits: Vec<Duration> = (0..8)
            .map(|_| {
                let wait = gate.failed(now, 1.0).expect("open");
                assert_eq!(gate.failed(now, 1.0), None, "those that were on their way too don't count twice");
                assert_eq!(gate.room(0, now), 0);
                now += wait;
                assert_eq!(gate.room(0, now), PROBES);
                wait
            })
            .collect();
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits[7], SLOWEST);
        for _ in 0..20 {
            gate.succeeded();
        }
        assert_eq!(gate.room(0, now), WINDOW);
    }
}
