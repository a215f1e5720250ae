//! Asks the nodes that lead other shards for their subscriptions, and for leases on them: one question after the other to each such node, for all
//! shards that it leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::lease::{Followed, Position};
use super::wire::{Asked, Change, Next, Request, Told, decode_answer};
use super::{Interest, Listed, confirm, has_met};
use crate::error::EngineError;
use crate::peers::Subject;
use crate::shared::{Place, Shared};

/// How often it is looked who leads what, and whether this node still does.
const LOOK: Duration = Duration::from_millis(100);
/// The same while all replicas here sleep: none of them changes hands before it has woken. Twice within a lease, whatever one look takes.
const LOOK_ASLEEP: Duration = Duration::from_millis(400);
/// For so long a node is asked for the same shards as before, while its answers are good and all replicas here sleep.
const AS_BEFORE: Duration = Duration::from_secs(1);
/// For an answer.
const WITHIN: Duration = Duration::from_secs(1);
/// A lease that ends before this, in microseconds, is to be renewed at once.
const URGENT: i64 = 400_000;
/// Between questions that brought nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module.
pub async fn run(shared: Arc<Shared>) {
    let mut directory = shared.peers.directory().watch();
    let mut asked = BTreeSet::new();
    let mut asking = FuturesUnordered::new();
    loop {
        for node in look(&shared) {
            if asked.insert(node) {
                asking.push(ask(Arc::clone(&shared), node));
            }
        }
        let pause = if shared.groups.all_asleep() { LOOK_ASLEEP } else { LOOK };
        tokio::select! {
            () = sleep(pause) => {}
            Some(node) = asking.next() => drop(asked.remove(&node)),
            // Without a sender nobody is told of anything any more; the look goes on.
            Ok(()) = directory.changed() => {}
        }
    }
}

/// Who is to be asked.
fn look(shared: &Shared) -> BTreeSet<u64> {
    let alone = {
        let mut book = shared.interest.book.lock();
        if book.is_alone() && has_met(shared) {
            book.meet();
        }
        if !book.is_alone() {
            book.trim(shared.interest.uptime.now());
        }
        book.is_alone()
    };
    if alone {
        return BTreeSet::new();
    }
    confirm(shared, 0..shared.shards());
    shared.places().into_iter().filter_map(elsewhere).collect()
}

fn elsewhere(place: Place) -> Option<u64> {
    match place {
        Place::At(node) => Some(node),
        Place::Here | Place::Nowhere => None,
    }
}

/// All subscriptions of a shard, as far as they have come.
struct Loading {
    of: Position,
    listed: Vec<Listed>,
    next: Vec<u8>,
}

/// Asks one node for as long as it is believed to lead something, and gives its id back.
async fn ask(shared: Arc<Shared>, node: u64) -> u64 {
    let mut loading: BTreeMap<u32, Loading> = BTreeMap::new();
    let (mut of_node, mut looked, mut good) = (Vec::new(), Instant::now(), false);
    loop {
        if !(good && shared.groups.all_asleep() && looked.elapsed() < AS_BEFORE) {
            (of_node, looked) = (led_by(&shared, node), Instant::now());
        }
        let request = request(&shared.interest, &of_node, &loading);
        if request.asked.is_empty() {
            return node;
        }
        loading.retain(|shard, _| request.asked.iter().any(|asked| asked.shard == *shard));
        // A lease counts from here: what is acknowledged later may be missing.
        let sent = shared.interest.uptime.now();
        good = match shared.peers.call(node, Subject::Interest, request.encode(), WITHIN).await {
            Ok(answer) => take(&shared, node, &request, &answer, sent, &mut loading),
            Err(error) => {
                tracing::debug!(node, %error, "a node was not reached for its subscriptions");
                request.asked.iter().for_each(|asked| shared.not_led_by(asked.shard, node, None));
                false
            }
        };
        if !good {
            sleep(PAUSE).await;
        }
    }
}

/// The shards of which another node is to be asked.
fn led_by(shared: &Shared, node: u64) -> Vec<u32> {
    let places = (0..).zip(shared.places());
    places.filter(|(_, place)| elsewhere(*place) == Some(node)).map(|(shard, _)| shard).collect()
}

fn request(interest: &Interest, shards: &[u32], loading: &BTreeMap<u32, Loading>) -> Request {
    let book = interest.book.lock();
    let now = interest.uptime.now();
    let mut urgent = false;
    let asked = shards.iter().filter_map(|shard| {
        let Followed { has, until } = book.followed(*shard)?;
        urgent |= until < now + URGENT;
        let next = loading.get(shard).map(|loading| Next { of: loading.of, from: loading.next.clone() });
        Some(Asked { shard: *shard, has, next })
    });
    let asked = asked.collect();
    Request { urgent, asked }
}

