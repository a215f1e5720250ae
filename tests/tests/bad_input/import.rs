//! Crontabs, CronJobs and Temporals that can't be imported: each fault is told with its place, and nothing is stored.

use anyhow::Result;

use super::support::{Server, fault_of};

const PART: i32 = 1;
const USAGE: i32 = 2;
const REFUSED: i32 = 4;
const AWAY: i32 = 5;

/// Line 4 is the schedule, its value begins in column 18.
fn cronjob(schedule: &str, more: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: a}}\nspec: {{schedule: {schedule}, timeZone: UTC, \
        jobTemplate: {{spec: {{}}}}{more}}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crontab_that_can_t_be_carried_over_is_told_line_by_line() -> Result<()> {
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (text, code, words) in [
        ("0 25 * * * a\n", REFUSED, &["hour \"25\" is not in 0-23", "bad:1:3", "(schedule)"][..]),
        ("# x\n\n0 3 * * * a\n @reboot b\n", PART, &["@reboot is no time", "bad:4:2", "(reboot)", "id: a-"]),
        ("0~9 3 * * * a\n", REFUSED, &["write `H`", "bad:1:2", "(random)"]),
        ("RANDOM_DELAY=5\n0 3 * * * a\n", PART, &["no delay is added", "bad:1:1"]),
        ("0 3 * *\n", REFUSED, &["five fields and a command", "bad:1:1"]),
        ("0 3 * * *\n", REFUSED, &["no command", "bad:1:1"]),
        ("CRON_TZ=Mars/Olympus\n0 3 * * * a\n", REFUSED, &["time zone \"Mars/Olympus\" is not known", "bad:2:"]),
        ("\u{0}\u{1b}[31m\n", REFUSED, &["five fields and a command", "bad:1:1"]),
        ("0 3 * * * {{ x }}\n", 0, &["u007b x"]),
        ("", 0, &[]),
    ] {
        server.write("bad", text)?;
        let line = ["import", "crontab", "bad", "--workflow", "W", "--task-queue", "q", "--timezone", "UTC"];
        faults.extend(fault_of(text, &server.command(&line).await?, code, words));
    }
    server.write("binary", [0xff, 0xfe, b'\n'])?;
    for (line, words) in [
        ("import crontab none --workflow W --task-queue q", &["none can't be read"][..]),
        ("import crontab binary --workflow W --task-queue q", &["binary:1: the text is not UTF-8"]),
        ("import crontab bad --workflow W", &["--task-queue"]),
        ("import crontab bad --workflow W --task-queue q --label x", &["--label \"x\" is not KEY=VALUE"]),
        ("import crontab bad --workflow W --task-queue q -n No", &["\"No\" holds 'N'"]),
    ] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        faults.extend(fault_of(line, &said, USAGE, words));
    }
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cronjob_that_can_t_be_carried_over_is_told_with_its_place() -> Result<()> {
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (text, code, words) in [
        (cronjob("\"0 25 * * *\"", ""), REFUSED, &["spec.schedule: hour \"25\"", "bad.yaml:4:18"][..]),
        (cronjob("5", ""), REFUSED, &["spec.schedule: 5 is no text", "bad.yaml:4:18"]),
        (
            cronjob("'@daily'", ", concurrencyPolicy: Maybe"),
            PART,
            &["\"Maybe\" is not Allow, Forbid or Replace", ":4:"],
        ),
        (cronjob("'@daily'", ", startingDeadlineSeconds: -1"), PART, &["-1 is no number of seconds", ":4:"]),
        (cronjob("'@daily'", ", suspend: perhaps"), PART, &["is not true or false", ":4:"]),
        (cronjob("'@daily'", ", what: 1"), PART, &["spec.what: a definition has no place for it", ":4:"]),
        (cronjob("'@daily'", "").replace("{name: a}", "{}"), REFUSED, &["metadata.name: is required", ":3:"]),
        (cronjob("'@daily'", "").replace("batch/v1", "batch/v9"), REFUSED, &["\"batch/v9\" is not batch/v1", ":1:"]),
        ("kind: Job\n".to_owned(), REFUSED, &["holds no CronJob"]),
        (String::new(), REFUSED, &["holds no CronJob"]),
        ("kind: [\n".to_owned(), REFUSED, &["bad.yaml:", "nothing was read"]),
        ("kind: List\nitems: [{kind: CronJob, apiVersion: x}]\n".to_owned(), REFUSED, &["items[0].apiVersion", ":2:"]),
        (
            ["prod", "other"]
                .map(|of| cronjob("'@daily'", "").replace("{name: a}", &format!("{{name: a, namespace: {of}}}")))
                .join("---\n"),
            PART,
            &[
                "metadata.name: would be default/a, as that of namespace prod",
                "bad.yaml:8:18",
                "kubernetes-namespace: prod",
            ],
        ),
        (format!("kind: CronJob\nx: {}1{}\n", "[".repeat(5000), "]".repeat(5000)), REFUSED, &["nested deeper"]),
    ] {
        server.write("bad.yaml", &text)?;
        let line = ["import", "cronjob", "bad.yaml", "--workflow", "W", "--task-queue", "q"];
        let start: String = text.chars().take(200).collect();
        faults.extend(fault_of(&start, &server.command(&line).await?, code, words));
    }
    server.holds_nothing_after(faults).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporal_that_can_t_be_asked_is_told() -> Result<()> {
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (more, code, words) in [
        ("--temporal-address 127.0.0.1:1", AWAY, &["temporal is unavailable"][..]),
        ("--temporal-address nowhere", USAGE, &["temporal.address: \"nowhere\" has no port"]),
        ("--temporal-profile none", USAGE, &["temporal.profile", "none"]),
        ("--temporal-tls-ca-path none.pem", USAGE, &["temporal.tls.server_ca_cert", "none.pem"]),
        ("--years 51", USAGE, &["51 is not in 0..=50"]),
        ("--side-by-side 65", USAGE, &["65 is not in 1..=64"]),
        ("--switch-over --back", USAGE, &["cannot be used with"]),
    ] {
        let line = format!("import temporal {more}");
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        faults.extend(fault_of(&line, &said, code, words));
    }
    server.holds_nothing_after(faults).await
}
