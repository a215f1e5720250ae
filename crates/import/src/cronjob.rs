//! CronJobs of Kubernetes. A definition starts a workflow, whose argument is the template of the job; each field that can't be carried over, or means
//! something else here, is named by its path.

use std::collections::BTreeMap;

use flintwheel_model::definition::{
    API_VERSION, KIND, Metadata, MisfireMode, MisfirePolicy, OverlapPolicy, ScheduleTrigger, Spec, StartWorkflow,
    Trigger,
};
use flintwheel_model::{ActivityDefinition, Span, limits};
use serde_json::{Map, Value, json};

use crate::cron::vixie;
use crate::finding::{Finding, Weight};
use crate::literal::literal;
use crate::{Destination, Runner, definition_id};

/// A job as a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Not enabled where the job is suspended; none where it can't be one.
    pub definition: Option<ActivityDefinition>,
    /// Their fields are paths in the document.
    pub findings: Vec<Finding>,
}

/// Whether a document is a CronJob; others stand beside them in a chart's output.
pub fn is_cronjob(document: &Value) -> bool {
    document["kind"] == "CronJob"
}

/// Translates one.
pub fn translate(document: &Value, runner: &Runner, into: &Destination) -> Job {
    let mut findings = Vec::new();
    let definition = read(document, runner, into, &mut findings);
    Job { definition, findings }
}

fn read(
    document: &Value,
    runner: &Runner,
    into: &Destination,
    findings: &mut Vec<Finding>,
) -> Option<ActivityDefinition> {
    if document["apiVersion"] != "batch/v1" && document["apiVersion"] != "batch/v1beta1" {
        let message = format!("{} is not batch/v1", document["apiVersion"]);
        findings.push(Finding::lost("api_version", "apiVersion", message));
        return None;
    }
    let Some(spec) = document["spec"].as_object() else {
        findings.push(Finding::lost("spec", "spec", "is required"));
        return None;
    };
    let schedule = schedule(spec, findings);
    let start = start(spec, runner, findings);
    let suspended = flag(spec, "suspend", findings);
    unread(spec, findings);
    let (metadata, schedule, start) = (metadata(document, into, findings)?, schedule?, start?);
    Some(ActivityDefinition {
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        metadata,
        spec: Spec {
            enabled: !suspended,
            trigger: Trigger { schedule: Some(schedule), event: None },
            dedupe_key_strategy: None,
            context_sources: Vec::new(),
            task_templates: Vec::new(),
            start_workflow: Some(start),
        },
    })
}

fn metadata(document: &Value, into: &Destination, findings: &mut Vec<Finding>) -> Option<Metadata> {
    let Some(name) = document["metadata"]["name"].as_str().filter(|name| !name.is_empty()) else {
        findings.push(Finding::lost("name", "metadata.name", "is required"));
        return None;
    };
    let mut labels = BTreeMap::new();
    let given = document["metadata"]["labels"].as_object();
    for (key, value) in given.into_iter().flatten() {
        match value.as_str().filter(|_| key.len() <= limits::LABEL_LEN && labels.len() < limits::LABELS / 2) {
            Some(text) => {
                labels.insert(key.clone(), text.to_owned());
            }
            None => {
                let message = "is left out: too long, or one too many";
                findings.push(Finding::differs("labels", format!("metadata.labels.{key}"), message));
            }
        }
    }
    if let Some(namespace) = document["metadata"]["namespace"].as_str() {
        labels.insert("kubernetes-namespace".to_owned(), namespace.to_owned());
    }
    labels.extend(into.labels.clone());
    let id = definition_id(name);
    let shown = if id == name { String::new() } else { name.chars().take(limits::NAME_LEN / 4).collect() };
    Some(Metadata { namespace: into.namespace.clone(), id, name: shown, labels })
}

fn schedule(spec: &Map<String, Value>, findings: &mut Vec<Finding>) -> Option<ScheduleTrigger> {
    let Some(line) = text(spec, "schedule", findings) else {
        findings.push(Finding::lost("schedule", "spec.schedule", "is required"));
        return None;
    };
    let zone = text(spec, "timeZone", findings);
    if zone.is_none() {
        let message = "no time zone is named: Kubernetes takes that of its controller, mostly UTC; read as UTC";
        findings.push(Finding::differs("timezone", "spec.schedule", message));
    }
    if line.trim_start().starts_with("@every") {
        let message = "Kubernetes counts from when the job was made; here it is counted from the Unix epoch (`interval.anchor` sets another begin)";
        findings.push(Finding::differs("every", "spec.schedule", message));
    }
    // A question mark is a star there.
    match vixie(&line.replace('?', "*"), zone.as_deref()) {
        Ok(trigger) => Some(ScheduleTrigger {
            overlap_policy: overlap(spec, findings),
            misfire_policy: Some(deadline(spec, findings)),
            ..trigger
        }),
        Err(faults) => {
            let field = |message: &str| if message.contains("time zone") { "spec.timeZone" } else { "spec.schedule" };
            findings.extend(
                faults.into_iter().map(|fault| Finding::lost("schedule", field(&fault.message), fault.message)),
            );
            None
        }
    }
}

