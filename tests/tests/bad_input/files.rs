//! Files with definitions: each fault is told with file, line and column, and nothing is sent.

use anyhow::Result;
use flintwheel_model::limits::DEFINITION_BYTES;

use super::support::{Server, fault_of};

const REFUSED: i32 = 4;
const CRON: &str = "spec.trigger.schedule.cron[0]";
const FIELDS: &str =
    "allowed are 5 (minute hour day-of-month month day-of-week), 6 (a year at the end) and 7 (seconds first";

/// A definition whose schedule stands on line 6, its values from column 16 on.
fn scheduled(schedule: &str) -> String {
    format!("{}\n  trigger:\n    schedule: {schedule}\n  start_workflow: {{type: T, task_queue: q}}\n", head("bad"))
}

/// Lines 1 to 4.
fn head(id: &str) -> String {
    format!("apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {{id: {id}}}\nspec:")
}

/// With a start that has this input on line 5.
fn starting(input: &str) -> String {
    format!("{}\n  start_workflow: {{type: T, task_queue: q, input: [{input}]}}\n", head("bad"))
}

/// `depth` lists within each other, in a definition.
fn deep(depth: usize) -> String {
    starting(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)))
}

fn deep_json() -> String {
    format!(
        r#"{{"apiVersion":"flintwheel.dev/v1","kind":"ActivityDefinition","metadata":{{"id":"bad"}},"spec":{{"start_workflow":{{"type":"T","task_queue":"q","input":[{}{}]}}}}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    )
}

/// Nine anchors, each ten times the one before.
fn bomb() -> String {
    let anchor = |i: usize| format!("&a{i} [{}]", vec![format!("*a{}", i - 1); 10].join(","));
    let anchors: Vec<String> = (1..=9).map(anchor).collect();
    starting(&format!("&a0 [x,x,x,x,x,x,x,x,x,x],\n   {}", anchors.join(",\n   ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_or_a_pace_that_is_none_is_refused_with_its_place() -> Result<()> {
    let cases: &[(&str, &[&str])] = &[
        (
            r#"{cron: "@daily", max_firings: 0}"#,
            &["spec.trigger.schedule.max_firings", "0 firings are none: at least 1, or leave it out", ":6:45"],
        ),
        (r#"{cron: "@daily", max_firings: -1}"#, &["spec.trigger.schedule.max_firings", "-1", ":6:45"]),
        (r#"{cron: "@daily", max_firings: 4294967296}"#, &["spec.trigger.schedule.max_firings", "4294967296", ":6:45"]),
        (r#"{cron: "@daily", max_firings: many}"#, &["spec.trigger.schedule.max_firings", "many", ":6:45"]),
        (
            r#"{cron: "@daily", after_end: explode}"#,
            &["spec.trigger.schedule.after_end", "explode", "keep", "disable", "delete", ":6:43"],
        ),
        (r#"{at: 2001-01-01T00:00:00Z, after_end: delete}"#, &["spec.trigger.schedule", "all of them are in the past"]),
        (
            r#"{cron: "@daily", misfire_policy: {pace: fast}}"#,
            &[
                "misfire_policy.pace",
                r#""fast" is not a pace: it has no /; write for example 50/s, 10/m or 1/15m"#,
                ":6:55",
            ],
        ),
        (
            r#"{cron: "@daily", misfire_policy: {pace: 0/s}}"#,
            &["misfire_policy.pace", r#""0/s" is not a pace: before the / stands a number in 1-1000000"#, ":6:55"],
        ),
        (
            r#"{cron: "@daily", misfire_policy: {pace: 5/w}}"#,
            &[
                "misfire_policy.pace",
                r#""5/w" is not a pace: after the / stands s, m, h, d or a length of time"#,
                ":6:55",
            ],
        ),
        (
            r#"{cron: "@daily", misfire_policy: {pace: 5/2d}}"#,
            &["misfire_policy.pace", r#""5/2d" is not a pace: the time after the / is in 1s-1d"#, ":6:55"],
        ),
        (
            r#"{cron: "@daily", misfire_policy: {on_resume: some}}"#,
            &["misfire_policy.on_resume", "some", "drop", "latest", "all", ":6:60"],
        ),
    ];
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (schedule, words) in cases {
        server.write("case.yaml", scheduled(schedule))?;
        let said = server.command(&["apply", "-f", "case.yaml"]).await?;
        let words = [words, &["case.yaml:6:", "nothing was changed"][..]].concat();
        faults.extend(fault_of(schedule, &said, REFUSED, &words));
    }
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_not_one_is_refused_with_its_place() -> Result<()> {
    let cases: &[(&str, &[&str])] = &[
        (r#"{cron: "61 * * * * * *"}"#, &[CRON, r#"second "61" is not in 0-59"#, ":6:23"]),
        (r#"{cron: "* 60 * * * * *"}"#, &[CRON, r#"minute "60" is not in 0-59"#, ":6:25"]),
        (r#"{cron: "0 24 * * *"}"#, &[CRON, r#"hour "24" is not in 0-23"#, ":6:25"]),
        (r#"{cron: "0 0 32 * *"}"#, &[CRON, r#"day of month "32" is not in 1-31"#, ":6:27"]),
        (r#"{cron: "0 0 * 13 *"}"#, &[CRON, r#"month "13" is not in 1-12 or jan-dec"#, ":6:29"]),
        (r#"{cron: "0 0 * * 8"}"#, &[CRON, r#"day of week "8" is not in 0-7 or sun-sat"#, ":6:31"]),
        (r#"{cron: "0 0 * * * 1800"}"#, &[CRON, r#"year "1800" is not in 2000-2100"#, ":6:33"]),
        (r#"{cron: "* * *"}"#, &[CRON, r#""* * *" has 3 fields"#, FIELDS, ":6:23"]),
        (r#"{cron: "* * * * * * * *"}"#, &[CRON, r#""* * * * * * * *" has 8 fields"#, FIELDS, ":6:23"]),
        (r#"{cron: "often"}"#, &[CRON, r#""often" has 1 fields"#, FIELDS, ":6:23"]),
        (r#"{cron: "@fortnightly"}"#, &[CRON, r#""@fortnightly" is not one of @yearly"#, "@every", ":6:23"]),
        (r#"{cron: "*/0 * * * *"}"#, &[CRON, r#"minute step "0" is not a whole number from 1 on"#, ":6:25"]),
        (r#"{cron: "0 0 30 2 *"}"#, &[CRON, r#"no day from 1970 to 2100 is like "30 2 *""#, ":6:27"]),
        (
            r#"{cron: "CRON_TZ=Mars/Olympus 0 0 * * *"}"#,
            &[CRON, r#"time zone "Mars/Olympus" is not known"#, "IANA", ":6:31"],
        ),
        (
            r#"{cron: "@daily", timezone: Mars/Olympus}"#,
            &["spec.trigger.schedule.timezone", r#"time zone "Mars/Olympus" is not known; allowed are UTC"#, ":6:42"],
        ),
        ("{interval: {every: 0s}}", &["interval[0].every", r#"interval "0s" is below 1s"#, ":6:34"]),
        ("{interval: {every: -5s}}", &["interval.every", r#""-5s" is not a duration: it is negative"#, ":6:34"]),
        ("{interval: {every: 500ms}}", &["interval[0].every", r#"interval "500ms" is below 1s"#, ":6:34"]),
        (
            "{interval: {every: 10s, phase: 10s}}",
            &["interval[0].phase", r#"phase "10s" is not less than the interval "10s""#, ":6:46"],
        ),
        ("{at: tomorrow}", &["spec.trigger.schedule.at", r#""tomorrow" is not a time; write RFC 3339"#, ":6:20"]),
        ("{at: 2200-01-01T00:00:00Z}", &["schedule.at[0]", "2200-01-01T00:00:00Z is not in the years 1970-2100"]),
        (
            "{at: 2001-01-01T00:00:00Z}",
            &["spec.trigger.schedule", "all of them are in the past", ":6:5", "at: 2001-01-01T00:00:00Z"],
        ),
        (
            r#"{cron: "@daily", start: 2030-01-01T00:00:00Z, end: 2029-01-01T00:00:00Z}"#,
            &["spec.trigger.schedule.end", "2029-01-01T00:00:00Z is before start 2030-01-01T00:00:00Z", ":6:66"],
        ),
        (
            r#"{corn: "@daily"}"#,
            &[
                "spec.trigger.schedule.corn",
                r#"did you mean "cron"?"#,
                "allowed: cron, dialect, calendar, rrule, interval, at, after, exclude",
                ":6:16",
            ],
        ),
        ("{}", &["spec.trigger.schedule", "it has none of cron, calendar, rrule, interval, at and after", ":6:5"]),
    ];
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (schedule, words) in cases {
        server.write("case.yaml", scheduled(schedule))?;
        let said = server.command(&["apply", "-f", "case.yaml"]).await?;
        let words = [words, &["case.yaml:6:", "nothing was changed"][..]].concat();
        faults.extend(fault_of(schedule, &said, REFUSED, &words));
    }
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_a_definition_is_refused_with_its_line() -> Result<()> {
    let task = "{type: T, task_queue: q}";
    let start = format!("  start_workflow: {task}\n");
    let twice = format!("{}\n{start}---\n{}\n{start}", head("bad"), head("bad"));
    let named = |metadata: &str| {
        format!("apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {metadata}\nspec:\n{start}")
    };
    let long = format!("{{id: {}}}", "x".repeat(300));
    let keyed = format!("{}\n  dedupe_key_strategy: {{key: \"event.id +\"}}\n{start}", head("bad"));
    let unknown = format!("{}\n  task_tempaltes: []\n{start}", head("bad"));
    let both =
        format!("{}\n{start}  task_templates: [{{name: a, activity: {{type: A, task_queue: q}}}}]\n", head("bad"));
    let neither = format!("{}\n  trigger: {{event: {{types: x}}}}\n", head("bad"));
    let large = starting(&"x".repeat(DEFINITION_BYTES));
    let huge = starting(&"x".repeat(8 * DEFINITION_BYTES));
    let cases: &[(&str, &str, &[&str])] = &[
        ("broken.yaml", "metadata: {id: a\nspec: {}\n", &[":2:5", "did not find expected ',' or '}'"]),
        ("broken.json", "{\"kind\": \n", &[":1:", "broken.json"]),
        ("unknown.yaml", &unknown, &["spec.task_tempaltes", r#"did you mean "task_templates"?"#, ":5:3"]),
        (
            "twice.yaml",
            &twice,
            &["metadata.id", "default/bad is defined twice", ":9:", "first defined at twice.yaml:3:16"],
        ),
        (
            "odd-id.yaml",
            &named("{id: Bad/Id é}"),
            &["metadata.id", "\"Bad/Id é\" holds 'B'; an id has 1 to 200 characters of a-z 0-9 . _ -", ":3:16"],
        ),
        ("long-id.yaml", &named(&long), &["metadata.id", "1 to 200 characters", "this one has 300", ":3:16"]),
        (
            "namespace.yaml",
            &named("{id: bad, namespace: Bad_NS}"),
            &["metadata.namespace", "\"Bad_NS\" holds 'B'; a namespace has 1 to 63 characters of a-z 0-9 -", ":3:32"],
        ),
        ("template.yaml", &starting(r#""{{ event.""#), &["input[0]", r#""{{ event." does not parse"#, ":5:"]),
        ("expression.yaml", &keyed, &["dedupe_key_strategy.key", r#""event.id +" does not parse"#, ":5:"]),
        ("variable.yaml", &starting(r#""{{ nobody.x }}""#), &["input[0]", r#"no variable "nobody"; there are"#, ":5:"]),
        ("neither.yaml", &neither, &["spec.task_templates", "task_templates or start_workflow", ":4:1"]),
        ("both.yaml", &both, &["spec.start_workflow", "excludes context_sources and task_templates", ":5:3"]),
        ("large.yaml", &large, &["the definition has 262", "at most 262144", ":1:1"]),
        ("huge.yaml", &huge, &["the document has 2097", "at most 2097152", ":1:1"]),
        ("deep.yaml", &deep(10_000), &["is nested deeper than 64", ":5:"]),
        ("a-bit-deep.yaml", &deep(70), &["is nested deeper than 64", ":5:"]),
        ("deep.json", &deep_json(), &["is nested deeper than 64", ":1:"]),
        ("bomb.yaml", &bomb(), &["input[5]", "more than 250000 values, with all aliases written out", ":10:"]),
        ("circle.yaml", &starting("&a [*a]"), &["input[0][0]", "an alias can't stand inside of what it names", ":5:"]),
        ("number.yaml", &starting("9007199254740993"), &["input[0]", "9007199254740993 is beyond 2^53", "as a string"]),
        ("empty.yaml", "", &["empty.yaml holds no definition"]),
        ("comment.yaml", "# nothing yet\n---\n", &["comment.yaml holds no definition"]),
        (
            "kind.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {id: bad}\nspec: {}\n",
            &["kind", "Pod", "ActivityDefinition", ":2:"],
        ),
    ];
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (name, text, words) in cases {
        server.write(name, text)?;
        let said = server.command(&["apply", "-f", name]).await?;
        faults.extend(fault_of(name, &said, REFUSED, &[words, &[*name, "nothing was changed"][..]].concat()));
    }
    server.write("bytes.yaml", b"a: 1\nb: \xff")?;
    std::fs::create_dir(server.dir.path().join("nothing"))?;
    let others: &[(&str, i32, &[&str])] = &[
        ("apply -f bytes.yaml", REFUSED, &["bytes.yaml:2: the text is not UTF-8"]),
        ("apply -f missing.yaml", REFUSED, &["missing.yaml can't be read: No such file or directory"]),
        ("apply -f nothing", REFUSED, &["nothing holds no .yaml, .yml or .json file"]),
        ("diff -f empty.yaml", REFUSED, &["empty.yaml holds no definition", "nothing was compared"]),
        ("diff -f broken.yaml", REFUSED, &["broken.yaml:2:5", "nothing was compared"]),
        ("apply --fiel x", 2, &["unexpected argument '--fiel'"]),
        ("list -o pdf", 2, &["'pdf'", "table, wide, json, yaml, name"]),
        ("get nobody", 3, &["default/nobody does not exist"]),
        ("list --profile nobody", 2, &["client.toml has no profile \"nobody\"; it has: none"]),
        ("list --timeout soon", 2, &["\"soon\" is not a duration", "write for example 90s"]),
        ("list --address nowhere", REFUSED, &["address \"nowhere\" is not HOST:PORT"]),
    ];
    for (line, code, words) in others {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        faults.extend(fault_of(line, &said, *code, words));
    }
    server.holds_nothing_after(faults).await
}
