//! When a definition is due by calendars that have changed. Pure, but for the plans that it keeps.

use flintwheel_shard::entry::NEVER;
use flintwheel_shard::records::Version;
use flintwheel_shard::slots::Slot;

use crate::plans::{Find, Plans};

/// The next nominal time of a definition whose cursor stands at `slot`, at the time `now` (microseconds), or [`NEVER`]; `Err` where its
/// schedule can't be read or never fires by these calendars.
///
/// What was due before now and has not been decided stays so, if the calendars leave it open: a change of days never passes over what is late.
/// What has been decided is not decided again.
pub fn due_anew(plans: &mut Plans, stored: &Version, slot: &Slot, now: i64, find: Find<'_>) -> Result<i64, String> {
    if !slot.is_enabled() {
        return Ok(NEVER);
    }
    let plan = plans.of_document(&stored.document, stored.incarnation, find)?;
    let after = now.min(slot.next.saturating_sub(1)).max(slot.last);
    Ok(plans.get(plan).plan.next(after).unwrap_or(NEVER))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flintwheel_model::calendar::CalendarSpec;
    use flintwheel_schedule::{CalendarDays, compile_calendar};
    use serde_json::json;

    use super::*;

    const DAY: i64 = 86_400_000_000;
    /// Monday 2026-11-23, 09:00 UTC.
    const MONDAY: i64 = 1_795_424_400_000_000;

    fn closed(dates: &[&str]) -> Arc<CalendarDays> {
        let dates = dates.iter().map(|date| (*date).to_owned()).collect();
        let spec = CalendarSpec { dates, ..CalendarSpec::default() };
        Arc::new(compile_calendar("c", "spec", &|_| Some(&spec)).expect("valid"))
    }

    fn stored() -> Version {
        let document = json!({
            "metadata": {"namespace": "n", "id": "d"},
            "spec": {"trigger": {"schedule": {"cron": ["0 9 * * *"], "exclude": [{"calendar_name": ["c"]}]}}}
        });
        Version {
            namespace: "n".into(),
            id: "d".into(),
            incarnation: 1,
            created: 0,
            updated: 0,
            event_types: vec![],
            document: document.to_string().into(),
        }
    }

    fn slot(next: i64, last: Option<i64>) -> Slot {
        let mut slot = Slot::new(0);
        slot.set_enabled(true);
        (slot.generation, slot.next, slot.last) = (1, next, last.unwrap_or(i64::MIN));
        slot
    }

    fn due(dates: &[&str], slot: &Slot, now: i64) -> i64 {
        let days = closed(dates);
        let find = |_: &str, _: &str| Some((1, Arc::clone(&days)));
        due_anew(&mut Plans::default(), &stored(), slot, now, &find).expect("reads")
    }

    #[test]
    fn what_is_to_come_is_due_by_the_new_days() {
        let far = "2030-01-01";
        for (dates, next, now, expected) in [
            // It stays.
            (&[far][..], MONDAY, MONDAY - DAY, MONDAY),
            // Its day is closed now.
            (&["2026-11-23"], MONDAY, MONDAY - 1, MONDAY + DAY),
            // A day before it is open again.
            (&[far], MONDAY + 2 * DAY, MONDAY - 1, MONDAY),
            // But not one that has passed.
            (&[far], MONDAY + 2 * DAY, MONDAY + 1, MONDAY + DAY),
            // It was over.
            (&[far], NEVER, MONDAY, MONDAY + DAY),
        ] {
            assert_eq!(due(dates, &slot(next, None), now), expected, "{dates:?} {next} {now}");
        }
    }

    #[test]
    fn what_is_late_stays_so_if_its_day_is_open_and_nothing_is_decided_twice() {
        let late = MONDAY + 10 * DAY;
        assert_eq!(due(&["2030-01-01"], &slot(MONDAY, None), late), MONDAY);
        assert_eq!(due(&["2026-11-23/2026-11-24"], &slot(MONDAY, None), late), MONDAY + 2 * DAY);
        // By the clock of this leader it is not even time; the one before has fired it.
        assert_eq!(due(&["2030-01-01"], &slot(MONDAY + 2 * DAY, Some(MONDAY + DAY)), MONDAY), MONDAY + 2 * DAY);
    }

    #[test]
    fn one_that_is_disabled_is_never_due() {
        let mut slot = slot(NEVER, None);
        slot.set_enabled(false);
        assert_eq!(due(&["2030-01-01"], &slot, MONDAY), NEVER);
    }
}
