//! Calendars once more, as naive as the rest of the model: maps by name, and users found by going through all definitions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flintwheel_shard::calendar_entry::{
    CalendarMark, CalendarStep, PutCalendar, RemoveCalendar, Retime, Retimed, Uses,
};
use flintwheel_shard::calendars::Local;
use flintwheel_shard::entry::{NEVER, Request};
use flintwheel_shard::reply::{Before, Calendared, Change, Defined, Definite, Deleted};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::naive::{Model, Told};
use crate::support::{HOUR, SECOND, Shard, digest};

/// By namespace and name.
pub type Key = (String, String);

/// A calendar at its home.
#[derive(Clone, Debug)]
pub struct Home {
    pub version: u32,
    pub revision: u64,
    pub document: Bytes,
    pub refers: Vec<String>,
    pub created: i64,
    pub updated: i64,
    pub pending: bool,
    pub leaving: Option<Option<Request>>,
    pub told: (u64, u64),
}

/// All that is known of calendars.
#[derive(Clone, Debug, Default)]
pub struct Calendars {
    pub truth: u64,
    pub homes: BTreeMap<Key, Home>,
    pub seen: BTreeMap<String, u64>,
    pub locals: BTreeMap<Key, (Local, Bytes)>,
    /// Resumed, and not looked at since.
    pub again: BTreeSet<u64>,
}

/// What is proposed.
#[derive(Clone, Debug)]
pub enum CalendarOp {
    Put {
        name: u8,
        document: u8,
        touches: bool,
        expected: Option<u32>,
        stale: bool,
        request: Option<u8>,
    },
    Remove {
        name: u8,
        expected: Option<u32>,
        stale: bool,
        request: Option<u8>,
    },
    /// Of a calendar there is, or of an older revision of it.
    Keep(Index, bool),
    Spread(Index, bool),
    /// The second time it is a straggler.
    Days(Index, u64),
    Drop(Index, u64),
    /// How many definitions, where the last one is stale, and whether that is all.
    Retime {
        many: usize,
        flaw: bool,
        last: bool,
        step: i64,
    },
    /// How many of those that are to be looked at again, and whether the last one is stale.
    Again(usize, bool, i64),
}

pub fn op() -> impl Strategy<Value = CalendarOp> {
    let request = || proptest::option::weighted(0.4, 0_u8..2);
    let expected = || proptest::option::weighted(0.2, 0_u32..3);
    let seldom = || prop::bool::weighted(0.1);
    let late = || select(vec![0_u64, 0, 0, 1, 2]);
    prop_oneof![
        4 => (0..NAMES, 0_u8..3, any::<bool>(), expected(), seldom(), request()).prop_map(
            |(name, document, touches, expected, stale, request)| CalendarOp::Put {
                name, document, touches, expected, stale, request,
            }
        ),
        2 => (0..NAMES, expected(), seldom(), request())
            .prop_map(|(name, expected, stale, request)| CalendarOp::Remove { name, expected, stale, request }),
        1 => (any::<Index>(), seldom()).prop_map(|(pick, old)| CalendarOp::Keep(pick, old)),
        4 => (any::<Index>(), seldom()).prop_map(|(pick, old)| CalendarOp::Spread(pick, old)),
        6 => (any::<Index>(), late()).prop_map(|(pick, late)| CalendarOp::Days(pick, late)),
        2 => (any::<Index>(), late()).prop_map(|(pick, late)| CalendarOp::Drop(pick, late)),
        6 => (0_usize..4, seldom(), any::<bool>(), select(vec![1, SECOND, HOUR]))
            .prop_map(|(many, flaw, last, step)| CalendarOp::Retime { many, flaw, last, step }),
        2 => (1_usize..3, seldom(), select(vec![1, SECOND, HOUR]))
            .prop_map(|(many, flaw, step)| CalendarOp::Again(many, flaw, step)),
    ]
}

const NAMES: u8 = 4;

fn key(name: u8) -> Key {
    (format!("n{}", name % 2), format!("c{name}"))
}

