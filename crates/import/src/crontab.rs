//! Crontabs. Each line of a command becomes a definition that starts a workflow, whose argument is the command; each line, or part of it, that
//! can't be carried over is named with its place.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use flintwheel_model::definition::{
    API_VERSION, DstPolicy, Fold, Gap, KIND, Metadata, MisfireMode, MisfirePolicy, ScheduleTrigger, Spec,
    StartWorkflow, Trigger,
};
use flintwheel_model::{ActivityDefinition, Violation, limits};
use serde_json::{Value, json};

use crate::cron::{end_of_words, vixie};
use crate::finding::{Finding, Weight};
use crate::literal::literal;
use crate::names::with_digest;
use crate::{Destination, Runner};

/// Lines of one file that are read; who has more has generated them, and generates definitions better.
pub const MOST_LINES: usize = 10_000;

/// How a crontab is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The sixth word is a user, as in `/etc/crontab` and `/etc/cron.d`.
    pub with_user: bool,
    /// Of lines that no `CRON_TZ` stands before.
    pub timezone: Option<String>,
    /// What runs the commands.
    pub runner: Runner,
}

/// What a crontab holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crontab {
    /// One for each line that can be carried over.
    pub definitions: Vec<ActivityDefinition>,
    /// In the order of the lines.
    pub findings: Vec<Placed>,
}

/// A finding with its place in the text, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What.
    pub finding: Finding,
    /// Where.
    pub range: Range<usize>,
}

/// Translates all lines.
pub fn translate(text: &str, reading: &Reading, into: &Destination) -> Crontab {
    let mut reader = Reader {
        reading,
        into,
        found: Crontab::default(),
        variables: BTreeMap::new(),
        zones: BTreeMap::new(),
        ids: BTreeSet::new(),
        comment: "",
    };
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if number == MOST_LINES {
            let message = format!("this line and those after it are not read: a file has at most {MOST_LINES}");
            reader.say(Weight::Lost, "lines", start..start + line.len(), message);
            break;
        }
        reader.line(line.trim_end_matches(['\n', '\r']), start);
        start += line.len();
    }
    reader.found
}

struct Reader<'a> {
    reading: &'a Reading,
    into: &'a Destination,
    found: Crontab,
    variables: BTreeMap<String, String>,
    /// What is wrong with zones that were named; looked up once, as what may be meant instead is searched among all zones.
    zones: BTreeMap<String, Vec<Violation>>,
    ids: BTreeSet<String>,
    /// The comment on the line before.
    comment: &'a str,
}

impl<'a> Reader<'a> {
    fn say(&mut self, weight: Weight, name: &'static str, range: Range<usize>, message: impl Into<String>) {
        self.found.findings.push(Placed { finding: Finding::new(weight, name, name, message), range });
    }

    /// `start` is where it begins in the text.
    fn line(&mut self, line: &'a str, start: usize) {
        let indent = line.len() - line.trim_start().len();
        let content = &line[indent..];
        if let Some(comment) = content.strip_prefix('#') {
            self.comment = comment.trim();
            return;
        }
        if !content.is_empty() && !self.variable(content, start + indent) {
            self.command(content, start + indent);
        }
        self.comment = "";
    }

    /// Whether it sets one. Cron takes `NAME = value`, with quotes around either.
    fn variable(&mut self, content: &str, start: usize) -> bool {
        let Some((name, value)) = content.split_once('=') else { return false };
        let name = name.trim().trim_matches(['"', '\'']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return false;
        }
        let value = value.trim();
        let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
        let whole = start..start + content.len();
        match name {
            "MAILTO" | "MAILFROM" => {
                self.say(
                    Weight::Differs,
                    "mail",
                    whole,
                    "nothing is mailed: what a run prints is its worker's business",
                );
            }
            "RANDOM_DELAY" | "CRON_WITHIN" => {
                self.say(Weight::Lost, "random_delay", whole, "no delay is added; write `jitter` in the definitions");
            }
            _ => {}
        }
        self.variables.insert(name.to_owned(), quoted.unwrap_or(value).to_owned());
        true
    }

