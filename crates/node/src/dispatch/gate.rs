//! How many starts may be on their way to a target, and when it must be left alone for a while.

use std::time::{Duration, Instant};

/// Starts on their way at a time: as few keep a target on the same machine busy.
const NARROW: usize = 128;
/// As many fill the round trip to a target far away at ten thousand a second; they are sent only where they don't queue up there.
const WIDE: usize = 512;
/// Answers that take less than twice as long as the fastest don't wait for each other at the target: there is room for more.
const AT_EASE: u32 = 2;
/// Answers that take longer than four times the fastest wait for each other: more on their way would only wait too.
const CROWDED: u32 = 4;
/// The fastest answer is forgotten by and by, in case the target has become slower for good: it counts as doubled after so long.
const FORGET: Duration = Duration::from_secs(60);
/// After a failure only this many are tried at first; each success doubles it.
const PROBES: usize = 4;
const FIRST: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(5);

/// One target's gate.
#[derive(Debug)]
pub struct Gate {
    window: usize,
    fastest: Option<(Duration, Instant)>,
    closed_until: Option<Instant>,
    failures: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self { window: NARROW, fastest: None, closed_until: None, failures: 0 }
    }
}

impl Gate {
    /// How many more may be sent with `in_flight` on their way.
    pub fn room(&self, in_flight: usize, now: Instant) -> usize {
        if self.closed_until.is_some_and(|until| until > now) { 0 } else { self.window.saturating_sub(in_flight) }
    }

    /// The target answered a start after `took`; `in_flight` others are still on their way.
    pub fn succeeded(&mut self, took: Duration, in_flight: usize, now: Instant) {
        self.failures = 0;
        self.closed_until = None;
        let fastest = self.fastest(took, now);
        if self.window < NARROW {
            self.window = (self.window * 2).min(NARROW);
        } else if took < fastest * AT_EASE && in_flight + 1 >= self.window {
            self.window = (self.window + 1).min(WIDE);
        } else if took > fastest * CROWDED {
            self.window = (self.window - 1).max(NARROW);
        }
    }

    fn fastest(&mut self, took: Duration, now: Instant) -> Duration {
        let known = self.fastest.map(|(fastest, at)| {
            fastest.mul_f64(1.0 + now.saturating_duration_since(at).as_secs_f64() / FORGET.as_secs_f64())
        });
        match known {
            Some(known) if known < took => known,
            _ => {
                self.fastest = Some((took, now));
                took
            }
        }
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
        assert_eq!(gate.room(12, now), NARROW - 12);
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
            gate.succeeded(FIRST, 0, now);
        }
        assert_eq!(gate.room(0, now), NARROW);
    }

    #[test]
    fn more_are_sent_where_answers_take_no_longer_for_it() {
        let ms = Duration::from_millis;
        let now = Instant::now();
        // How long an answer takes with so many on their way.
        let far_away = |_: usize| ms(50);
        let busy = |in_flight: usize| ms(3) * in_flight as u32;
        for (takes, expected) in [(&far_away as &dyn Fn(usize) -> Duration, WIDE), (&busy, NARROW)] {
            let mut gate = Gate::default();
            gate.succeeded(takes(1), 0, now);
            for _ in 0..10_000 {
                let window = gate.room(0, now);
                gate.succeeded(takes(window), window - 1, now);
            }
            assert_eq!(gate.room(0, now), expected);
        }
    }

    #[test]
    fn a_target_that_becomes_crowded_is_sent_less_and_one_that_became_slower_for_good_is_not() {
        let (quick, slow) = (Duration::from_millis(10), Duration::from_millis(100));
        let mut now = Instant::now();
        let mut gate = Gate::default();
        let mut answers = |gate: &mut Gate, takes, step: Duration| {
            for _ in 0..1000 {
                now += step;
                let window = gate.room(0, now);
                gate.succeeded(takes, window - 1, now);
            }
            gate.room(0, now)
        };
        assert_eq!(answers(&mut gate, quick, Duration::ZERO), WIDE);
        assert_eq!(answers(&mut gate, slow, Duration::ZERO), NARROW);
        assert_eq!(answers(&mut gate, slow, Duration::from_secs(1)), WIDE);
    }

    #[test]
    fn who_sends_little_is_not_let_through_more() {
        let now = Instant::now();
        let mut gate = Gate::default();
        (0..1000).for_each(|_| gate.succeeded(Duration::from_millis(5), 3, now));
        assert_eq!(gate.room(0, now), NARROW);
    }
}
