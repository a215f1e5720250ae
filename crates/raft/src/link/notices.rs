//! What was logged lately, so that a link which is tried again and again fills no log.
//!
//! Knows texts and times, and not what they are about.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The same text is logged again after so long: whoever looks at the end of a log finds what still goes on.
const AGAIN: Duration = Duration::from_secs(60);
/// Texts that are remembered. Who sends others each time is not logged beyond them.
const TEXTS: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Notices {
    last: Mutex<HashMap<String, Instant>>,
}

impl Notices {
    /// Whether a text is to be logged now.
    pub(super) fn is_due(&self, text: &str) -> bool {
        self.is_due_at(text, Instant::now())
    }

    fn is_due_at(&self, text: &str, now: Instant) -> bool {
        let mut last = self.last.lock();
        last.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        if last.contains_key(text) || last.len() >= TEXTS {
            return false;
        }
        last.insert(text.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_logged_when_it_is_new_and_once_a_minute() {
        let (notices, start) = (Notices::default(), Instant::now());
        let cases =
            [("a", 0, true), ("a", 1, false), ("b", 1, true), ("a", 59, false), ("a", 60, true), ("b", 60, false)];
        for (text, seconds, due) in cases {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(notices.is_due_at(text, now), due, "{text} after {seconds} s");
        }
    }

    #[test]
    fn ever_other_texts_are_bounded() {
        let (notices, now) = (Notices::default(), Instant::now());
        let logged = (0..1000).filter(|text| notices.is_due_at(&text.to_string(), now)).count();
        assert_eq!((logged, notices.last.lock().len()), (TEXTS, TEXTS));
    }
}