    fn command(&mut self, content: &str, start: usize) {
        let words = if content.starts_with('@') { 1 } else { 5 };
        let times = end_of_words(content, words);
        let user = usize::from(self.reading.with_user);
        let before = end_of_words(content, words + user);
        let (Some(times), Some(before)) = (times, before) else {
            let all = start..start + content.len();
            let message =
                format!("a line has {} and a command", if user == 1 { "five fields, a user" } else { "five fields" });
            return self.say(Weight::Lost, "line", all, message);
        };
        let command = content[before..].trim_start();
        if command.is_empty() {
            return self.say(Weight::Lost, "command", start..start + content.len(), "there is no command on this line");
        }
        let at = start + content.len() - command.len();
        let Some(schedule) = self.schedule(&content[..times], start) else { return };
        let user = (user == 1).then(|| content[times..before].trim());
        if let Some(definition) = self.definition(&content[..times], schedule, user, (command, at)) {
            self.found.definitions.push(definition);
        }
    }

    /// When, as cron has it: what clocks leave out is due when they have gone forward, what they repeat once, and what was missed is not made up for.
    fn schedule(&mut self, times: &str, start: usize) -> Option<ScheduleTrigger> {
        let all = start..start + times.len();
        if times.eq_ignore_ascii_case("@reboot") {
            self.say(Weight::Lost, "reboot", all, "@reboot is no time: nothing starts with a machine here");
            return None;
        }
        if times.eq_ignore_ascii_case("@every") {
            let message = "`@every` is no word of crontab(5): write `*/5 * * * *` for each five minutes, or `interval: {every: 5m}` in a definition";
            self.say(Weight::Lost, "every", all, message);
            return None;
        }
        if let Some(at) = times.find('~') {
            let message = "a random value (`~`) is chosen when cron starts; write `H` or `H(0-29)` in a definition, which stays the same";
            self.say(Weight::Lost, "random", start + at..start + at + 1, message);
            return None;
        }
        let named =
            ["CRON_TZ", "TZ"].into_iter().find_map(|name| self.variables.get(name)).filter(|zone| !zone.is_empty());
        let zone = named.or(self.reading.timezone.as_ref()).cloned();
        if zone.is_none() {
            let message = "no time zone is named, and that of the machine is not known: read as UTC";
            self.say(Weight::Differs, "timezone", all.clone(), message);
        }
        let line = times.replace('\t', " ");
        match self.read(&line, zone) {
            Ok(trigger) => Some(ScheduleTrigger {
                dst: Some(DstPolicy { gap: Gap::Shift, fold: Fold::First }),
                misfire_policy: Some(MisfirePolicy { mode: MisfireMode::None, ..MisfirePolicy::default() }),
                ..trigger
            }),
            Err(faults) => {
                for fault in faults {
                    let part = fault.part.filter(|(from, to)| from <= to && *to <= line.len());
                    let range = part.map_or(all.clone(), |(from, to)| start + from..start + to.max(from + 1));
                    self.say(Weight::Lost, "schedule", range, fault.message);
                }
                None
            }
        }
    }

    fn read(&mut self, line: &str, zone: Option<String>) -> Result<ScheduleTrigger, Vec<Violation>> {
        let Some(zone) = zone else { return vixie(line, None) };
        let wrong =
            self.zones.entry(zone.clone()).or_insert_with(|| vixie("* * * * *", Some(&zone)).err().unwrap_or_default());
        if wrong.is_empty() {
            return vixie(line, Some(&zone));
        }
        let of_line = vixie(line, None).err().unwrap_or_default();
        Err(of_line.into_iter().chain(wrong.iter().cloned()).collect())
    }