fn overlap(spec: &Map<String, Value>, findings: &mut Vec<Finding>) -> Option<OverlapPolicy> {
    match text(spec, "concurrencyPolicy", findings).as_deref() {
        None | Some("Allow") => Some(OverlapPolicy::AllowAll),
        Some("Forbid") => {
            let message = "skips what is due while a run is open; Kubernetes may still start the last of them when the run has ended, which \
                           is `overlap_policy: buffer_one` here";
            findings.push(Finding::differs("concurrency_policy", "spec.concurrencyPolicy", message));
            Some(OverlapPolicy::Skip)
        }
        Some("Replace") => {
            let message = "what runs is terminated, and the next one starts when it has ended (`cancel_other` asks it to cancel instead)";
            findings.push(Finding::note("concurrency_policy", "spec.concurrencyPolicy", message));
            Some(OverlapPolicy::TerminateOther)
        }
        Some(other) => {
            let message = format!("{other:?} is not Allow, Forbid or Replace");
            findings.push(Finding::lost("concurrency_policy", "spec.concurrencyPolicy", message));
            None
        }
    }
}

/// Of missed times, Kubernetes starts the last one.
fn deadline(spec: &Map<String, Value>, findings: &mut Vec<Finding>) -> MisfirePolicy {
    const SHORTEST: u64 = 10;
    const FIELD: &str = "spec.startingDeadlineSeconds";
    let latest = MisfirePolicy { mode: MisfireMode::Latest, ..MisfirePolicy::default() };
    match spec.get("startingDeadlineSeconds").filter(|value| !value.is_null()) {
        None => latest,
        Some(value) => match value.as_u64().filter(|seconds| *seconds <= Span::MAX.secs()) {
            None => {
                findings.push(Finding::lost("deadline", FIELD, format!("{value} is no number of seconds")));
                latest
            }
            Some(seconds) => {
                if seconds < SHORTEST {
                    let message = format!("{seconds} s is too short for a misfire window; it is {SHORTEST} s here");
                    findings.push(Finding::differs("deadline", FIELD, message));
                }
                MisfirePolicy { window: Span::from_secs(seconds.max(SHORTEST)), ..latest }
            }
        },
    }
}

fn start(spec: &Map<String, Value>, runner: &Runner, findings: &mut Vec<Finding>) -> Option<StartWorkflow> {
    let Some(template) = spec.get("jobTemplate").filter(|value| value.is_object()) else {
        findings.push(Finding::lost("job_template", "spec.jobTemplate", "is required"));
        return None;
    };
    let message = format!(
        "the job is the argument of {:?} (`job_template`), which has to run it; nothing here speaks to Kubernetes",
        runner.workflow_type
    );
    findings.push(Finding::differs("job_template", "spec.jobTemplate", message));
    let argument = literal(&json!({"job_template": template}));
    Some(StartWorkflow {
        type_name: runner.workflow_type.clone(),
        task_queue: runner.task_queue.clone(),
        input: vec![argument],
        ..StartWorkflow::default()
    })
}

/// Fields that nobody has looked at.
fn unread(spec: &Map<String, Value>, findings: &mut Vec<Finding>) {
    let read = ["schedule", "timeZone", "concurrencyPolicy", "startingDeadlineSeconds", "suspend", "jobTemplate"];
    for (name, value) in spec.iter().filter(|(name, _)| !read.contains(&name.as_str())) {
        let message = match name.as_str() {
            "successfulJobsHistoryLimit" | "failedJobsHistoryLimit" => {
                format!("{value}: what has run is kept by Temporal for its namespace's retention")
            }
            _ => "a definition has no place for it".to_owned(),
        };
        let weight = if name.ends_with("HistoryLimit") { Weight::Differs } else { Weight::Lost };
        findings.push(Finding::new(weight, "field", format!("spec.{name}"), message));
    }
}

fn text(spec: &Map<String, Value>, name: &'static str, findings: &mut Vec<Finding>) -> Option<String> {
    match spec.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Null => None,
        other => {
            findings.push(Finding::lost("field", format!("spec.{name}"), format!("{other} is no text")));
            None
        }
    }
}

