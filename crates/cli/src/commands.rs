//! The commands, one file each.

mod account;
mod apply;
mod backfill;
mod backfills;
mod backup;
mod bulk;
mod calendars;
mod cluster;
mod completion;
mod config_view;
mod dead;
mod delete;
mod describe;
mod dev;
mod diff;
mod dry_run;
mod due;
mod explain;
mod get;
mod history;
mod hotspots;
mod import;
mod list;
mod next;
mod node;
mod occurrences;
mod pages;
mod prune;
mod publish;
mod rollback;
mod runs;
mod schema;
mod server;
mod set;
mod shard;
mod show;
mod status;
mod switch;
mod trigger;
mod version;
mod worker;

use clap::{Parser, Subcommand};

use crate::exit::Outcome;

/// A trigger engine for Temporal: activity definitions say when and what, Flintwheel starts it once.
#[derive(Debug, Parser)]
#[command(name = "flintwheel", version, propagate_version = true, max_term_width = 120)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a server and a worker in one process, with a Temporal dev server where none is named
    Dev(dev::Args),
    /// Run a server
    Server(server::Args),
    /// Run a worker of the built-in orchestrator
    Worker(worker::Args),
    /// Create or change definitions and calendars from files
    Apply(apply::Args),
    /// Show what apply would change, or how versions of a definition differ
    Diff(diff::Args),
    /// Change single fields of definitions
    Set(set::Args),
    /// Show the versions of a definition that are kept
    History(history::Args),
    /// Make a definition what it was at an older version
    Rollback(rollback::Args),
    /// Show definitions, or calendars, by name
    Get(get::Args),
    /// List definitions
    List(list::Args),
    /// Show one definition with its state, coming times and last occurrences
    Describe(describe::Args),
    /// Delete definitions, or calendars
    Delete(delete::Args),
    /// Stop definitions from firing until they are resumed, or until a time
    Pause(switch::PauseArgs),
    /// Let paused definitions fire again
    Resume(switch::ResumeArgs),
    /// Fire a definition now
    Trigger(trigger::Args),
    /// Fire due times of the past, at a pace
    Backfill(backfill::Args),
    /// Show backfills, and how far they are
    Backfills(backfills::Args),
    /// Show coming due times
    Next(next::Args),
    /// Show why a definition is due at a time or is not, and what became of it
    Explain(explain::Args),
    /// Show the busiest seconds to come, and what could be spread
    Hotspots(hotspots::Args),
    /// Show what the orchestrator ran
    Runs(runs::Args),
    /// Show how due times, events and manual triggers ended, and why
    Occurrences(occurrences::Args),
    /// Publish events
    Publish(publish::Args),
    /// Look at firings that Temporal refused, send them again, or drop them
    Dead(dead::Args),
    /// Show how the cluster stands
    Status(status::Args),
    /// Look at the cluster, even it out, change its settings, make one
    Cluster(cluster::Args),
    /// Move replicas of shards, and hand their leadership over
    Shard(shard::Args),
    /// Drain nodes, remove them, replace them
    Node(node::Args),
    /// Copy what a cluster holds, verify copies, bring one into a new cluster
    Backup(backup::Args),
    /// Bring schedules of others here: Temporal's, crontabs, CronJobs of Kubernetes
    Import(import::Args),
    /// Look at the configuration of a server
    Config(config_view::Args),
    /// Print the JSON Schema of a definition, or of a calendar, for editors
    Schema(schema::Args),
    /// Print a completion script for a shell
    Completion(completion::Args),
    /// Print the versions of this program and of the server
    Version(version::Args),
}

/// Carries out one command.
pub async fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Dev(args) => dev::run(args).await,
        Command::Server(args) => server::run(args).await,
        Command::Worker(args) => worker::run(args).await,
        Command::Config(args) => config_view::run(args),
        Command::Apply(args) => apply::run(args).await,
        Command::Diff(args) => diff::run(args).await,
        Command::Set(args) => set::run(args).await,
        Command::History(args) => history::run(args).await,
        Command::Rollback(args) => rollback::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Describe(args) => describe::run(args).await,
        Command::Delete(args) => delete::run(args).await,
        Command::Pause(args) => switch::pause(args).await,
        Command::Resume(args) => switch::resume(args).await,
        Command::Trigger(args) => trigger::run(args).await,
        Command::Backfill(args) => backfill::run(args).await,
        Command::Backfills(args) => backfills::run(args).await,
        Command::Next(args) => next::run(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Hotspots(args) => hotspots::run(args).await,
        Command::Runs(args) => runs::run(args).await,
        Command::Occurrences(args) => occurrences::run(args).await,
        Command::Publish(args) => publish::run(args).await,
        Command::Dead(args) => dead::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Cluster(args) => cluster::run(args).await,
        Command::Shard(args) => shard::run(args).await,
        Command::Node(args) => node::run(args).await,
        Command::Backup(args) => backup::run(args).await,
        Command::Import(args) => import::run(args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Completion(args) => completion::run(&args),
        Command::Version(args) => version::run(args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_flag_is_explained() {
        Cli::command().debug_assert();
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for flag in command.get_arguments() {
                assert!(flag.get_help().is_some(), "{} {}", command.get_name(), flag.get_id());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn the_manual_names_every_command() {
        let page = include_str!("../../../docs/cli.md");
        for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            let named = page.contains(&format!("`{name}")) || page.contains(&format!("flintwheel {name}"));
            assert!(named, "{name}");
        }
    }
}
