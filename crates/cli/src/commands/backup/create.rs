//! `flintwheel backup create`: reads some shards at a time, each from its leader, and begins one anew where that changes.

use std::time::Duration;

use flintwheel_backup::{BackupError, Instant, Manifest, New, Place, ShardFile, ShardWriter};
use flintwheel_client::{BackupSource, Client, Error};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use uuid::Uuid;

use super::access::AccessArgs;
use super::described;
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome, exit_of};
use crate::output::{OutputArgs, Printer, Progress, say};

/// A shard is begun anew so often, with longer and longer pauses: an election and a node that starts fit in.
const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// For a claim that is on its way when the program is told to end.
const CLAIM_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to: a directory that is empty, or not there yet, or a prefix under which nothing is: s3://bucket/prefix, gs://..., az://...
    to: String,
    /// Shards that are read at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    side_by_side: u32,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// What all shards' files need.
struct Job<'a> {
    client: &'a Client,
    new: &'a New,
    backup: Uuid,
    progress: Progress,
}

/// Why a shard was not read to its end.
enum Broken {
    Server(Error),
    Place(BackupError),
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Server(error) => error.into(),
            Broken::Place(error) => error.into(),
        }
    }
}

pub async fn run(args: Args) -> Outcome {
    let Session { client, .. } = args.connection.open()?;
    let place = args.access.place(&args.to)?;
    let source = client.backup_source().await?;
    // Caught before anything is written: what is there when it comes is taken away again.
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new(Exit::Failed, format_args!("signals can't be caught: {error}")))?;
    let new = claim(&place, &mut interrupt).await?;
    let made = tokio::select! {
        made = make(&client, &new, &source, args.side_by_side as usize) => made,
        _ = interrupt.recv() => Err(unfinished()),
    };
    let manifest = match made {
        Ok(manifest) => manifest,
        Err(failure) => return Err(give_up(new, failure).await),
    };
    let mut printer = Printer::one(args.output.output);
    match printer.is_table() {
        true => printer.line(&format!("{}, written to {place}", described(&manifest)))?,
        false => printer.value(&format!("backup/{}", manifest.backup_id), &manifest)?,
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// Claims the place. Who is interrupted meanwhile waits for a moment, so that a claim that has been made can be given up.
async fn claim(place: &Place, interrupt: &mut Signal) -> Result<New, Failure> {
    let mut claim = std::pin::pin!(place.claim());
    tokio::select! {
        new = &mut claim => return Ok(new?),
        _ = interrupt.recv() => {}
    }
    match timeout(CLAIM_WITHIN, claim).await {
        Ok(new) => Err(give_up(new?, unfinished()).await),
        Err(_) => {
            let why = format_args!(
                "ended before {place} was claimed; if it has been, a file named `unfinished` stands there"
            );
            Err(Failure::new(Exit::Failed, why))
        }
    }
}

fn unfinished() -> Failure {
    Failure::new(Exit::Failed, "ended before the backup was finished")
}

/// Takes away what was written; gives back why.
async fn give_up(new: New, why: Failure) -> Failure {
    if let Err(error) = new.discard().await {
        say(format_args!("what was written is still there: {error}"));
    }
    why
}

async fn make(client: &Client, new: &New, source: &BackupSource, side_by_side: usize) -> Result<Manifest, Failure> {
    let job = Job { client, new, backup: Uuid::new_v4(), progress: Progress::open("rows") };
    let files = stream::iter(0..source.shards).map(|shard| job.shard(shard)).buffered(side_by_side);
    let files: Result<Vec<(ShardFile, u64)>, Failure> = files.try_collect().await;
    job.progress.done();
    let files = files?;
    let manifest = Manifest {
        backup_id: job.backup,
        cluster_id: source.cluster_id.clone(),
        program: source.version.clone(),
        started_at: source.now,
        finished_at: client.backup_source().await?.now,
        workflow_id_prefix: source.workflow_id_prefix.clone(),
        definitions: files.iter().map(|(_, definitions)| definitions).sum(),
        shards: files.into_iter().map(|(file, _)| file).collect(),
    };
    new.finish(&manifest.encode()?).await?;
    Ok(manifest)
}

impl Job<'_> {
    async fn shard(&self, shard: u32) -> Result<(ShardFile, u64), Failure> {
        let mut pause = FIRST_PAUSE;
        for tries in 1.. {
            let error = match self.read(shard).await {
                Ok(done) => return Ok(done),
                Err(Broken::Server(error)) if tries < TRIES && exit_of(error.code) == Exit::Unavailable => error,
                Err(broken) => return Err(broken.into()),
            };
            self.progress.say(format_args!("shard {shard} is read anew: {error}"));
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(Failure::new(Exit::Unavailable, format_args!("shard {shard} could not be read")))
    }

    async fn read(&self, shard: u32) -> Result<(ShardFile, u64), Broken> {
        let mut export = self.client.export_shard(shard).await.map_err(Broken::Server)?;
        let mut writer = ShardWriter::begin(self.new, self.backup, shard).await.map_err(Broken::Place)?;
        while let Some(rows) = export.next().await.map_err(Broken::Server)? {
            writer.rows(&rows.rows, rows.count).await.map_err(Broken::Place)?;
            self.progress.add(rows.count.into());
        }
        let begun = export.begun;
        let instant = Instant { applied: begun.applied, clock: begun.clock, fired_through: begun.fired_through };
        writer.finish(instant).await.map_err(Broken::Place)
    }
}
