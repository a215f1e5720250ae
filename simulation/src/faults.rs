//! Faults without limit: nodes crash, stand still and are cut off, disks are slow, clocks jump, Temporal is gone, replicas move. A run has
//! some kinds of them only, so that no kind hides another.

use crate::node::{crash, on_node, peer, start};
use crate::stage::{NODES, SHARDS, Stage};
use flintwheel_raft::{Groups, Members};
use flintwheel_shard::Machine;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How far a clock may be from the true time, in microseconds: together with what clients allow themselves it stays within a dedupe window.
pub const CLOCK: i64 = 10_000_000;
/// One that jumps as far as this is not to be believed.
const FAR: i64 = 3_600_000_000;
/// How long it is watched for votes after a leader has gone, in milliseconds.
const ELECTION: u64 = 4_000;
/// How long a replica may need to catch up; else the move is given up.
const CATCH_UP: u64 = 8_000;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Crash,
    CrashAll,
    CrashLeader,
    CrashVoter,
    Pause,
    Cut,
    CutOneWay,
    Isolate,
    /// A leader that no other node reaches any more, but clients do.
    CutLeader,
    SlowDisk,
    Clock,
    FarClock,
    Temporal,
    Move,
    Transfer,
    Flush,
}

const KINDS: [Kind; 16] = [
    Kind::Crash,
    Kind::CrashAll,
    Kind::CrashLeader,
    Kind::CrashVoter,
    Kind::Pause,
    Kind::Cut,
    Kind::CutOneWay,
    Kind::Isolate,
    Kind::CutLeader,
    Kind::SlowDisk,
    Kind::Clock,
    Kind::FarClock,
    Kind::Temporal,
    Kind::Move,
    Kind::Transfer,
    Kind::Flush,
];

/// Makes faults until an instant, in nanoseconds.
pub async fn make(stage: Arc<Stage>, until: u64) {
    let kinds: Vec<Kind> = KINDS.into_iter().filter(|_| stage.random().chance(500)).collect();
    let pace = stage.random().within(300..4000);
    {
        let lost = stage.random().below(40);
        let slow = stage.random().below(60);
        let mut network = stage.network.lock();
        (network.lost, network.slow) = (lost, slow);
    }
    while stage.executor.now() < until {
        stage.sleep_within(50..pace).await;
        let kind = stage.random().pick(&kinds).copied();
        if let Some(kind) = kind {
            stage.count(|counts| counts.faults += 1);
            let task = one(stage.clone(), kind, until);
            stage.executor.spawn_outside(task);
        }
    }
}

/// Ends all faults: from here on the cluster must come back by itself.
pub fn heal(stage: &Arc<Stage>) {
    {
        let mut network = stage.network.lock();
        (network.lost, network.slow) = (0, 5);
        network.cut.clear();
    }
    stage.temporal.lock().down = false;
    stage.executor.resume_all();
    for (number, node) in &stage.nodes {
        node.slow_disk.store(0, Ordering::Relaxed);
        node.clock_offset.store(0, Ordering::Relaxed);
        // Where clocks are apart so that no majority says which is right, none that has jumped is believed before an operator says so.
        node.accept_clock(stage);
        if !node.is_running() {
            start(stage, *number);
        }
    }
}

fn some_node(stage: &Stage) -> u64 {
    stage.random().within(1..NODES + 1)
}

fn some_shard(stage: &Stage) -> u32 {
    stage.random().below(SHARDS.into()) as u32
}

fn leader(stage: &Stage, shard: u32) -> Option<u64> {
    (1..=NODES).find(|node| stage.nodes[node].desk(shard).is_some())
}

async fn one(stage: Arc<Stage>, kind: Kind, until: u64) {
    let node = some_node(&stage);
    match kind {
        Kind::Crash => crash_and_start(&stage, node).await,
        Kind::CrashAll => {
            for node in 1..=NODES {
                let stage = stage.clone();
                stage.clone().executor.spawn_outside(async move { crash_and_start(&stage, node).await });
            }
        }
        Kind::CrashLeader => {
            let shard = some_shard(&stage);
            if let Some(leads) = leader(&stage, shard) {
                crash_and_start(&stage, leads).await;
            }
        }
        Kind::CrashVoter => crash_voter(&stage, until).await,
        Kind::Pause => {
            let millis = stage.random().within(100..5000);
            if let Some(owner) = stage.nodes[&node].owner() {
                stage.executor.pause(owner, Duration::from_millis(millis));
            }
        }
        Kind::Cut | Kind::CutOneWay | Kind::Isolate | Kind::CutLeader => cut(&stage, kind, node).await,
        Kind::SlowDisk => {
            stage.nodes[&node].slow_disk.store(300, Ordering::Relaxed);
            stage.sleep_within(500..6000).await;
            stage.nodes[&node].slow_disk.store(0, Ordering::Relaxed);
        }
        Kind::Clock => {
            let offset = stage.random().below(2 * CLOCK as u64) as i64 - CLOCK;
            set_clock(&stage, node, offset, until);
        }
        Kind::FarClock => {
            set_clock(&stage, node, FAR, until);
            stage.sleep_within(500..6000).await;
            set_clock(&stage, node, 0, u64::MAX);
        }
        Kind::Temporal => {
            stage.temporal.lock().down = true;
            stage.sleep_within(500..5000).await;
            stage.temporal.lock().down = false;
        }
        Kind::Move => move_replica(&stage).await,
        Kind::Transfer => transfer(&stage, node).await,
        Kind::Flush => drop(on_node(&stage, node, |groups| async move { groups.flush().await.is_ok() }).await),
    }
}

