//! Calendars changed, at their home; and what follows in every shard: their days, and the next due times of the definitions that use them.

use bytes::Bytes;

use crate::calendar_entry::{CalendarMark, CalendarStep, PutCalendar, RemoveCalendar, Retime, Retimed};
use crate::calendars::{self, Head, Leaving, Local};
use crate::codec::count;
use crate::entry::{NEVER, Request};
use crate::kv::{ReadError, Txn};
use crate::machine::Machine;
use crate::reply::{Before, Calendared, Change, Outcome};
use crate::request::{Answer, Known};

pub(crate) fn apply(m: &mut Machine, txn: &mut Txn<'_>, at: i64, step: CalendarStep) -> Result<Outcome, ReadError> {
    Ok(Outcome::Calendar(match step {
        CalendarStep::Put(put) => once(m, txn, at, put)?,
        CalendarStep::Remove(remove) => remove_once(m, txn, at, &remove)?,
        CalendarStep::Keep(mark) => keep(m, txn, &mark),
        CalendarStep::Spread { mark, users, moved } => spread(m, txn, at, &mark, (users, moved)),
        CalendarStep::Days { mark, days } => take_days(m, txn, &mark, &days),
        CalendarStep::Drop(mark) => drop_days(m, txn, &mark),
        CalendarStep::Retime(retime) => re_time(m, txn, &retime),
        CalendarStep::Again(items) => again(m, txn, &items),
    }))
}

fn once(m: &mut Machine, txn: &mut Txn<'_>, at: i64, put: PutCalendar) -> Result<Calendared, ReadError> {
    match m.known(txn, at, put.request.as_ref())? {
        Known::New => change(m, txn, at, put),
        Known::Answered(Answer::Defined(before)) => Ok(Calendared::Repeated(before)),
        Known::Answered(_) | Known::Other => Ok(Calendared::Reused),
    }
}

fn change(m: &mut Machine, txn: &mut Txn<'_>, at: i64, put: PutCalendar) -> Result<Calendared, ReadError> {
    let PutCalendar { namespace, name, document, refers, touched, expected_version, truth, request } = put;
    if truth != m.calendars.truth() {
        return Ok(Calendared::Outdated);
    }
    let before = m.calendars.home(&namespace, &name).cloned();
    let actual = before.as_ref().map_or(0, |head| head.version);
    if expected_version.is_some_and(|expected| expected != actual) {
        return Ok(Calendared::Conflict { actual });
    }
    if let Some(head) = before.as_ref().filter(|head| head.leaving.is_none())
        && calendars::document(txn, &namespace, &name)?.as_ref() == Some(&document)
    {
        let (version, revision) = (head.version, head.revision);
        remember(m, txn, at, request.as_ref(), Change::Unchanged, version);
        return Ok(Calendared::Put { change: Change::Unchanged, version, revision });
    }
    let (change, version) = (if before.is_some() { Change::Configured } else { Change::Created }, actual + 1);
    let revision = m.calendars.next_revision(txn);
    let head = Head {
        version,
        revision,
        created: before.map_or(at, |head| head.created),
        updated: at,
        refers,
        pending: true,
        leaving: None,
        users: 0,
        moved: 0,
        bytes: count(document.len()),
    };
    m.calendars.put_document(txn, &namespace, &name, &document);
    m.calendars.put_home(txn, &namespace, &name, head);
    for other in touched {
        renew(m, txn, &namespace, &other);
    }
    remember(m, txn, at, request.as_ref(), change, version);
    Ok(Calendared::Put { change, version, revision })
}

fn remember(m: &mut Machine, txn: &mut Txn<'_>, at: i64, request: Option<&Request>, change: Change, version: u32) {
    m.remember(txn, at, request, Answer::Defined(Before { change, version, next: NEVER }));
}

/// Its days change, though nobody has changed it: all shards must hear of it.
fn renew(m: &mut Machine, txn: &mut Txn<'_>, namespace: &str, name: &str) {
    let Some(mut head) = m.calendars.home(namespace, name).cloned() else { return };
    head.revision = m.calendars.next_revision(txn);
    head.pending = true;
    m.calendars.put_home(txn, namespace, name, head);
}

fn remove_once(m: &mut Machine, txn: &mut Txn<'_>, at: i64, item: &RemoveCalendar) -> Result<Calendared, ReadError> {
    match m.known(txn, at, item.request.as_ref())? {
        Known::New => Ok(remove(m, txn, item)),
        Known::Answered(Answer::Deleted { version }) => Ok(Calendared::Gone { version }),
        Known::Answered(_) | Known::Other => Ok(Calendared::Reused),
    }
}

/// That it is gone is remembered when it is: until then, whoever asks again is told that it is about to go.
fn remove(m: &mut Machine, txn: &mut Txn<'_>, item: &RemoveCalendar) -> Calendared {
    let RemoveCalendar { namespace, name, expected_version, truth, request } = item;
    let Some(mut head) = m.calendars.home(namespace, name).cloned() else { return Calendared::NotFound };
    let version = head.version;
    if expected_version.is_some_and(|expected| expected != version) {
        return Calendared::Conflict { actual: version };
    }
    if head.leaving.is_some() {
        return Calendared::Leaving { version, revision: head.revision };
    }
    if *truth != m.calendars.truth() {
        return Calendared::Outdated;
    }
    let revision = m.calendars.next_revision(txn);
    (head.revision, head.pending, head.leaving) = (revision, true, Some(Leaving { request: *request }));
    m.calendars.put_home(txn, namespace, name, head);
    Calendared::Leaving { version, revision }
}

