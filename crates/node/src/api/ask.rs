//! What one node asks another about one shard, and what is answered: plain data, as JSON on the wire. Who may answer is not known here.
//!
//! The next version of the program must read it: variants and fields are added, never renamed, and a field that is new has a default.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_client::{
    Applied, ApplyOptions, AskedTime, BackfillBegun, BackfillQuery, BackfillRequest, BackfillStopped, Backfills,
    DeadLetter, DeadLetterFilter, DefinitionRecord, DefinitionStatus, DueQuery, Explanation, NextTimes, NodeStatus,
    Occurrence, OccurrenceQuery, Rates, Switched,
};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_model::violation::Violations;
use flintwheel_model::{ActivityDefinition, DefinitionKey, base64};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use super::calendar_ask::{CalendarAct, CalendarLook, CalendarTold};
use super::due::DueShare;
use super::{ApiError, clock, one};
use crate::admission::{Admitted, admit};
use crate::error::EngineError;
use crate::exports::Begun;

/// Bytes of a question or an answer. The lane takes 8 MiB; all parts are cut far below.
pub(super) const MESSAGE_BYTES: usize = 7 * 1024 * 1024;

/// What is asked of a node.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question<A> {
    /// Of one shard's replica there.
    Shard {
        /// Which shard.
        shard: u32,
        /// What.
        ask: A,
        /// The same was asked before, and nobody knows what became of it.
        #[serde(default)]
        again: bool,
        /// Any replica may answer, whatever it knows by now.
        #[serde(default)]
        stale: bool,
    },
    /// Of the node itself.
    Node,
}

/// What is asked of one shard.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ask {
    /// To show something.
    Look(Look),
    /// To change something.
    Act(Act),
}

/// What is looked at. Changes nothing.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Look {
    /// What an apply would do.
    Preview(Vec<Applying>),
    /// Whether a definition is there, and which one it is.
    Identity(DefinitionKey),
    /// A definition: its current version, or an older one; of this incarnation, where one is given.
    Definition {
        /// Which one.
        key: DefinitionKey,
        /// None for the current one.
        version: Option<u64>,
        /// None for whichever.
        incarnation: Option<u64>,
    },
    /// The coming due times of a definition.
    Times {
        /// Which one.
        key: DefinitionKey,
        /// How many.
        count: u32,
        /// After this time; None for now.
        after: Option<DateTime<Utc>>,
    },
    /// Why a definition is due at a time, or is not.
    Explain {
        /// Which one.
        key: DefinitionKey,
        /// Which time.
        at: AskedTime,
    },
    /// How many due times come in each step of a span of time, of some definitions.
    Due {
        /// Which ones.
        query: DueQuery,
        /// Those after this one; None for the first ones.
        after: Option<DefinitionKey>,
    },
    /// Occurrences of the one definition that the query names, newest first.
    Occurrences {
        /// Which of them.
        query: OccurrenceQuery,
        /// The chunk to begin with; None for the newest.
        from: Option<u64>,
        /// About how many.
        size: usize,
    },
    /// Names in order.
    Names {
        /// Of this namespace; None for all.
        namespace: Option<String>,
        /// After this one.
        after: Option<DefinitionKey>,
        /// At most.
        limit: usize,
    },
    /// The definitions of these names, in their order, that have the labels and are paused, or are not.
    Records {
        /// Which ones.
        keys: Vec<DefinitionKey>,
        /// A selector of labels.
        selector: String,
        /// None for both.
        paused: Option<bool>,
        /// Stop when the documents have as many bytes.
        bytes: usize,
    },
    /// The shard's part of the account, chunk by chunk, newest first.
    Account {
        /// Which of its occurrences.
        query: OccurrenceQuery,
        /// Chunks before this one; None for all.
        before: Option<u64>,
        /// Stop when as many were found.
        wanted: usize,
        /// Stop when as many were looked at.
        look: usize,
    },
    /// Dead letters, oldest first.
    Dead {
        /// Which ones.
        filter: DeadLetterFilter,
        /// From this sequence on.
        from: u64,
        /// At most.
        limit: usize,
    },
    /// The shard's part of the status.
    Standing,
    /// Which backup was brought in, or is being.
    Restoration,
    /// What a backfill would fire.
    Backfill {
        /// Whose.
        key: DefinitionKey,
        /// Which due times.
        request: BackfillRequest,
    },
    /// Backfills under way, and those that have ended lately.
    Backfills(BackfillQuery),
    /// The versions of a definition that are kept, newest first.
    Versions {
        /// Which one.
        key: DefinitionKey,
        /// Those before this one; None for all.
        before: Option<u32>,
        /// At most.
        limit: usize,
    },
    /// What is about calendars.
    Calendar(CalendarLook),
}

