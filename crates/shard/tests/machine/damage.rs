//! Bytes that nobody wrote: each decoder answers with an error or a value, and never panics or reserves more than it was given.

use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::calendars::{Head, Local, UsedNames};
use flintwheel_shard::courses::Course;
use flintwheel_shard::occurrence::{Chunk, decode_ends, encode_ends};
use flintwheel_shard::outbox::Payloads;
use flintwheel_shard::records::{Counters, DeadLetter, Origin, PauseNote, Restoration, Version};
use flintwheel_shard::request::Remembered;
use flintwheel_shard::rows::{Row, decode_all};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::tracks::{Ended, Run, Waiting};
use flintwheel_shard::zones::Zoned;
use flintwheel_shard::{ApplyError, Entry, Machine, Table, keys};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::bytes;
use crate::support::*;

/// Everything that can be read, from the same bytes; whatever can be read must be written as it was read.
fn read_all(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
    if let Ok(slot) = Slot::decode(bytes) {
        assert_eq!(slot.encode(), bytes);
    }
    if let Ok(chunk) = Chunk::decode(bytes) {
        assert_eq!(chunk.encode(), bytes);
    }
    if let Ok(ends) = decode_ends(bytes) {
        assert_eq!(encode_ends(&ends), bytes);
    }
    if let Ok((records, payloads)) = Payloads::decode(bytes) {
        assert_eq!(payloads.encode(records), bytes);
        (0..8).for_each(|record| assert!(payloads.of(record).is_none_or(|blob| blob.len() <= bytes.len())));
    }
    if let Ok(version) = Version::decode(bytes) {
        assert_eq!(version.encode(), bytes);
    }
    if let Ok(letter) = DeadLetter::decode(bytes) {
        assert_eq!(letter.encode(), bytes);
    }
    if let Ok(note) = PauseNote::decode(bytes) {
        assert_eq!(note.encode(), bytes);
    }
    if let Ok(counters) = Counters::decode(bytes) {
        assert_eq!(counters.encode(), bytes);
    }
    if let Ok(known) = Remembered::decode(bytes) {
        assert_eq!(known.encode(), bytes);
    }
    if let Ok(origin) = Origin::decode(bytes) {
        assert_eq!(origin.encode(), bytes);
    }
    if let Ok(restoration) = Restoration::decode(bytes) {
        assert_eq!(restoration.encode(), bytes);
    }
    read_schedules(bytes);
    if let Ok(row) = Row::decode(bytes) {
        assert_eq!(row.encode(), bytes);
    }
    let _ = decode_all(bytes);
    let _ = keys::parse_name(bytes);
    let _ = keys::parse_cursor(bytes);
    let _ = keys::parse_calendar(bytes);
    let _ = keys::parse_calendar_use(bytes);
    let _ = keys::parse_calendar_names(bytes);
    let _ = keys::parse_subscription(bytes);
    let _ = keys::parse_outbox(bytes);
    let _ = keys::parse_retired(bytes);
    let _ = keys::parse_miss(bytes);
    let _ = keys::parse_course(bytes);
    let _ = keys::parse_pause_note(bytes);
    let _ = keys::parse_backfill(bytes);
}

/// What is kept of runs, of the end of schedules, of calendars and of zones.
fn read_schedules(bytes: &[u8]) {
    if let Ok(run) = Run::decode(bytes) {
        assert_eq!(run.encode(), bytes);
    }
    if let Ok((waiting, input)) = Waiting::decode(bytes) {
        assert_eq!(waiting.encode(&input), bytes);
    }
    if let Ok(ended) = Ended::decode(bytes) {
        assert_eq!(ended.encode(), bytes);
    }
    if let Ok(course) = Course::decode(bytes) {
        assert_eq!(course.encode(), bytes);
    }
    if let Ok(backfill) = Backfill::decode(bytes) {
        assert_eq!(backfill.encode(), bytes);
    }
    if let Ok(head) = Head::decode(bytes) {
        assert_eq!(head.encode(), bytes);
    }
    if let Ok(local) = Local::decode(bytes) {
        assert_eq!(local.encode(), bytes);
    }
    if let Ok(zoned) = Zoned::decode(bytes) {
        assert_eq!(zoned.encode(), bytes);
    }
    if let Ok(used) = UsedNames::decode(bytes) {
        assert_eq!(used.encode(), bytes);
    }
}

/// One sound encoding of each kind.
fn sound() -> Vec<Vec<u8>> {
    let entries = bytes::entries().into_iter().map(|(_, entry)| entry.encode().to_vec());
    let values = [
        bytes::slot().encode(),
        bytes::chunk().encode(),
        encode_ends(&bytes::ends()),
        bytes::payloads().encode(3),
        bytes::version().encode(),
        bytes::letter().encode(),
        bytes::note().encode(),
        bytes::timed_note().encode(),
        bytes::backfill().encode(),
        bytes::counters().encode(),
        bytes::origin().encode(),
        bytes::restoration().encode(),
        bytes::run().encode(),
        bytes::ended().encode(),
        bytes::waiting().encode(b"1"),
    ];
    let answers = bytes::remembered().into_iter().map(|(_, known)| known.encode());
    let rows = bytes::rows().into_iter().map(|(_, row)| row.encode());
    entries.chain(values).chain(answers).chain(rows).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), kind in 0_u8..33) {
        read_all(&bytes);
        // With a head that is known, so that the rest is looked at.
        bytes.splice(0..bytes.len().min(2), [1, kind]);
        read_all(&bytes);
    }

    #[test]
    fn damaged_encodings_never_panic(
        (which, place, cut) in any::<(Index, Index, Index)>(),
        byte in any::<u8>(),
    ) {
        let sound = sound();
        let mut bytes = which.get(&sound).clone();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        read_all(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        read_all(&bytes);
    }

    #[test]
    fn a_damaged_entry_stops_the_shard_without_a_trace_or_applies(
        (which, place) in any::<(Index, Index)>(),
        byte in any::<u8>(),
    ) {
        let entries = bytes::entries();
        let mut entry = which.get(&entries).1.encode().to_vec();
        let place = place.index(entry.len());
        entry[place] = byte;
        let mut shard = Shard::with(vec![due("a", START)]);
        let before = (shard.state.clone(), View::of(&shard.machine));
        match shard.try_apply(&[entry.into()]) {
            Ok(_) => prop_assert_eq!(View::of(&shard.open()), View::of(&shard.machine)),
            Err(error) => {
                prop_assert!(matches!(error, ApplyError::Unknown(_)), "{:?}", error);
                prop_assert!(before == (shard.state, View::of(&shard.machine)));
            }
        }
    }

    #[test]
    fn a_damaged_state_is_an_error_or_opens(
        table in 0..Table::ALL.len(),
        key in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..60),
    ) {
        let mut shard = Shard::with(vec![due("a", START)]);
        shard.fire_next(0);
        shard.state.put(Table::ALL[table], key, value);
        let _ = <Machine as flintwheel_shard::Replicated>::open(&shard.state);
    }
}

#[test]
fn a_length_that_lies_reserves_nothing() {
    use flintwheel_shard::codec::Decoder;
    // A list of four billion elements, of which 64 KiB are there.
    let bytes = [vec![0xFF; 4], vec![0; 1 << 16]].concat();
    let mut seen = 0;
    let read = Decoder::new(&bytes).list(|d| {
        seen += 1;
        d.array::<32>()
    });
    assert!(read.is_err());
    assert_eq!(seen, (1 << 11) + 1, "it stops where the bytes end");
}
