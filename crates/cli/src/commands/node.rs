//! `flintwheel node drain|undrain|remove|replace`.

use clap::Subcommand;
use flintwheel_client::ClusterState;

use super::cluster::{Goal, Wait, node_id, tell, titled, until};
use crate::config::{Connection, Session};
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, confirm, plural, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring all that a node holds elsewhere; it stays in the cluster, and gets nothing new
    Drain(Drain),
    /// Take a drain back
    Undrain(Undrain),
    /// Take a node out of the cluster for good
    Remove(Remove),
    /// Drain a node in whose place another one has joined, and remove it once it holds nothing
    Replace(Replace),
}

#[derive(Debug, clap::Args)]
struct Drain {
    /// Its name or its id
    node: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Undrain {
    /// Its name or its id
    node: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Remove {
    /// Its name or its id
    node: String,
    /// Although it holds replicas: for a node that is lost for good
    #[arg(long)]
    force: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Replace {
    /// The one that goes: its name or its id
    node: String,
    /// The one that has joined in its place: its name or its id
    #[arg(long, value_name = "NODE")]
    with: String,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::Drain(args) => drain(args).await,
        Command::Undrain(args) => undrain(args).await,
        Command::Remove(args) => remove(args).await,
        Command::Replace(args) => replace(args).await,
    }
}

async fn drain(args: Drain) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let state = client.cluster_state().await?;
    let node = node_id(&state, &args.node)?;
    tell(&client.drain_node(node).await?, &name(&state, node), args.output.output)?;
    until(&client, &Goal::Drained(node), args.wait).await
}

async fn undrain(args: Undrain) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let state = client.cluster_state().await?;
    let node = node_id(&state, &args.node)?;
    tell(&client.undrain_node(node).await?, &name(&state, node), args.output.output)?;
    Ok(Exit::Ok)
}

async fn remove(args: Remove) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let state = client.cluster_state().await?;
    let node = node_id(&state, &args.node)?;
    if let Some(question) = question(&state, node, args.force) {
        confirm(&question, args.yes)?;
    }
    tell(&client.remove_node(node, args.force).await?, &name(&state, node), args.output.output)?;
    Ok(Exit::Ok)
}

/// What is lost; nothing where the node is gone already.
fn question(state: &ClusterState, node: u64, force: bool) -> Option<String> {
    let node = state.node(node)?;
    let holds = match node.replicas {
        1.. if force => format!(", and {} on it will be given up", plural(u64::from(node.replicas), "replica")),
        _ => String::new(),
    };
    Some(format!("Remove {}? Its id never comes back{holds}.", titled(node)))
}

async fn replace(args: Replace) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let state = client.cluster_state().await?;
    let (old, new) = (node_id(&state, &args.node)?, node_id(&state, &args.with)?);
    let first = client.replace_node(old, new).await?;
    if !args.wait.is_wanted() {
        tell(&first, &name(&state, old), args.output.output)?;
        say("it is removed when this is said again once it holds nothing; --wait does so");
        return Ok(Exit::Ok);
    }
    until(&client, &Goal::Drained(old), args.wait).await?;
    tell(&client.replace_node(old, new).await?, &name(&state, old), args.output.output)?;
    Ok(Exit::Ok)
}

fn name(state: &ClusterState, node: u64) -> String {
    format!("node/{}", state.node_name(node))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::cluster::sample;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _node: Args,
    }

    #[test]
    fn lines_are_taken_or_refused() {
        for (line, allowed) in [
            ("drain c", true),
            ("drain c --wait", true),
            ("drain 3 --wait=1h -o json", true),
            ("drain", false),
            ("drain a b", false),
            ("undrain c", true),
            ("undrain c --wait", false),
            ("remove c", true),
            ("remove c --force --yes", true),
            ("replace c --with d --wait", true),
            ("replace c", false),
            ("replace --with d", false),
            ("", false),
        ] {
            let words = std::iter::once("node").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }

    #[test]
    fn what_is_given_up_stands_in_the_question() {
        let state = sample::state();
        let asked = |node, force| question(&state, node, force);
        assert_eq!(asked(3, false).as_deref(), Some("Remove node 3 (c)? Its id never comes back."));
        let forced = "Remove node 3 (c)? Its id never comes back, and 3 replicas on it will be given up.";
        assert_eq!(asked(3, true).as_deref(), Some(forced));
        assert_eq!(asked(9, true), None);
    }
}
