//! `flintwheel status`.

use std::fmt::Write as _;

use flintwheel_client::ClusterStatus;

use crate::config::Connection;
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, Printer, compact, grouped, plural, table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let status = args.connection.open()?.client.status().await?;
    let mut printer = Printer::one(args.output.output);
    if printer.is_table() {
        printer.line(page(&status, printer.is_wide()).trim_end())?;
    } else {
        printer.value(&format!("cluster/{}", status.cluster_id), &status)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

fn page(status: &ClusterStatus, wide: bool) -> String {
    let mut page =
        format!("cluster {}  {}, {}\n", status.cluster_id, plural(status.nodes.len() as u64, "node"), shards(status));
    // Writing into a String does not fail.
    let _ = writeln!(
        page,
        "definitions {} ({} paused, {} armed)   oldest overdue {}",
        grouped(status.definitions),
        grouped(status.paused),
        grouped(status.armed),
        compact(status.oldest_overdue)
    );
    let rate = |rate: f64| grouped(rate.round().max(0.0) as u64);
    let _ = writeln!(
        page,
        "firing {}/s   starting {}/s   events {}/s   outbox {}   dead letters {}",
        rate(status.rates.fired),
        rate(status.rates.started),
        rate(status.rates.events),
        outbox(status),
        dead(status.dead_letters)
    );
    for target in &status.temporal_targets {
        let _ = match target.healthy {
            true => writeln!(page, "temporal {} ({}): ok {}", target.name, target.address, compact(target.latency)),
            false => writeln!(page, "temporal {} ({}): {}", target.name, target.address, target.detail),
        };
    }
    if wide {
        page.push_str(&nodes(status));
    }
    page
}

fn shards(status: &ClusterStatus) -> String {
    let counts = status.shards;
    let all = plural(u64::from(counts.total), "shard");
    if counts.led == counts.total {
        format!("{all}, all led")
    } else {
        format!("{all}, {} without a leader", counts.total - counts.led.min(counts.total))
    }
}

fn outbox(status: &ClusterStatus) -> String {
    let pending: u64 = status.outboxes.iter().map(|outbox| outbox.pending).sum();
    let mut text = grouped(pending);
    let shown: Vec<_> = status.outboxes.iter().filter(|outbox| outbox.pending > 0).take(3).collect();
    if !shown.is_empty() {
        let each = |o: &&flintwheel_client::NamespaceOutbox| {
            format!("{} {}, oldest {}", o.namespace, grouped(o.pending), compact(o.oldest))
        };
        let _ = write!(text, " ({})", shown.iter().map(each).collect::<Vec<_>>().join("; "));
    }
    text
}

fn dead(count: u64) -> String {
    if count == 0 { "0".to_owned() } else { format!("{} (`flintwheel dead list`)", grouped(count)) }
}

fn nodes(status: &ClusterStatus) -> String {
    const MIB: u64 = 1 << 20;
    let row = |node: &flintwheel_client::NodeStatus| {
        let state = if node.alive { "alive" } else { "away" };
        let up = (status.now - node.started_at).to_std().map(compact).unwrap_or_default();
        let (memory, disk) = (node.resident_bytes / MIB, node.disk_bytes / MIB);
        vec![
            node.id.to_string(),
            node.address.clone(),
            state.to_owned(),
            node.leads.to_string(),
            up,
            format!("{} MiB", grouped(memory)),
            format!("{} MiB", grouped(disk)),
        ]
    };
    let rows: Vec<_> = status.nodes.iter().map(row).collect();
    table(&["NODE", "ADDRESS", "STATE", "LEADS", "UP", "MEMORY", "DISK"], &rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flintwheel_client::{NamespaceOutbox, NodeStatus, Rates, ShardCounts, TemporalTarget};

    use super::*;

    #[test]
    fn one_page_says_how_it_stands() {
        let now = "2026-11-23T08:00:00Z".parse().expect("a time");
        let node = NodeStatus {
            id: 1,
            address: "127.0.0.1:7733".into(),
            alive: true,
            leads: 16,
            started_at: "2026-11-23T07:00:00Z".parse().expect("a time"),
            resident_bytes: 200 << 20,
            disk_bytes: 2000 << 20,
        };
        let target = TemporalTarget {
            name: "prod".into(),
            address: "t:7233".into(),
            healthy: true,
            latency: Duration::from_millis(3),
            detail: String::new(),
        };
        let away = TemporalTarget {
            name: "test".into(),
            healthy: false,
            detail: "connection refused".into(),
            ..target.clone()
        };
        let outbox = NamespaceOutbox { namespace: "billing".into(), pending: 1200, oldest: Duration::from_secs(3) };
        let status = ClusterStatus {
            cluster_id: "7d2f".into(),
            nodes: vec![node],
            shards: ShardCounts { total: 16, led: 15 },
            definitions: 1_204_113,
            paused: 31,
            armed: 1_204_000,
            outboxes: vec![outbox],
            dead_letters: 2,
            rates: Rates { fired: 1839.6, started: 1840.0, events: 12_400.0 },
            oldest_overdue: Duration::ZERO,
            temporal_targets: vec![target, away],
            version: "0.1.0".into(),
            tzdata_version: "2026b".into(),
            now,
        };
        let expected = "\
cluster 7d2f  1 node, 16 shards, 1 without a leader
definitions 1,204,113 (31 paused, 1,204,000 armed)   oldest overdue 0s
firing 1,840/s   starting 1,840/s   events 12,400/s   outbox 1,200 (billing 1,200, oldest 3s)   dead letters 2 (`flintwheel dead list`)
temporal prod (t:7233): ok 3ms
temporal test (t:7233): connection refused
NODE   ADDRESS          STATE   LEADS   UP   MEMORY    DISK
1      127.0.0.1:7733   alive   16      1h   200 MiB   2,000 MiB
";
        assert_eq!(page(&status, true), expected);
    }
}
