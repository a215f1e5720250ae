//! The power of all nodes is cut at once, at random moments under load: what was not synced is gone, what was acknowledged is not. Then files
//! of single nodes are damaged ([`super::power_damage`]).
//!
//! Each node has a small disk of its own ([`crate::disk`]). A cut freezes all nodes, keeps what their disks hold, kills them, and goes on with what was kept. Generator,
//! stand-in and ledger have power all the time.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::scene::{Busy, Load, directory};
use super::{Manner, Scale, power_damage, progress};
use crate::cluster::{Cluster, Seat};
use crate::disk::Disk;
use crate::report::{Kind, Report};

const NODES: usize = 3;
/// Of each disk. Holes in its image take no room.
const DISK_BYTES: u64 = 2 << 30;
/// Between a start and the next cut, in seconds.
const LIFE_S: std::ops::Range<f64> = 0.5..6.0;
/// Cuts that meet the nodes while they are still starting.
const WHILE_STARTING: f64 = 0.2;
/// For calls into the kernel that a frozen process is in to end.
const STILL_WITHIN: Duration = Duration::from_secs(10);
/// Written before each cut, once with a sync and once without.
const SYNCED: &str = "synced";
const UNSYNCED: &str = "unsynced";

/// What the cuts took.
#[derive(Default)]
struct Lost {
    cuts: u32,
    /// Bytes that nodes had written and that were gone.
    bytes: u64,
    /// Our own files that were written without a sync: gone, and in all.
    unsynced: u32,
    written: u32,
    /// And those with one that were gone.
    synced: u32,
    ready: Vec<Duration>,
}

pub(super) async fn run(manner: Manner) -> Result<Report> {
    let Manner { scale, real, seed } = manner;
    let name = if real { "power --real" } else { "power" };
    let mut report = Report::new(name, "power cut and files damaged, under load: nothing acknowledged is lost");
    report.figure("seed", seed);
    progress(format!("seed {seed}"));
    let mut random = StdRng::seed_from_u64(seed);
    cuts(&mut report, scale, real, &mut random).await?;
    power_damage::run(&mut report, scale, real, &mut random).await?;
    Ok(report)
}

async fn cuts(report: &mut Report, scale: Scale, real: bool, random: &mut StdRng) -> Result<()> {
    // Dropped in the opposite order: nodes end, disks are let go, the directory goes.
    let room = directory()?;
    let mut disks = Vec::new();
    for number in 1..=NODES {
        disks.push(Disk::make(room.path(), number, DISK_BYTES)?);
    }
    let dir = directory()?;
    let seat = |(place, disk): (usize, &Disk)| Seat {
        data_dir: disk.path().join("data"),
        ..Seat::local(dir.path(), place + 1)
    };
    let seats: Vec<Seat> = disks.iter().enumerate().map(seat).collect();
    let full = Load {
        run: "power",
        definitions: scale.pick(5000, 500),
        events_per_second: scale.pick(1000, 200),
        real: false,
    };
    let load = if real { Load::real("power") } else { full };
    let mut busy = Busy::start_at(dir, &seats, std::net::Ipv4Addr::LOCALHOST.into(), load).await?;
    let mut lost = Lost::default();
    let all = scale.pick(50, 3);
    while lost.cuts < all {
        tokio::time::sleep(Duration::from_secs_f64(random.random_range(LIFE_S))).await;
        busy.cluster.check_running()?;
        cut(&mut busy.cluster, &mut disks, &mut lost).await?;
        progress(format!("cut {} of {all}", lost.cuts));
        if lost.cuts < all && random.random_bool(WHILE_STARTING) {
            busy.cluster.nodes.iter_mut().try_for_each(crate::engine::Engine::spawn)?;
            tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.0..0.5))).await;
            cut(&mut busy.cluster, &mut disks, &mut lost).await?;
            progress(format!("cut {} of {all}, while they were starting", lost.cuts));
        }
        let begun = Instant::now();
        busy.cluster.start_all().await?;
        lost.ready.push(begun.elapsed());
    }
    let outcome = busy.judge().await?;
    tell(report, lost);
    outcome.tell(report);
    Ok(())
}

