//! Named calendars by example: how one comes to be at home, how its days come to a shard and move its definitions, and how it goes.

use std::ops::ControlFlow;

use flintwheel_shard::calendar_entry::{
    CalendarMark, CalendarStep, PutCalendar, RemoveCalendar, Retime, Retimed, Uses,
};
use flintwheel_shard::calendars::{Local, days, users};
use flintwheel_shard::entry::{Body, Define, NEVER, Pause, Restore};
use flintwheel_shard::export::export;
use flintwheel_shard::reply::{Calendared, Change, Defined, Outcome};
use flintwheel_shard::rows::Row;

use crate::support::*;

const CALENDAR: &str = "de";

fn step(shard: &mut Shard, step: CalendarStep) -> Calendared {
    match shard.apply(Body::Calendar(step)).outcome {
        Outcome::Calendar(calendared) => calendared,
        other => panic!("not the outcome of a calendar: {other:?}"),
    }
}

fn put(name: &str, document: &'static str, truth: u64) -> PutCalendar {
    PutCalendar {
        namespace: NAMESPACE.into(),
        name: name.into(),
        document: document.into(),
        refers: Vec::new(),
        touched: Vec::new(),
        expected_version: None,
        truth,
        request: None,
    }
}

fn remove(truth: u64) -> CalendarStep {
    let (namespace, name) = (NAMESPACE.into(), CALENDAR.into());
    CalendarStep::Remove(RemoveCalendar { namespace, name, expected_version: None, truth, request: None })
}

fn mark(revision: u64) -> CalendarMark {
    CalendarMark { namespace: NAMESPACE.into(), name: CALENDAR.into(), revision }
}

fn give(shard: &mut Shard, revision: u64) -> Calendared {
    step(shard, CalendarStep::Days { mark: mark(revision), days: format!("days {revision}").into() })
}

/// A definition that uses the calendar, as the shard has it at this revision.
fn using(id: &str, next: i64, revision: u64) -> Define {
    let calendars = Some(Uses { revision, names: vec![CALENDAR.into()] });
    Define { calendars, ..due(id, next) }
}

/// A shard that has the calendar at revision 1, and so many definitions that use it, due an hour from now.
fn with_users(count: usize) -> Shard {
    let mut shard = Shard::default();
    give(&mut shard, 1);
    shard.apply(Body::Define((0..count).map(|n| using(&format!("d{n}"), START + HOUR, 1)).collect()));
    shard
}

fn local(shard: &Shard) -> Option<Local> {
    shard.machine.calendars().local(NAMESPACE, CALENDAR).copied()
}

fn anew(shard: &Shard, number: u64, next: i64) -> Retimed {
    let slot = shard.slot(number);
    Retimed { number, generation: slot.generation, nominal: slot.next, next }
}

fn retime(shard: &mut Shard, revision: u64, items: Vec<Retimed>, from: u64, last: bool) -> Calendared {
    step(shard, CalendarStep::Retime(Retime { mark: mark(revision), items, from, last }))
}

#[test]
fn a_change_at_home_gives_new_revisions_to_what_it_touches() {
    let mut shard = Shard::default();
    let made = |change, version, revision| Calendared::Put { change, version, revision };
    let touching = |document, truth| PutCalendar { touched: vec!["all".into()], ..put(CALENDAR, document, truth) };
    for (given, expected) in [
        (PutCalendar { expected_version: Some(1), ..put(CALENDAR, "a", 0) }, Calendared::Conflict { actual: 0 }),
        (put(CALENDAR, "a", 0), made(Change::Created, 1, 1)),
        (put("all", "x", 0), Calendared::Outdated),
        (put("all", "x", 1), made(Change::Created, 1, 2)),
        (put(CALENDAR, "a", 2), made(Change::Unchanged, 1, 1)),
        (touching("b", 2), made(Change::Configured, 2, 3)),
    ] {
        assert_eq!(step(&mut shard, CalendarStep::Put(given.clone())), expected, "{given:?}");
    }
    let calendars = shard.machine.calendars();
    let heads: Vec<_> =
        calendars.homes_of(NAMESPACE).map(|(name, h)| (name, h.version, h.revision, h.pending)).collect();
    assert_eq!(heads, [("all", 1, 4, true), (CALENDAR, 2, 3, true)]);
    assert_eq!(calendars.truth(), 4);
}

