//! `flintwheel shard move|transfer`.

use clap::Subcommand;
use flintwheel_client::shard_name;

use super::cluster::{Goal, Wait, node_id, shard, tell, until};
use crate::config::{Connection, Session};
use crate::exit::{Exit, Outcome};
use crate::output::OutputArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a replica of a shard to another node
    Move(Move),
    /// Hand the leadership of a shard to another of its replicas
    Transfer(Transfer),
}

#[derive(Debug, clap::Args)]
struct Move {
    /// Its number, or meta
    #[arg(value_parser = shard)]
    shard: u32,
    /// The node that gets a replica: its name or its id
    #[arg(long, value_name = "NODE")]
    to: String,
    /// The node that loses its replica [default: the cluster chooses]
    #[arg(long, value_name = "NODE")]
    from: Option<String>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct Transfer {
    /// Its number, or meta
    #[arg(value_parser = shard)]
    shard: u32,
    /// The node that is to lead: its name or its id [default: the cluster chooses]
    #[arg(long, value_name = "NODE")]
    to: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::Move(args) => bring(args).await,
        Command::Transfer(args) => transfer(args).await,
    }
}

async fn bring(args: Move) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let state = client.cluster_state().await?;
    let to = node_id(&state, &args.to)?;
    let from = args.from.as_deref().map(|name| node_id(&state, name)).transpose()?;
    let granted = client.move_shard(args.shard, from, to).await?;
    tell(&granted, &format!("shard/{}", shard_name(args.shard)), args.output.output)?;
    until(&client, &Goal::Moved { shard: args.shard, to }, args.wait).await
}

async fn transfer(args: Transfer) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let to = match &args.to {
        Some(name) => Some(node_id(&client.cluster_state().await?, name)?),
        None => None,
    };
    let granted = client.transfer_shard(args.shard, to).await?;
    tell(&granted, &format!("shard/{}", shard_name(args.shard)), args.output.output)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _shard: super::Args,
    }

    #[test]
    fn lines_are_taken_or_refused() {
        for (line, allowed) in [
            ("move 3 --to d", true),
            ("move shard/3 --to node/d --from c --wait", true),
            ("move meta --to 4 --wait=10m", true),
            ("move 3", false),
            ("move --to d", false),
            ("move x --to d", false),
            ("move -1 --to d", false),
            ("transfer 3", true),
            ("transfer meta --to a", true),
            ("transfer 3 --wait", false),
            ("", false),
        ] {
            let words = std::iter::once("shard").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