/// From the moment at which all stand still to disks without what was not synced.
async fn cut(cluster: &mut Cluster, disks: &mut [Disk], lost: &mut Lost) -> Result<()> {
    for disk in &*disks {
        write(disk.path(), SYNCED, lost.cuts, true)?;
        write(disk.path(), UNSYNCED, lost.cuts, false)?;
    }
    for node in &cluster.nodes {
        node.process()?.freeze()?;
    }
    for node in &cluster.nodes {
        stand_still(node.process()?.id()).await?;
    }
    let before: Vec<_> = disks.iter().map(|disk| lengths(disk.path())).collect::<Result<_>>()?;
    for disk in &*disks {
        disk.hold()?;
    }
    for node in &mut cluster.nodes {
        node.kill().await?;
    }
    for (disk, before) in disks.iter_mut().zip(before) {
        disk.lose_the_rest()?;
        let after = lengths(disk.path())?;
        let gone = |(path, bytes): (&PathBuf, &u64)| bytes.saturating_sub(after.get(path).copied().unwrap_or(0));
        lost.bytes += before.iter().map(gone).sum::<u64>();
        lost.synced += u32::from(!is_there(disk.path(), SYNCED, lost.cuts));
        lost.unsynced += u32::from(!is_there(disk.path(), UNSYNCED, lost.cuts));
        lost.written += 1;
    }
    lost.cuts += 1;
    Ok(())
}

fn content(cut: u32) -> String {
    format!("before cut {cut}\n")
}

fn write(dir: &Path, name: &str, cut: u32, sync: bool) -> Result<()> {
    let path = dir.join(format!("{name}-{cut}"));
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(content(cut).as_bytes())?;
        if sync { file.sync_all().and_then(|()| File::open(dir)?.sync_all()) } else { Ok(()) }
    });
    written.with_context(|| format!("write {}", path.display()))
}

fn is_there(dir: &Path, name: &str, cut: u32) -> bool {
    fs::read_to_string(dir.join(format!("{name}-{cut}"))).is_ok_and(|text| text == content(cut))
}

/// Waits until no thread of a frozen process is in the kernel any more: a sync that had begun goes on until it is done.
async fn stand_still(pid: u32) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < STILL_WITHIN {
        if states(pid)?.iter().all(|state| *state == 'T') {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bail!("process {pid} does not stand still although it is frozen: {:?}", states(pid)?)
}

/// The state of each of its threads.
fn states(pid: u32) -> Result<Vec<char>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("threads of process {pid}"))?;
    let mut states = Vec::new();
    for task in tasks {
        // A thread may have ended meanwhile.
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else { continue };
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        states.push(state.context("odd /proc stat")?);
    }
    ensure!(!states.is_empty(), "process {pid} has no threads");
    Ok(states)
}

/// The length of each file below a directory.
fn lengths(dir: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut lengths = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                lengths.insert(entry.path(), meta.len());
            }
        }
    }
    Ok(lengths)
}

fn tell(report: &mut Report, mut lost: Lost) {
    lost.ready.sort();
    report.figure("power cuts of all nodes", lost.cuts);
    report.figure("bytes that nodes had written and that were gone", lost.bytes);
    report.figure("files of ours, not synced: gone / written", format!("{} / {}", lost.unsynced, lost.written));
    if let (Some(middle), Some(longest)) = (lost.ready.get(lost.ready.len() / 2), lost.ready.last()) {
        report.figure("all ready again, median / longest", format!("{middle:.2?} / {longest:.2?}"));
    }
    report.check(Kind::Bar, format!("{} files of ours that were synced are gone", lost.synced), lost.synced == 0);
    report.check(Kind::Bar, "the cuts took what was not synced", lost.unsynced > 0);
}