fn set_clock(stage: &Stage, node: u64, offset: i64, until: u64) {
    let node = &stage.nodes[&node];
    // A clock that is far off when the node starts counts as set by an operator: that is another story.
    if stage.executor.now() < until && (offset != FAR || node.is_running()) {
        stage.clocks_wrong.store(true, Ordering::Relaxed);
        node.clock_offset.store(offset, Ordering::Relaxed);
    }
}

async fn crash_and_start(stage: &Arc<Stage>, node: u64) {
    crash(stage, node);
    let away = if stage.random().chance(300) { 100..12_000 } else { 1..1500 };
    stage.sleep_within(away).await;
    start_again(stage, node);
}

/// A leader is gone, and whoever votes for the next one forgets it at once, if it can.
async fn crash_voter(stage: &Arc<Stage>, until: u64) {
    let shard = some_shard(stage);
    let Some(leads) = leader(stage, shard) else { return };
    let votes = |node: u64| stage.nodes[&node].disk.log.votes();
    let before: Vec<u64> = (1..=NODES).map(votes).collect();
    crash(stage, leads);
    let until = until.min(stage.executor.now() + ELECTION * 1_000_000);
    while stage.executor.now() < until {
        stage.sleep_within(1..4).await;
        let voted: Vec<u64> =
            (1..=NODES).zip(&before).filter(|(node, had)| votes(*node) > **had).map(|(n, _)| n).collect();
        let voter = stage.random().pick(&voted).copied();
        if let Some(voter) = voter {
            crash(stage, voter);
            stage.sleep_within(1..60).await;
            start_again(stage, voter);
            break;
        }
    }
    stage.sleep_within(1..2000).await;
    start_again(stage, leads);
}

fn start_again(stage: &Arc<Stage>, node: u64) {
    if !stage.nodes[&node].is_running() {
        // A clock that is far off when a node starts counts as set by an operator.
        let offset = &stage.nodes[&node].clock_offset;
        let _ = offset.compare_exchange(FAR, 0, Ordering::Relaxed, Ordering::Relaxed);
        start(stage, node);
    }
}

async fn cut(stage: &Arc<Stage>, kind: Kind, node: u64) {
    let pairs: Vec<(u64, u64)> = match kind {
        Kind::Isolate | Kind::CutLeader => {
            let shard = some_shard(stage);
            let node = leader(stage, shard).unwrap_or(node);
            // Node 0 is everybody who is no node.
            let first = if kind == Kind::Isolate { 0 } else { 1 };
            (first..=NODES).flat_map(|other| [(node, other), (other, node)]).collect()
        }
        Kind::CutOneWay => {
            let other = some_node(stage);
            vec![(node, other)]
        }
        _ => {
            let side = stage.random().number();
            let apart = |a: u64, b: u64| (side >> a) & 1 != (side >> b) & 1;
            let all = (1..=NODES).flat_map(|a| (1..=NODES).map(move |b| (a, b)));
            all.filter(|(a, b)| apart(*a, *b)).collect()
        }
    };
    stage.network.lock().cut.extend(pairs.iter().copied());
    stage.sleep_within(300..8000).await;
    // One after the other, so that links heal in an order of their own.
    for pair in pairs {
        stage.network.lock().cut.remove(&pair);
        if stage.random().chance(200) {
            stage.sleep_within(1..300).await;
        }
    }
}

async fn transfer(stage: &Arc<Stage>, to: u64) {
    let shard = some_shard(stage);
    let Some(from) = leader(stage, shard) else { return };
    let asked = on_node(stage, from, move |groups| async move {
        match groups.find(shard) {
            Some(group) => group.transfer_leader(to).await.is_ok(),
            None => false,
        }
    });
    drop(asked.await);
}

/// Moves a replica of some shard to a node that has none, as the cluster's placement does: learner, caught up, voter, and the old one leaves.
async fn move_replica(stage: &Arc<Stage>) {
    let shard = some_shard(stage);
    // One at a time: whoever takes a replica away must know that nobody gives it back meanwhile.
    if !stage.moving.lock().insert(shard) {
        return;
    }
    move_some(stage, shard).await;
    stage.moving.lock().remove(&shard);
}

