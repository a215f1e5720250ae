//! What one node asks another about calendars, and what is answered. As with all asks, the next version of the program must read it: variants and
//! fields are added, never renamed.

use flintwheel_client::{Applied, NextTimes};
use flintwheel_client::{ApplyOutcome, CalendarRecord, CalendarStatus, DueMove};
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, Violations};
use serde::{Deserialize, Serialize};

use super::ApiError;
use super::ask::{Applying, Packed};

/// Days of calendars that count as if they had been applied.
pub(super) type GivenDays = Vec<(DefinitionKey, Packed)>;

/// What is looked at. Changes nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CalendarLook {
    /// At its home: a calendar.
    One(DefinitionKey),
    /// At their homes: calendars in order of namespace and name.
    List {
        /// Of this namespace; None for all that are at home in the shard.
        namespace: Option<String>,
        /// After this one.
        after: Option<DefinitionKey>,
        /// At most.
        limit: usize,
    },
    /// At home: how many revisions up to one are not everywhere yet.
    Spread {
        /// Whose.
        namespace: String,
        /// What became of the revisions from the first to the second of these is told.
        counted: (u64, u64),
        /// Up to which.
        through: u64,
    },
    /// At their home: what becomes of these, which are of one namespace.
    Preview(Vec<Calendar>),
    /// In any shard: how it stands with a calendar.
    At(DefinitionKey),
    /// In any shard: how many definitions name each calendar.
    Counts {
        /// Of this namespace; None for all.
        namespace: Option<String>,
    },
    /// In any shard: definitions that use a calendar.
    Users {
        /// Which one.
        key: DefinitionKey,
        /// At most.
        limit: usize,
    },
    /// In any shard: definitions that would be due at another time.
    Moves {
        /// Days that count as if they had been applied, of one namespace, in order of name.
        given: GivenDays,
        /// Where to go on: place among those, and the number of a definition.
        from: (usize, u64),
        /// Definitions looked at, at most.
        limit: usize,
    },
    /// Where definitions belong: what an apply would do, with calendars that count as if they had been applied.
    Apply {
        /// The definitions.
        items: Vec<Applying>,
        /// The calendars.
        given: GivenDays,
    },
    /// In any shard: the coming times that a definition would have.
    Times {
        /// It.
        definition: Box<ActivityDefinition>,
        /// Calendars that count as if they had been applied.
        given: GivenDays,
        /// How many.
        count: u32,
        /// After this time; None for now.
        after: Option<chrono::DateTime<chrono::Utc>>,
    },
}

/// What is changed. Each can be asked again when nobody knows what became of it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CalendarAct {
    /// At its home: created or changed.
    Put {
        /// As it shall be.
        calendar: Box<Calendar>,
        /// Only if it has this version.
        expected_version: Option<u64>,
        /// Does it once.
        request_id: String,
    },
    /// At its home: it shall go.
    Remove {
        /// Which one.
        key: DefinitionKey,
        /// Only if it has this version.
        expected_version: Option<u64>,
        /// Does it once.
        request_id: String,
    },
    /// In any shard: its days.
    Days {
        /// Which one.
        key: DefinitionKey,
        /// Of them.
        revision: u64,
        /// As the `schedule` crate writes them.
        days: Packed,
    },
    /// In any shard: it goes, unless a definition uses it.
    Drop {
        /// Which one.
        key: DefinitionKey,
        /// Of that.
        revision: u64,
    },
}

/// What is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CalendarTold {
    /// A calendar.
    One(Box<KeptCalendar>),
    /// Calendars.
    List {
        /// In order.
        records: Vec<KeptCalendar>,
        /// There are others after these.
        more: bool,
    },
    /// How far a change has come.
    Spread {
        /// Revisions that are not everywhere.
        pending: u64,
        /// Definitions that use what has changed.
        users: u64,
        /// Definitions that have moved.
        moved: u64,
    },
    /// What would become of calendars.
    Preview {
        /// By calendar: what it would be.
        results: Vec<Previewed>,
        /// The days that would change.
        given: GivenDays,
    },
    /// They can't be so: the place of the one at fault, and what is wrong with it.
    Faulty(usize, Violations),
    /// How a shard stands with a calendar.
    At(CalendarAt),
    /// Definitions that name each calendar.
    Counts(Vec<(DefinitionKey, u64)>),
    /// Definitions that use a calendar.
    Users {
        /// All of them.
        count: u64,
        /// The first of them.
        first: Vec<DefinitionKey>,
    },
    /// A part of those that would move.
    Moves {
        /// They.
        moves: Vec<DueMove>,
        /// Definitions that were looked at, each once.
        looked: u64,
        /// Where to go on; None at the end.
        next: Option<(usize, u64)>,
    },
    /// By definition: what an apply would do.
    Apply(Vec<Result<Applied, ApiError>>),
    /// Coming due times.
    Times(NextTimes),
    /// It is so at home.
    Put {
        /// What was done.
        result: Previewed,
        /// Its revision, and the last of those that came of it.
        counted: (u64, u64),
        /// The newest that all shards must have.
        through: u64,
    },
    /// It goes, when all shards have let go of it.
    Leaving {
        /// Its version.
        version: u64,
        /// The revision that all shards must hear of.
        revision: u64,
    },
    /// The same request has removed it before.
    Gone {
        /// The version that it had.
        version: u64,
    },
}

/// What became of a calendar, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Previewed {
    /// Created, configured or unchanged.
    pub(super) outcome: ApplyOutcome,
    /// The version before; 0 if there was none.
    pub(super) old_version: u64,
    /// The version now.
    pub(super) new_version: u64,
}

/// How a shard stands with a calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CalendarAt {
    /// Of the days that it has; None where it has none.
    pub(crate) revision: Option<u64>,
    /// All definitions that use it are due by them.
    pub(crate) done: bool,
    /// Definitions that use it.
    pub(crate) users: u64,
    /// Of them, those whose next due time has moved.
    pub(crate) moved: u64,
}

impl CalendarAt {
    /// Whether all definitions are due by the days of this revision, or of a newer one.
    pub(crate) fn has(&self, revision: u64) -> bool {
        self.revision.is_some_and(|has| has > revision || (has == revision && self.done))
    }
}

/// A stored calendar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptCalendar {
    /// As it was applied.
    pub(super) calendar: Calendar,
    /// How it stands, without the definitions that name it.
    pub(super) status: CalendarStatus,
    /// Which revision that is.
    pub(super) revision: u64,
    /// It is about to go.
    pub(super) leaving: bool,
}

impl KeptCalendar {
    pub(super) fn key(&self) -> DefinitionKey {
        DefinitionKey::new(&self.calendar.metadata.namespace, &self.calendar.metadata.id)
    }

    /// For whoever asked; so many definitions name it.
    pub(super) fn record(self, definitions: u64) -> CalendarRecord {
        let Self { calendar, status, .. } = self;
        CalendarRecord { calendar, status: CalendarStatus { definitions, ..status } }
    }
}