    fn definition(
        &mut self,
        times: &str,
        schedule: ScheduleTrigger,
        user: Option<&str>,
        (command, at): (&str, usize),
    ) -> Option<ActivityDefinition> {
        let (program, stdin) = percent(command);
        if stdin.is_some() {
            let message = "what follows `%` is the command's standard input: it is `stdin` in the workflow's argument";
            self.say(Weight::Note, "stdin", at..at + command.len(), message);
        }
        let mut argument = json!({"command": program});
        let variables =
            self.variables.iter().filter(|(name, _)| !["CRON_TZ", "MAILTO", "MAILFROM"].contains(&name.as_str()));
        let variables: serde_json::Map<String, Value> = variables.map(|(k, v)| (k.clone(), json!(v))).collect();
        for (name, value) in [
            ("stdin", stdin.map(Value::String)),
            ("user", user.map(|user| json!(user))),
            ("environment", (!variables.is_empty()).then_some(Value::Object(variables))),
        ] {
            if let Some(value) = value {
                argument[name] = value;
            }
        }
        let id = self.id(times, command);
        let Some(id) = id else {
            self.say(
                Weight::Note,
                "duplicate",
                at..at + command.len(),
                "the same line stands in this file before: it is one definition",
            );
            return None;
        };
        let comment = if self.comment.is_empty() { command } else { self.comment };
        let name: String = comment.chars().filter(|c| !c.is_control()).collect();
        let Runner { workflow_type, task_queue } = self.reading.runner.clone();
        Some(ActivityDefinition {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            metadata: Metadata {
                namespace: self.into.namespace.clone(),
                id,
                name: name[..name.floor_char_boundary(limits::NAME_LEN)].to_owned(),
                labels: self.into.labels.clone(),
            },
            spec: Spec {
                enabled: true,
                trigger: Trigger { schedule: Some(schedule), event: None },
                dedupe_key_strategy: None,
                context_sources: Vec::new(),
                task_templates: Vec::new(),
                start_workflow: Some(StartWorkflow {
                    type_name: workflow_type,
                    task_queue,
                    input: vec![literal(&argument)],
                    ..StartWorkflow::default()
                }),
            },
        })
    }

    /// Made of what the line says, not of where it stands: a line that moves in its file keeps its definition. None where it stands twice.
    fn id(&mut self, times: &str, command: &str) -> Option<String> {
        let program = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or(command);
        let shown = program.rsplit('/').find(|part| !part.is_empty()).unwrap_or(program);
        let words: Vec<&str> = times.split_whitespace().collect();
        let id = with_digest(shown, &format!("{} {command}", words.join(" ")));
        self.ids.insert(id.clone()).then_some(id)
    }
}

