//! Progress of long work, on standard error, and only where somebody looks.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Fewer are done before a bar is worth reading.
const FEW: u64 = 200;

/// A bar, or nothing.
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many steps.
    pub fn of(total: u64, what: &str) -> Self {
        let template = format!("{what} {{bar:30}} {{human_pos}}/{{human_len}} {{rate}} {{eta}} left");
        Self::new(ProgressBar::with_draw_target(Some(total), target(total > FEW)), &template)
    }

    /// Of steps that nobody has counted.
    pub fn open(what: &str) -> Self {
        let template = format!("{what} {{human_pos}} {{rate}} {{elapsed}}");
        Self::new(ProgressBar::with_draw_target(None, target(true)), &template)
    }

    fn new(bar: ProgressBar, template: &str) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            // The library's own rate has four digits behind the point.
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                // It is shown four times a second: one that could not be written is not missed.
                let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// So many steps more are done.
    pub fn add(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }

    /// Prints a message above the bar.
    pub fn say(&self, message: impl std::fmt::Display) {
        self.0.suspend(|| super::say(message));
    }
}

fn target(worth_it: bool) -> ProgressDrawTarget {
    if worth_it && io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    }
}