/// What an answer brings to the index and the book.
pub(super) enum Taken {
    /// Changes for who has `from`, and a lease.
    Changes { from: Position, to: Position, changes: Vec<(u64, Vec<Listed>)>, lasts: i64 },
    /// All subscriptions.
    All { of: Position, listed: Vec<Listed> },
}

impl Taken {
    pub(super) fn changes(
        shard: u32,
        from: Position,
        to: Position,
        of: &[Change],
        lasts: i64,
    ) -> Result<Self, EngineError> {
        let ready = of.iter().map(|change| Ok((change.number, Listed::of_change(shard, change)?)));
        Ok(Self::Changes { from, to, changes: ready.collect::<Result<_, EngineError>>()?, lasts })
    }

    fn writes(&self) -> bool {
        match self {
            Self::Changes { changes, .. } => !changes.is_empty(),
            Self::All { .. } => true,
        }
    }
}

/// Takes an answer. Says whether the next question is to be asked at once: this one brought subscriptions, or leases that are good for a while, so that
/// the next one waits at the leader.
fn take(
    shared: &Shared,
    node: u64,
    request: &Request,
    answer: &Bytes,
    sent: i64,
    loading: &mut BTreeMap<u32, Loading>,
) -> bool {
    let told = match decode_answer(answer) {
        Ok(told) => told,
        Err(error) => {
            tracing::warn!(node, %error, "an answer about subscriptions can't be read");
            return false;
        }
    };
    let (mut taken, mut moved, mut refused) = (Vec::new(), false, false);
    for (asked, (shard, told)) in request.asked.iter().zip(told) {
        if asked.shard != shard {
            tracing::warn!(node, shard, "an answer about subscriptions is of another shard than was asked for");
            return false;
        }
        refused |= matches!(told, Told::Elsewhere(_) | Told::Later);
        match one(shared, node, asked, told, loading) {
            Ok(one) => {
                moved |= one.as_ref().is_some_and(Taken::writes) || loading.contains_key(&shard);
                taken.extend(one.map(|one| (shard, one)));
            }
            Err(error) => {
                refused = true;
                tracing::error!(node, shard, %error, "a subscription can't be read; no events are taken meanwhile");
            }
        }
    }
    shared.interest.take(sent, taken);
    let soon = shared.interest.uptime.now() + URGENT;
    let book = shared.interest.book.lock();
    let mut held = request.asked.iter().filter_map(|asked| book.followed(asked.shard));
    moved || (!refused && held.all(|held| held.until >= soon))
}

/// What one shard's part of an answer brings, if anything is complete.
fn one(
    shared: &Shared,
    node: u64,
    asked: &Asked,
    told: Told,
    loading: &mut BTreeMap<u32, Loading>,
) -> Result<Option<Taken>, EngineError> {
    let shard = asked.shard;
    match told {
        Told::Elsewhere(leader) => {
            loading.remove(&shard);
            shared.not_led_by(shard, node, leader);
            Ok(None)
        }
        Told::Later => Ok(None),
        Told::Changes { to, changes, lasts } => {
            loading.remove(&shard);
            Taken::changes(shard, asked.has, to, &changes, lasts).map(Some)
        }
        Told::Rows { of, rows, next } => {
            let goes_on = asked.next.as_ref().is_some_and(|next| next.of == of);
            let before = loading.remove(&shard).filter(|_| goes_on).map(|loading| loading.listed);
            let mut listed = before.unwrap_or_default();
            for row in rows {
                listed.push(Listed::of(shard, row)?);
            }
            let Some(next) = next else { return Ok(Some(Taken::All { of, listed })) };
            loading.insert(shard, Loading { of, listed, next });
            Ok(None)
        }
    }
}

impl Interest {
    /// Brings the copies up to what an answer says, and the leases with them. `sent`: when it was asked for.
    pub(super) fn take(&self, sent: i64, taken: Vec<(u32, Taken)>) {
        let mut index = taken.iter().any(|(_, taken)| taken.writes()).then(|| self.index.write());
        let mut book = self.book.lock();
        for (shard, taken) in taken {
            let Some(followed) = book.follow(shard) else { continue };
            match taken {
                Taken::Changes { from, to, changes, lasts } => {
                    if !followed.changes(from, to) {
                        continue;
                    }
                    followed.granted(to, sent, lasts);
                    let Some(index) = &mut index else { continue };
                    for (number, listed) in changes {
                        index.remove(shard, number);
                        listed.into_iter().for_each(|one| one.insert(index));
                    }
                }
                Taken::All { of, listed } => {
                    let Some(index) = index.as_mut().filter(|_| followed.replace(of)) else { continue };
                    index.remove_shard(shard);
                    listed.into_iter().for_each(|one| one.insert(index));
                }
            }
        }
        self.publish(&book);
    }
}
