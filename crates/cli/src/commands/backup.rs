//! `flintwheel backup create|verify|restore`.

mod access;
mod choice;
mod create;
mod restore;

use access::AccessArgs;
use clap::Subcommand;
use flintwheel_backup::{Backup, BackupError, Manifest};
use futures::{StreamExt, TryStreamExt, stream};

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Progress, Zone, grouped, plural, size};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Copy all shards, while the cluster works
    Create(create::Args),
    /// Read all of a backup, and look whether it is as it was written
    Verify(Verify),
    /// Bring a backup into a new cluster, of any size
    Restore(restore::Args),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Where it is: a directory, or s3://bucket/prefix, gs://..., az://...
    from: String,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Files that are read at a time: where the place is far away, that hides the way.
const SIDE_BY_SIDE: usize = 4;

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::Create(args) => create::run(args).await,
        Command::Verify(args) => verify(args).await,
        Command::Restore(args) => restore::run(args).await,
    }
}

async fn verify(args: Verify) -> Outcome {
    let backup = Backup::open(args.access.place(&args.from)?).await?;
    read_all(&backup).await?;
    let mut printer = Printer::one(args.output.output);
    let manifest = backup.manifest();
    match printer.is_table() {
        true => printer.line(&format!("{} is sound", described(manifest)))?,
        false => printer.value(&format!("backup/{}", manifest.backup_id), manifest)?,
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// Reads all of it; an error says what is damaged.
async fn read_all(backup: &Backup) -> Result<(), BackupError> {
    let manifest = backup.manifest();
    let progress = Progress::of(manifest.bytes(), "verifying bytes");
    let verify = async |shard| backup.verify(shard, &mut |bytes| progress.add(bytes)).await.map(drop);
    let files = stream::iter(0..manifest.shards.len() as u32).map(verify).buffered(SIDE_BY_SIDE);
    let read = files.try_collect().await;
    progress.done();
    read
}

/// One line.
fn described(manifest: &Manifest) -> String {
    format!(
        "backup {} of cluster {}, {}: {}, {}, {} rows, {}",
        manifest.backup_id,
        manifest.cluster_id,
        Zone::UTC.exact(manifest.started_at),
        plural(manifest.shards.len() as u64, "shard"),
        plural(manifest.definitions, "definition"),
        grouped(manifest.rows()),
        size(manifest.bytes())
    )
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let exit = match &error {
            BackupError::Name { .. } => Exit::Usage,
            BackupError::Missing { .. } => Exit::NotFound,
            BackupError::Taken { .. } | BackupError::Format { .. } | BackupError::Damaged { .. } => Exit::Refused,
            BackupError::Failed { .. } => Exit::Failed,
        };
        Self::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _backup: super::Args,
    }

    #[test]
    fn lines_are_taken_or_refused() {
        for (line, allowed) in [
            ("create /b", true),
            ("create /b --side-by-side 1 -o json", true),
            ("create", false),
            ("create a b", false),
            ("create /b --side-by-side 0", false),
            ("create s3://b/p --rate 50MiB --retry-for 30s", true),
            ("create s3://b/p --rate fast", false),
            ("restore s3://b/p --rate 1MB --yes", true),
            ("verify s3://b/p --retry-for 1m", true),
            ("verify /b", true),
            ("verify", false),
            ("restore /b", true),
            ("restore /b --yes --skip-until now", true),
            ("restore /b --skip-until 2026-11-27T09:00:00Z --retention 72h", true),
            ("restore /b --refire-since backup --another-prefix", true),
            ("restore /b --refire-since 2026-11-27T09:00:00+01:00", true),
            ("restore /b --refire-since yesterday", false),
            ("restore /b --refire-since backup --skip-until now", false),
            ("restore /b --retention 0s", true),
            ("restore", false),
            ("", false),
        ] {
            let words = std::iter::once("backup").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
