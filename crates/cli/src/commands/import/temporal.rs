//! `flintwheel import temporal`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::Utc;
use flintwheel_client::{Applied, ApplyOptions, Code, DefinitionRecord, Error, ListQuery, PageRequest};
use flintwheel_import::temporal::{Translation, translate};
use flintwheel_import::{Destination, Weight, definition_id, lost};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_temporal::{Described, Switch};
use futures::{StreamExt, stream};
use uuid::Uuid;

use super::reach::{ReachArgs, There};
use super::report::{Line, Word, compare_times};
use super::{LabelArgs, back, forth, persist};
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Progress, confirm, plural, say, yaml};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Schedules, by their ids [default: all of the namespace]
    schedules: Vec<String>,
    /// Write each definition into a file of this directory
    #[arg(long, value_name = "DIR", group = "what")]
    out: Option<PathBuf>,
    /// Store the definitions, not enabled: nothing fires
    #[arg(long, group = "what")]
    apply: bool,
    /// Move the schedules: pause each one there, and let its definition fire from the same due time on
    #[arg(long, group = "what")]
    switch_over: bool,
    /// Move them back: pause the definitions, and let the schedules go on from the same due time on
    #[arg(long, group = "what")]
    back: bool,
    /// Leave this out where it can't be carried over, as the report names it; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without: Vec<String>,
    /// Compare coming due times for so many years
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=50))]
    years: u32,
    /// Schedules under way at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    side_by_side: u32,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    there: ReachArgs,
    #[command(flatten)]
    connection: Connection,
}

/// What all schedules need.
pub(super) struct Job {
    pub(super) there: There,
    pub(super) session: Session,
    pub(super) destination: Destination,
    args: Args,
}

pub async fn run(args: Args) -> Outcome {
    let (there, session) = (args.there.open()?, args.connection.open()?);
    let destination = args.labels.destination(&session.namespace)?;
    let job = Job { there, session, destination, args };
    let ids = job.ids().await?;
    if ids.is_empty() {
        say(format_args!("there is no schedule in Temporal's namespace {:?}", job.there.namespace));
    }
    job.check_names(&ids)?;
    if job.args.apply || job.args.switch_over || job.args.back {
        // A server that is away is told of once, before anything has begun.
        let query = ListQuery { namespace: job.destination.namespace.clone(), ..ListQuery::default() };
        job.session.client.list(&query, PageRequest { size: 1, ..PageRequest::default() }).await?;
    }
    job.ask(ids.len())?;
    if let Some(dir) = &job.args.out {
        std::fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
    }
    let mut printer = Printer::list(job.args.output.output);
    let progress = Progress::of(ids.len() as u64, "schedules");
    let mut lines = stream::iter(&ids).map(|id| job.one(id)).buffered(job.args.side_by_side as usize);
    let mut counted: BTreeMap<u8, (Word, usize)> = BTreeMap::new();
    let mut exit = Exit::Ok;
    while let Some((line, ended)) = lines.next().await {
        line.print(&mut printer)?;
        counted.entry(line.outcome as u8).or_insert((line.outcome, 0)).1 += 1;
        // A call that failed says more than that something can't be carried over.
        if ended != Exit::Ok && matches!(exit, Exit::Ok | Exit::Refused) {
            exit = ended;
        }
        progress.add(1);
    }
    progress.done();
    printer.finish()?;
    let counted: Vec<String> = counted.values().map(|(word, count)| format!("{count} {}", word.text())).collect();
    if !ids.is_empty() {
        say(format_args!("{}: {}", plural(ids.len() as u64, "schedule"), counted.join(", ")));
    }
    Ok(exit)
}

impl Job {
    /// Those that were named, or all.
    async fn ids(&self) -> Result<Vec<String>, Failure> {
        if !self.args.schedules.is_empty() {
            return Ok(self.args.schedules.clone());
        }
        let (mut ids, mut token) = (Vec::new(), Vec::new());
        loop {
            let (page, next) = self.there.sink.schedules(&self.there.namespace, token).await?;
            ids.extend(page);
            if next.is_empty() {
                ids.sort();
                ids.dedup();
                return Ok(ids);
            }
            token = next;
        }
    }

    /// Two schedules that would be one definition.
    fn check_names(&self, ids: &[String]) -> Result<(), Failure> {
        let mut names = BTreeMap::new();
        for id in ids {
            if let Some(other) = names.insert(definition_id(id), id).filter(|other| *other != id) {
                let message = format!(
                    "schedules {other:?} and {id:?} would both be {}; name one of them only",
                    definition_id(id)
                );
                return Err(Failure::new(Exit::Refused, message));
            }
        }
        Ok(())
    }

    fn ask(&self, count: usize) -> Result<(), Failure> {
        let what = match (self.args.switch_over, self.args.back) {
            (true, _) => "pause in Temporal, and fire here",
            (_, true) => "pause here, and let go on in Temporal",
            _ => return Ok(()),
        };
        confirm(&format!("{what}: {}?", plural(count as u64, "schedule")), self.args.yes)
    }

    /// One schedule. That one fails does not keep the others from it.
    async fn one(&self, id: &str) -> (Line, Exit) {
        match self.treat(id).await {
            Ok((line, exit)) => (line, exit),
            Err(failure) => {
                say(format_args!("error: schedule {id}: {}", failure.text.trim_start_matches("error: ")));
                let detail = failure.text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
                let definition = DefinitionKey::new(&self.destination.namespace, definition_id(id));
                let line =
                    Line { schedule: id.to_owned(), definition, outcome: Word::Failed, detail, findings: Vec::new() };
                (line, failure.exit)
            }
        }
    }

