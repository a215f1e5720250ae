//! Named calendars that are not fit, at each door: refused with the field, the value and what to do, and nothing is stored.

use anyhow::Result;
use flintwheel_model::limits::{CALENDAR_BYTES, CALENDARS};

use super::support::{Server, fault, fault_of, request};

const REFUSED: i32 = 4;

fn calendar(id: &str, spec: &str) -> String {
    format!("apiVersion: flintwheel.dev/v1\nkind: Calendar\nmetadata: {{id: {id}}}\nspec: {spec}\n")
}

fn using(schedule: &str) -> String {
    format!(
        "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {{id: bad}}\nspec:\n  trigger:\n    schedule: {schedule}\n  start_workflow: {{type: T, task_queue: q}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_calendar_that_is_not_one_is_refused_with_its_place() -> Result<()> {
    let large = format!("{{ical: \"{}\"}}", "x".repeat(CALENDAR_BYTES));
    let cases: &[(&str, String, &[&str])] = &[
        ("weekday.yaml", calendar("a", "{weekdays: fry}"), &["spec.weekdays[0]", ":4:18"]),
        ("week.yaml", calendar("a", "{weekdays: mon-sun}"), &["spec.weekdays", "they are all days of the week"]),
        (
            "date.yaml",
            calendar("a", "{dates: 2026-02-30}"),
            &["spec.dates[0]", "2026-02-30", "write 2026-12-24", ":4:15"],
        ),
        ("year.yaml", calendar("a", "{dates: 1969-12-31}"), &["spec.dates[0]", "1970-2100"]),
        ("range.yaml", calendar("a", "{dates: 2026-12-24/2026-12-01}"), &["spec.dates[0]", "end before they begin"]),
        ("nothing.yaml", calendar("a", "{}"), &["spec", "none of weekdays, dates, ical and calendars", ":4:1"]),
        ("field.yaml", calendar("a", "{closed: sat}"), &["spec.closed", "there is no field \"closed\"", ":4:8"]),
        ("self.yaml", calendar("a", "{calendars: a}"), &["spec.calendars[0]", "leads back to itself: a -> a"]),
        ("ical.yaml", calendar("a", "{ical: \"BEGIN:VEVENT\"}"), &["spec.ical", "there is no END:VEVENT"]),
        ("id.yaml", calendar("A", "{weekdays: sat}"), &["metadata.id", "\"A\" holds 'A'", ":3:16"]),
        ("large.yaml", calendar("a", &large), &["bytes as JSON; at most 262144"]),
        (
            "elsewhere.yaml",
            calendar("a", "{calendars: [elsewhere]}"),
            &["spec.calendars[0]", "there is no calendar \"elsewhere\"", "namespace default has no other"],
        ),
        (
            "missing.yaml",
            using("{cron: \"@daily\", exclude: {calendar_name: nobody}}"),
            &["schedule.exclude[0].calendar_name[0]", "there is no calendar \"nobody\"", "apply it first", ":6:"],
        ),
        (
            "only.yaml",
            using("{cron: \"@daily\", only_on: [nobody]}"),
            &["schedule.only_on[0]", "there is no calendar \"nobody\"", ":6:"],
        ),
    ];
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (name, text, words) in cases {
        server.write(name, text)?;
        let said = server.command(&["apply", "-f", name]).await?;
        faults.extend(fault_of(name, &said, REFUSED, &[words, &["nothing was changed"][..]].concat()));
    }
    for (line, code, words) in [
        ("get calendar nobody", 3, &["calendar default/nobody does not exist"][..]),
        ("get calendar Bad", 2, &["\"Bad\" holds 'B'"]),
        ("delete calendar", 2, &["which calendar?"]),
        ("delete calendar nobody", 3, &["calendar default/nobody does not exist"]),
        ("schema weekday", 2, &["definition, calendar"]),
    ] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        faults.extend(fault_of(line, &said, code, words));
    }
    let said = server.command(&["get", "calendars", "-o", "name"]).await?;
    faults.extend(fault_of("nothing is stored", &said, 0, &["no calendars in namespace default"]));
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_calendars_is_refused_with_the_way_and_more_than_there_may_be_too() -> Result<()> {
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    server.write("a.yaml", calendar("a", "{weekdays: sat}"))?;
    server.write("b.yaml", calendar("b", "{calendars: a}"))?;
    server.write("circle.yaml", calendar("a", "{calendars: b}"))?;
    let many: String =
        (0..CALENDARS).map(|number| calendar(&format!("c{number}"), "{weekdays: sun}") + "---\n").collect();
    server.write("many.yaml", many)?;
    for (line, code, words) in [
        ("apply -f a.yaml", 0, &["calendar/default/a created"][..]),
        ("apply -f b.yaml", 0, &["calendar/default/b created"]),
        (
            "apply -f circle.yaml",
            REFUSED,
            &["spec.calendars[0]", "a -> b -> a", "circle.yaml:4:", "nothing was changed"],
        ),
        ("apply --dry-run=server -f circle.yaml", REFUSED, &["a -> b -> a"]),
        (
            "apply -f many.yaml",
            REFUSED,
            &["metadata.id", "would have 201 calendars; at most 200", "198 calendars changed, and nothing else"],
        ),
    ] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        let told = said.text.len().min(8000);
        let shorter = super::support::Said { code: said.code, text: said.text[said.text.len() - told..].to_owned() };
        faults.extend(fault_of(line, &shorter, code, words));
    }
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_over_http_is_refused_as_json() -> Result<()> {
    let mut server = Server::start().await?;
    let body = |id: &str, spec: &str| {
        format!(
            r#"{{"apiVersion": "flintwheel.dev/v1", "kind": "Calendar", "metadata": {{"id": "{id}"}}, "spec": {spec}}}"#
        )
    };
    let path = "/v1/namespaces/ops/calendars/de";
    let sound = r#"{"weekdays": ["sat"]}"#;
    let mut faults = Vec::new();
    for (method, path, headers, body, status, words) in [
        ("PUT", path, "", body("other", sound), 400, &["metadata.id", "is not the"][..]),
        ("PUT", path, "", body("de", r#"{"weekdays": ["fry"]}"#), 400, &["spec.weekdays[0]"]),
        ("PUT", path, "", body("de", r#"{"days": 1}"#), 400, &["unknown field"]),
        ("PUT", path, "If-Match: \"3\"\r\n", body("de", sound), 412, &["VERSION_CONFLICT"]),
        ("PUT", path, "", "{".to_owned(), 400, &["INVALID_ARGUMENT"]),
        ("GET", path, "", String::new(), 404, &["calendar ops/de does not exist"]),
        ("DELETE", path, "", String::new(), 404, &["calendar ops/de does not exist"]),
        ("GET", "/v1/namespaces/OPS/calendars", "", String::new(), 400, &["namespace"]),
        ("GET", "/v1/calendars?page_token=x", "", String::new(), 400, &["page_token"]),
        ("POST", path, "", String::new(), 405, &["METHOD_NOT_ALLOWED"]),
    ] {
        let answer = request(server.engine.http(), method, path, headers, body.as_bytes()).await?;
        faults.extend(fault(&format!("{method} {path} {body}"), answer.status.into(), &answer.body, status, words));
    }
    server.holds_nothing_after(faults).await
}
