//! `flintwheel cluster status|nodes|shards|rebalance|settings|init`.

mod page;
mod rows;
#[cfg(test)]
pub mod sample;
mod wait;
mod wish;
mod words;

pub use wait::{Goal, Wait, until};
pub use wish::{node, node_id, shard, tell};
pub use words::titled;

use chrono::Utc;
use clap::Subcommand;
use flintwheel_client::{ClusterSettings, ClusterShard, ClusterState, InitRequest, SettingsChange, shard_name};
use flintwheel_model::Span;

use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, OutputArgs, Printer, plural, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show nodes, what is wrong, and what is moving
    Status(Plain),
    /// List the nodes
    Nodes(Plain),
    /// List the shards: who leads them, where their replicas are, how far they are behind
    Shards(Shards),
    /// Even out leaders, replicas, bytes and load
    Rebalance(Rebalance),
    /// Show the settings of the cluster, or change them
    Settings(Settings),
    /// Make a cluster of a node that waits for one
    Init(Init),
}

#[derive(Debug, clap::Args)]
struct Plain {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Shards {
    /// Only those with a replica on this node: its name or its id
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only those that something of is moving
    #[arg(long)]
    moving: bool,
    /// Only those that nobody leads
    #[arg(long)]
    unled: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Rebalance {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Settings {
    /// Replicas wanted of each shard
    #[arg(long, value_name = "N")]
    replication: Option<u32>,
    /// How long a node may be gone before its replicas are replaced, such as 5m
    #[arg(long, value_name = "DURATION")]
    repair_after: Option<Span>,
    /// Moves at once, at most
    #[arg(long, value_name = "N")]
    most_moves: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Partitions of the definitions, fixed from then on [default: as the node is configured]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    /// Replicas wanted of each shard [default: as the node is configured]
    #[arg(long, value_name = "N")]
    replication: Option<u32>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::Status(args) => status(args).await,
        Command::Nodes(args) => nodes(args).await,
        Command::Shards(args) => shards(args).await,
        Command::Rebalance(args) => rebalance(args).await,
        Command::Settings(args) => settings(args).await,
        Command::Init(args) => init(args).await,
    }
}

async fn status(args: Plain) -> Outcome {
    let state = args.connection.open()?.client.cluster_state().await?;
    let mut printer = Printer::one(args.output.output);
    if printer.is_table() {
        printer.line(page::page(&state, Utc::now(), printer.is_wide()).trim_end())?;
    } else {
        printer.value(&format!("cluster/{}", state.cluster_id), &state)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

async fn nodes(args: Plain) -> Outcome {
    let state = args.connection.open()?.client.cluster_state().await?;
    let mut printer = Printer::list(args.output.output);
    if printer.is_table() {
        let (head, rows) = rows::nodes(&state, Utc::now(), printer.is_wide());
        printer.rows(&head, &rows)?;
    } else {
        for node in &state.nodes {
            printer.value(&format!("node/{}", state.node_name(node.id)), node)?;
        }
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

async fn shards(args: Shards) -> Outcome {
    let state = args.connection.open()?.client.cluster_state().await?;
    let node = args.node.as_deref().map(|name| node(&state, name)).transpose()?;
    let chosen = |shard: &&ClusterShard| {
        node.is_none_or(|node| shard.replicas.iter().any(|replica| replica.node == node.id))
            && (!args.moving || shard.moving.is_some())
            && (!args.unled || shard.leader.is_none())
    };
    let chosen: Vec<&ClusterShard> = state.shards.iter().filter(chosen).collect();
    let mut printer = Printer::list(args.output.output);
    if printer.is_table() {
        let (head, rows) = rows::shards(&state, &chosen, printer.is_wide());
        printer.rows(&head, &rows)?;
    } else {
        for shard in &chosen {
            printer.value(&format!("shard/{}", shard_name(shard.shard)), shard)?;
        }
    }
    printer.finish()?;
    if chosen.is_empty() {
        say("no such shards");
    }
    Ok(Exit::Ok)
}

async fn rebalance(args: Rebalance) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let steps = client.rebalance(args.dry_run).await?;
    let mut printer = Printer::list(args.output.output);
    for step in &steps {
        match printer.is_table() {
            true => printer.line(&step.description)?,
            false => printer.value(&format!("shard/{}", shard_name(step.shard)), step)?,
        }
    }
    printer.finish()?;
    match (steps.is_empty(), args.dry_run) {
        (true, _) => say("nothing to do"),
        (false, true) => say(format_args!("{}; nothing was changed", plural(steps.len() as u64, "step"))),
        (false, false) => {}
    }
    until(&client, &Goal::Even, args.wait).await
}

async fn settings(args: Settings) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let Settings { replication, repair_after, most_moves, .. } = args;
    let change = SettingsChange { replication, repair_after, most_moves };
    if change == SettingsChange::default() {
        show_settings(&client.cluster_state().await?, args.output.output)?;
    } else {
        tell(&client.change_settings(&change).await?, "settings", args.output.output)?;
    }
    Ok(Exit::Ok)
}

fn show_settings(state: &ClusterState, format: Format) -> Result<(), Failure> {
    let mut printer = Printer::one(format);
    match printer.is_table() {
        true => printer.rows(&["SETTING", "VALUE"], &setting_rows(&state.settings))?,
        false => printer.value("settings", &state.settings)?,
    }
    printer.finish()
}

fn setting_rows(settings: &ClusterSettings) -> Vec<Vec<String>> {
    let ClusterSettings { shards, replication, repair_after, most_moves } = settings;
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    vec![
        row("shards", shards.to_string()),
        row("replication", replication.to_string()),
        row("repair_after", repair_after.to_string()),
        row("most_moves", most_moves.to_string()),
    ]
}

async fn init(args: Init) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let made = client.init_cluster(&InitRequest { shards: args.shards, replication: args.replication }).await?;
    let mut printer = Printer::one(args.output.output);
    if printer.is_table() {
        let line = format!("cluster {} made; this is node {}: let the others join it", made.cluster_id, made.node);
        printer.line(&line)?;
    } else {
        printer.value(&format!("cluster/{}", made.cluster_id), &made)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _cluster: super::Args,
    }

    #[test]
    fn lines_are_taken_or_refused() {
        for (line, allowed) in [
            ("status -o wide", true),
            ("status x", false),
            ("nodes -o json", true),
            ("shards --node a --moving", true),
            ("shards --node", false),
            ("rebalance", true),
            ("rebalance --dry-run", true),
            ("rebalance --wait", true),
            ("rebalance --wait=10m", true),
            ("rebalance --wait=soon", false),
            ("rebalance --dry-run --wait", false),
            ("settings", true),
            ("settings --replication 3 --repair-after 5m --most-moves 4", true),
            ("settings --replication three", false),
            ("settings --repair-after -5m", false),
            ("init", true),
            ("init --shards 64 --replication 3", true),
            ("init a", false),
            ("", false),
        ] {
            let words = std::iter::once("cluster").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
