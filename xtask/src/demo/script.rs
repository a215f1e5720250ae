//! What the demo types at `flintwheel` and `temporal`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::occurrence::Occurrence;
use super::servers::Servers;
use crate::setup::Tools;
use crate::shell::{self, say};
use crate::{Result, place};

/// Of `examples/definitions`, and the one-shot.
const DEFINITIONS: [&str; 6] = [
    "billing/invoice-reminder",
    "billing/nightly-report",
    "billing/report-notice",
    "ops/health-check",
    "ops/launch",
    "ops/stock-sync",
];

/// Both command lines with their addresses.
pub struct Script<'a> {
    tools: &'a Tools,
    flintwheel: String,
    temporal: String,
}

impl<'a> Script<'a> {
    /// For these servers.
    pub fn new(tools: &'a Tools, servers: &Servers) -> Self {
        Self { tools, flintwheel: servers.grpc.to_string(), temporal: servers.temporal_grpc.to_string() }
    }

    /// All definitions, and a one-shot that is due in twenty seconds.
    pub fn apply(&self, dir: &Path) -> Result<()> {
        show(self.flintwheel(&["apply", "-f", "examples/definitions"]))?;
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
        let template = read(&place::checkout().join("examples/one-shot.yaml.template"))?;
        let at = shell::read(Command::new("date").args(["-u", "-d", "+20 seconds", "+%Y-%m-%dT%H:%M:%SZ"]))?;
        let file = dir.join("one-shot.yaml");
        fs::write(&file, template.replace("@AT@", at.trim()))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        show(self.flintwheel(&["apply", "-f", &file.to_string_lossy()]))
    }

    /// The events of `examples/events`: a duplicate and two that match nothing are among them.
    pub fn publish(&self) -> Result<()> {
        show(self.flintwheel(&["publish", "--namespace", "billing", "-f", "examples/events/invoices.jsonl"]))
    }

    /// Stops the schedules, so that the sums below stand still.
    pub fn pause_all(&self) -> Result<()> {
        let mut pause = self.flintwheel(&["pause", "--note", "the demo draws its sum"]);
        shell::read(pause.args(DEFINITIONS)).map(|_| ())
    }

    /// The whole account, newest first.
    pub fn occurrences(&self) -> Result<Vec<Occurrence>> {
        read_page(&shell::read(&mut self.flintwheel(&["occurrences", "-A", "--last", "0", "-o", "json"]))?)
    }

    /// Ids of all workflows in Temporal, as soon as those that fired are among them; its list lags behind its starts.
    pub fn workflows(&self, fired: &[Occurrence]) -> Result<BTreeSet<String>> {
        let begun = Instant::now();
        loop {
            let ids = self.list_workflows()?;
            let complete = fired.iter().filter(|one| one.fired()).all(|one| ids.contains(&one.workflow_id));
            if complete || begun.elapsed() > Duration::from_secs(20) {
                return Ok(ids);
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    fn list_workflows(&self) -> Result<BTreeSet<String>> {
        let mut command = self.tools.command("temporal");
        command.args(["workflow", "list", "--address", &self.temporal, "--limit", "10000", "-o", "json"]);
        let list: Value = parse(&shell::read(&mut command)?, "temporal workflow list")?;
        let ids = list.as_array().into_iter().flatten().filter_map(|one| one["execution"]["workflowId"].as_str());
        Ok(ids.map(str::to_owned).collect())
    }

    fn flintwheel(&self, args: &[&str]) -> Command {
        let mut command = self.tools.command(place::program("flintwheel"));
        command.env("FLINTWHEEL_ADDRESS", &self.flintwheel).args(args);
        command
    }
}

/// Shows the command as a user would type it, and runs it.
fn show(mut command: Command) -> Result<()> {
    let line = shell::line(&command);
    let typed = line.split_once(' ').map_or("", |(_, args)| args);
    say(&format!("flintwheel {typed}"));
    shell::run(&mut command)
}

fn read_page(text: &str) -> Result<Vec<Occurrence>> {
    let page = parse(text, "flintwheel occurrences -o json")?;
    let list = page.as_array().ok_or("flintwheel occurrences -o json: not a list")?;
    let read = |one: &Value| {
        Occurrence::read(one).ok_or_else(|| format!("flintwheel occurrences -o json: a field is missing in {one}"))
    };
    list.iter().map(read).collect()
}

fn parse(text: &str, what: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| format!("{what}: {error}"))
}