async fn move_some(stage: &Arc<Stage>, shard: u32) {
    let Some(leads) = leader(stage, shard) else { return };
    let members =
        on_node(stage, leads, move |groups| async move { groups.find(shard).map(|group| group.members()) }).await;
    let Ok(Some(members)) = members else { return };
    if members.changing || !members.learners.is_empty() || members.voters.len() != 3 {
        return tidy(stage, shard, leads, &members).await;
    }
    let others: Vec<u64> = (1..=NODES).filter(|node| !members.voters.contains(node)).collect();
    let voters: Vec<u64> = members.voters.iter().copied().collect();
    let to = stage.random().pick(&others).copied();
    let from = stage.random().pick(&voters).copied();
    let (Some(to), Some(from)) = (to, from) else { return };
    if add(stage, shard, to).await && leave(stage, shard, from).await {
        stage.count(|counts| counts.moves += 1);
    }
}

/// Goes on to bring shards back to three voters: what a fault has interrupted, the cluster's placement would complete.
pub async fn tidy_all(stage: Arc<Stage>) {
    loop {
        stage.sleep(1_000).await;
        for shard in 0..SHARDS {
            let Some(leads) = leader(&stage, shard) else { continue };
            let asked =
                on_node(&stage, leads, move |groups| async move { groups.find(shard).map(|group| group.members()) });
            if let Ok(Some(members)) = asked.await
                && (!members.learners.is_empty() || members.voters.len() != 3)
            {
                tidy(&stage, shard, leads, &members).await;
            }
        }
    }
}

/// An earlier move was not completed: brings the shard back to three voters.
async fn tidy(stage: &Arc<Stage>, shard: u32, leads: u64, members: &Members) {
    let extra = members.learners.iter().next().copied();
    let extra =
        extra.or_else(|| members.voters.iter().copied().find(|node| members.voters.len() > 3 && *node != leads));
    match extra {
        Some(extra) => drop(leave(stage, shard, extra).await),
        None => {
            let missing = (1..=NODES).find(|node| !members.voters.contains(node));
            if let Some(missing) = missing.filter(|_| members.voters.len() < 3) {
                add(stage, shard, missing).await;
            }
        }
    }
}

/// Gives a node a replica and a vote.
pub async fn add(stage: &Arc<Stage>, shard: u32, node: u64) -> bool {
    let hosted = on_node(stage, node, move |groups| async move { groups.host(shard).await.is_ok() }).await;
    if hosted != Ok(true) || !ask_leader(stage, shard, move |groups| learn(groups, shard, node)).await {
        return false;
    }
    let begun = stage.executor.now();
    while !ask_leader(stage, shard, move |groups| has_caught_up(groups, shard, node)).await {
        if stage.executor.now() > begun + CATCH_UP * 1_000_000 {
            return false;
        }
        stage.sleep_within(50..200).await;
    }
    ask_leader(stage, shard, move |groups| promote(groups, shard, node)).await
}

/// Takes a node's replica away, and what it has of it when it is no member any more.
async fn leave(stage: &Arc<Stage>, shard: u32, node: u64) -> bool {
    if !ask_leader(stage, shard, move |groups| remove(groups, shard, node)).await {
        return false;
    }
    let retired = on_node(stage, node, move |groups| async move { groups.retire(shard).await.is_ok() }).await;
    retired == Ok(true)
}

async fn ask_leader<F>(stage: &Arc<Stage>, shard: u32, work: impl FnOnce(Arc<Groups<Machine>>) -> F) -> bool
where
    F: Future<Output = bool> + Send + 'static,
{
    let Some(leads) = leader(stage, shard) else { return false };
    let asked = on_node(stage, leads, work);
    let patience = stage.executor.sleep(Duration::from_secs(5));
    tokio::select! {
        biased;
        done = asked => done == Ok(true),
        () = patience => false,
    }
}

async fn learn(groups: Arc<Groups<Machine>>, shard: u32, node: u64) -> bool {
    let Some(group) = groups.find(shard) else { return false };
    group.add_learner(&peer(node)).await.is_ok()
}

async fn promote(groups: Arc<Groups<Machine>>, shard: u32, node: u64) -> bool {
    let Some(group) = groups.find(shard) else { return false };
    group.promote(node).await.is_ok()
}

async fn remove(groups: Arc<Groups<Machine>>, shard: u32, node: u64) -> bool {
    let Some(group) = groups.find(shard) else { return false };
    group.remove(node).await.is_ok()
}

async fn has_caught_up(groups: Arc<Groups<Machine>>, shard: u32, node: u64) -> bool {
    let Some(group) = groups.find(shard) else { return false };
    let last = group.status().last_log;
    group
        .replication()
        .get(&node)
        .is_some_and(|there| there.is_some() && *there >= last.map(|last| last.saturating_sub(8)))
}
