//! Files of one of three nodes are damaged while it is stopped: a bit flipped, the end cut off, the whole file gone. It is started again, as its supervisor
//! would as often as it ends, and must become a whole replica by itself without ever showing what is wrong.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use flintwheel_client::{
    Client, Code, DefinitionRecord, ListQuery, Occurrence, OccurrenceQuery, Options, Page, PageRequest,
};
use flintwheel_model::DefinitionKey;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::scene::{Busy, Load, NAMESPACE};
use super::{Scale, progress};
use crate::ledger::Verdict;
use crate::plan::Planned;
use crate::report::{Kind, Report};

/// Of one trial. A node is found, rebuilt from its peers and caught up within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// A trial that fails leaves a cluster with a broken node; the next one gets a new cluster. After so many the rest is left.
const MOST_FAILURES: u32 = 5;
/// Between two looks, and before a process that has ended is started again.
const STEP: Duration = Duration::from_secs(1);
/// For the cluster to have looked at its nodes, which it does each second.
const SERVING: Duration = Duration::from_secs(2);
/// Definitions that are read at the damaged node at each look.
const LOOKED_AT: usize = 20;
/// Definitions whose occurrences are compared.
const COMPARED: usize = 10;
const PAGE: u32 = 500;

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// This bit is the opposite.
    Flip(u64),
    /// It ends here.
    Truncate(u64),
    Delete,
}

/// What the trials showed.
#[derive(Default)]
struct Trials {
    done: u32,
    repaired: Vec<Duration>,
    failures: u32,
    /// Starts of a process that had ended by itself.
    restarts: u32,
    reads: u64,
    /// Reads that were answered with something that was never so.
    wrong: u64,
}

pub(super) async fn run(report: &mut Report, scale: Scale, real: bool, random: &mut StdRng) -> Result<()> {
    let all = scale.pick(50, 3);
    let mut trials = Trials::default();
    let mut verdicts = Vec::new();
    while trials.done < all && trials.failures < MOST_FAILURES {
        let light = Load { run: "damage", definitions: 500, events_per_second: 100, real: false };
        let mut busy = Busy::start(if real { Load::real("damage") } else { light }).await?;
        let mut whole = true;
        while whole && trials.done < all {
            whole = trial(report, &mut busy, &mut trials, random).await?;
        }
        verdicts.push(busy.judge().await?.verdict);
    }
    let Trials { done, repaired, restarts, reads, wrong, .. } = &mut trials;
    repaired.sort();
    report.figure("files damaged", *done);
    report.figure("starts of a node that had ended by itself", *restarts);
    report.figure("reads at damaged nodes", *reads);
    if let (Some(middle), Some(longest)) = (repaired.get(repaired.len() / 2), repaired.last()) {
        report.figure("whole again after, median / longest", format!("{middle:.1?} / {longest:.1?}"));
    }
    report.check(
        Kind::Bar,
        format!("damaged: {} of {all} repaired by themselves", repaired.len()),
        repaired.len() == all as usize,
    );
    report.check(Kind::Bar, format!("damaged: {wrong} reads were answered wrongly"), *wrong == 0);
    let clean = !verdicts.is_empty() && verdicts.iter().all(Verdict::is_clean);
    report.check(Kind::Bar, "damaged: nothing missing, twice, early or unknown", clean);
    Ok(())
}

