//! What goes wrong on purpose: rules that tests and proofs set while the stand-in runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tonic::Code;

use super::status::{Refusal, namespace_not_found, throttled};

/// One fault, for some of the starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only starts in this Temporal namespace; all if not given.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The share of starts that it meets, 0 to 1.
    #[serde(default = "always")]
    pub rate: f64,
    /// What happens to them.
    pub fault: Fault,
}

fn always() -> f64 {
    1.0
}

/// What happens to a start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Refused before it is noted, with this gRPC code (a number of 1 to 16).
    Fail {
        /// As `google.rpc.Code` numbers it.
        code: i32,
    },
    /// Refused before it is noted: RESOURCE_EXHAUSTED, the namespace's request rate.
    Throttle,
    /// Refused before it is noted: NOT_FOUND with Temporal's detail.
    NamespaceNotFound,
    /// Held until the rules change and none of them holds it any more; then treated as if it had just arrived.
    Stall,
    /// Noted at once, answered so many milliseconds later.
    Late {
        /// The delay.
        millis: u64,
    },
    /// Noted, and then the stream is broken off instead of an answer.
    DropAnswer,
}

/// What becomes of one start, after the rules have been asked.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// Nothing goes wrong.
    Normal,
    /// Answered with an error.
    Refused(Refusal),
    /// Noted, answered late.
    Late(u64),
    /// Noted, never answered.
    Dropped,
}

/// The rules in force.
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Arc<watch::Sender<Vec<Rule>>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { rules: Arc::new(watch::Sender::new(Vec::new())) }
    }
}

impl Faults {
    /// Replaces all rules; an empty list heals everything. The first rule that meets a start decides.
    pub fn set(&self, rules: Vec<Rule>) {
        self.rules.send_replace(rules);
    }

    /// The rules in force.
    pub fn get(&self) -> Vec<Rule> {
        self.rules.borrow().clone()
    }

    pub(crate) async fn fate(&self, namespace: &str) -> Fate {
        if self.rules.borrow().is_empty() {
            return Fate::Normal;
        }
        let mut changes = self.rules.subscribe();
        loop {
            let fault = pick(&changes.borrow_and_update(), namespace);
            match fault {
                Some(Fault::Stall) => {
                    if changes.changed().await.is_err() {
                        return Fate::Normal;
                    }
                }
                other => return fate_of(other, namespace),
            }
        }
    }
}

fn pick(rules: &[Rule], namespace: &str) -> Option<Fault> {
    let meets = |rule: &&Rule| {
        rule.namespace.as_deref().is_none_or(|only| only == namespace) && rand::random::<f64>() < rule.rate
    };
    rules.iter().find(meets).map(|rule| rule.fault.clone())
}

fn fate_of(fault: Option<Fault>, namespace: &str) -> Fate {
    match fault {
        None | Some(Fault::Stall) => Fate::Normal,
        Some(Fault::Fail { code }) => Fate::Refused(Refusal::new(Code::from(code), "a fault, on purpose")),
        Some(Fault::Throttle) => Fate::Refused(throttled()),
        Some(Fault::NamespaceNotFound) => Fate::Refused(namespace_not_found(namespace)),
        Some(Fault::Late { millis }) => Fate::Late(millis),
        Some(Fault::DropAnswer) => Fate::Dropped,
    }
}
