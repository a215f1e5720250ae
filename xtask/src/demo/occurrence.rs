//! One line of the account, as `flintwheel occurrences -o json` prints it.

use std::fmt;

use serde_json::Value;

use super::time;

/// An occurrence: of which definition, for which trigger event, and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// `namespace/id`.
    pub definition: String,
    firing_key: String,
    /// `fired`, `skipped`, `dropped` or `failed`.
    pub outcome: String,
    reason: String,
    due: String,
    started_at: Option<String>,
    /// Empty where it did not fire.
    pub workflow_id: String,
}

impl Occurrence {
    /// `None` where a field is missing that the page always has.
    pub fn read(json: &Value) -> Option<Self> {
        let text = |name: &str| json[name].as_str().map(str::to_owned);
        Some(Self {
            definition: format!("{}/{}", text("namespace")?, text("id")?),
            firing_key: text("firing_key")?,
            outcome: text("outcome")?,
            reason: text("reason").unwrap_or_default(),
            due: text("due")?,
            started_at: text("started_at"),
            workflow_id: text("workflow_id").unwrap_or_default(),
        })
    }

    /// Whether it fired.
    pub fn fired(&self) -> bool {
        self.outcome == "fired"
    }

    /// Whether it was decided but has not reached Temporal yet.
    pub fn waits(&self) -> bool {
        self.fired() && self.started_at.is_none()
    }

    /// Whether it is the same one, whatever has become of it.
    pub fn is(&self, other: &Self) -> bool {
        (&self.definition, &self.firing_key, &self.outcome) == (&other.definition, &other.firing_key, &other.outcome)
    }

    /// Milliseconds from the due time until Temporal had taken it.
    pub fn lag_ms(&self) -> Option<f64> {
        let started = time::micros(self.started_at.as_deref()?)?;
        Some((started - time::micros(&self.due)?) as f64 / 1000.0)
    }
}

impl fmt::Display for Occurrence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { definition, firing_key, outcome, reason, .. } = self;
        write!(f, "{outcome:<8} {definition:<26} {firing_key:<44}")?;
        match self.lag_ms() {
            Some(lag) => write!(f, " {lag:>8.1} ms"),
            None => write!(f, " {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_account_is_read() {
        let json = serde_json::json!({
            "namespace": "ops", "id": "tick", "firing_key": "t:2026-11-23T08:00:00Z", "outcome": "fired", "reason": "",
            "due": "2026-11-23T08:00:00Z", "started_at": "2026-11-23T08:00:00.004500Z", "workflow_id": "w",
        });
        let occurrence = Occurrence::read(&json).expect("complete");
        assert_eq!((occurrence.definition.as_str(), occurrence.lag_ms()), ("ops/tick", Some(4.5)));
        assert!(occurrence.fired() && !occurrence.waits());
        assert_eq!(Occurrence::read(&serde_json::json!({"id": "tick"})), None);
    }
}