/// The calendars that a definition of this namespace names, by a number; as the shard has them, or as it had them before.
pub fn uses(namespace: &str, pick: u8, stale: bool, model: &Model) -> Option<Uses> {
    let names = (0..NAMES).map(key).filter(|(of, _)| of == namespace).map(|(_, name)| name);
    let names: Vec<String> = names.enumerate().filter(|(i, _)| pick >> i & 1 == 1).map(|(_, name)| name).collect();
    let seen = model.calendars.seen.get(namespace).copied().unwrap_or(0);
    (!names.is_empty()).then(|| Uses { revision: seen + u64::from(stale), names })
}

fn asked(name: u8, request: Option<u8>, content: [u8; 3]) -> Option<Request> {
    let request = request?;
    let mut bytes = [0; 16];
    bytes[..3].copy_from_slice(&content);
    Some(Request { digest: digest(u64::MAX, &format!("c:{name}:{request}")), content: bytes, window: 3_600 })
}

impl CalendarOp {
    /// As it is proposed where the model stands.
    pub fn step(&self, at: i64, model: &Model) -> Option<CalendarStep> {
        let truth = |stale: bool| model.calendars.truth + u64::from(stale);
        Some(match self {
            Self::Put { name, document, touches, expected, stale, request } => {
                let (namespace, name_there) = key(*name);
                let other = key((name + 2) % NAMES).1;
                CalendarStep::Put(PutCalendar {
                    namespace,
                    name: name_there,
                    document: Bytes::from(format!("document {document}")),
                    refers: if *document == 2 { vec![other.clone()] } else { Vec::new() },
                    touched: if *touches { vec![other] } else { Vec::new() },
                    expected_version: *expected,
                    truth: truth(*stale),
                    request: asked(*name, *request, [b'p', *document, expected.map_or(u8::MAX, |v| v as u8)]),
                })
            }
            Self::Remove { name, expected, stale, request } => {
                let (namespace, name_there) = key(*name);
                let request = asked(*name, *request, [b'r', 0, expected.map_or(u8::MAX, |v| v as u8)]);
                let (expected_version, truth) = (*expected, truth(*stale));
                CalendarStep::Remove(RemoveCalendar { namespace, name: name_there, expected_version, truth, request })
            }
            Self::Keep(pick, old) => CalendarStep::Keep(mark(pick, u64::from(*old), model)?),
            Self::Spread(pick, old) => {
                CalendarStep::Spread { mark: mark(pick, u64::from(*old), model)?, users: 3, moved: 2 }
            }
            Self::Days(pick, late) => {
                let mark = mark(pick, *late, model)?;
                let days = Bytes::from(format!("days of {}", mark.revision));
                CalendarStep::Days { mark, days }
            }
            Self::Drop(pick, late) => CalendarStep::Drop(mark(pick, *late, model)?),
            Self::Again(many, flaw, step) => CalendarStep::Again(again(*many, *flaw, at + step, model)),
            Self::Retime { many, flaw, last, step } => {
                CalendarStep::Retime(retime(*many, *flaw, *last, at + step, model)?)
            }
        })
    }
}

fn mark(pick: &Index, older: u64, model: &Model) -> Option<CalendarMark> {
    let keys: Vec<&Key> = model.calendars.homes.keys().collect();
    let (namespace, name) = if keys.is_empty() { return None } else { (*pick.get(&keys)).clone() };
    let revision = model.calendars.homes[&(namespace.clone(), name.clone())].revision.saturating_sub(older);
    Some(CalendarMark { namespace, name, revision })
}

