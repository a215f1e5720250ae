//! What stands on disk and in the log, byte for byte: `golden.txt` has one line for each kind of entry, value and key. A line that
//! changes is a new format version, with the old one still read; it is never just edited.

use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::calendar_entry::{
    CalendarMark, CalendarStep, PutCalendar, RemoveCalendar, Retime, Retimed, Uses,
};
use flintwheel_shard::calendars::{Head, Leaving, Local, UsedNames};
use flintwheel_shard::courses::{AfterEnd, Bounds, Course};
use flintwheel_shard::entry::{
    Ack, AckEnd, AdvanceBackfill, BackfillStep, BeginBackfill, Body, Closed, Computed, Conclude, DeadAction, Decision,
    Define, Delete, Expire, Fire, FollowStep, Ingest, Match, NEVER, Pause, Range, Request, Restore, RunEnd, Trigger,
};
use flintwheel_shard::keys::CalendarPart;
use flintwheel_shard::occurrence::{Chunk, End, Key, Reason, Record, decode_ends, encode_ends};
use flintwheel_shard::outbox::Payloads;
use flintwheel_shard::records::{Counters, DeadLetter, Origin, PauseNote, Restoration, Version};
use flintwheel_shard::reply::{Before, Change};
use flintwheel_shard::request::{Answer, Remembered};
use flintwheel_shard::rows::{
    BackfillRow, CalendarRow, ChunkRow, CourseRow, CursorRow, Occurred, RetiredRow, Row, SeenRow, TrackRow, UsesRow,
    VersionRow,
};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::tracks::{Ended, Policy, Run, Tracking, Waiting, Wish};
use flintwheel_shard::zones::{Rezone, Zoned};
use flintwheel_shard::{Entry, Table, keys};