#[test]
fn a_request_that_comes_again_is_answered_as_before() {
    let mut shard = Shard::default();
    let asked = |content| PutCalendar { request: request("c", "r1", content), ..put(CALENDAR, "a", 0) };
    assert!(matches!(step(&mut shard, CalendarStep::Put(asked(1))), Calendared::Put { .. }));
    assert!(
        matches!(step(&mut shard, CalendarStep::Put(asked(1))), Calendared::Repeated(before) if before.version == 1)
    );
    assert_eq!(step(&mut shard, CalendarStep::Put(asked(2))), Calendared::Reused);
    let gone = |truth| {
        let (namespace, name, request) = (NAMESPACE.into(), CALENDAR.into(), request("c", "r2", 1));
        CalendarStep::Remove(RemoveCalendar { namespace, name, expected_version: None, truth, request })
    };
    // While it is about to go, and when it is gone.
    for _ in 0..2 {
        assert_eq!(step(&mut shard, gone(1)), Calendared::Leaving { version: 1, revision: 2 });
    }
    step(&mut shard, CalendarStep::Spread { mark: mark(2), users: 0, moved: 0 });
    assert_eq!(step(&mut shard, gone(2)), Calendared::Gone { version: 1 });
    assert!(shard.machine.calendars().home(NAMESPACE, CALENDAR).is_none());
}

#[test]
fn days_of_before_are_stragglers_and_change_nothing() {
    let mut shard = with_users(0);
    for (revision, has) in [(1, 1), (3, 3), (2, 3), (3, 3), (4, 4)] {
        give(&mut shard, revision);
        assert_eq!(local(&shard).map(|local| local.revision), Some(has));
        let found = days(&shard.state, NAMESPACE, CALENDAR).expect("reads");
        assert_eq!(found, Some((has, format!("days {has}").into())));
    }
    step(&mut shard, CalendarStep::Drop(mark(3)));
    assert!(local(&shard).is_some(), "a straggler drops nothing");
    step(&mut shard, CalendarStep::Drop(mark(5)));
    give(&mut shard, 4);
    assert_eq!((local(&shard), days(&shard.state, NAMESPACE, CALENDAR).expect("reads")), (None, None));
}

#[test]
fn definitions_move_page_by_page_and_a_stale_one_is_computed_again() {
    let mut shard = with_users(5);
    let done = Local { revision: 2, from: 0, moved: 0, done: false };
    assert_eq!(give(&mut shard, 2), Calendared::Local { local: Some(done), users: 5 });
    assert_eq!(users(&shard.state, (NAMESPACE, CALENDAR), 1, 2).expect("reads"), [1, 2]);
    let later = START + 3 * HOUR;
    // The second of the page fires meanwhile.
    let page = vec![anew(&shard, 0, later), anew(&shard, 1, later), anew(&shard, 2, later)];
    shard.fire_next(1);
    assert_eq!(retime(&mut shard, 2, page, 3, false), Calendared::Retimed { items: 1 });
    assert_eq!(local(&shard), Some(Local { from: 1, moved: 1, ..done }));
    // One stays where it is; one is deleted meanwhile.
    let page =
        vec![anew(&shard, 1, later), anew(&shard, 2, START + HOUR), anew(&shard, 3, later), anew(&shard, 4, later)];
    shard.apply(delete("d3"));
    assert_eq!(retime(&mut shard, 2, page.clone(), 5, true), Calendared::Retimed { items: 4 });
    assert_eq!(local(&shard), Some(Local { from: 5, moved: 3, done: true, ..done }));
    let cursors: Vec<_> = [0, 1, 2, 4].map(|number| (shard.slot(number).next, shard.slot(number).generation)).into();
    assert_eq!(cursors, [(later, 2), (later, 2), (START + HOUR, 2), (later, 2)]);
    // What comes late changes nothing.
    assert_eq!(retime(&mut shard, 2, page.clone(), 5, true), Calendared::Retimed { items: 0 });
    give(&mut shard, 3);
    assert_eq!(retime(&mut shard, 2, page, 5, true), Calendared::Retimed { items: 0 });
    assert_eq!(local(&shard), Some(Local { revision: 3, from: 0, moved: 0, done: false }));
}

#[test]
fn what_was_to_fire_by_the_old_days_is_stale_even_where_its_time_stays() {
    let mut shard = with_users(1);
    let by_the_old_days = shard.next_decision(0);
    give(&mut shard, 2);
    let stays = anew(&shard, 0, START + HOUR);
    retime(&mut shard, 2, vec![stays], 1, true);
    assert_eq!(shard.fire(vec![by_the_old_days]).1, [0]);
    shard.fire_next(0);
}

#[test]
fn a_definition_that_was_computed_by_other_calendars_is_computed_again() {
    let mut shard = with_users(1);
    give(&mut shard, 2);
    for (define, expected) in
        [(using("x", START + HOUR, 1), Defined::Outdated), (using("d0", START + HOUR, 3), Defined::Outdated)]
    {
        let applied = shard.apply(Body::Define(vec![define]));
        assert_eq!(applied.outcome, Outcome::Defined(vec![expected]));
    }
    assert_eq!(shard.machine.slots().len(), 1);
    // One that names none is nobody's business.
    shard.define(due("y", START + HOUR));
    shard.define(using("x", START + HOUR, 2));
    assert_eq!(shard.machine.calendars().users(NAMESPACE, CALENDAR), 2);
    shard.define(changed(due("x", START + HOUR), "names none now"));
    assert_eq!(users(&shard.state, (NAMESPACE, CALENDAR), 0, 9).expect("reads"), [0]);
    shard.apply(delete("d0"));
    assert_eq!(shard.machine.calendars().users(NAMESPACE, CALENDAR), 0);
}

