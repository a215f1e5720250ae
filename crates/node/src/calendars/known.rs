//! The days of calendars, read of a shard's state and shared by all plans of this node that use them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use flintwheel_raft::Group;
use flintwheel_schedule::CalendarDays;
use flintwheel_shard::calendars::days;
use flintwheel_shard::{Machine, Read};
use parking_lot::Mutex;

use crate::error::EngineError;

/// Days that are in use, and that were, are looked through when there are as many: those that nobody uses any more are forgotten.
const CROWDED: usize = 1024;

/// A calendar's revision, and its days.
pub type Found = (u64, Arc<CalendarDays>);

/// Namespace, name, revision. Revisions are given out by the home of a namespace, so no two shards mean another thing by one.
type Which = (String, String, u64);

/// Days that some plan of this node has.
#[derive(Default)]
pub struct Known(Mutex<HashMap<Which, Weak<CalendarDays>>>);

impl Known {
    /// The days of a calendar, as a shard has them.
    pub fn read(
        &self,
        state: &dyn Read,
        namespace: &str,
        name: &str,
        revision: u64,
    ) -> Result<Option<Found>, EngineError> {
        let which = (namespace.to_owned(), name.to_owned(), revision);
        if let Some(days) = self.0.lock().get(&which).and_then(Weak::upgrade) {
            return Ok(Some((revision, days)));
        }
        let Some((revision, bytes)) = days(state, namespace, name)? else { return Ok(None) };
        let decoded = CalendarDays::decode(&bytes);
        let decoded = decoded.map_err(|why| EngineError::Read(format!("calendar {namespace}/{name}: {why}")))?;
        Ok(Some((revision, self.keep((which.0, which.1, revision), decoded))))
    }

    fn keep(&self, which: Which, days: CalendarDays) -> Arc<CalendarDays> {
        let mut known = self.0.lock();
        if let Some(days) = known.get(&which).and_then(Weak::upgrade) {
            return days;
        }
        if known.len() >= CROWDED {
            known.retain(|_, days| days.strong_count() > 0);
        }
        let days = Arc::new(days);
        known.insert(which, Arc::downgrade(&days));
        days
    }
}

/// A calendar's days as a shard has them now; none where it has none, or they can't be read, which is logged.
pub fn find(known: &Known, group: &Group<Machine>, namespace: &str, name: &str) -> Option<Found> {
    let found = group.read(|machine, _| machine.calendars().local(namespace, name).map(|local| local.revision));
    let read = found.map_err(EngineError::from).and_then(|revision| match revision {
        Some(revision) => known.read(&group.state(), namespace, name, revision),
        None => Ok(None),
    });
    read.unwrap_or_else(|error| {
        tracing::error!(namespace, name, %error, "the days of a calendar can't be read");
        None
    })
}

/// Calendars that count as if they had been applied: by namespace and name.
pub type Given = BTreeMap<(String, String), Arc<CalendarDays>>;

/// The calendars of one namespace as a shard has them at one moment.
pub struct View<'a> {
    known: &'a Known,
    group: &'a Group<Machine>,
    namespace: &'a str,
    given: &'a Given,
    /// The newest revision that has come to the shard.
    pub seen: u64,
    revisions: BTreeMap<String, u64>,
}

impl<'a> View<'a> {
    /// Of now.
    pub fn new(
        known: &'a Known,
        group: &'a Group<Machine>,
        namespace: &'a str,
        given: &'a Given,
    ) -> Result<Self, EngineError> {
        let (seen, revisions) = group.read(|machine, _| {
            let calendars = machine.calendars();
            let revisions = calendars.locals_of(namespace).map(|(name, local)| (name.to_owned(), local.revision));
            (calendars.seen(namespace), revisions.collect())
        })?;
        Ok(Self { known, group, namespace, given, seen, revisions })
    }

    /// The days of a calendar. Newer ones than those of the moment may be found; whoever uses them is then told so by `seen`.
    pub fn find(&self, name: &str) -> Option<Arc<CalendarDays>> {
        if let Some(days) = self.given.get(&(self.namespace.to_owned(), name.to_owned())) {
            return Some(Arc::clone(days));
        }
        let revision = *self.revisions.get(name)?;
        let read = self.known.read(&self.group.state(), self.namespace, name, revision);
        let read = read.unwrap_or_else(|error| {
            tracing::error!(namespace = self.namespace, name, %error, "the days of a calendar can't be read");
            None
        });
        read.map(|(_, days)| days)
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<&str> {
        let given =
            self.given.keys().filter(|(namespace, _)| namespace == self.namespace).map(|(_, name)| name.as_str());
        let mut names: Vec<&str> = self.revisions.keys().map(String::as_str).chain(given).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