/// What is changed. Each can be asked again when nobody knows what became of it: the comments at their handlers say why.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Definitions created or changed.
    Apply(Vec<Applying>),
    /// A definition removed.
    Delete {
        /// Which one.
        key: DefinitionKey,
        /// Which of those that ever had this name.
        incarnation: u64,
        /// Only if it has this version.
        expected_version: Option<u64>,
        /// Deletes it once. Empty where a node asks that knows no such thing.
        #[serde(default)]
        request_id: String,
    },
    /// A definition paused or resumed.
    Switch {
        /// Which one.
        key: DefinitionKey,
        /// Pause, or resume.
        paused: bool,
        /// For people.
        note: String,
        /// Does it once. Empty where a node asks that knows no such thing.
        #[serde(default)]
        request_id: String,
        /// On resume: what becomes of due times that passed; else what the definition says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missed: Option<OnResume>,
        /// On pause: when it ends by itself, in microseconds since the epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<i64>,
    },
    /// A definition fired by hand.
    Trigger {
        /// Which one.
        key: DefinitionKey,
        /// Fires it once. Not empty.
        request_id: String,
        /// JSON, or empty.
        input: String,
        /// What becomes of it while a run is open; else what the definition says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlap: Option<OverlapPolicy>,
    },
    /// Dead letters sent again, or dropped.
    Settle {
        /// Their sequences.
        letters: Vec<u64>,
        /// Send again.
        retry: bool,
    },
    /// The shard read for a backup. Changes nothing, and is bound to the node where it begins.
    Export(Export),
    /// A step of a restore.
    Restore {
        /// Which backup.
        backup: BackupId,
        /// What.
        step: RestoreStep,
    },
    /// A backfill begun or stopped.
    Backfill {
        /// Whose.
        key: DefinitionKey,
        /// What.
        act: BackfillAct,
    },
    /// The runs of a definition watched, for others wait for them.
    Follow(DefinitionKey),
    /// What is about calendars.
    Calendar(CalendarAct),
}

/// What is done with a backfill.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BackfillAct {
    /// It begins; its id is filled in.
    Begin(BackfillRequest),
    /// This one ends.
    Stop(String),
}

/// A part of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Export {
    /// Begins one.
    Begin,
    /// Goes on with it.
    Page {
        /// Which one.
        session: u64,
        /// From 0; the newest may be asked for again.
        page: u32,
    },
}

/// A step of a restore.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RestoreStep {
    /// The first.
    Begin {
        /// Nothing that was due before this fires; in microseconds since the epoch.
        skip_before: i64,
    },
    /// Rows, of which so many came before.
    Rows {
        /// How many.
        from: u64,
        /// Encoded, each with its length.
        rows: Packed,
    },
    /// Takes the first step back.
    Cancel,
    /// The last.
    Finish {
        /// How many rows there must be.
        rows: u64,
    },
}

/// Of a backup.
pub(super) type BackupId = [u8; 16];

/// Bytes, which travel in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed(pub(super) Bytes);

/// What was asked is told, or why it is not.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// It is.
    Told(Told),
    /// It can't be done.
    Failed(ApiError),
    /// This node does not lead the shard; nothing was done.
    NotLed {
        /// Who does, if it knows.
        leader: Option<u64>,
    },
}