#[test]
fn a_definition_that_is_resumed_is_looked_at_again_by_the_days_of_then() {
    let mut shard = with_users(1);
    shard.define(due("plain", START + HOUR));
    let switch = |id: &str, paused| {
        let (namespace, id, note, next) = (NAMESPACE.into(), id.into(), String::new(), START + HOUR);
        let (missed, until, wanted_through, computed, request) = (0, None, None, None, None);
        let pause = Pause { namespace, id, paused, note, next, missed, wanted_through, until, computed, request };
        Body::Pause(vec![pause])
    };
    for id in ["d0", "plain"] {
        shard.apply(switch(id, true));
        shard.apply(switch(id, false));
    }
    let again = |shard: &Shard| shard.machine.calendars().again().collect::<Vec<_>>();
    assert_eq!(again(&shard), [0]);
    let stale = Retimed { generation: 1, ..anew(&shard, 0, START + 2 * HOUR) };
    step(&mut shard, CalendarStep::Again(vec![stale]));
    assert_eq!((again(&shard), shard.slot(0).next), (vec![0], START + HOUR));
    let fresh = anew(&shard, 0, START + 2 * HOUR);
    step(&mut shard, CalendarStep::Again(vec![fresh]));
    assert_eq!((again(&shard), shard.slot(0).next), (vec![], START + 2 * HOUR));
    shard.apply(switch("d0", true));
    shard.apply(switch("d0", false));
    shard.apply(delete("d0"));
    assert_eq!(again(&shard), [0; 0]);
}

#[test]
fn a_calendar_that_is_used_stays_and_comes_back_where_it_was_dropped() {
    let mut shard = with_users(1);
    step(&mut shard, CalendarStep::Put(put(CALENDAR, "a", 0)));
    assert_eq!(step(&mut shard, remove(1)), Calendared::Leaving { version: 1, revision: 2 });
    let stays = step(&mut shard, CalendarStep::Drop(mark(2)));
    assert!(matches!(stays, Calendared::Local { local: Some(local), users: 1 } if local.revision == 1));
    step(&mut shard, CalendarStep::Keep(mark(2)));
    let head = shard.machine.calendars().home(NAMESPACE, CALENDAR).cloned().expect("stays");
    assert_eq!((head.revision, head.pending, head.leaving), (3, true, None));
    // An end of the attempt that comes late changes nothing.
    step(&mut shard, CalendarStep::Spread { mark: mark(2), users: 0, moved: 0 });
    assert!(shard.machine.calendars().home(NAMESPACE, CALENDAR).is_some());
    // Whoever wants it again while it is about to go has it.
    assert_eq!(step(&mut shard, remove(3)), Calendared::Leaving { version: 1, revision: 4 });
    let again = step(&mut shard, CalendarStep::Put(put(CALENDAR, "a", 4)));
    assert_eq!(again, Calendared::Put { change: Change::Configured, version: 2, revision: 5 });
}

#[test]
fn a_backup_brings_calendars_and_their_users_and_no_days() {
    let mut before = with_users(2);
    step(&mut before, CalendarStep::Put(put(CALENDAR, "a", 0)));
    step(&mut before, CalendarStep::Spread { mark: mark(1), users: 2, moved: 0 });
    let mut rows: Vec<Row> = Vec::new();
    let flow = export(&before.state, &mut |row| {
        rows.push(row);
        ControlFlow::Continue(())
    });
    assert_eq!(flow.expect("reads"), ControlFlow::Continue(()));
    let mut after = Shard::default();
    let backup = [0xB1; 16];
    assert!(after.machine.is_unused() && !before.machine.is_unused());
    after.apply(Body::Restore(Restore::Begin { backup, skip_before: 0 }));
    let many = rows.len() as u64;
    after.apply(Body::Restore(Restore::Rows { backup, from: 0, rows }));
    after.apply(Body::Restore(Restore::Finish { backup, rows: many }));
    let calendars = after.machine.calendars();
    let head = calendars.home(NAMESPACE, CALENDAR).expect("came");
    assert_eq!((head.version, head.revision, head.pending, calendars.truth()), (1, 1, true, 1));
    assert_eq!((calendars.users(NAMESPACE, CALENDAR), local(&after), calendars.seen(NAMESPACE)), (2, None, 0));
    // As soon as its days come, all that use it are looked at.
    let Calendared::Local { local: Some(local), users: 2 } = give(&mut after, 1) else { panic!("has days") };
    assert!(!local.done);
    let page = vec![anew(&after, 0, NEVER), anew(&after, 1, START + HOUR)];
    retime(&mut after, 1, page, 2, true);
    assert_eq!([0, 1].map(|number| after.slot(number).next), [NEVER, START + HOUR]);
}
