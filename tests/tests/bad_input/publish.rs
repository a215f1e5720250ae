//! Events that are none, through the command line: each line is told with its number and the others go on.

use anyhow::Result;

use super::support::{Server, fault_of};

const REFUSED: i32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_no_event_is_told_with_its_number_and_the_others_go_on() -> Result<()> {
    let with = |more: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{more}}}"#);
    let large = with(&format!(r#","data":"{}""#, "x".repeat(300_000)));
    let five_mebibytes = with(&format!(r#","data":"{}""#, "x".repeat(5 << 20)));
    let deep = "[".repeat(10_000);
    let lines: &[(&str, &str)] = &[
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, ": id: is required"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, ": source: is required"),
        (r#"{"specversion":"1.0","id":"1","source":"/s"}"#, ": type: is required"),
        (r#"{"id":"1","source":"/s","type":"t"}"#, ": specversion: is required and must be \"1.0\""),
        (r#"{"specversion":"1.0","id":"","source":"/s","type":"t"}"#, ": id: must not be empty"),
        (&with(r#","time":"2999-01-01T00:00:00Z""#), ": time: 2999-01-01T00:00:00Z is more than a day ahead"),
        (&with(r#","Bad-Attr":"x""#), ": Bad-Attr: an attribute's name has 1 to 64 characters of a-z 0-9"),
        ("this is no JSON", ": is not JSON: "),
        ("[1, 2]", ": an event is a JSON object with specversion, id, source and type"),
        (&large, ": the event has 300021 bytes; at most 262144"),
        (&five_mebibytes, ": the line has more than 2097152 bytes"),
        (&deep, ": is nested deeper than 64"),
        (&with(""), ""),
    ];
    let mut server = Server::start().await?;
    let text: Vec<&str> = lines.iter().map(|(line, _)| *line).collect();
    server.write("events.jsonl", text.join("\n"))?;
    let said = server.command(&["publish", "-f", "events.jsonl"]).await?;
    let places = lines.iter().enumerate().filter(|(_, (_, told))| !told.is_empty());
    let words: Vec<String> = places.map(|(at, (_, told))| format!("events.jsonl:{}{told}", at + 1)).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.push("1 event published, 1 matched nothing, 12 refused");
    let mut faults: Vec<String> = fault_of("lines", &said, REFUSED, &words).into_iter().collect();
    for (line, code, words) in [
        ("publish -f missing.jsonl", REFUSED, "missing.jsonl can't be read: No such file"),
        ("publish --type t --data {", REFUSED, "--data is not JSON"),
        ("publish --type t --attr Bad=1", REFUSED, "Bad: an attribute's name"),
        ("publish --type t --time soon", 2, "invalid value 'soon' for '--time"),
        ("publish --type t -n Bad_NS", 2, "\"Bad_NS\" holds 'B'; a namespace has 1 to 63 characters"),
        ("publish", 2, "--type"),
    ] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        faults.extend(fault_of(line, &said, code, &[words]));
    }
    server.holds_nothing_after(faults).await
}