/// Whether the node became whole.
async fn trial(report: &mut Report, busy: &mut Busy, trials: &mut Trials, random: &mut StdRng) -> Result<bool> {
    busy.cluster.settle().await?;
    let place = random.random_range(0..busy.cluster.nodes.len());
    let node = &mut busy.cluster.nodes[place];
    if random.random_bool(0.5) {
        node.kill().await?;
    } else {
        node.stop().await?;
    }
    let (file, damage) = choose(node.data_dir(), random)?;
    inflict(&file, damage)?;
    let shown = file.strip_prefix(node.data_dir()).unwrap_or(&file).display().to_string();
    progress(format!("trial {}: node {}, {shown}: {damage:?}", trials.done + 1, place + 1));
    trials.done += 1;
    let begun = Instant::now();
    let problem = loop {
        let problem = look(busy, place, trials, random).await?;
        match problem {
            Some(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(STEP).await,
            other => break other,
        }
    };
    let Some(problem) = problem else {
        trials.repaired.push(begun.elapsed());
        return Ok(true);
    };
    trials.failures += 1;
    report.note(format!("not repaired after {PATIENCE:?}: {shown}, {damage:?}: {problem}"));
    Ok(false)
}

/// Starts the node where it doesn't run, reads at it, and compares it with the others. What is not yet as it should be.
async fn look(busy: &mut Busy, place: usize, trials: &mut Trials, random: &mut StdRng) -> Result<Option<String>> {
    let node = &mut busy.cluster.nodes[place];
    if let Err(ended) = node.check_running() {
        trials.restarts += u32::from(node.process().is_ok());
        node.spawn()?;
        return Ok(Some(ended.to_string().lines().last().unwrap_or_default().to_owned()));
    }
    let planned: Vec<&Planned> = busy.schedules.iter().map(|applied| &applied.planned).collect();
    let client = stale(node.grpc())?;
    for planned in planned.choose_multiple(random, LOOKED_AT) {
        read(&client, planned, trials).await?;
    }
    if let Err(why) = busy.cluster.serving(SERVING).await {
        return Ok(Some(why));
    }
    let sample: Vec<&Planned> = planned.choose_multiple(random, COMPARED).copied().collect();
    match same_everywhere(&busy.cluster.doors(), &planned, &sample).await {
        Ok(difference) => Ok(difference),
        Err(error) => Ok(Some(error.to_string())),
    }
}

/// A client that any replica may answer, and that does not try again.
fn stale(address: SocketAddr) -> Result<Client> {
    let options = Options {
        connect_timeout: Duration::from_secs(2),
        call_timeout: Duration::from_secs(5),
        retry_for: Duration::ZERO,
        ..Options::default()
    };
    Ok(Client::new(&[address.to_string()], options).map_err(|e| anyhow!("{e}"))?.stale())
}

/// The definition is as it has been all the time, or the node does not say.
async fn read(client: &Client, planned: &Planned, trials: &mut Trials) -> Result<()> {
    let key = DefinitionKey::new(&planned.namespace, &planned.id);
    match client.get(&key).await {
        Ok(record) => {
            trials.reads += 1;
            trials.wrong += u64::from(!is(&record, planned)?);
        }
        // It was there before the node was stopped: who says that it isn't has lost it and doesn't know.
        Err(error) if error.code == Code::NotFound => {
            trials.reads += 1;
            trials.wrong += 1;
        }
        Err(_) => {}
    }
    Ok(())
}

fn is(record: &DefinitionRecord, planned: &Planned) -> Result<bool> {
    let wanted = flintwheel_client::convert::definition::canonical(&planned.definition())?;
    Ok(record.definition == wanted && record.status.version == 1)
}

/// What one node shows of the shards by its own replicas.
struct Shown {
    definitions: Vec<DefinitionRecord>,
    occurrences: Vec<Occurrence>,
}

/// Where a node's replicas differ from those of others, or from what was applied.
async fn same_everywhere(doors: &[SocketAddr], planned: &[&Planned], sample: &[&Planned]) -> Result<Option<String>> {
    // What was decided by then has been applied everywhere by the time it is read, if nobody lags.
    let until = chrono::Utc::now();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut first: Option<Shown> = None;
    for (place, door) in doors.iter().enumerate() {
        let shown =
            show(&stale(*door)?, sample, until).await.with_context(|| format!("read all at node {}", place + 1))?;
        for planned in planned {
            let found = shown.definitions.iter().find(|record| record.definition.metadata.id == planned.id);
            if !found.map(|record| is(record, planned)).transpose()?.unwrap_or(false) {
                return Ok(Some(format!("node {} does not have {} as it was applied", place + 1, planned.id)));
            }
        }
        match &first {
            None => first = Some(shown),
            Some(first) if first.occurrences != shown.occurrences => {
                return Ok(Some(format!("nodes 1 and {} show different occurrences", place + 1)));
            }
            Some(first) if first.definitions.len() != shown.definitions.len() => {
                return Ok(Some(format!("nodes 1 and {} show different definitions", place + 1)));
            }
            Some(_) => {}
        }
    }
    Ok(None)
}

async fn show(client: &Client, sample: &[&Planned], until: chrono::DateTime<chrono::Utc>) -> Result<Shown> {
    let query = ListQuery { namespace: NAMESPACE.to_owned(), ..ListQuery::default() };
    let definitions = all(|page| client.list(&query, page)).await?;
    let mut occurrences = Vec::new();
    for planned in sample {
        let query = OccurrenceQuery {
            namespace: NAMESPACE.to_owned(),
            definition_id: planned.id.clone(),
            until: Some(until),
            ..OccurrenceQuery::default()
        };
        occurrences.extend(all(|page| client.occurrences(&query, page)).await?);
    }
    for occurrence in &mut occurrences {
        // What the sink has said is written down later than the decision, and may be under way.
        occurrence.started_at = None;
    }
    Ok(Shown { definitions, occurrences })
}

/// All pages of a list.
async fn all<T, F>(page: impl Fn(PageRequest) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<Page<T>, flintwheel_client::Error>>,
{
    let (mut items, mut token) = (Vec::new(), String::new());
    loop {
        let next = page(PageRequest { size: PAGE, token }).await.map_err(|e| anyhow!("{e}"))?;
        items.extend(next.items);
        match next.next {
            Some(next) => token = next,
            None => return Ok(items),
        }
    }
}

/// The two databases of a node.
const DATABASES: [&str; 2] = ["log", "state"];

/// A file of the two databases, and what to do to it.
fn choose(data_dir: &Path, random: &mut StdRng) -> Result<(PathBuf, Damage)> {
    let mut files = Vec::new();
    for database in DATABASES.map(|name| data_dir.join(name)) {
        for entry in fs::read_dir(&database).with_context(|| format!("read {}", database.display()))? {
            let entry = entry?;
            if entry.metadata()?.is_file() && is_data(&entry.file_name().to_string_lossy()) {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
    }
    files.retain(|(_, bytes)| *bytes > 0);
    files.sort();
    let Some((file, bytes)) = files.choose(random).cloned() else {
        bail!("{} holds no files of a database", data_dir.display());
    };
    let damage = match random.random_range(0..3) {
        0 => Damage::Flip(random.random_range(0..bytes * 8)),
        1 => Damage::Truncate(random.random_range(0..bytes)),
        _ => Damage::Delete,
    };
    Ok((file, damage))
}

/// What RocksDB needs to be whole: tables, logs, its manifest and the pointer to it. Its own messages and options are no data.
fn is_data(name: &str) -> bool {
    let is_manifest = name.starts_with("MANIFEST-") || name == "CURRENT";
    is_manifest || Path::new(name).extension().is_some_and(|end| end == "sst" || end == "log" || end == "blob")
}

fn inflict(path: &Path, damage: Damage) -> Result<()> {
    let done = match damage {
        Damage::Delete => fs::remove_file(path),
        Damage::Truncate(bytes) => File::options().write(true).open(path).and_then(|file| file.set_len(bytes)),
        Damage::Flip(bit) => File::options().read(true).write(true).open(path).and_then(|file| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, bit / 8)?;
            byte[0] ^= 1 << (bit % 8);
            file.write_all_at(&byte, bit / 8)
        }),
    };
    done.with_context(|| format!("damage {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_what_it_says() {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join("file");
        for (damage, after) in [
            (Damage::Flip(9), Some(vec![7, 5, 7])),
            (Damage::Truncate(1), Some(vec![7])),
            (Damage::Truncate(0), Some(vec![])),
            (Damage::Delete, None),
        ] {
            fs::write(&path, [7, 7, 7]).expect("write");
            inflict(&path, damage).expect("damage");
            assert_eq!(fs::read(&path).ok(), after, "{damage:?}");
        }
    }

    #[test]
    fn data_of_a_database_is_told_from_its_messages() {
        for (name, expected) in [
            ("000012.sst", true),
            ("000013.log", true),
            ("MANIFEST-000005", true),
            ("CURRENT", true),
            ("LOG", false),
            ("LOG.old.17", false),
            ("OPTIONS-000007", false),
            ("LOCK", false),
            ("IDENTITY", false),
        ] {
            assert_eq!(is_data(name), expected, "{name}");
        }
    }
}