/// The head of a calendar, if this is its revision still.
fn current(m: &Machine, mark: &CalendarMark) -> Option<Head> {
    let head = m.calendars.home(&mark.namespace, &mark.name)?;
    (head.revision == mark.revision).then(|| head.clone())
}

fn keep(m: &mut Machine, txn: &mut Txn<'_>, mark: &CalendarMark) -> Calendared {
    if let Some(mut head) = current(m, mark).filter(|head| head.leaving.is_some()) {
        head.leaving = None;
        m.calendars.put_home(txn, &mark.namespace, &mark.name, head);
        // Shards that have dropped it get it back.
        renew(m, txn, &mark.namespace, &mark.name);
    }
    Calendared::Done
}

fn spread(m: &mut Machine, txn: &mut Txn<'_>, at: i64, mark: &CalendarMark, (users, moved): (u64, u64)) -> Calendared {
    let Some(mut head) = current(m, mark).filter(|head| head.pending) else { return Calendared::Done };
    if let Some(Leaving { request }) = head.leaving {
        m.calendars.remove_home(txn, &mark.namespace, &mark.name);
        m.remember(txn, at, request.as_ref(), Answer::Deleted { version: head.version });
    } else {
        (head.pending, head.users, head.moved) = (false, users, moved);
        m.calendars.put_home(txn, &mark.namespace, &mark.name, head);
    }
    Calendared::Done
}

/// How a shard stands with a calendar.
fn standing(m: &Machine, mark: &CalendarMark) -> Calendared {
    let users = m.calendars.users(&mark.namespace, &mark.name);
    Calendared::Local { local: m.calendars.local(&mark.namespace, &mark.name).copied(), users }
}

fn take_days(m: &mut Machine, txn: &mut Txn<'_>, mark: &CalendarMark, days: &Bytes) -> Calendared {
    let CalendarMark { namespace, name, revision } = mark;
    if *revision > m.calendars.seen(namespace) {
        let done = m.calendars.users(namespace, name) == 0;
        m.calendars.see(txn, namespace, *revision);
        m.calendars.put_days(txn, namespace, name, (*revision, days));
        m.calendars.put_local(txn, namespace, name, Local { revision: *revision, from: 0, moved: 0, done });
    }
    standing(m, mark)
}

fn drop_days(m: &mut Machine, txn: &mut Txn<'_>, mark: &CalendarMark) -> Calendared {
    let CalendarMark { namespace, name, revision } = mark;
    if *revision > m.calendars.seen(namespace) && m.calendars.users(namespace, name) == 0 {
        m.calendars.see(txn, namespace, *revision);
        m.calendars.remove_local(txn, namespace, name);
    }
    standing(m, mark)
}

/// In order, up to the first that has changed since it was computed: the leader goes on from there.
fn re_time(m: &mut Machine, txn: &mut Txn<'_>, retime: &Retime) -> Calendared {
    let CalendarMark { namespace, name, revision } = &retime.mark;
    let local = m.calendars.local(namespace, name).copied();
    let Some(mut local) = local.filter(|local| local.revision == *revision && !local.done) else {
        return Calendared::Retimed { items: 0 };
    };
    // Those before were done by a leader of before.
    for (index, item) in retime.items.iter().enumerate().filter(|(_, item)| item.number >= local.from) {
        let Some(moved) = move_one(m, txn, item) else {
            local.from = item.number;
            m.calendars.put_local(txn, namespace, name, local);
            return Calendared::Retimed { items: count(index) };
        };
        local.moved += u64::from(moved);
    }
    (local.from, local.done) = (retime.from.max(local.from), retime.last);
    m.calendars.put_local(txn, namespace, name, local);
    Calendared::Retimed { items: count(retime.items.len()) }
}

/// One that has changed since it was computed stays to be looked at.
fn again(m: &mut Machine, txn: &mut Txn<'_>, items: &[Retimed]) -> Calendared {
    for item in items {
        if move_one(m, txn, item).is_some() {
            m.calendars.looked(txn, item.number);
        }
    }
    Calendared::Done
}

/// Says whether it has moved; none where it was computed from what is not so any more. A new generation, also where it stays: what is on its
/// way to be fired was computed by the old days, and so was the due time after that.
pub(crate) fn move_one(m: &mut Machine, txn: &mut Txn<'_>, item: &Retimed) -> Option<bool> {
    // Deleted since.
    let Some(mut slot) = m.slots.get(item.number).copied() else { return Some(false) };
    if slot.generation != item.generation || slot.next != item.nominal || item.next <= slot.last {
        return None;
    }
    // Who has had all firings that it asks for is not due again.
    let next = m.tracks.soonest(item.number, item.next);
    let next = if m.courses.is_used_up(item.number) { NEVER } else { next };
    let moved = slot.next != next;
    slot.generation += 1;
    slot.next = next;
    m.put_slot(txn, item.number, slot);
    Some(moved)
}
