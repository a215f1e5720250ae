//! Why a Temporal server's due times differ from what its documentation says, as far as that is known: told by what clocks do near by.

use chrono_tz::Tz;
use serde::Serialize;

use super::zone::{Change, DAY, HOUR, next_change};

/// How far from a change of clocks it shows: a day that is searched with another weekday, and an hour or two that are jumped over.
const NEAR: i64 = DAY + 3 * HOUR;

/// An error of the server's search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Clocks go back by an hour, in a zone that is not west of UTC then.
    RepeatedHour,
    /// Clocks go back by something else than an hour.
    RepeatedSpan,
    /// Clocks go forward at midnight, west of UTC.
    MidnightLeftOut,
    /// Clocks go forward, but not from a full hour to a full hour.
    PartOfHourLeftOut,
    /// The zone has crossed the date line.
    DayLeftOut,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::RepeatedHour, Self::RepeatedSpan, Self::MidnightLeftOut, Self::PartOfHourLeftOut, Self::DayLeftOut];

    /// What happens there, in a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Self::RepeatedHour => {
                "where clocks go back in a zone at or east of UTC, Temporal takes the second of two equal local times for the first one: it \
                 leaves out times of the hour that comes twice, and starts an hour late what is due in the hours beside it"
            }
            Self::RepeatedSpan => {
                "where clocks go back by something else than an hour, Temporal takes it for an hour: it leaves out times that come twice, and \
                 starts others that no clock shows"
            }
            Self::MidnightLeftOut => {
                "where clocks go forward at midnight west of UTC, Temporal takes that day for the weekday before it"
            }
            Self::PartOfHourLeftOut => {
                "where clocks go forward by a part of an hour, or from within one, Temporal starts what is due at a time that is left out, or \
                 leaves out what is due after it"
            }
            Self::DayLeftOut => "a day that the zone left out is taken for the day after it",
        }
    }
}

/// What there is near an instant that is known to lead to differences; none where clocks do nothing near by, or only what the server handles
/// well. Seconds since the Unix epoch.
pub fn cause(zone: Tz, second: i64) -> Option<Cause> {
    let mut from = second - NEAR;
    while let Some(change) = next_change(zone, from, second + NEAR) {
        if let Some(cause) = of(change) {
            return Some(cause);
        }
        from = change.at;
    }
    None
}

fn of(Change { at, before, after }: Change) -> Option<Cause> {
    let ahead = after - before;
    let midnight = |second: i64| second.rem_euclid(DAY) == 0;
    // As clocks showed it when they went forward, and then.
    let (left, resumed) = (at + before, at + after);
    if ahead >= DAY {
        return Some(Cause::DayLeftOut);
    }
    if ahead < 0 {
        return match ahead {
            -3600 if after < 0 => None,
            -3600 => Some(Cause::RepeatedHour),
            _ => Some(Cause::RepeatedSpan),
        };
    }
    let full = |second: i64| second.rem_euclid(HOUR) == 0;
    if !full(left) || !full(resumed) {
        return Some(Cause::PartOfHourLeftOut);
    }
    (midnight(left) && before < 0).then_some(Cause::MidnightLeftOut)
}
