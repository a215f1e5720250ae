//! What a run will do: the task templates of a definition with their conditions and templates evaluated.
//!
//! A pure function of definition, trigger event and context. It runs in an activity all the same, not in workflow code: the engines for
//! templates and expressions change between versions (fuel, functions, rounding), and a replay under a new version must find what the
//! old one decided. So the plan stands in the workflow's history, and workflow code only carries it out.

use std::collections::HashSet;
use std::fmt::Display;

use flintwheel_client::TaskKind;
use flintwheel_model::definition::{ContextSource, Target, TaskTemplate};
use flintwheel_model::expression::Expression;
use flintwheel_model::run::{TriggerEvent, variables};
use flintwheel_model::{ActivityDefinition, Span, template};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The plan as JSON: it is one payload in the history, beside the starts of its tasks in one message of at most 4 MiB.
const PLAN_BYTES: usize = 1024 * 1024;
/// All context values as JSON: they are kept in the run log, and each stands in the history.
const CONTEXT_BYTES: usize = 1024 * 1024;

/// What a plan is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlanInput {
    /// Its task templates are evaluated.
    pub definition: ActivityDefinition,
    /// The version that this is.
    pub version: u64,
    /// What set it off.
    pub trigger: TriggerEvent,
    /// What the sources over the network yielded, by name.
    pub fetched: Map<String, Value>,
}

/// What a run will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The values of the static sources, by name: with those that were fetched, the whole context.
    pub statics: Map<String, Value>,
    /// In the order of the definition.
    pub tasks: Vec<PlannedTask>,
}

/// One task, ready to be spawned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// The task template's name.
    pub name: String,
    /// A child workflow or an activity.
    pub kind: TaskKind,
    /// As its worker registers it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The queue that its worker polls.
    pub task_queue: String,
    /// For one execution.
    pub timeout: Option<Span>,
    /// Names of tasks that must have completed before.
    pub depends_on: Vec<String>,
    /// Why it is left out; then it has no params.
    pub left_out: Option<String>,
    /// The one argument; null means none.
    pub params: Value,
}

/// Why no plan can be made: trying again would not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct PlanError {
    /// Path in the definition.
    pub field: String,
    /// What is wrong, with the value.
    pub message: String,
}

impl PlanError {
    fn new(field: impl Into<String>, message: impl Display) -> Self {
        Self { field: field.into(), message: message.to_string() }
    }
}

/// Evaluates conditions and templates.
pub fn plan(input: &PlanInput) -> Result<Plan, PlanError> {
    let spec = &input.definition.spec;
    let statics = statics(input)?;
    let mut context = input.fetched.clone();
    context.extend(statics.clone());
    check_size("spec.context_sources", &context, "the context", CONTEXT_BYTES)?;
    check_order(&spec.task_templates)?;
    let vars = variables(&input.definition.metadata, input.version, &input.trigger, Some(&context));
    let tasks = spec.task_templates.iter().enumerate().map(|(i, task)| {
        let field = format!("spec.task_templates[{i}]");
        plan_task(&field, task, &vars)
    });
    let plan = Plan { statics, tasks: tasks.collect::<Result<_, _>>()? };
    check_size("spec.task_templates", &plan, "what the templates yield", PLAN_BYTES)?;
    Ok(plan)
}

/// Static values are templates too, over everything but the context.
fn statics(input: &PlanInput) -> Result<Map<String, Value>, PlanError> {
    let vars = variables(&input.definition.metadata, input.version, &input.trigger, None);
    let mut values = Map::new();
    for (i, source) in input.definition.spec.context_sources.iter().enumerate() {
        if let ContextSource { name, static_value: Some(value), .. } = source {
            let field = format!("spec.context_sources[{i}].static");
            values.insert(name.clone(), render(&field, value, &vars)?);
        }
    }
    Ok(values)
}

fn plan_task(field: &str, task: &TaskTemplate, vars: &Value) -> Result<PlannedTask, PlanError> {
    let (kind, target) = target(field, task)?;
    let left_out = left_out(field, task, vars)?;
    let params = match left_out {
        Some(_) => Value::Null,
        None => render(&format!("{field}.params"), &task.params, vars)?,
    };
    Ok(PlannedTask {
        name: task.name.clone(),
        kind,
        type_name: target.type_name.clone(),
        task_queue: target.task_queue.clone(),
        timeout: target.timeout,
        depends_on: task.depends_on.clone(),
        left_out,
        params,
    })
}

fn target<'a>(field: &str, task: &'a TaskTemplate) -> Result<(TaskKind, &'a Target), PlanError> {
    match (&task.workflow, &task.activity) {
        (Some(target), None) => Ok((TaskKind::Workflow, target)),
        (None, Some(target)) => Ok((TaskKind::Activity, target)),
        _ => Err(PlanError::new(field, "has exactly one of workflow and activity")),
    }
}

fn left_out(field: &str, task: &TaskTemplate, vars: &Value) -> Result<Option<String>, PlanError> {
    let Some(when) = &task.when else { return Ok(None) };
    let field = format!("{field}.when");
    let condition = Expression::compile(when).map_err(|e| PlanError::new(&field, e))?;
    let holds = condition.test(vars).map_err(|e| PlanError::new(&field, e))?;
    Ok((!holds).then(|| format!("`when` is false: {when}")))
}

fn render(field: &str, value: &Value, vars: &Value) -> Result<Value, PlanError> {
    template::render(value, vars).map_err(|e| PlanError::new(format!("{field}{}", e.path), e.message))
}