/// The next definitions of a calendar by whose days not all are due.
fn retime(many: usize, flaw: bool, last: bool, next: i64, model: &Model) -> Option<Retime> {
    let (key, (local, _)) = model.calendars.locals.iter().find(|(_, (local, _))| !local.done)?;
    let users = model.users(key);
    let some: Vec<u64> = users.iter().copied().filter(|number| *number >= local.from).take(many).collect();
    let mut items: Vec<Retimed> = some.iter().map(|number| item(*number, next, model)).collect();
    if let Some(item) = items.last_mut().filter(|_| flaw) {
        item.generation -= 1;
    }
    let mark = CalendarMark { namespace: key.0.clone(), name: key.1.clone(), revision: local.revision };
    let from = some.last().map_or(local.from, |number| number + 1);
    let rest = users.iter().any(|number| *number >= from);
    Some(Retime { mark, items, from, last: last && !rest })
}

fn again(many: usize, flaw: bool, next: i64, model: &Model) -> Vec<Retimed> {
    let numbers = model.calendars.again.iter().take(many);
    let mut items: Vec<Retimed> = numbers.map(|number| item(*number, next, model)).collect();
    if let Some(item) = items.last_mut().filter(|_| flaw) {
        item.nominal -= 1;
    }
    items
}

fn item(number: u64, next: i64, model: &Model) -> Retimed {
    let definition = &model.definitions[&number];
    let next = if definition.enabled { next } else { NEVER };
    Retimed { number, generation: definition.generation, nominal: definition.next, next }
}

impl Model {
    /// Definitions that use a calendar.
    pub fn users(&self, (namespace, name): &Key) -> Vec<u64> {
        let uses = self.definitions.iter().filter(|(_, d)| d.namespace == *namespace && d.uses.contains(name));
        uses.map(|(number, _)| *number).collect()
    }

    pub fn calendar(&mut self, step: &CalendarStep) -> Calendared {
        match step {
            CalendarStep::Put(put) => self.put_once(put),
            CalendarStep::Remove(remove) => self.remove(remove),
            CalendarStep::Keep(mark) => {
                let key = (mark.namespace.clone(), mark.name.clone());
                if let Some(home) = self.current(mark).filter(|home| home.leaving.is_some()) {
                    home.leaving = None;
                    self.renew(&key);
                }
                Calendared::Done
            }
            CalendarStep::Spread { mark, users, moved } => {
                self.spread(mark, (*users, *moved));
                Calendared::Done
            }
            CalendarStep::Days { mark, days } => self.days(mark, days),
            CalendarStep::Drop(mark) => self.drop_days(mark),
            CalendarStep::Retime(retime) => self.retime(retime),
            CalendarStep::Again(items) => {
                for item in items {
                    if self.move_one(item).is_some() {
                        self.calendars.again.remove(&item.number);
                    }
                }
                Calendared::Done
            }
        }
    }

    fn current(&mut self, mark: &CalendarMark) -> Option<&mut Home> {
        let home = self.calendars.homes.get_mut(&(mark.namespace.clone(), mark.name.clone()))?;
        (home.revision == mark.revision).then_some(home)
    }

    fn renew(&mut self, key: &Key) {
        if let Some(home) = self.calendars.homes.get_mut(key) {
            self.calendars.truth += 1;
            (home.revision, home.pending) = (self.calendars.truth, true);
        }
    }

    fn put_once(&mut self, put: &PutCalendar) -> Calendared {
        if let Some(done) = self.done_before(put.request) {
            let (told, next) = match done.answer {
                Told::Defined(told, next) if Some(done.request) == put.request => (told, next),
                _ => return Calendared::Reused,
            };
            let before = |change, now: Definite| Calendared::Repeated(Before { change, version: now.version, next });
            return match told {
                Defined::Created(now) => before(Change::Created, now),
                Defined::Configured(now) => before(Change::Configured, now),
                Defined::Unchanged(now) => before(Change::Unchanged, now),
                other => panic!("{other:?} is not carried out"),
            };
        }
        let told = self.put(put);
        if let Calendared::Put { change, version, .. } = told {
            let now = Definite { number: 0, generation: 0, version };
            let defined = match change {
                Change::Created => Defined::Created(now),
                Change::Configured => Defined::Configured(now),
                Change::Unchanged => Defined::Unchanged(now),
            };
            self.carried_out(put.request, Told::Defined(defined, NEVER));
        }
        told
    }

