//! Parsers beside those of a schedule's own texts: single fields that are set, crontabs that are moved in, lengths of time and paces.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::LazyLock;

use flintwheel_import::crontab::{Reading, translate};
use flintwheel_import::{Destination, Runner};
use flintwheel_model::{ActivityDefinition, Pace, Span, fields};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::json;

use super::targets::{Target, refused};

pub const OTHERS: [Target; 3] = [
    Target {
        name: "field paths",
        seeds: &[
            "spec.trigger.schedule.cron[0]",
            "spec.start_workflow.input[1].a",
            "metadata.labels.team",
            "spec.trigger.schedule.jitter.window",
            "spec.start_workflow.memo.x.y.z",
            "metadata.labels[\"a.b/c\"]",
        ],
        words: &[
            "spec.",
            "trigger",
            "schedule",
            "[",
            "]",
            "[18446744073709551616]",
            "..",
            "\"",
            "labels",
            "cron",
            "memo",
            "é",
        ],
        run: path,
    },
    Target {
        name: "crontab",
        seeds: &[
            "# nightly\n30 2 * * * root /usr/bin/backup --all\n",
            "CRON_TZ=Europe/Berlin\nMAILTO=a@example.org\n0 9 * * 1-5 report % in\\%put % more\n",
            "@daily clean\n@reboot start\n  \t\nPATH = /bin\n",
            "0 0 31 2 * never\n61 * * * * bad\n* * * * *\n",
        ],
        words: &[
            "\n",
            "\r\n",
            "*/5 ",
            "* * * * * ",
            "@hourly ",
            "CRON_TZ=",
            "%",
            "\\%",
            "=",
            "\"",
            "root ",
            "#",
            "mon-fri ",
        ],
        run: crontab,
    },
    Target {
        name: "lengths of time and paces",
        seeds: &["1h30m", "250ms", "7d", "90s", "50/s", "10/m", "1/15m", "1000000/d"],
        words: &["ms", "us", "d", "h", "/", "18446744073709551616", "0", ".", "-", " ", "é"],
        run: lengths,
    },
];

static DEFINITION: LazyLock<ActivityDefinition> = LazyLock::new(|| {
    let resource = json!({
        "apiVersion": "flintwheel.dev/v1",
        "kind": "ActivityDefinition",
        "metadata": {"namespace": "default", "id": "nightly", "labels": {"team": "a"}},
        "spec": {
            "trigger": {"schedule": {"cron": ["0 2 * * *"], "jitter": {"window": "5m"}}},
            "start_workflow": {"type": "T", "task_queue": "q", "input": [1, {"a": "b"}], "memo": {"x": {"y": 1}}},
        },
    });
    serde_json::from_value(resource).expect("a definition")
});

fn path(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let value = match chance.random_range(0..5) {
        0 => None,
        1 => Some(json!(7)),
        2 => Some(json!({"a": [1, null]})),
        3 => Some(json!([text])),
        _ => Some(json!(text)),
    };
    match fields::change(&DEFINITION, &[(text.to_owned(), value)]) {
        Ok(changed) if changed.metadata.id != "nightly" => Err("the definition is another one".to_owned()),
        Ok(_) => Ok(true),
        Err(faults) => refused(&faults, text),
    }
}

fn crontab(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    let runner = Runner { workflow_type: "T".to_owned(), task_queue: "q".to_owned() };
    let timezone = chance.random_bool(0.5).then(|| "Europe/Berlin".to_owned());
    let reading = Reading { with_user: chance.random_bool(0.5), timezone, runner };
    let into = Destination { namespace: "default".to_owned(), labels: Default::default() };
    let found = translate(text, &reading, &into);
    if let Some(outside) = found.findings.iter().find(|one| text.get(one.range.clone()).is_none()) {
        return Err(format!("{outside:?} points outside of it"));
    }
    let mut ids: Vec<&str> = found.definitions.iter().map(|one| one.metadata.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|two| two[0] == two[1]) {
        return Err(format!("two definitions have one id: {ids:?}"));
    }
    Ok(!ids.is_empty())
}

fn lengths(text: &str, chance: &mut StdRng) -> Result<bool, String> {
    if chance.random_bool(0.5) { read_back::<Span>(text) } else { read_back::<Pace>(text) }
}

/// What was read is read again as the same from what it is written as.
fn read_back<T: FromStr<Err: Display> + Display + PartialEq>(text: &str) -> Result<bool, String> {
    let read = match text.parse::<T>() {
        Ok(read) => read,
        Err(why) if why.to_string().len() > 2_000 => return Err("its fault is told at length".to_owned()),
        Err(_) => return Ok(false),
    };
    let written = read.to_string();
    if written.parse::<T>().ok().as_ref() == Some(&read) {
        Ok(true)
    } else {
        Err(format!("it is written as {written}"))
    }
}