fn flag(spec: &Map<String, Value>, name: &'static str, findings: &mut Vec<Finding>) -> bool {
    match spec.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(set)) => *set,
        Some(other) => {
            findings.push(Finding::lost("field", format!("spec.{name}"), format!("{other} is not true or false")));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> Runner {
        Runner { workflow_type: "RunJob".to_owned(), task_queue: "jobs".to_owned() }
    }

    fn job(spec: Value) -> Job {
        let mut document = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly", "namespace": "ops", "labels": {"app": "x"}},
            "spec": {"schedule": "0 3 * * *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": {}}},
        });
        for (name, value) in spec.as_object().expect("fields") {
            document["spec"][name] = value.clone();
        }
        translate(&document, &runner(), &Destination { namespace: "default".to_owned(), ..Destination::default() })
    }

    /// Of the translation, as it is written.
    fn at<'a>(written: &'a Value, path: &str) -> &'a Value {
        written.pointer(path).unwrap_or(&Value::Null)
    }

    #[test]
    fn each_field_becomes_what_it_means() {
        const SCHEDULE: &str = "/spec/trigger/schedule";
        for (spec, path, expected) in [
            (json!({}), "/metadata/id", json!("nightly")),
            (json!({}), "/metadata/labels", json!({"app": "x", "kubernetes-namespace": "ops"})),
            (json!({}), "/spec/trigger/schedule/cron/0", json!("0 3 * * *")),
            (json!({}), "/spec/trigger/schedule/dialect", json!("vixie")),
            (json!({}), "/spec/trigger/schedule/timezone", json!("Europe/Berlin")),
            (json!({}), "/spec/trigger/schedule/overlap_policy", json!("allow_all")),
            (json!({}), "/spec/trigger/schedule/misfire_policy", json!({"mode": "latest", "window": "365d"})),
            (json!({"schedule": "0 3 ? * 1"}), "/spec/trigger/schedule/cron/0", json!("0 3 * * 1")),
            (json!({"concurrencyPolicy": "Forbid"}), "/spec/trigger/schedule/overlap_policy", json!("skip")),
            (
                json!({"concurrencyPolicy": "Replace"}),
                "/spec/trigger/schedule/overlap_policy",
                json!("terminate_other"),
            ),
            (json!({"startingDeadlineSeconds": 300}), "/spec/trigger/schedule/misfire_policy/window", json!("5m")),
            (json!({"suspend": true}), "/spec/enabled", json!(false)),
            (json!({}), "/spec/start_workflow/type", json!("RunJob")),
            (
                json!({"jobTemplate": {"a": "{{ b }}"}}),
                "/spec/start_workflow/input/0/job_template/a",
                json!("{{ \"\\u007b\\u007b b \\u007d\\u007d\" }}"),
            ),
        ] {
            let job = job(spec.clone());
            let written = serde_json::to_value(job.definition.expect("a definition")).expect("JSON");
            assert_eq!(at(&written, path), &expected, "{spec} {path} in {}", at(&written, SCHEDULE));
        }
    }

    #[test]
    fn what_can_t_be_carried_is_named_by_its_path() {
        for (spec, field, message) in [
            (json!({"schedule": "0 25 * * *"}), "spec.schedule", "hour \"25\" is not in 0-23"),
            (json!({"schedule": 5}), "spec.schedule", "5 is no text"),
            (json!({"schedule": null}), "spec.schedule", "is required"),
            (json!({"timeZone": "Mars/Olympus"}), "spec.timeZone", "time zone \"Mars/Olympus\" is not known"),
            (
                json!({"concurrencyPolicy": "Sometimes"}),
                "spec.concurrencyPolicy",
                "\"Sometimes\" is not Allow, Forbid or Replace",
            ),
            (json!({"startingDeadlineSeconds": -1}), "spec.startingDeadlineSeconds", "-1 is no number of seconds"),
            (json!({"startingDeadlineSeconds": 3}), "spec.startingDeadlineSeconds", "it is 10 s here"),
            (json!({"suspend": "no"}), "spec.suspend", "is not true or false"),
            (json!({"jobTemplate": null}), "spec.jobTemplate", "is required"),
            (json!({"other": 1}), "spec.other", "a definition has no place for it"),
            (json!({"successfulJobsHistoryLimit": 3}), "spec.successfulJobsHistoryLimit", "retention"),
        ] {
            let found = job(spec.clone()).findings;
            let told = found.iter().any(|one| one.field == field && one.message.contains(message));
            assert!(told, "{spec}: {found:#?}");
        }
    }

    #[test]
    fn other_documents_are_none() {
        assert!(
            !is_cronjob(&json!({"kind": "Job"})) && is_cronjob(&json!({"kind": "CronJob"})) && !is_cronjob(&json!([]))
        );
        let found = translate(&json!({"kind": "CronJob", "apiVersion": "v9"}), &runner(), &Destination::default());
        assert_eq!((found.definition, found.findings[0].field.as_str()), (None, "apiVersion"));
    }
}
