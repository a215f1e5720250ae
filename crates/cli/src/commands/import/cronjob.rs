//! `flintwheel import cronjob`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

use flintwheel_import::cronjob::{Job, is_cronjob, translate};
use flintwheel_import::{Finding, Weight};
use serde_json::Value;

use super::crontab::finish;
use super::{LabelArgs, RunnerArgs};
use crate::config::NamespaceArg;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, say};
use crate::read::{Source, key, place_of, values};

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
    let mut taken = BTreeMap::new();
    for (range, document) in values(&source) {
        match document {
            Err(fault) => faults.push(*fault),
            Ok(document) => {
                for (path, one) in jobs_of(&document) {
                    jobs += 1;
                    let mut job = translate(one, &runner, &destination);
                    if let Some(finding) = same_id(&job, one, &mut taken) {
                        job.findings.push(finding);
                        job.definition = None;
                    }
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

/// Jobs of several namespaces may have the same name: the first one is the definition of that id. `taken` are the ids of those before, each
/// with its namespace in Kubernetes.
fn same_id(job: &Job, document: &Value, taken: &mut BTreeMap<String, String>) -> Option<Finding> {
    let definition = job.definition.as_ref()?;
    let namespace = document["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    match taken.entry(definition.metadata.id.clone()) {
        Entry::Vacant(free) => {
            free.insert(namespace);
            None
        }
        Entry::Occupied(first) => {
            let of = if first.get().is_empty() {
                "another one".to_owned()
            } else {
                format!("that of namespace {}", first.get())
            };
            let message = format!(
                "would be {}, as {of}: import one namespace at a time, each into its own with -n",
                key(definition)
            );
            Some(Finding { weight: Weight::Lost, name: "name", field: "metadata.name".to_owned(), message })
        }
    }
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

#[cfg(test)]
mod tests {
    use flintwheel_import::{Destination, Runner};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_whose_id_another_one_has_is_told_with_the_namespace_of_that_one() {
        let runner = Runner { workflow_type: "RunJob".to_owned(), task_queue: "jobs".to_owned() };
        let into = Destination { namespace: "default".to_owned(), ..Destination::default() };
        let mut taken = BTreeMap::new();
        let advice = "import one namespace at a time, each into its own with -n";
        for (metadata, expected) in [
            (json!({"name": "hello", "namespace": "prod"}), String::new()),
            (json!({"name": "bye", "namespace": "prod"}), String::new()),
            (
                json!({"name": "hello", "namespace": "other"}),
                format!("lost: metadata.name: would be default/hello, as that of namespace prod: {advice}"),
            ),
            (json!({"name": "plain"}), String::new()),
            (
                json!({"name": "plain"}),
                format!("lost: metadata.name: would be default/plain, as another one: {advice}"),
            ),
            (json!({}), String::new()),
        ] {
            let document = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata,
                "spec": {"schedule": "0 3 * * *", "timeZone": "UTC", "jobTemplate": {"spec": {}}}});
            let found = same_id(&translate(&document, &runner, &into), &document, &mut taken);
            assert_eq!(found.map(|finding| finding.to_string()).unwrap_or_default(), expected, "{document}");
        }
    }
}