/// What is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// By item, of a preview or an apply.
    Applied(Vec<Result<Applied, ApiError>>),
    /// Which definition has the name.
    Identity {
        /// Its version.
        version: u64,
        /// Tells it from others of the name.
        incarnation: u64,
    },
    /// A definition.
    Definition(Box<Kept>),
    /// Coming due times.
    Times(NextTimes),
    /// What a schedule says about a time, and the account.
    Explained(Box<Explanation>),
    /// How much is due when.
    Due(DueShare),
    /// Occurrences of one definition.
    Occurrences {
        /// Newest first.
        items: Vec<Occurrence>,
        /// The chunk to go on with; None at the end.
        next: Option<u64>,
    },
    /// Names in order.
    Names(Vec<DefinitionKey>),
    /// Definitions.
    Records {
        /// Those that fit.
        records: Vec<Kept>,
        /// How many of the keys they are of: the first ones. One at least.
        through: usize,
    },
    /// A part of the account.
    Account(Part),
    /// Dead letters.
    Dead {
        /// Those that fit.
        letters: Vec<DeadLetter>,
        /// The sequence to go on with; None at the end.
        next: Option<u64>,
    },
    /// How a shard stands.
    Standing(Standing),
    /// It is deleted.
    Deleted,
    /// It is deleted, now or by the same request before. Told to those who gave a request id.
    Removed {
        /// The version that it had.
        version: u64,
    },
    /// It is paused, or resumed.
    Switched(Switched),
    /// It fires.
    Triggered {
        /// The same request had fired it before.
        duplicate: bool,
        /// It waits for a run to end.
        #[serde(default)]
        waits: bool,
        /// It was skipped because of a run that is open.
        #[serde(default)]
        skipped: bool,
    },
    /// By dead letter: whether it is settled.
    Settled(Vec<bool>),
    /// How a node stands.
    Node(NodePart),
    /// An export begins.
    Export(Begun),
    /// Rows of an export.
    Rows {
        /// Encoded, each with its length.
        rows: Packed,
        /// How many.
        count: u32,
        /// Nothing follows.
        last: bool,
    },
    /// Which backup was brought in, or is being.
    Restoration(Restoration),
    /// Its runs are watched, if it is there.
    Followed,
    /// A backfill has begun, or would.
    BackfillBegun(BackfillBegun),
    /// Backfills of a shard.
    Backfills(Backfills),
    /// A backfill has ended.
    BackfillStopped(BackfillStopped),
    /// Versions of a definition.
    Versions {
        /// Newest first.
        items: Vec<Kept>,
        /// Those before this one are to be asked for next; None at the end.
        next: Option<u32>,
    },
    /// About calendars.
    Calendar(CalendarTold),
}

/// One definition to be applied.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Applying {
    /// In canonical JSON.
    document: Document,
    /// How.
    pub(super) options: ApplyOptions,
    /// What was asked for, where that was not this document: with the same request id that must be the same, whatever follows from it by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<String>,
    /// What follows from the document, where it was looked at on this node.
    #[serde(skip)]
    admitted: Option<Arc<Admitted>>,
}

/// A stored definition.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    document: Document,
    status: DefinitionStatus,
    /// The document, where it was read on this node.
    #[serde(skip)]
    definition: Option<ActivityDefinition>,
}

/// Chunks of a shard's account that hold what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Newest first.
    pub(super) chunks: Vec<Chunk>,
    /// All chunks from this one on have been looked at.
    pub(super) before: u64,
    /// When the last one of them was decided, in microseconds since the epoch: no other one is newer.
    pub(super) decided: i64,
    /// Occurrences looked at.
    pub(super) looked: usize,
    /// There are no others.
    pub(super) end: bool,
}

/// One chunk's part of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Chunk {
    /// Which one.
    pub(super) seq: u64,
    /// When it was decided, in microseconds since the epoch.
    pub(super) decided: i64,
    /// The last one first.
    pub(super) items: Vec<Occurrence>,
}

/// One shard's part of the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Definitions.
    pub(super) definitions: u64,
    /// Of them, paused.
    pub(super) paused: u64,
    /// Of them, armed.
    pub(super) armed: u64,
    /// Dead letters.
    pub(super) dead: u64,
    /// What waits for the sink, by namespace.
    pub(super) outboxes: Vec<Waiting>,
}

/// What waits for the sink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Whose.
    pub(super) namespace: String,
    /// How many firings.
    pub(super) pending: u64,
    /// When the oldest was decided, in microseconds since the epoch.
    pub(super) oldest: Option<i64>,
}

