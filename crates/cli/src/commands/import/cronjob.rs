//! `flintwheel import cronjob`.

use std::path::PathBuf;

use flintwheel_import::cronjob::{is_cronjob, translate};
use serde_json::Value;

use super::crontab::finish;
use super::{LabelArgs, RunnerArgs};
use crate::config::NamespaceArg;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, say};
use crate::read::{Source, place_of, values};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// YAML or JSON with CronJobs; other documents in it are passed over. - for standard input
    file: PathBuf,
    /// Leave this out where it can't be carried over, as the message names it; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without: Vec<String>,
    #[command(flatten)]
    runner: RunnerArgs,
    #[command(flatten)]
    labels: LabelArgs,
    #[command(flatten)]
    namespace: NamespaceArg,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &Args) -> Outcome {
    let source = Source::open(&args.file).map_err(|fault| Failure::new(Exit::Usage, fault.message))?;
    let destination = args.labels.destination(&args.namespace.name()?)?;
    let runner = args.runner.clone().into();
    let (mut definitions, mut findings, mut faults, mut jobs) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for (range, document) in values(&source) {
        match document {
            Err(fault) => faults.push(*fault),
            Ok(document) => {
                for (path, one) in jobs_of(&document) {
                    jobs += 1;
                    let job = translate(one, &runner, &destination);
                    definitions.extend(job.definition);
                    for mut finding in job.findings {
                        finding.field = format!("{path}{}", finding.field);
                        let place = place_of(&source, range.clone(), &finding.field);
                        findings.push((finding, Some(place)));
                    }
                }
            }
        }
    }
    if !faults.is_empty() {
        return Err(Failure::faults(&faults, "nothing was read"));
    }
    if jobs == 0 {
        say(format_args!("{} holds no CronJob", source.name));
        return Ok(Exit::Refused);
    }
    finish(&definitions, findings.into_iter(), &args.without, args.output)
}

/// A document may be a job, or a list of them as `kubectl get -o yaml` prints it: each with what its paths begin with.
fn jobs_of(document: &Value) -> Vec<(String, &Value)> {
    let items =
        document["items"].as_array().filter(|_| document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")));
    let all = match items {
        Some(items) => items.iter().enumerate().map(|(place, item)| (format!("items[{place}]."), item)).collect(),
        None => vec![(String::new(), document)],
    };
    all.into_iter().filter(|(_, one)| is_cronjob(one)).collect()
}
