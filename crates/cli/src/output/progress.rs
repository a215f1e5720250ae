//! Progress of long work, on standard error, and only where somebody looks.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

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

/// What is going on, in one line that changes: on a terminal in its place, elsewhere now and then as a line of its own.
pub struct Watch {
    bar: ProgressBar,
    terminal: bool,
    told: Option<(String, Instant)>,
}

impl Watch {
    /// How often a line is written where nobody looks on.
    const EVERY: Duration = Duration::from_secs(10);

    /// Of standard error.
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, target(true));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self { bar, terminal: io::stderr().is_terminal(), told: None }
    }

    /// How it stands now.
    pub fn tell(&mut self, text: &str) {
        if self.terminal {
            self.bar.set_message(text.to_owned());
            return;
        }
        if self.told.as_ref().is_none_or(|(last, at)| last != text && at.elapsed() >= Self::EVERY) {
            super::say(text);
            self.told = Some((text.to_owned(), Instant::now()));
        }
    }

    /// Takes the line away.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn target(worth_it: bool) -> ProgressDrawTarget {
    if worth_it && io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(8)
    } else {
        ProgressDrawTarget::hidden()
    }
}