/// Which backup was brought into a shard, or is being.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restoration {
    /// None where there is none.
    pub(super) backup: Option<BackupId>,
    /// Nothing that was due before this fires; in microseconds since the epoch.
    pub(super) skip_before: i64,
    /// Rows that are there.
    pub(super) rows: u64,
    /// Whether all is there.
    pub(super) finished: bool,
    /// The shard never had a definition.
    pub(super) unused: bool,
}

/// One node's part of the status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NodePart {
    /// How it stands.
    pub(super) status: NodeStatus,
    /// What it has done.
    pub(super) rates: Rates,
    /// Age of the oldest due time that it has not decided, in microseconds.
    pub(super) oldest_overdue: i64,
}

/// A definition's JSON as it is stored. It travels as this text: read and written anew, a long number may end in another digit, and the
/// definition would be another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document(Bytes);

impl From<Look> for Ask {
    fn from(look: Look) -> Self {
        Self::Look(look)
    }
}

impl From<Act> for Ask {
    fn from(act: Act) -> Self {
        Self::Act(act)
    }
}

impl Applying {
    /// Of a definition that is admitted.
    pub(super) fn new(admitted: Admitted, options: ApplyOptions) -> Self {
        Self { document: Document(admitted.document.clone()), options, asked: None, admitted: Some(Arc::new(admitted)) }
    }

    /// What follows from it, but for the calendars that it names. A fault here means that the node that asks reads definitions otherwise than this one.
    pub(super) fn admitted(&self) -> Result<Arc<Admitted>, Violations> {
        if let Some(admitted) = &self.admitted {
            return Ok(Arc::clone(admitted));
        }
        let mut admitted = admit(&read_definition(&self.document.0)?)?;
        admitted.document = self.document.0.clone();
        Ok(Arc::new(admitted))
    }

    /// Of its document.
    pub(super) fn bytes(&self) -> usize {
        self.document.0.len()
    }
}

impl Kept {
    /// Reads the document, and keeps both; the status is told the offsets of its zone.
    pub(super) fn new(document: Bytes, mut status: DefinitionStatus) -> Result<Self, ApiError> {
        let document = Document(document);
        let definition = document.read()?;
        status.offsets = clock::of_status(&definition, &status);
        Ok(Self { document, status, definition: Some(definition) })
    }

    /// What it says, where it was read on this node.
    pub(super) fn definition(&self) -> Option<&ActivityDefinition> {
        self.definition.as_ref()
    }

    /// Of the document.
    pub(super) fn bytes(&self) -> usize {
        self.document.0.len()
    }

    /// For whoever asked.
    pub(super) fn record(self) -> Result<DefinitionRecord, ApiError> {
        let definition = self.definition.map_or_else(|| self.document.read(), Ok)?;
        Ok(DefinitionRecord { definition, status: self.status })
    }
}

impl Document {
    fn read(&self) -> Result<ActivityDefinition, ApiError> {
        serde_json::from_slice(&self.0)
            .map_err(|e| EngineError::Read(format!("a stored definition can't be read: {e}")).into())
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64::decode(&text).ok_or_else(|| de::Error::custom("it is no base64"))?;
        Ok(Self(bytes.into()))
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer).map_err(de::Error::custom)?;
        Ok(Self(Box::<str>::from(raw).into_string().into()))
    }
}

/// Of its document.
pub(super) fn read_definition(document: &[u8]) -> Result<ActivityDefinition, Violations> {
    serde_json::from_slice(document).map_err(|e| one("", format!("can't be read: {e}")))
}

/// As it travels; the error is for people.
pub(super) fn write(message: &impl Serialize) -> Result<Bytes, String> {
    let bytes = serde_json::to_vec(message).map_err(|e| format!("can't be written: {e}"))?;
    if bytes.len() > MESSAGE_BYTES {
        return Err(format!("{} bytes; between nodes at most {MESSAGE_BYTES} are sent at once", bytes.len()));
    }
    Ok(bytes.into())
}

/// The other way.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes)
        .map_err(|e| format!("can't be read: {e}; do both nodes run versions that fit together?"))
}

/// An answer to something else than what was asked.
pub(super) fn otherwise() -> ApiError {
    EngineError::Read("a shard answered something else than was asked".into()).into()
}
