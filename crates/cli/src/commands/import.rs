//! `flintwheel import temporal|crontab|cronjob`.

mod back;
mod cronjob;
mod crontab;
mod forth;
mod reach;
mod report;
mod temporal;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Subcommand;
use flintwheel_import::{Destination, Runner};

use crate::exit::{Exit, Failure, Outcome};

/// Pauses of a quarter of a second to sixteen seconds.
const TRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read Temporal's schedules: tell what is equal and what differs, write definitions, move schedules here and back
    Temporal(Box<temporal::Args>),
    /// Print the lines of a crontab as definitions
    Crontab(crontab::Args),
    /// Print CronJobs of Kubernetes as definitions
    Cronjob(cronjob::Args),
}

/// What runs commands and jobs.
#[derive(Clone, Debug, clap::Args)]
struct RunnerArgs {
    /// The workflow that runs them, as its worker registers it
    #[arg(long, value_name = "TYPE")]
    workflow: String,
    /// Where its worker polls
    #[arg(long, value_name = "QUEUE")]
    task_queue: String,
}

/// What definitions bear.
#[derive(Clone, Debug, clap::Args)]
struct LabelArgs {
    /// A label of the definitions; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::Temporal(args) => temporal::run(*args).await,
        Command::Crontab(args) => crontab::run(&args),
        Command::Cronjob(args) => cronjob::run(&args),
    }
}

/// Calls that find a server away or too busy are said again for half a minute: a schedule may be between the two sides.
async fn persist<T, E>(mut call: impl AsyncFnMut() -> Result<T, E>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        match call().await.map_err(Failure::from) {
            Err(failure) if failure.exit == Exit::Unavailable => tokio::time::sleep(pause).await,
            ended => return ended,
        }
        pause *= 2;
    }
    Ok(call().await?)
}

impl From<RunnerArgs> for Runner {
    fn from(args: RunnerArgs) -> Self {
        Self { workflow_type: args.workflow, task_queue: args.task_queue }
    }
}

impl LabelArgs {
    fn destination(&self, namespace: &str) -> Result<Destination, Failure> {
        let mut labels = BTreeMap::new();
        for label in &self.labels {
            let Some((key, value)) = label.split_once('=') else {
                return Err(Failure::usage(format!("--label {label:?} is not KEY=VALUE")));
            };
            labels.insert(key.to_owned(), value.to_owned());
        }
        Ok(Destination { namespace: namespace.to_owned(), labels })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _import: super::Args,
    }

    #[test]
    fn lines_are_taken_or_refused() {
        for (line, allowed) in [
            ("temporal", true),
            ("temporal a b --out dir", true),
            ("temporal --apply --without retry_policy,header", true),
            ("temporal --switch-over --yes --side-by-side 16", true),
            ("temporal --back a", true),
            ("temporal --apply --switch-over", false),
            ("temporal --out d --back", false),
            ("temporal --side-by-side 0", false),
            ("temporal --years 1000", false),
            ("temporal --temporal-address h:1 --temporal-namespace n --temporal-tls=true -n ours", true),
            ("crontab f --workflow W --task-queue q", true),
            ("crontab - --workflow W --task-queue q --with-user --timezone Europe/Berlin --label a=b", true),
            ("crontab f", false),
            ("crontab --workflow W --task-queue q", false),
            ("cronjob f --workflow W --task-queue q", true),
            ("cronjob f --workflow W", false),
            ("", false),
        ] {
            let words = std::iter::once("import").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