fn check_size(field: &str, value: &impl Serialize, what: &str, most: usize) -> Result<(), PlanError> {
    let size = serde_json::to_vec(value).map_err(|e| PlanError::new(field, e))?.len();
    if size > most {
        return Err(PlanError::new(field, format!("{what} has {size} bytes as JSON; at most {most}")));
    }
    Ok(())
}

/// A definition is checked when it is applied. Here once more, since a run that waits for itself would never end.
fn check_order(tasks: &[TaskTemplate]) -> Result<(), PlanError> {
    let mut done: HashSet<&str> = HashSet::new();
    while done.len() < tasks.len() {
        let mut ready = tasks.iter().filter(|task| {
            !done.contains(task.name.as_str()) && task.depends_on.iter().all(|name| done.contains(name.as_str()))
        });
        let Some(next) = ready.next() else {
            let stuck: Vec<_> =
                tasks.iter().map(|task| task.name.as_str()).filter(|name| !done.contains(name)).collect();
            let message = format!("{}: these wait for each other, or for a task that is not there", stuck.join(", "));
            return Err(PlanError::new("spec.task_templates", message));
        };
        done.insert(&next.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn input(spec: Value) -> PlanInput {
        let definition = json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
            "metadata": {"namespace": "billing", "id": "reminder"}, "spec": spec
        });
        let trigger = json!({
            "kind": "event", "scheduled_for": "2026-11-23T08:00:00Z", "fired_at": "2026-11-23T08:00:00Z",
            "event": {"type": "overdue", "data": {"id": 7, "amount": 120}}
        });
        PlanInput {
            definition: serde_json::from_value(definition).expect("a definition"),
            version: 3,
            trigger: serde_json::from_value(trigger).expect("a trigger event"),
            fetched: Map::from_iter([("invoice".to_owned(), json!({"open": true, "customer": "Ada"}))]),
        }
    }

    #[test]
    fn conditions_and_templates_are_evaluated_over_event_and_context() {
        let plan = plan(&input(json!({
            "context_sources": [{"name": "tone", "static": {"friendly": true, "about": "{{ event.data.id }}"}}],
            "task_templates": [
                {"name": "remind", "when": "context.invoice.open && event.data.amount > 100",
                 "workflow": {"type": "Send", "task_queue": "mail", "timeout": "5m"},
                 "params": {"id": "{{ event.data.id }}", "to": "Dear {{ context.invoice.customer }}", "tone": "{{ context.tone }}",
                            "version": "{{ definition.version }}"}},
                {"name": "call", "when": "event.data.amount > 1000", "activity": {"type": "Call", "task_queue": "calls"},
                 "params": "{{ nothing.of.this }}", "depends_on": ["remind"]}
            ]
        })))
        .expect("a plan");
        assert_eq!(plan.statics["tone"], json!({"friendly": true, "about": 7}));
        let (remind, call) = (&plan.tasks[0], &plan.tasks[1]);
        let params = json!({"id": 7, "to": "Dear Ada", "tone": {"friendly": true, "about": 7}, "version": 3});
        assert_eq!((remind.kind, &remind.params, &remind.left_out), (TaskKind::Workflow, &params, &None));
        assert_eq!((remind.task_queue.as_str(), remind.timeout), ("mail", Some(Span::from_secs(300))));
        assert_eq!(call.left_out.as_deref(), Some("`when` is false: event.data.amount > 1000"));
        assert_eq!((call.kind, &call.params), (TaskKind::Activity, &Value::Null));
    }

    #[test]
    fn faults_name_the_field() {
        let task = |extra: Value| {
            let mut task = json!({"name": "a", "workflow": {"type": "W", "task_queue": "q"}});
            for (key, value) in extra.as_object().expect("an object") {
                task[key] = value.clone();
            }
            json!({"task_templates": [task]})
        };
        let big = json!({"a": "{{ context.b }}", "b": "{{ context.b }}", "c": "{{ context.b }}"});
        let mut doubled = task(json!({"params": big}));
        doubled["context_sources"] = json!([{"name": "b", "static": "x".repeat(500_000)}]);
        for (spec, field, message) in [
            (
                task(json!({"params": {"x": ["{{ context.nobody }}"]}})),
                "spec.task_templates[0].params.x[0]",
                "undefined",
            ),
            (task(json!({"when": "event.data.id"})), "spec.task_templates[0].when", "not true or false"),
            (task(json!({"when": "context.nobody.home"})), "spec.task_templates[0].when", "failed"),
            (task(json!({"depends_on": ["a"]})), "spec.task_templates", "wait for each other"),
            (task(json!({"depends_on": ["b"]})), "spec.task_templates", "not there"),
            (doubled, "spec.task_templates", "at most 1048576"),
            (
                json!({"context_sources": [{"name": "b", "static": "x".repeat(1_100_000)}]}),
                "spec.context_sources",
                "the context has",
            ),
            (
                json!({"context_sources": [{"name": "b", "static": {"y": "{{ context.invoice }}"}}]}),
                "spec.context_sources[0].static.y",
                "undefined",
            ),
        ] {
            let error = plan(&input(spec)).expect_err(message);
            assert_eq!(error.field, field, "{error}");
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[test]
    fn a_definition_without_tasks_is_an_empty_plan() {
        assert_eq!(plan(&input(json!({}))), Ok(Plan { statics: Map::new(), tasks: Vec::new() }));
    }
}
