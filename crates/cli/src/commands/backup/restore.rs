//! `flintwheel backup restore`: reads all of a backup first, then brings it into every shard, then lets the cluster fire.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use flintwheel_backup::{Backup, Batch, Manifest, Restore};
use flintwheel_client::{BackupSource, Client, RestoreBegun};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::access::AccessArgs;
use super::choice::Choice;
use super::{described, read_all};
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Progress, Zone, confirm, plural, say};

/// Batches on their way, of different shards.
const UNDER_WAY: usize = 8;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where it is: a directory, or s3://bucket/prefix, gs://..., az://...
    from: String,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    choice: Choice,
    /// Although this cluster's workflow ids begin otherwise, so that Temporal starts again what it has started
    #[arg(long)]
    another_prefix: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// What was done.
#[derive(Serialize)]
struct Done {
    backup_id: String,
    cluster_id: String,
    shards: u32,
    definitions: u64,
    /// Nothing that was due before this fires.
    skip_before: Option<DateTime<Utc>>,
}

pub async fn run(args: Args) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let backup = Backup::open(args.access.place(&args.from)?).await?;
    let manifest = backup.manifest();
    let into = client.backup_source().await?;
    check_prefix(manifest, &into, args.another_prefix)?;
    let chosen = args.choice.skip_before(manifest.started_at, into.now);
    let chosen = chosen.map_err(|why| Failure::new(Exit::Refused, why))?;
    read_all(&backup).await?;
    confirm(&format!("Restore {} into cluster {}?", described(manifest), into.cluster_id), args.yes)?;
    let id = manifest.backup_id.to_string();
    let begun = client.begin_restore(&id, chosen).await?;
    let skip_before = as_begun(&begun, chosen, args.choice)?;
    let already = begun.shards.iter().all(|shard| shard.finished);
    if already {
        say("this backup has been restored into this cluster before; nothing was changed");
    } else {
        bring(&client, &backup, &begun).await?;
    }
    tell(manifest, &into, skip_before, args.output)
}

fn check_prefix(manifest: &Manifest, into: &BackupSource, another: bool) -> Result<(), Failure> {
    let (then, now) = (&manifest.workflow_id_prefix, &into.workflow_id_prefix);
    if then == now || another {
        return Ok(());
    }
    let why = format!(
        "workflow ids of the backup begin with {then:?}, those of this cluster with {now:?}: Temporal would not know what it has started; \
         set workflow_prefix = {then:?}, or say --another-prefix; nothing was changed"
    );
    Err(Failure::new(Exit::Refused, why))
}

/// A restore that broke off goes on as it was begun.
fn as_begun(
    begun: &RestoreBegun,
    chosen: Option<DateTime<Utc>>,
    choice: Choice,
) -> Result<Option<DateTime<Utc>>, Failure> {
    if begun.skip_before == chosen {
        return Ok(chosen);
    }
    let as_before = match begun.skip_before {
        Some(time) => format!("nothing that was due before {} fires", Zone::UTC.exact(time)),
        None => "all that is due fires".to_owned(),
    };
    if choice.is_exact() {
        let why = format!("this restore was begun otherwise ({as_before}), and can only go on so");
        return Err(Failure::new(Exit::Conflict, why));
    }
    say(format_args!("the restore goes on as it was begun: {as_before}"));
    Ok(begun.skip_before)
}

async fn bring(client: &Client, backup: &Backup, begun: &RestoreBegun) -> Result<(), Failure> {
    let there: Vec<u64> = begun.shards.iter().map(|shard| shard.rows).collect();
    let skip_before = begun.skip_before.map_or(i64::MIN, |time| time.timestamp_micros());
    let mut restore = Restore::new(backup, &there, skip_before);
    let id = backup.manifest().backup_id.to_string();
    let progress = Progress::open("rows");
    let brought = feed(client, &id, &mut restore, &progress).await;
    progress.done();
    brought?;
    Ok(client.finish_restore(&id, &restore.rows()).await?)
}

type UnderWay = JoinHandle<Result<u64, flintwheel_client::Error>>;

/// Sends all batches: those of one shard one after the other, those of different shards side by side.
async fn feed(client: &Client, id: &str, restore: &mut Restore<'_>, progress: &Progress) -> Result<(), Failure> {
    let mut under_way: VecDeque<(u32, UnderWay)> = VecDeque::new();
    while let Some(Batch { shard, from, rows, count }) = restore.next().await? {
        while under_way.len() >= UNDER_WAY || under_way.iter().any(|(of, _)| *of == shard) {
            wait(&mut under_way).await?;
        }
        let (client, id) = (client.clone(), id.to_owned());
        let sent = tokio::spawn(async move { client.restore_rows(&id, shard, from, rows).await });
        under_way.push_back((shard, sent));
        progress.add(count);
    }
    while !under_way.is_empty() {
        wait(&mut under_way).await?;
    }
    Ok(())
}

/// For the batch that was sent first.
async fn wait(under_way: &mut VecDeque<(u32, UnderWay)>) -> Result<(), Failure> {
    let Some((_, sent)) = under_way.pop_front() else { return Ok(()) };
    let told = sent.await.map_err(|error| Failure::new(Exit::Failed, format_args!("a batch was not sent: {error}")))?;
    told.map(drop).map_err(|error| {
        let mut failure = Failure::from(error);
        failure.text.push_str(
            "\nsay the same again: the restore goes on where it was, and nothing fires before it is finished",
        );
        failure
    })
}

fn tell(manifest: &Manifest, into: &BackupSource, skip_before: Option<DateTime<Utc>>, output: OutputArgs) -> Outcome {
    let mut printer = Printer::one(output.output);
    if printer.is_table() {
        let fires = match skip_before {
            Some(time) => format!("nothing that was due before {} fires", Zone::UTC.exact(time)),
            None => "what was due since then fires by each definition's misfire policy".to_owned(),
        };
        let shards = plural(into.shards.into(), "shard");
        printer.line(&format!(
            "{}, restored into cluster {} of {shards}; {fires}",
            described(manifest),
            into.cluster_id
        ))?;
    } else {
        let done = Done {
            backup_id: manifest.backup_id.to_string(),
            cluster_id: into.cluster_id.clone(),
            shards: into.shards,
            definitions: manifest.definitions,
            skip_before,
        };
        printer.value(&format!("cluster/{}", into.cluster_id), &done)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}