    fn put(&mut self, put: &PutCalendar) -> Calendared {
        if put.truth != self.calendars.truth {
            return Calendared::Outdated;
        }
        let key = (put.namespace.clone(), put.name.clone());
        let before = self.calendars.homes.get(&key).cloned();
        let actual = before.as_ref().map_or(0, |home| home.version);
        if put.expected_version.is_some_and(|expected| expected != actual) {
            return Calendared::Conflict { actual };
        }
        if let Some(home) = before.as_ref().filter(|home| home.leaving.is_none() && home.document == put.document) {
            return Calendared::Put { change: Change::Unchanged, version: actual, revision: home.revision };
        }
        self.calendars.truth += 1;
        let (version, revision) = (actual + 1, self.calendars.truth);
        let home = Home {
            version,
            revision,
            document: put.document.clone(),
            refers: put.refers.clone(),
            created: before.as_ref().map_or(self.clock, |home| home.created),
            updated: self.clock,
            pending: true,
            leaving: None,
            told: (0, 0),
        };
        self.calendars.homes.insert(key, home);
        put.touched.iter().for_each(|name| self.renew(&(put.namespace.clone(), name.clone())));
        let change = if before.is_some() { Change::Configured } else { Change::Created };
        Calendared::Put { change, version, revision }
    }

    fn remove(&mut self, item: &RemoveCalendar) -> Calendared {
        if let Some(done) = self.done_before(item.request) {
            return match done.answer {
                Told::Deleted(Deleted::Gone { version, .. }) if Some(done.request) == item.request => {
                    Calendared::Gone { version }
                }
                _ => Calendared::Reused,
            };
        }
        let key = (item.namespace.clone(), item.name.clone());
        let Some(home) = self.calendars.homes.get(&key).cloned() else { return Calendared::NotFound };
        let version = home.version;
        if item.expected_version.is_some_and(|expected| expected != version) {
            return Calendared::Conflict { actual: version };
        }
        if home.leaving.is_some() {
            return Calendared::Leaving { version, revision: home.revision };
        }
        if item.truth != self.calendars.truth {
            return Calendared::Outdated;
        }
        self.renew(&key);
        let home = self.calendars.homes.get_mut(&key).expect("is there");
        home.leaving = Some(item.request);
        Calendared::Leaving { version, revision: home.revision }
    }

    fn spread(&mut self, mark: &CalendarMark, told: (u64, u64)) {
        let Some(home) = self.current(mark).filter(|home| home.pending) else { return };
        let (version, leaving) = (home.version, home.leaving);
        match leaving {
            None => (home.pending, home.told) = (false, told),
            Some(request) => {
                self.calendars.homes.remove(&(mark.namespace.clone(), mark.name.clone()));
                self.carried_out(request, Told::Deleted(Deleted::Gone { number: 0, version }));
            }
        }
    }

    fn standing(&self, key: &Key) -> Calendared {
        let local = self.calendars.locals.get(key).map(|(local, _)| *local);
        Calendared::Local { local, users: self.users(key).len() as u64 }
    }

    /// Whether it is newer than all that has come of its namespace.
    fn is_news(&self, mark: &CalendarMark) -> bool {
        self.calendars.seen.get(&mark.namespace).is_none_or(|seen| mark.revision > *seen) && mark.revision > 0
    }

    fn days(&mut self, mark: &CalendarMark, days: &Bytes) -> Calendared {
        let key = (mark.namespace.clone(), mark.name.clone());
        if self.is_news(mark) {
            let done = self.users(&key).is_empty();
            let local = Local { revision: mark.revision, from: 0, moved: 0, done };
            self.calendars.seen.insert(mark.namespace.clone(), mark.revision);
            self.calendars.locals.insert(key.clone(), (local, days.clone()));
        }
        self.standing(&key)
    }

