//! A cluster of the version before becomes one of this version, node by node and with a step back, under load: versions run side by side, nothing
//! is lost, and what the old one would not understand is refused until all are new.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::scene::{Busy, Load, NAMESPACE, directory, percentile};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::cluster::{Cluster, Seat};
use crate::http;
use crate::process::own_binary;
use crate::report::{Kind, Report};

/// The program of the version before.
const OLD: &str = "FLINTWHEEL_OLD_BIN";
const NODES: usize = 3;
/// For a shard to be led again: a call that comes while a node is going is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which version a node is to run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let old = PathBuf::from(std::env::var_os(OLD).with_context(|| {
        format!("{OLD} is not set: `cargo xtask prove upgrade` builds the version before and says where it is")
    })?);
    let new = own_binary("flintwheel", "FLINTWHEEL_BIN")?;
    let mut report = Report::new("upgrade", "a cluster of the version before becomes one of this version under load");
    let (dir, host) = (directory()?, std::net::Ipv4Addr::LOCALHOST.into());
    let seat = |number| Seat { program: Some(old.clone()), ..Seat::local(dir.path(), number) };
    let seats: Vec<Seat> = (1..=NODES).map(seat).collect();
    let load = Load { run: "upgrade", definitions: 2000, events_per_second: scale.pick(2000, 500), real: false };
    let mut busy = Busy::start_at(dir, &seats, host, load).await?;
    let calm = Duration::from_secs(scale.pick(15, 3));
    let begun_us = now_us();
    let mut probes = Probes::default();
    // The second one goes back once: who upgrades must be able to think again. The third is restarted as it was, between two new ones.
    let steps = [
        (0, Version::New),
        (1, Version::New),
        (1, Version::Old),
        (1, Version::New),
        (2, Version::Old),
        (2, Version::New),
    ];
    probes.all(&busy.cluster).await?;
    for (node, version) in steps {
        let cluster = &mut busy.cluster;
        cluster.settle().await?;
        cluster.nodes[node].stop().await?;
        cluster.nodes[node].set_program(if version == Version::New { new.clone() } else { old.clone() });
        cluster.nodes[node].start_again().await?;
        cluster.settle().await?;
        let name = if version == Version::New { "the new" } else { "the old" };
        progress(format!("node {} runs {name} version", node + 1));
        probes.all(cluster).await?;
        tokio::time::sleep(calm).await;
        let is_mixed = (node, version) != (NODES - 1, Version::New);
        probes.newer(cluster, is_mixed).await?;
    }
    let outcome = busy.judge().await?;
    report.figure("restarts", steps.len());
    outcome.tell(&mut report);
    let due = outcome.timed_starts().filter(|(due, _)| *due >= begun_us);
    let mut late: Vec<f64> = due.map(|(due, at)| (at - due) as f64 / 1000.0).collect();
    late.sort_by(f64::total_cmp);
    let lag = [0.5, 0.99, 1.0].map(|part| format!("{:.0}", percentile(&late, part))).join(" / ");
    report.figure("from due to start, p50 / p99 / most", format!("{lag} ms"));
    probes.tell(&mut report);
    Ok(report)
}

/// What each node answers.
#[derive(Default)]
struct Probes {
    written: u32,
    read: u32,
    /// Answers that are not what was written.
    wrong: Vec<String>,
    /// Of definitions that the version before does not understand: refused while it ran somewhere, taken when it ran nowhere.
    refused: u32,
    taken: u32,
}

impl Probes {
    /// A definition is written at each node, and read at each.
    async fn all(&mut self, cluster: &Cluster) -> Result<()> {
        for writer in &cluster.nodes {
            self.written += 1;
            let (id, note) = (format!("probe-{}", self.written), format!("written as number {}", self.written));
            let answer = put(writer.http(), &id, json!({"at": "2099-01-01T00:00:00Z"}), &note).await?;
            if !(200..300).contains(&answer.status) {
                self.wrong.push(format!("{id} was not taken at {}: {} {}", writer.http(), answer.status, answer.body));
                continue;
            }
            for reader in &cluster.nodes {
                self.read += 1;
                let answer = http::get(reader.http(), &path(&id)).await?;
                if !answer.body.contains(&note) {
                    self.wrong.push(format!(
                        "{id} was not read at {}: {} {}",
                        reader.http(),
                        answer.status,
                        answer.body
                    ));
                }
            }
        }
        Ok(())
    }

    /// A definition that only the new version understands, at each node. Who raises the format, and names another version as the one before, says here
    /// what that one does not know.
    async fn newer(&mut self, cluster: &Cluster, is_mixed: bool) -> Result<()> {
        for (place, node) in cluster.nodes.iter().enumerate() {
            let schedule = json!({"at": "2099-01-01T00:00:00Z", "max_firings": 1});
            let answer = put(node.http(), &format!("newer-{place}"), schedule, "newer").await?;
            match (is_mixed, answer.status) {
                (true, 400) => self.refused += 1,
                (false, 200..300) => self.taken += 1,
                (_, status) => {
                    self.wrong.push(format!("mixed: {is_mixed}, at {}: {status} {}", node.http(), answer.body))
                }
            }
        }
        Ok(())
    }

    fn tell(&self, report: &mut Report) {
        report.figure("definitions written / read, each at each node", format!("{} / {}", self.written, self.read));
        let newer = format!("{} / {}", self.refused, self.taken);
        report.figure("what only the new version knows: refused while mixed / taken after", newer);
        report.check(Kind::Bar, format!("{} answers are wrong", self.wrong.len()), self.wrong.is_empty());
        for wrong in self.wrong.iter().take(5) {
            report.note(wrong);
        }
        report.check(Kind::Bar, "it was asked for in both", self.refused > 0 && self.taken > 0);
    }
}

fn path(id: &str) -> String {
    format!("/v1/namespaces/{NAMESPACE}/definitions/{id}")
}

/// Asked again while it is only not possible yet.
async fn put(door: SocketAddr, id: &str, schedule: Value, name: &str) -> Result<http::Answer> {
    let document = json!({
        "apiVersion": "flintwheel.dev/v1",
        "kind": "ActivityDefinition",
        "metadata": {"namespace": NAMESPACE, "id": id, "name": name},
        "spec": {
            "trigger": {"schedule": schedule},
            "start_workflow": {"type": "LoadTest", "task_queue": "loadtest"},
        },
    });
    let begun = tokio::time::Instant::now();
    loop {
        let answer = http::send(door, "PUT", &path(id), Some(&document.to_string())).await?;
        if answer.status < 500 || begun.elapsed() > PATIENCE {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