/// In a command, `%` ends it, and further ones are ends of lines of its standard input; `\%` is a percent sign.
fn percent(command: &str) -> (String, Option<String>) {
    let (mut parts, mut current, mut chars) = (Vec::new(), String::new(), command.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'%') => current.extend(chars.next()),
            '%' => parts.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    parts.push(current);
    let stdin = (parts.len() > 1).then(|| parts[1..].join("\n"));
    (parts.swap_remove(0), stdin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, with_user: bool) -> Crontab {
        let runner = Runner { workflow_type: "RunCommand".to_owned(), task_queue: "cron".to_owned() };
        let reading = Reading { with_user, timezone: Some("UTC".to_owned()), runner };
        translate(text, &reading, &Destination { namespace: "default".to_owned(), ..Destination::default() })
    }

    /// Of the only definition: its line, its zone, and the argument.
    fn only(text: &str, with_user: bool) -> (String, String, Value) {
        let found = read(text, with_user);
        assert_eq!(found.definitions.len(), 1, "{text}: {:?}", found.findings);
        let spec = &found.definitions[0].spec;
        let schedule = spec.trigger.schedule.as_ref().expect("a schedule");
        let start = spec.start_workflow.as_ref().expect("a start");
        (schedule.cron[0].clone(), schedule.timezone.clone().unwrap_or_default(), start.input[0].clone())
    }

    #[test]
    fn a_line_becomes_a_definition_that_has_its_command_as_argument() {
        for (text, with_user, line, zone, argument) in [
            ("0 3 * * * backup", false, "0 3 * * *", "UTC", json!({"command": "backup"})),
            ("  */5\t1-3 * jan mon  a b | c\n", false, "*/5 1-3 * jan mon", "UTC", json!({"command": "a b | c"})),
            ("@daily x=1 y", false, "@daily", "UTC", json!({"command": "x=1 y"})),
            ("CRON_TZ=Europe/Berlin\n0 3 * * * a", false, "0 3 * * *", "Europe/Berlin", json!({"command": "a"})),
            (
                "PATH = \"/bin:/usr/bin\"\n0 3 * * * a",
                false,
                "0 3 * * *",
                "UTC",
                json!({"command": "a", "environment": {"PATH": "/bin:/usr/bin"}}),
            ),
            ("0 3 * * * root a b", true, "0 3 * * *", "UTC", json!({"command": "a b", "user": "root"})),
            (
                "0 3 * * * date +\\%F%in%put",
                false,
                "0 3 * * *",
                "UTC",
                json!({"command": "date +%F", "stdin": "in\nput"}),
            ),
            ("0 3 1 * 5 a", false, "0 3 1 * 5", "UTC", json!({"command": "a"})),
        ] {
            assert_eq!(only(text, with_user), (line.to_owned(), zone.to_owned(), argument), "{text}");
        }
    }

    #[test]
    fn what_can_t_be_carried_is_named_with_its_place() {
        for (text, weight, place, message) in [
            ("@reboot a", Weight::Lost, "@reboot", "no time"),
            ("@every 5m /bin/x", Weight::Lost, "@every", "`@every` is no word of crontab(5): write `*/5 * * * *`"),
            ("0 25 * * * a", Weight::Lost, "25", "hour \"25\" is not in 0-23"),
            ("#x\n0\t25 * * * a", Weight::Lost, "25", "hour \"25\" is not in 0-23"),
            ("0~30 3 * * * a", Weight::Lost, "~", "write `H`"),
            ("0 3 * * *", Weight::Lost, "0 3 * * *", "no command"),
            ("0 3 *", Weight::Lost, "0 3 *", "five fields and a command"),
            ("@often a", Weight::Lost, "@often", "@yearly"),
            ("MAILTO=me\n0 3 * * * a", Weight::Differs, "MAILTO=me", "nothing is mailed"),
            ("RANDOM_DELAY=9", Weight::Lost, "RANDOM_DELAY=9", "jitter"),
            ("0 3 * * * a\n0 3  * * * a", Weight::Note, "a", "stands in this file before"),
            ("0 3 * * * a%b", Weight::Note, "a%b", "standard input"),
        ] {
            let found = read(text, false).findings;
            let told = found.iter().any(|one| {
                one.finding.weight == weight
                    && &text[one.range.clone()] == place
                    && one.finding.message.contains(message)
            });
            assert!(told, "{text}: {found:#?}");
        }
    }

    #[test]
    fn a_zone_that_does_not_exist_is_told_at_each_line_beside_what_else_is_wrong_there() {
        let runner = Runner { workflow_type: "T".to_owned(), task_queue: "q".to_owned() };
        let reading = Reading { with_user: false, timezone: None, runner };
        let into = Destination { namespace: "n".to_owned(), labels: BTreeMap::new() };
        let text = "CRON_TZ=Europe/Berlim\n0 9 * * * a\n0 99 * * * b\nCRON_TZ=Europe/Berlin\n0 9 * * * c\n";
        let found = translate(text, &reading, &into);
        let told: Vec<_> = found.findings.iter().map(|one| &one.finding).filter(|one| one.name == "schedule").collect();
        assert_eq!((told.len(), found.definitions.len()), (3, 1), "{told:?}");
        assert_eq!(told.iter().filter(|one| one.message.contains("did you mean \"Europe/Berlin\"?")).count(), 2);
    }

    #[test]
    fn a_zone_that_nobody_names_is_told() {
        let runner = Runner { workflow_type: "R".to_owned(), task_queue: "q".to_owned() };
        let reading = Reading { with_user: false, timezone: None, runner };
        let found = translate("0 3 * * * a", &reading, &Destination::default());
        assert!(
            found.findings.iter().any(|one| one.finding.name == "timezone" && one.finding.weight == Weight::Differs)
        );
    }

    #[test]
    fn an_id_is_made_of_what_a_line_says_and_the_comment_above_is_its_name() {
        let (alone, below) =
            (read("0 3 * * * /usr/bin/Backup -a", false), read("\n\n# Of all\n0  3 * * * /usr/bin/Backup -a\n", false));
        let (alone, below) = (&alone.definitions[0].metadata, &below.definitions[0].metadata);
        assert_eq!(alone.id, below.id);
        assert!(alone.id.starts_with("backup-"), "{}", alone.id);
        assert_eq!((alone.name.as_str(), below.name.as_str()), ("/usr/bin/Backup -a", "Of all"));
    }

    #[test]
    fn a_file_of_too_many_lines_is_read_to_its_limit() {
        let found = read(&"\n".repeat(MOST_LINES + 5), false);
        assert_eq!(found.findings.len(), 1);
        assert_eq!(found.findings[0].range.start, MOST_LINES);
    }
}