    fn drop_days(&mut self, mark: &CalendarMark) -> Calendared {
        let key = (mark.namespace.clone(), mark.name.clone());
        if self.is_news(mark) && self.users(&key).is_empty() {
            self.calendars.seen.insert(mark.namespace.clone(), mark.revision);
            self.calendars.locals.remove(&key);
        }
        self.standing(&key)
    }

    fn retime(&mut self, retime: &Retime) -> Calendared {
        let key = (retime.mark.namespace.clone(), retime.mark.name.clone());
        let local = self.calendars.locals.get(&key).map(|(local, _)| *local);
        let Some(mut local) = local.filter(|local| local.revision == retime.mark.revision && !local.done) else {
            return Calendared::Retimed { items: 0 };
        };
        let (mut items, mut whole) = (0, true);
        for item in &retime.items {
            if item.number >= local.from {
                match self.move_one(item) {
                    None => {
                        (local.from, whole) = (item.number, false);
                        break;
                    }
                    Some(moved) => local.moved += u64::from(moved),
                }
            }
            items += 1;
        }
        if whole {
            (local.from, local.done) = (local.from.max(retime.from), retime.last);
        }
        self.calendars.locals.get_mut(&key).expect("is there").0 = local;
        Calendared::Retimed { items }
    }

    fn move_one(&mut self, item: &Retimed) -> Option<bool> {
        let Some(definition) = self.definitions.get_mut(&item.number) else { return Some(false) };
        let is_same = definition.generation == item.generation && definition.next == item.nominal;
        if !is_same || definition.last.is_some_and(|last| item.next <= last) {
            return None;
        }
        let next = if definition.is_used_up() { NEVER } else { definition.soonest(item.next) };
        let moved = definition.next != next;
        definition.generation += 1;
        definition.next = next;
        Some(moved)
    }
}

/// What the machine has of calendars.
pub fn check(model: &Model, shard: &Shard) {
    use flintwheel_shard::calendars::{days, document, used_by, users};
    let calendars = shard.machine.calendars();
    assert_eq!(calendars.truth(), model.calendars.truth);
    assert_eq!(calendars.again().collect::<BTreeSet<_>>(), model.calendars.again);
    let homes: Vec<Key> = calendars.homes().map(|(namespace, name, _)| (namespace.into(), name.into())).collect();
    assert_eq!(homes, model.calendars.homes.keys().cloned().collect::<Vec<_>>());
    for ((namespace, name), home) in &model.calendars.homes {
        let head = calendars.home(namespace, name).expect("is there");
        assert_eq!((head.version, head.revision, &head.refers), (home.version, home.revision, &home.refers), "{name}");
        assert_eq!((head.created, head.updated, head.pending), (home.created, home.updated, home.pending), "{name}");
        assert_eq!(head.leaving.map(|leaving| leaving.request), home.leaving, "{name}");
        assert_eq!((head.users, head.moved, head.bytes as usize), (home.told.0, home.told.1, home.document.len()));
        assert_eq!(document(&shard.state, namespace, name).expect("reads").as_ref(), Some(&home.document));
    }
    for number in 0..NAMES {
        let key = key(number);
        let (namespace, name) = (&key.0, &key.1);
        assert_eq!(calendars.seen(namespace), model.calendars.seen.get(namespace).copied().unwrap_or(0));
        let local = model.calendars.locals.get(&key);
        assert_eq!(calendars.local(namespace, name), local.map(|(local, _)| local), "{name}");
        let found = days(&shard.state, namespace, name).expect("reads");
        assert_eq!(found, local.map(|(local, days)| (local.revision, days.clone())), "{name}");
        let expected = model.users(&key);
        assert_eq!(calendars.users(namespace, name), expected.len() as u64, "{name}");
        assert_eq!(users(&shard.state, (namespace, name), 0, usize::MAX).expect("reads"), expected, "{name}");
    }
    for (number, definition) in &model.definitions {
        let used = used_by(&shard.state, *number).expect("reads").map(|used| used.names);
        assert_eq!(used.unwrap_or_default(), definition.uses, "{number}");
    }
}
