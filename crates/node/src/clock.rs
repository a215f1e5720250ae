//! The time by which a node fires: the wall clock, as long as it can be believed.
//!
//! Time never runs backward, and a jump ahead does not fire what is due in between: the clock is then held at what the machine's
//! monotonic clock says, until the wall clock comes back, or it is found right ([`crate::clocks`]), or an operator restarts the node and thereby
//! accepts the new time.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// A wall clock that is this far ahead of the monotonic one has jumped: whoever follows it at once fires what is due in between too early. NTP
/// slews by far less, and both clocks go on while the machine is suspended.
pub(crate) const JUMP: i64 = 1_000_000;

/// Where time comes from, so that tests can pass their own.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since the Unix epoch; never less than before.
    fn now(&self) -> i64;

    /// What the wall clock shows, where it has jumped ahead and is not believed.
    fn doubted(&self) -> Option<i64>;

    /// Whether the wall clock has jumped ahead and is not believed.
    fn is_held(&self) -> bool {
        self.doubted().is_some()
    }

    /// Believes the wall clock as it is now: whoever asks has heard so from others.
    fn accept(&self);
}

/// The machine's clocks.
pub struct SystemClock(Believed);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Believed::new(wall(), boot()))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        self.0.now(wall(), boot())
    }

    fn doubted(&self) -> Option<i64> {
        self.0.is_held().then(wall)
    }

    fn accept(&self) {
        self.0.accept(wall(), boot());
    }
}

/// What is believed of a wall clock, beside one that only counts. Both are passed in, in microseconds.
pub struct Believed {
    latest: AtomicI64,
    held: AtomicBool,
    /// Wall clock minus boot clock, as believed.
    offset: Mutex<i64>,
}

impl Believed {
    /// Believes what the wall clock shows at first.
    pub fn new(wall: i64, boot: i64) -> Self {
        Self { latest: AtomicI64::new(wall), held: AtomicBool::new(false), offset: Mutex::new(wall - boot) }
    }

    /// The time; never less than before.
    pub fn now(&self, wall: i64, boot: i64) -> i64 {
        let now = self.believed(wall, boot);
        self.latest.fetch_max(now, Ordering::AcqRel).max(now)
    }

    /// Whether the wall clock has jumped ahead and is not believed.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Believes the wall clock as it is now.
    pub fn accept(&self, wall: i64, boot: i64) {
        *self.offset.lock() = wall - boot;
    }

    fn believed(&self, wall: i64, boot: i64) -> i64 {
        let mut offset = self.offset.lock();
        let expected = boot + *offset;
        let jumped = wall - expected > JUMP;
        if jumped != self.held.swap(jumped, Ordering::AcqRel) {
            report(jumped, wall - expected);
        }
        if jumped {
            return expected;
        }
        // Follow the wall clock: small corrections add up, and going back is handled by never returning less than before.
        *offset = wall - boot;
        wall
    }
}

fn report(jumped: bool, by: i64) {
    let seconds = by / 1_000_000;
    if jumped {
        tracing::error!(
            seconds,
            "the wall clock has jumped ahead; firing goes on by the monotonic clock. Set the clock right, or restart this node to accept it"
        );
    } else {
        tracing::warn!("the wall clock can be believed again");
    }
}

fn wall() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Counts while the machine is suspended, unlike `Instant`.
pub(crate) fn boot() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_ahead_is_held_and_a_return_is_believed() {
        let clock = Believed::new(1_000, 0);
        assert_eq!(clock.believed(1_010, 10), 1_010);
        assert_eq!(clock.believed(1_010 + 5, 20), 1_015, "a small correction is followed");
        assert_eq!(clock.believed(3_000_000, 25), 1_020, "three seconds ahead are not");
        assert_eq!(clock.believed(3_600_000_000, 30), 1_025, "an hour ahead is not");
        assert!(clock.is_held());
        assert_eq!(clock.believed(1_040, 40), 1_040);
        assert!(!clock.is_held());
    }

    #[test]
    fn a_jump_that_is_accepted_is_the_time() {
        let clock = SystemClock(Believed::new(wall() - 3_600_000_000, boot()));
        let believed = clock.now();
        let doubted = clock.doubted().expect("an hour ahead is not believed");
        assert!(doubted - believed > 3_500_000_000, "{doubted} {believed}");
        clock.accept();
        assert!(clock.now() >= doubted);
        assert_eq!(clock.doubted(), None);
    }

    #[test]
    fn time_never_runs_backward() {
        let clock = SystemClock::default();
        let now = clock.now();
        clock.0.latest.store(now + 1_000_000_000, Ordering::Release);
        assert_eq!(clock.now(), now + 1_000_000_000);
    }
}
