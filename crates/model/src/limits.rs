//! Limits on what users may hand in. Each says what it protects; `docs/limits.md` lists them for users.

/// Of a namespace name: it is a Temporal namespace or a tenant's short name, never a text.
pub const NAMESPACE_LEN: usize = 63;
/// Of a definition id. With prefix, namespace and a firing key of 255 the workflow id stays below Temporal's 1,000 bytes.
pub const ID_LEN: usize = 200;
/// Of the name for people.
pub const NAME_LEN: usize = 256;
/// Labels of one definition.
pub const LABELS: usize = 32;
/// Of a label's key and of its value, as Kubernetes has it.
pub const LABEL_LEN: usize = 63;
/// A definition as JSON. Larger ones belong into the workflow, not into its trigger; a shard keeps every version of them.
pub const DEFINITION_BYTES: usize = 256 * 1024;
/// A calendar as JSON: an iCalendar file of 192 KiB and what surrounds it.
pub const CALENDAR_BYTES: usize = 256 * 1024;
/// Calendars of one namespace. One that changes has all that refer to it looked at, and each is brought to every shard.
pub const CALENDARS: usize = 200;
/// All calendars of one namespace together: one node reads them all to see what a change of one means for the others.
pub const CALENDARS_BYTES: usize = 8 * 1024 * 1024;
/// Nesting of any JSON or YAML: beyond it, recursive readers run out of stack.
pub const JSON_DEPTH: usize = 64;
/// Context sources of one definition.
pub const CONTEXT_SOURCES: usize = 32;
/// Task templates of one definition.
pub const TASK_TEMPLATES: usize = 64;
/// Search attributes of one start: what Temporal takes by default.
pub const SEARCH_ATTRIBUTES: usize = 100;
/// Of a workflow's summary as JSON text: what Temporal says that it takes by default.
pub const SUMMARY_BYTES: usize = 400;
/// Of a workflow's details as JSON text: the same.
pub const DETAILS_BYTES: usize = 20_000;
/// Of a key of fairness: Temporal refuses longer ones.
pub const FAIRNESS_KEY_LEN: usize = 64;
/// The least and the most that a key of fairness weighs: Temporal takes what is beyond for these.
pub const FAIRNESS_WEIGHTS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;
/// Of a worker deployment's name, and of a build's id in it: Temporal keeps a version by a workflow whose id holds both.
pub const WORKER_VERSION_LEN: usize = 480;
/// Types of errors in one retry policy.
pub const ERROR_TYPES: usize = 100;
/// Other definitions that one schedule comes after: each of their runs is watched, and brought to its shard.
pub const AFTER: usize = 10;
/// The longest delay after a run of another definition, in days: what is to come is kept in memory until then.
pub const AFTER_DAYS: u64 = 365;
/// Event types of one trigger, and attributes compared.
pub const EVENT_TYPES: usize = 32;
/// Of an event type, and of any other CloudEvents attribute.
pub const ATTRIBUTE_LEN: usize = 1024;
/// Attributes of one event.
pub const ATTRIBUTES: usize = 64;
/// One event with all its attributes. It is copied into Raft's log and handed to a workflow whose input may have 2 MiB.
pub const EVENT_BYTES: usize = 256 * 1024;
/// Events of one batch, whichever door it comes through: a batch is matched in one go.
pub const BATCH_EVENTS: usize = 10_000;
/// An event may be stamped this far ahead of the server's clock; further is a wrong clock or a wrong unit.
pub const EVENT_AHEAD_SECS: i64 = 86_400;
/// Temporal refuses payloads over 2 MiB; what is rendered may not come near it together with its envelope.
pub const INPUT_BYTES: usize = 2 * 1024 * 1024 - 64 * 1024;
/// Of one template or expression.
pub const TEXT_BYTES: usize = 4096;
/// Of a firing key as written; a longer one stands as its digest.
pub const KEY_BYTES: usize = 255;
/// Of a request id given by a client.
pub const REQUEST_ID_LEN: usize = 128;
/// Of a backfill's id. With a nominal time it stands in firing keys.
pub const BACKFILL_LEN: usize = 64;
/// Due times of a backfill a second.
pub const BACKFILL_RATE: u32 = 1000;
/// Due times of a backfill, beyond which somebody must have said that so many are meant.
pub const BACKFILL_TIMES: u64 = 10_000;
/// Fields that one update changes.
pub const FIELD_CHANGES: usize = 100;
/// Of a note on a pause.
pub const NOTE_LEN: usize = 1000;
/// One gRPC message: tonic's and Temporal's own default.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