/// The committed line of this name, as bytes; none of them where there is no such line.
fn golden(name: &str) -> Vec<u8> {
    let mut lines = include_str!("golden.txt").lines().filter_map(|line| line.split_once(' '));
    let (_, hex) = lines.find(|(known, _)| *known == name).unwrap_or_default();
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex digits")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collects all that differ, so that one run shows each.
fn assert_golden(cases: &[(impl AsRef<str>, Vec<u8>)]) {
    let differs = |(name, bytes): &&(_, Vec<u8>)| golden(AsRef::as_ref(name)) != *bytes;
    let differing: Vec<String> =
        cases.iter().filter(differs).map(|(name, bytes)| format!("{} {}", name.as_ref(), hex(bytes))).collect();
    assert!(differing.is_empty(), "the format has changed:\n{}", differing.join("\n"));
}

/// One entry of each kind, each field with a value of its own.
pub fn entries() -> Vec<(&'static str, Entry)> {
    let (namespace, id) = ("ns".to_owned(), "id".to_owned());
    let define = Define {
        namespace: namespace.clone(),
        id: id.clone(),
        document: "{}".into(),
        enabled: true,
        next: 0x1122,
        subscriptions: vec![("type".into(), "matcher".into()), ("other".into(), "".into())],
        incarnation: 0x3344,
        expected_version: Some(0x55),
        tracking: None,
        bounds: None,
        calendars: None,
        request: None,
    };
    let anew = Define { enabled: false, next: NEVER, subscriptions: vec![], expected_version: None, ..define.clone() };
    let decision =
        Decision { number: 1, generation: 2, nominal: 3, due: 4, next: 5, skip: Some(Reason::Superseded), count: 6 };
    let fired = Decision { skip: None, next: NEVER, ..decision };
    let matched =
        Match { event: 1, number: 2, version: 3, key: "key".into(), digest: [0xD1; 16], window: 4, due: None };
    let refused = AckEnd { record: 2, at: 6, refused: Some("why".into()), note: String::new() };
    let started = AckEnd { record: 1, at: 5, refused: None, note: "late".into() };
    let request = Some(Request { digest: [0xD3; 16], content: [0xC1; 16], window: 12 });
    let delete = Delete {
        namespace: namespace.clone(),
        id: id.clone(),
        incarnation: None,
        expected_version: None,
        request: None,
    };
    let conditional = Delete { incarnation: Some(0x66), expected_version: Some(0x77), ..delete.clone() };
    let pause = Pause {
        namespace: namespace.clone(),
        id: id.clone(),
        paused: true,
        note: "note".into(),
        next: 7,
        missed: 8,
        wanted_through: None,
        until: None,
        computed: None,
        request: None,
    };
    let trigger = {
        let (namespace, id, request_id) = (namespace.clone(), id.clone(), "request".into());
        Trigger { namespace, id, request_id, digest: [0xD2; 16], input: "1".into(), policy: None }
    };
    let bounds = bounds_bodies(Define { request, ..define.clone() }, anew.clone(), pause.clone());
    let (operations, used) = (operation_bodies(&pause, request), Define { request, ..define.clone() });
    let overlap = overlap_bodies(Define { request, ..define.clone() }, anew.clone(), trigger.clone());
    let bodies = [
        ("define", Body::Define(vec![define.clone(), anew.clone()])),
        ("delete", Body::Delete(vec![delete.clone()])),
        ("pause", Body::Pause(vec![pause.clone()])),
        ("define_request", Body::Define(vec![Define { request, ..define }, anew])),
        ("delete_request", Body::Delete(vec![Delete { request, ..conditional.clone() }, conditional, delete])),
        ("pause_request", Body::Pause(vec![Pause { request, ..pause.clone() }, pause])),
        ("fire", Body::Fire(Fire { through: 9, decisions: vec![decision, fired] })),
        ("ingest", Body::Ingest(Ingest { events: vec!["one".into(), "two".into()], matches: vec![matched] })),
        ("trigger", Body::Trigger(vec![trigger])),
        ("ack", Body::Ack(vec![Ack { lane: 3, seq: 4, ends: vec![started, refused] }])),
        ("dead", Body::Dead(vec![DeadAction { seq: 1, retry: true }, DeadAction { seq: 2, retry: false }])),
        ("expire", Body::Expire(Expire { account_before: 10, versions_before: -11, keep: 0 })),
    ];
    let more = restore_bodies().into_iter().chain(overlap).chain(bounds).chain(operations);
    let more = more.chain(calendar_bodies(used)).chain(after_bodies());
    bodies.into_iter().chain(more).map(|(name, body)| (name, Entry { at: 0x0102_0304_0506, body })).collect()
}

/// Those that speak of runs that make other definitions due.
fn after_bodies() -> [(&'static str, Body); 3] {
    let follow = |followed| FollowStep::Follow { number: 1, followed };
    let matched =
        Match { event: 0, number: 2, version: 3, key: "key".into(), digest: [0xD1; 16], window: 4, due: Some(5) };
    let plain = Match { due: None, ..matched.clone() };
    let closed = Closed { number: 1, run: 2, end: RunEnd::Completed, left: None, note: String::new(), at: Some(3) };
    let other = Closed { at: None, ..closed.clone() };
    [
        ("follow", Body::Follow(vec![follow(true), follow(false), FollowStep::Told { number: 2, run: 3 }])),
        ("ingest_due", Body::Ingest(Ingest { events: vec!["why".into()], matches: vec![matched, plain] })),
        ("closed_at", Body::Closed(vec![closed, other])),
    ]
}

pub fn ended() -> Ended {
    Ended { key: Key::Event("event".into()), end: RunEnd::TimedOut, at: 1 }
}

/// The steps of a restore.
fn restore_bodies() -> [(&'static str, Body); 4] {
    [
        ("restore.begin", Body::Restore(Restore::Begin { backup: [0xB1; 16], skip_before: -14 })),
        ("restore.rows", {
            let rows = rows().into_iter().map(|(_, row)| row).take(6).collect();
            Body::Restore(Restore::Rows { backup: [0xB2; 16], from: 12, rows })
        }),
        ("restore.cancel", Body::Restore(Restore::Cancel { backup: [0xB3; 16] })),
        ("restore.finish", Body::Restore(Restore::Finish { backup: [0xB4; 16], rows: 13 })),
    ]
}

/// Those that speak of pauses that end by themselves, of backfills, and of a history that is kept.
fn operation_bodies(pause: &Pause, request: Option<Request>) -> [(&'static str, Body); 3] {
    let (namespace, id, backfill) = ("ns".to_owned(), "id".to_owned(), "backfill".to_owned());
    let begin = BackfillStep::Begin(BeginBackfill {
        namespace: namespace.clone(),
        id: id.clone(),
        backfill: backfill.clone(),
        range: range(),
        next: 5,
        total: 6,
    });
    let advance = AdvanceBackfill { number: 1, backfill: backfill.clone(), version: 2, times: vec![3, 4], next: NEVER };
    let stop = BackfillStep::Stop { namespace, id, backfill };
    [
        ("pause_until", Body::Pause(vec![Pause { until: Some(9), request, ..pause.clone() }, pause.clone()])),
        ("backfill", Body::Backfill(vec![begin, BackfillStep::Advance(advance), stop])),
        ("expire_keep", Body::Expire(Expire { account_before: 10, versions_before: -11, keep: 12 })),
    ]
}

pub fn range() -> Range {
    Range { from: 1, to: 2, newest_first: true, rate: 3, policy: Some(Policy::BufferAll) }
}

pub fn backfill() -> Backfill {
    Backfill { range: range(), begun: 4, next: 5, total: 6, decided: 7, skipped: 8, ended: Some(9) }
}

/// Those that speak of runs that overlap.
fn overlap_bodies(define: Define, anew: Define, trigger: Trigger) -> [(&'static str, Body); 3] {
    let tracking = Some(Tracking { policy: Policy::CancelOther, pause_on_failure: true, carry: false });
    let closed = Closed { number: 1, run: 2, end: RunEnd::Failed, left: Some("3".into()), note: "4".into(), at: None };
    let gone = Closed { end: RunEnd::Gone, left: None, note: String::new(), ..closed.clone() };
    [
        ("define_tracking", Body::Define(vec![Define { tracking, ..define }, anew])),
        ("trigger_policy", {
            Body::Trigger(vec![Trigger { policy: Some(Policy::AllowAll), ..trigger.clone() }, trigger])
        }),
        ("closed", Body::Closed(vec![closed, gone])),
    ]
}

/// Those that speak of the end of a schedule, and of what was missed in a pause.
fn bounds_bodies(define: Define, anew: Define, pause: Pause) -> [(&'static str, Body); 4] {
    let tracking = Some(Tracking { policy: Policy::Skip, pause_on_failure: false, carry: true });
    let bounds = Some(Bounds { max: Some(0x21), after_end: AfterEnd::Delete });
    let ends = Define { bounds: Some(Bounds { max: None, after_end: AfterEnd::Disable }), ..anew.clone() };
    [
        ("define_bounds", Body::Define(vec![Define { tracking, bounds, ..define }, ends, anew])),
        ("conclude", {
            Body::Conclude(vec![Conclude { number: 1, generation: 2 }, Conclude { number: 3, generation: 4 }])
        }),
        ("pause_wanted", {
            let resume = Pause { paused: false, wanted_through: Some(0x22), ..pause.clone() };
            Body::Pause(vec![resume, pause.clone()])
        }),
        ("pause_computed", {
            let computed = Some(Computed { generation: 0x23, passed: Some(0x24) });
            let resume = Pause { paused: false, computed, ..pause.clone() };
            Body::Pause(vec![resume, pause])
        }),
    ]
}

pub fn course() -> Course {
    let bounds = Some(Bounds { max: Some(1), after_end: AfterEnd::Disable });
    Course { bounds, used: 2, disabled: true, wanted_through: Some(3) }
}

/// Those that speak of calendars.
fn calendar_bodies(define: Define) -> Vec<(&'static str, Body)> {
    let tracking = Some(Tracking { policy: Policy::Skip, pause_on_failure: false, carry: true });
    let calendars = Some(Uses { revision: 15, names: vec!["a".into(), "b".into()] });
    let plain = Define { tracking, request: None, ..define.clone() };
    let mark = || CalendarMark { namespace: "ns".into(), name: "de".into(), revision: 16 };
    let put = PutCalendar {
        namespace: "ns".into(),
        name: "de".into(),
        document: "{}".into(),
        refers: vec!["eu".into()],
        touched: vec!["all".into(), "de-work".into()],
        expected_version: Some(17),
        truth: 18,
        request: define.request,
    };
    let (namespace, name, request) = ("ns".into(), "de".into(), define.request);
    let remove = RemoveCalendar { namespace, name, expected_version: None, truth: 19, request };
    let item = Retimed { number: 22, generation: 23, nominal: 24, next: 25 };
    let items = vec![item, Retimed { number: 26, next: NEVER, ..item }];
    let step = Body::Calendar;
    vec![
        ("define_calendars", Body::Define(vec![Define { calendars, ..define }, plain])),
        ("calendar.put", step(CalendarStep::Put(put))),
        ("calendar.remove", step(CalendarStep::Remove(remove))),
        ("calendar.keep", step(CalendarStep::Keep(mark()))),
        ("calendar.spread", step(CalendarStep::Spread { mark: mark(), users: 20, moved: 21 })),
        ("calendar.days", step(CalendarStep::Days { mark: mark(), days: "days".into() })),
        ("calendar.drop", step(CalendarStep::Drop(mark()))),
        ("rezone", Body::Rezone(Rezone { version: "2026b".into(), items: vec![item], from: 28, last: true })),
        ("calendar.again", step(CalendarStep::Again(items.clone()))),
        ("calendar.retime", step(CalendarStep::Retime(Retime { mark: mark(), items, from: 27, last: true }))),
    ]
}

/// One row of each kind.
pub fn rows() -> Vec<(&'static str, Row)> {
    let subscriptions = vec![("type".into(), "matcher".into())];
    let cursor = CursorRow {
        number: 1,
        namespace: "ns".into(),
        id: "id".into(),
        slot: slot(),
        origin: Some(origin()),
        subscriptions,
        pause: Some(note()),
    };
    let plain = CursorRow { origin: None, subscriptions: vec![], pause: None, ..cursor.clone() };
    let ends = [End::Skipped, End::Skipped, End::Failed { at: 2, reason: "why".into() }];
    let occurred = |(what, end)| {
        let dead = matches!(end, End::Failed { .. });
        Occurred { what, end, payload: dead.then_some(0), dead }
    };
    let occurrences = chunk().records.into_iter().zip(ends).map(occurred).collect();
    let chunk = ChunkRow { at: 7, namespace: "ns".into(), blobs: vec!["one".into()], occurrences };
    vec![
        ("version", Row::Version(VersionRow { number: 1, version: 2, value: version() })),
        ("cursor", Row::Cursor(cursor)),
        ("cursor.plain", Row::Cursor(plain)),
        ("retired", Row::Retired(RetiredRow { hour: 1, number: 2, version: 3 })),
        ("seen", Row::Seen(SeenRow { class: 1, at: 2, digest: [0xD3; 16], more: "more".into() })),
        ("chunk", Row::Chunk(chunk)),
        ("track", Row::Track(TrackRow { number: 1, part: 2, seq: 3, value: "value".into() })),
        ("course", Row::Course(CourseRow { number: 1, value: course() })),
        ("backfill", Row::Backfill(BackfillRow { number: 1, id: "id".into(), value: "value".into() })),
        ("calendar", {
            let (namespace, name, document) = ("ns".into(), "de".into(), "{}".into());
            Row::Calendar(CalendarRow { namespace, name, head: head(), document })
        }),
        ("uses", Row::Uses(UsesRow { number: 1, used: used() })),
    ]
}

pub fn head() -> Head {
    let request = Some(Request { digest: [0xD5; 16], content: [0xC3; 16], window: 9 });
    Head {
        version: 1,
        revision: 2,
        created: 3,
        updated: 4,
        refers: vec!["eu".into()],
        pending: true,
        leaving: Some(Leaving { request }),
        users: 5,
        moved: 6,
        bytes: 7,
    }
}

pub fn local() -> Local {
    Local { revision: 1, from: 2, moved: 3, done: true }
}

pub fn used() -> UsedNames {
    UsedNames { namespace: "ns".into(), names: vec!["a".into(), "b".into()] }
}

pub fn origin() -> Origin {
    Origin { number: 1, mask: [0xD4; 16] }
}

pub fn restoration() -> Restoration {
    Restoration { backup: [0xB5; 16], skip_before: 2, rows: 1, finished: true }
}

pub fn run() -> Run {
    Run { key: Key::Time { nominal: 1, due: 2, count: 3 }, since: 4, wish: Wish::Terminate, place: Some((5, 6)) }
}

pub fn waiting() -> Waiting {
    Waiting { key: Key::Manual("request".into()), since: 1, policy: Some(Policy::BufferOne) }
}

pub fn overlapped() -> End {
    End::Overlapped { by: Key::Event("event".into()), since: 1 }
}

pub fn slot() -> Slot {
    let mut slot = Slot::new(0x0A0B);
    (slot.generation, slot.version, slot.next, slot.last, slot.chunk) = (1, 2, 3, 4, 5);
    (slot.fired, slot.skipped, slot.failed) = (6, 7, 8);
    slot.set_enabled(true);
    slot.set_paused(true);
    slot
}

pub fn chunk() -> Chunk {
    let record = |key, skip| Record { number: 1, version: 2, previous: 3, key, skip };
    let records = vec![
        record(Key::Time { nominal: 4, due: 5, count: 6 }, Some(Reason::Late)),
        record(Key::Event("event".into()), Some(Reason::Paused)),
        record(Key::Manual("request".into()), None),
    ];
    Chunk { at: 7, records }
}

pub fn backfilled() -> Chunk {
    let key = Key::Backfill { id: "id".into(), nominal: 4 };
    Chunk { at: 7, records: vec![Record { number: 1, version: 2, previous: 3, key, skip: None }] }
}

pub fn ends() -> Vec<End> {
    vec![
        End::Pending,
        End::Started { at: 1, note: "note".into() },
        End::Failed { at: 2, reason: "why".into() },
        End::Skipped,
        End::Dropped { at: 3, reason: "why".into() },
    ]
}

pub fn payloads() -> Payloads {
    Payloads { blobs: vec!["one".into(), "".into()], by_record: vec![Some(1), None, Some(0)] }
}

pub fn version() -> Version {
    Version {
        namespace: "ns".into(),
        id: "id".into(),
        incarnation: 1,
        created: 2,
        updated: 3,
        event_types: vec!["type".into()],
        document: "{}".into(),
    }
}

pub fn letter() -> DeadLetter {
    let (reason, payload) = ("why".into(), Some("event".into()));
    DeadLetter { chunk: 1, record: 2, records: 3, lane: 4, at: 5, reason, payload }
}

pub fn note() -> PauseNote {
    PauseNote { at: -1, note: "note".into(), until: None }
}

pub fn timed_note() -> PauseNote {
    PauseNote { until: Some(2), ..note() }
}

/// One of each answer.
pub fn remembered() -> Vec<(&'static str, Remembered)> {
    let defined = |change| Answer::Defined(Before { change, version: 2, next: 3 });
    let answers = [
        ("created", defined(Change::Created)),
        ("configured", defined(Change::Configured)),
        ("unchanged", defined(Change::Unchanged)),
        ("deleted", Answer::Deleted { version: 4 }),
        ("switched", Answer::Paused { changed: true }),
        ("same", Answer::Paused { changed: false }),
    ];
    answers.map(|(name, answer)| (name, Remembered { at: 1, content: [0xC2; 16], answer })).into()
}

pub fn counters() -> Counters {
    Counters {
        clock: 1,
        next_number: 2,
        next_chunk: 3,
        next_dead: 4,
        dead: 5,
        fired_through: 6,
        account_floor: 7,
        account_hour: 8,
        lanes: 9,
        ..Counters::default()
    }
}

#[test]
fn each_kind_of_entry_has_its_bytes() {
    let entries = entries();
    let cases: Vec<_> =
        entries.iter().map(|(name, entry)| (format!("entry.{name}"), entry.encode().to_vec())).collect();
    assert_golden(&cases);
    for (name, entry) in entries {
        assert_eq!(Entry::decode(&golden(&format!("entry.{name}"))), Ok(entry));
    }
}

#[test]
fn each_stored_value_has_its_bytes() {
    assert_golden(&[
        ("value.cursor", slot().encode()),
        ("value.chunk", chunk().encode()),
        ("value.ends", encode_ends(&ends())),
        ("value.payloads", payloads().encode(3)),
        ("value.version", version().encode()),
        ("value.letter", letter().encode()),
        ("value.note", note().encode()),
        ("value.counters", counters().encode()),
        ("value.origin", origin().encode()),
        ("value.restoration", restoration().encode()),
        ("value.run", run().encode()),
        ("value.waiting", waiting().encode(b"1")),
        ("value.ended", ended().encode()),
        ("value.overlapped", encode_ends(&[overlapped()])),
        ("value.course", course().encode()),
        ("value.timed_note", timed_note().encode()),
        ("value.backfill", backfill().encode()),
        ("value.backfilled", backfilled().encode()),
        ("value.calendar", head().encode()),
        ("value.local", local().encode()),
        ("value.used", used().encode()),
        ("value.zoned", Zoned { version: "2026b".into(), from: 1, done: true }.encode()),
    ]);
    assert_eq!(Run::decode(&golden("value.run")), Ok(run()));
    assert_eq!(Ended::decode(&golden("value.ended")), Ok(ended()));
    assert_eq!(Head::decode(&golden("value.calendar")), Ok(head()));
    assert_eq!(Local::decode(&golden("value.local")), Ok(local()));
    assert_eq!(UsedNames::decode(&golden("value.used")), Ok(used()));
    assert_eq!(Waiting::decode(&golden("value.waiting")), Ok((waiting(), "1".into())));
    assert_eq!(Course::decode(&golden("value.course")), Ok(course()));
    assert_eq!(decode_ends(&golden("value.overlapped")), Ok(vec![overlapped()]));
    assert_eq!(Origin::decode(&golden("value.origin")), Ok(origin()));
    assert_eq!(Restoration::decode(&golden("value.restoration")), Ok(restoration()));
    assert_eq!(Slot::decode(&golden("value.cursor")), Ok(slot()));
    assert_eq!(Chunk::decode(&golden("value.chunk")), Ok(chunk()));
    assert_eq!(decode_ends(&golden("value.ends")), Ok(ends()));
    assert_eq!(Payloads::decode(&golden("value.payloads")), Ok((3, payloads())));
    assert_eq!(Version::decode(&golden("value.version")), Ok(version()));
    assert_eq!(DeadLetter::decode(&golden("value.letter")), Ok(letter()));
    assert_eq!(PauseNote::decode(&golden("value.note")), Ok(note()));
    assert_eq!(Counters::decode(&golden("value.counters")), Ok(counters()));
    assert_eq!(PauseNote::decode(&golden("value.timed_note")), Ok(timed_note()));
    assert_eq!(Backfill::decode(&golden("value.backfill")), Ok(backfill()));
    assert_eq!(Chunk::decode(&golden("value.backfilled")), Ok(backfilled()));
}

#[test]
fn each_answer_to_a_request_has_its_bytes() {
    let cases: Vec<_> = remembered().iter().map(|(name, known)| (format!("request.{name}"), known.encode())).collect();
    assert_golden(&cases);
    for (name, known) in remembered() {
        assert_eq!(Remembered::decode(&golden(&format!("request.{name}"))), Ok(known));
    }
}

#[test]
fn an_entry_of_requests_without_one_was_written_by_nobody() {
    for (name, kind) in [("define", 10), ("delete", 11), ("pause", 12)] {
        // Version, kind and time, and no items.
        let mut empty = golden(&format!("entry.{name}"))[..10].to_vec();
        empty[1] = kind;
        empty.extend_from_slice(&0_u32.to_le_bytes());
        let error = Entry::decode(&empty).expect_err("no request");
        assert_eq!(error.0, "an entry with requests has none", "{name}");
    }
}

#[test]
fn each_row_of_a_backup_has_its_bytes() {
    let cases: Vec<_> = rows().iter().map(|(name, row)| (format!("row.{name}"), row.encode())).collect();
    assert_golden(&cases);
    for (name, row) in rows() {
        assert_eq!(Row::decode(&golden(&format!("row.{name}"))), Ok(row));
    }
}

#[test]
fn each_key_has_its_bytes() {
    assert_golden(&[
        ("key.name", keys::name("ns", "id")),
        ("key.definition", keys::definition(1, 2)),
        ("key.cursor", keys::cursor(1)),
        ("key.subscription", keys::subscription("ns", "type", 1)),
        ("key.dedupe", keys::dedupe(1, 2, &[3; 16])),
        ("key.outbox", keys::outbox(1, 2)),
        ("key.account", keys::account(1)),
        ("key.ends", keys::account_ends(1)),
        ("key.dead", keys::dead(1)),
        ("key.retired", keys::retired(1, 2, 3)),
        ("key.miss", keys::miss(1, 2)),
        ("key.counters", keys::COUNTERS.to_vec()),
        ("key.lane", keys::lane(1)),
        ("key.account_hour", keys::account_hour(1)),
        ("key.pause_note", keys::pause_note(1)),
        ("key.restoration", keys::RESTORATION.to_vec()),
        ("key.origin", keys::origin(1)),
        ("key.track", keys::track(1, 2, 3)),
        ("key.course", keys::course(1)),
        ("key.backfill", keys::backfill(1, "id")),
        ("key.calendar_truth", keys::calendar_truth()),
        ("key.calendar_head", keys::calendar(CalendarPart::Head, "ns", "de")),
        ("key.calendar_document", keys::calendar(CalendarPart::Document, "ns", "de")),
        ("key.calendar_seen", keys::calendar_seen("ns")),
        ("key.calendar_local", keys::calendar(CalendarPart::Local, "ns", "de")),
        ("key.calendar_days", keys::calendar(CalendarPart::Days, "ns", "de")),
        ("key.calendar_use", keys::calendar_use("ns", "de", 1)),
        ("key.calendar_names", keys::calendar_names(1)),
        ("key.calendar_again", keys::calendar_again(1)),
    ]);
    assert_eq!(Table::ALL.map(|table| table as u8).to_vec(), (0..11).collect::<Vec<u8>>());
}

#[test]
fn keys_are_read_back() {
    assert_eq!(keys::parse_name(&keys::name("ns", "id")), Ok(("ns", "id")));
    assert_eq!(keys::parse_cursor(&keys::cursor(1 << 40)), Ok(1 << 40));
    assert_eq!(keys::parse_subscription(&keys::subscription("ns", "type", 256)), Ok(("ns", "type", 256)));
    assert_eq!(keys::parse_outbox(&keys::outbox(1, 2)), Ok((1, 2)));
    assert_eq!(keys::parse_retired(&keys::retired(1, 2, 3)), Ok((2, 3)));
    assert_eq!(keys::parse_retired_hour(&keys::retired(1, 2, 3)), Ok(1));
    assert_eq!(keys::parse_definition(&keys::definition(1, 2)), Ok((1, 2)));
    assert_eq!(keys::parse_dedupe(&keys::dedupe(1, 2, &[3; 16])), Ok((1, [3; 16])));
    assert_eq!(keys::parse_account(&keys::account(7)), Ok(Some(7)));
    assert_eq!(keys::parse_account(&keys::account_ends(7)), Ok(None));
    assert_eq!(keys::parse_origin(&keys::origin(7)), Ok(7));
    assert_eq!(keys::parse_track(&keys::track(1, 2, 3)), Ok((1, 2, 3)));
    assert_eq!(keys::parse_course(&keys::course(7)), Ok(7));
    assert_eq!(keys::parse_miss(&keys::miss(1, 2)), Ok(2));
    assert_eq!(keys::parse_pause_note(&keys::pause_note(7)), Ok(7));
    assert_eq!(keys::parse_backfill(&keys::backfill(7, "id")), Ok((7, "id")));
    assert_eq!(keys::parse_calendar(&keys::calendar(CalendarPart::Head, "ns", "de")), Ok(("ns", "de")));
    assert_eq!(keys::parse_calendar(&keys::calendar_seen("ns")), Ok(("ns", "")));
    for number in [0, 7, 256, u64::MAX] {
        assert_eq!(keys::parse_calendar_use(&keys::calendar_use("ns", "de", number)), Ok(("ns", "de", number)));
        assert_eq!(keys::parse_calendar_names(&keys::calendar_names(number)), Ok(number));
    }
}

#[test]
fn the_order_of_keys_is_the_order_of_their_numbers() {
    for pair in [0, 1, 255, 256, u64::from(u32::MAX), u64::MAX].windows(2) {
        let [low, high] = [pair[0], pair[1]];
        assert!(keys::account(low) < keys::account_ends(low) && keys::account_ends(low) < keys::account(high));
        assert!(keys::outbox(1, low) < keys::outbox(1, high) && keys::outbox(1, high) < keys::outbox(2, low));
        assert!(keys::miss(1, low) < keys::miss(1, high) && keys::miss(1, high) < keys::miss(2, low));
        assert!(keys::cursor(low) < keys::cursor(high) && keys::dead(low) < keys::dead(high));
    }
}

#[test]
fn the_end_of_a_prefix_lies_behind_all_that_begin_with_it() {
    for (prefix, end) in [(vec![1, 2], vec![1, 3]), (vec![1, 255], vec![2]), (vec![1, 255, 255], vec![2])] {
        assert_eq!(keys::after(&prefix), end);
    }
    assert!(keys::after(&[]) > keys::cursor(u64::MAX) && keys::after(&[255]) > vec![255; 299]);
}
