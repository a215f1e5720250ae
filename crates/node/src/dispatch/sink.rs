//! Where firings go.

use std::sync::Arc;

use flintwheel_model::firing::{Start, StartOutcome};
use flintwheel_temporal::TemporalSink;

/// A sink.
#[derive(Clone)]
pub enum Sink {
    /// A Temporal cluster.
    Temporal(Arc<TemporalSink>),
    /// Counts, and starts nothing: for load tests of the engine alone.
    Null,
}

impl Sink {
    /// Sends one start, once.
    pub async fn start(&self, start: &Start) -> StartOutcome {
        match self {
            Self::Temporal(sink) => sink.start(start).await,
            Self::Null => StartOutcome::Started { run_id: String::new() },
        }
    }

    /// For people: where it goes.
    pub fn address(&self) -> &str {
        match self {
            Self::Temporal(sink) => sink.target().address(),
            Self::Null => "null",
        }
    }
}