    async fn treat(&self, id: &str) -> Result<(Line, Exit), Failure> {
        let seen = Utc::now().timestamp_micros();
        let described = self.describe(id).await?;
        let mut translation = translate(id, &described.schedule, &self.destination);
        compare_times(&described, &mut translation, seen, self.args.years);
        let definition = DefinitionKey::new(&self.destination.namespace, &translation.definition.metadata.id);
        let refused = lost(&translation.findings, &self.args.without).next().is_some();
        let differs = translation.findings.iter().any(|one| one.weight != Weight::Note);
        let (outcome, detail) = match () {
            // Whatever it can't carry: it is there already.
            () if self.args.back => back::back(self, id, &described, &translation).await?,
            () if refused => (Word::Lost, String::new()),
            () if self.args.switch_over => forth::forth(self, id, seen, described, &translation).await?,
            () if self.args.apply => (Word::Stored, self.store(&translation).await?),
            () => match &self.args.out {
                Some(dir) => (Word::Written, self.write(dir, &translation)?),
                None if differs => (Word::Differs, String::new()),
                None => (Word::Equal, String::new()),
            },
        };
        let exit = if outcome == Word::Lost { Exit::Refused } else { Exit::Ok };
        let findings = translation.findings;
        Ok((Line { schedule: id.to_owned(), definition, outcome, detail, findings }, exit))
    }

    fn write(&self, dir: &Path, translation: &Translation) -> Result<String, Failure> {
        let path = dir.join(format!("{}.yaml", translation.definition.metadata.id));
        let mut text = String::new();
        for finding in translation.findings.iter().filter(|one| one.weight != Weight::Note) {
            text.push_str(&format!("# {}\n", finding.to_string().replace(char::is_control, " ")));
        }
        text.push_str(&yaml(&translation.definition)?);
        std::fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
        Ok(path.display().to_string())
    }

    /// One that is there and fires is left alone: it has moved, or is somebody else's.
    async fn store(&self, translation: &Translation) -> Result<String, Failure> {
        let mut definition = translation.definition.clone();
        definition.spec.enabled = false;
        let key = crate::read::key(&definition);
        let options = match self.record(&key).await? {
            Some(record) if record.definition.spec.enabled => {
                return Err(Failure::new(Exit::Conflict, format!("{key} is there already, and enabled")));
            }
            Some(record) => ApplyOptions { expected_version: Some(record.status.version), ..ApplyOptions::default() },
            None => ApplyOptions { expected_version: Some(0), ..ApplyOptions::default() },
        };
        self.apply(&definition, options).await?;
        Ok(String::new())
    }

    /// A stored definition, if there is one.
    pub(super) async fn record(&self, key: &DefinitionKey) -> Result<Option<DefinitionRecord>, Failure> {
        persist(async || match self.session.client.get(key).await {
            Ok(record) => Ok(Some(record)),
            Err(Error { code: Code::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// A schedule as it is now.
    async fn describe(&self, id: &str) -> Result<Described, Failure> {
        persist(async || self.there.sink.describe_schedule(&self.there.namespace, id).await).await
    }

    /// Tells a schedule to do something.
    pub(super) async fn tell(&self, id: &str, switch: &Switch) -> Result<(), Failure> {
        let request = Uuid::new_v4().to_string();
        persist(async || self.there.sink.switch_schedule(&self.there.namespace, id, switch, &request).await).await
    }

    /// Lets a paused schedule go on.
    pub(super) async fn resume(&self, id: &str, note: &str) -> Result<(), Failure> {
        let request = Uuid::new_v4().to_string();
        persist(async || self.there.sink.resume_schedule(&self.there.namespace, id, note, &request).await).await
    }

    /// Stores a definition.
    pub(super) async fn apply(
        &self,
        definition: &ActivityDefinition,
        options: ApplyOptions,
    ) -> Result<Applied, Failure> {
        // All tries are the same request.
        let request_id = Uuid::new_v4().to_string();
        let options = ApplyOptions { request_id, ..options };
        persist(async || self.session.client.apply(definition, options.clone()).await).await
    }

    /// Pauses a definition, or says why it is paused.
    pub(super) async fn pause(&self, key: &DefinitionKey, note: &str) -> Result<(), Failure> {
        persist(async || self.session.client.pause(key, note).await).await.map(drop)
    }

    /// Looks at a schedule again and again until it is as it shall be: it is told, and does it a little later.
    pub(super) async fn wait_for(
        &self,
        id: &str,
        what: &str,
        is: impl Fn(&Described) -> bool,
    ) -> Result<Described, Failure> {
        let begun = tokio::time::Instant::now();
        let mut pause = forth::FIRST_LOOK;
        loop {
            let described = self.describe(id).await?;
            if is(&described) {
                return Ok(described);
            }
            if begun.elapsed() > forth::PATIENCE {
                let message =
                    format!("it was told to {what}, and has not within {:?}; say the same again", forth::PATIENCE);
                return Err(Failure::new(Exit::Unavailable, message));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(forth::LONGEST_LOOK);
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{} can't be written: {error}", path.display()))
}
