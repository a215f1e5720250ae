//! How fast bytes may go: one rate for all files of a place, so that a backup leaves the network and the disks to those that work meanwhile.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// See the module.
#[derive(Debug)]
pub struct Pace {
    /// Bytes a second.
    rate: Option<u64>,
    /// When all that has gone so far has had its time. Who waits for its turn holds it, so turns come in order.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    /// Of so many bytes a second; none for as many as there can be.
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate, free: Mutex::new(None) }
    }

    /// Waits until so many bytes may go.
    pub async fn pass(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let mut free = self.free.lock().await;
        let begin = begin(*free, Instant::now());
        sleep_until(begin).await;
        *free = Some(begin + takes(bytes, rate));
    }
}

/// When the next bytes may go. Time in which nothing went is not saved up: a burst would be what the rate is there against.
fn begin(free: Option<Instant>, now: Instant) -> Instant {
    free.map_or(now, |free| free.max(now))
}

/// For how long so many bytes keep the others waiting.
fn takes(bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_time_that_the_rate_gives_them_and_none_is_saved_up() {
        let second = Duration::from_secs(1);
        for (bytes, rate, expected) in [
            (0, 1, Duration::ZERO),
            (1, 1, second),
            (500, 1000, second / 2),
            (1 << 40, 1 << 40, second),
            (5, 0, second * 5),
        ] {
            assert_eq!(takes(bytes, rate), expected, "{bytes} at {rate}");
        }
        let now = Instant::now() + second * 10;
        for (free, expected) in [(None, now), (Some(now - second), now), (Some(now + second), now + second)] {
            assert_eq!(begin(free, now), expected);
        }
    }
}
