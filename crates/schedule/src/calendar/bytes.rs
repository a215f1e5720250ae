//! The days of a calendar as bytes: how they are kept where schedules are compiled, and travel there. The form stands in the state of
//! shards: who changes it writes another version beside it, and reads both.

use super::CalendarDays;

const VERSION: u8 = 1;
/// Version, weekdays, and twelve months.
const HEAD: usize = 2 + 12 * size_of::<u32>();
const RANGE: usize = 2 * size_of::<i32>();

impl CalendarDays {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + self.ranges.len() * RANGE);
        bytes.extend([VERSION, self.weekdays]);
        self.yearly.iter().for_each(|month| bytes.extend(month.to_le_bytes()));
        for (first, last) in &self.ranges {
            bytes.extend(first.to_le_bytes());
            bytes.extend(last.to_le_bytes());
        }
        bytes
    }

    /// The other way. `Err` says why these bytes are no calendar's.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (head, ranges) =
            bytes.split_at_checked(HEAD).ok_or_else(|| format!("{} bytes are no calendar", bytes.len()))?;
        if head[0] != VERSION {
            return Err(format!("days of version {} are not known to this program ({VERSION} is)", head[0]));
        }
        let mut yearly = [0; 12];
        for (month, bytes) in yearly.iter_mut().zip(head[2..].chunks_exact(size_of::<u32>())) {
            *month = u32::from_le_bytes(bytes.try_into().expect("chunks of four"));
        }
        let (ranges, rest) = ranges.as_chunks::<RANGE>();
        let day = |bytes: &[u8]| i32::from_le_bytes(bytes.try_into().expect("four of eight"));
        let ranges: Box<[(i32, i32)]> = ranges.iter().map(|range| (day(&range[..4]), day(&range[4..]))).collect();
        // The search relies on it.
        let in_order = ranges.iter().all(|(first, last)| first <= last)
            && ranges.windows(2).all(|pair| pair[0].1.checked_add(1).is_some_and(|next| next < pair[1].0));
        let sound = rest.is_empty() && in_order && head[1] <= 0x7f && yearly.iter().all(|month| month & 1 == 0);
        if sound { Ok(Self { ranges, weekdays: head[1], yearly }) } else { Err("the days are damaged".into()) }
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_model::calendar::CalendarSpec;

    use super::*;
    use crate::compile_calendar;

    fn days(dates: &[&str], weekdays: &[&str]) -> CalendarDays {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let spec = CalendarSpec { dates: owned(dates), weekdays: owned(weekdays), ..CalendarSpec::default() };
        compile_calendar("c", "spec", &|_| Some(&spec)).expect("valid")
    }

    #[test]
    fn days_come_back_as_they_went_and_their_form_is_frozen() {
        for (dates, weekdays) in [
            (&["2026-12-24/2027-01-06", "1970-01-01", "12-25", "02-29"][..], &["sat-sun"][..]),
            (&["2100-12-31"], &[]),
            (&[], &["mon"]),
        ] {
            let days = days(dates, weekdays);
            assert_eq!(CalendarDays::decode(&days.encode()), Ok(days));
        }
        let hex: String =
            days(&["1970-01-02", "01-03"], &["sun"]).encode().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, format!("010108000000{}0100000001000000", "00000000".repeat(11)));
    }

    #[test]
    fn what_the_search_could_not_rely_on_is_refused() {
        let sound = days(&["2026-12-24", "2026-12-26"], &["sun"]).encode();
        let with = |place: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[place] = byte;
            bytes
        };
        let swapped = [&sound[..HEAD], &sound[HEAD + RANGE..], &sound[HEAD..HEAD + RANGE]].concat();
        let twice = [&sound[..HEAD + RANGE], &sound[HEAD..HEAD + RANGE]].concat();
        for bytes in [
            vec![],
            sound[..HEAD - 1].to_vec(),
            sound[..sound.len() - 1].to_vec(),
            with(0, 2),
            with(1, 0x80),
            with(2, 1),
            swapped,
            twice,
        ] {
            assert!(CalendarDays::decode(&bytes).is_err(), "{bytes:?}");
        }
    }
}
