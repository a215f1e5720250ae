//! What definitions of a run are like: some have just a rhythm, others ask for more. What kind one is, it stays.

use crate::clients::NAMESPACE;
use crate::ledger::Cause;
use crate::stage::Stage;
use flintwheel_model::ActivityDefinition;
use flintwheel_model::definition::{AfterEnd, OnResume, OverlapPolicy};
use serde_json::{Value, json};

/// The calendar that some definitions exclude.
pub const CALENDAR: &str = "closed";
/// Event types.
pub const TYPES: u64 = 5;
/// For how long a dedupe key is remembered.
const DEDUPE: &str = "55s";
const SECOND: i64 = 1_000_000;

/// What a definition with a schedule asks for beside its rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// Its runs must never overlap.
    Alone,
    /// Its policy changes.
    Mixed,
    /// It ends after some firings.
    Bounded,
    /// It does not fire on days of a calendar.
    Calendar,
}

/// A schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timed {
    /// The length of its interval, in microseconds. Only those of kind [`Kind::Plain`] change it.
    pub every: i64,
    /// As long as the definition is.
    pub kind: Kind,
    /// What becomes of it while a run is open.
    pub overlap: Option<OverlapPolicy>,
    /// A run that fails pauses it.
    pub pause_on_failure: bool,
    /// How many of its due times fire.
    pub max: Option<u32>,
    /// And what becomes of it then; as long as the definition is.
    pub after_end: AfterEnd,
    /// What becomes of what passed in a pause; as long as the definition is.
    pub on_resume: OnResume,
}

impl Timed {
    /// Whether it goes away by itself.
    pub fn ends_deleted(&self) -> bool {
        self.after_end == AfterEnd::Delete
    }

    fn with_every(every: i64) -> Self {
        Self {
            every,
            kind: Kind::Plain,
            overlap: None,
            pause_on_failure: false,
            max: None,
            after_end: AfterEnd::Keep,
            on_resume: OnResume::Drop,
        }
    }

    fn new(stage: &Stage) -> Self {
        let every = some_length(stage);
        if !stage.is_rich {
            return Self::with_every(every);
        }
        let has_calendar = stage.ledger.lock().turns.first().is_some_and(|turn| turn.done < i64::MAX);
        let mut random = stage.random();
        let kind = match random.below(11) {
            0..3 => Kind::Plain,
            3..6 => Kind::Alone,
            6 => Kind::Mixed,
            7..9 => Kind::Bounded,
            _ if has_calendar => Kind::Calendar,
            _ => Kind::Plain,
        };
        let on_resume = [OnResume::Drop, OnResume::Latest, OnResume::All][random.below(3) as usize];
        let after_end = match kind {
            Kind::Bounded => [AfterEnd::Keep, AfterEnd::Disable, AfterEnd::Delete][random.below(3) as usize],
            _ => AfterEnd::Keep,
        };
        drop(random);
        Self { kind, on_resume, after_end, ..Self::with_every(every) }.varied(stage)
    }

    /// Another one of the same kind.
    fn varied(self, stage: &Stage) -> Self {
        const EXCLUSIVE: [OverlapPolicy; 5] = [
            OverlapPolicy::Skip,
            OverlapPolicy::BufferOne,
            OverlapPolicy::BufferAll,
            OverlapPolicy::CancelOther,
            OverlapPolicy::TerminateOther,
        ];
        let every = if self.kind == Kind::Plain { some_length(stage) } else { self.every };
        let mut random = stage.random();
        let some = EXCLUSIVE[random.below(5) as usize];
        let (fails, more) = (random.chance(200), random.within(1..14) as u32);
        let overlap = match (self.kind, random.below(3)) {
            (Kind::Plain | Kind::Calendar, _) | (Kind::Mixed, 0) => None,
            (Kind::Mixed, 1) => Some(OverlapPolicy::AllowAll),
            (Kind::Alone | Kind::Mixed, _) => Some(some),
            (Kind::Bounded, 0) => Some(some),
            (Kind::Bounded, _) => None,
        };
        let pause_on_failure = fails && matches!(self.kind, Kind::Alone | Kind::Mixed);
        let max = (self.kind == Kind::Bounded).then_some(more);
        Self { every, overlap, pause_on_failure, max, ..self }
    }

    /// Of some, late due times are superseded, and some have jitter: all that follows from the length, so that it is in the ledger.
    fn schedule(&self) -> Value {
        let seconds = self.every / SECOND;
        let mut schedule = json!({"interval": [{"every": format!("{seconds}s")}]});
        let mode = if seconds % 3 == 0 { "latest" } else { "all" };
        if seconds % 3 == 0 || self.on_resume != OnResume::Drop {
            schedule["misfire_policy"] = json!({"mode": mode, "window": "1h", "on_resume": self.on_resume});
        }
        if seconds % 4 == 0 {
            schedule["jitter"] = json!({"window": "400ms"});
        }
        if let Some(overlap) = self.overlap {
            schedule["overlap_policy"] = json!(overlap);
        }
        if self.pause_on_failure {
            schedule["pause_on_failure"] = json!(true);
        }
        if let Some(max) = self.max {
            schedule["max_firings"] = json!(max);
            schedule["after_end"] = json!(self.after_end);
        }
        if self.kind == Kind::Calendar {
            schedule["exclude"] = json!([{"calendar_name": [CALENDAR]}]);
        }
        schedule
    }
}

fn some_length(stage: &Stage) -> i64 {
    let seconds = if stage.is_quiet { 4..16 } else { 1..9 };
    stage.random().within(seconds) as i64 * SECOND
}

/// What sets off a new definition.
pub fn some_cause(stage: &Stage, timed: bool) -> Cause {
    if timed {
        return Cause::Every(Timed::new(stage));
    }
    Cause::Event(format!("type-{}", stage.random().below(TYPES)))
}

/// What sets it off when it has been changed.
pub fn changed(stage: &Stage, before: &Cause) -> Cause {
    match before {
        Cause::Every(timed) => Cause::Every(timed.varied(stage)),
        Cause::Event(_) => some_cause(stage, false),
    }
}

/// As a client gives it.
pub fn definition(id: &str, cause: &Cause) -> ActivityDefinition {
    let (trigger, strategy) = match cause {
        Cause::Every(timed) => (json!({"schedule": timed.schedule()}), None),
        Cause::Event(event_type) => (json!({"event": {"types": [event_type]}}), Some(json!({"window": DEDUPE}))),
    };
    let mut spec =
        json!({"trigger": trigger, "start_workflow": {"type": "Simulated", "task_queue": "sim", "input": []}});
    if let (Some(strategy), Value::Object(spec)) = (strategy, &mut spec) {
        spec.insert("dedupe_key_strategy".to_owned(), strategy);
    }
    let resource = json!({
        "apiVersion": "flintwheel.dev/v1",
        "kind": "ActivityDefinition",
        "metadata": {"namespace": NAMESPACE, "id": id},
        "spec": spec,
    });
    serde_json::from_value(resource).expect("it is a valid definition")
}
