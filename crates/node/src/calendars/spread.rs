//! Brings calendars from their home to every shard, and has the home write down that it is done. One task a node, for the namespaces whose
//! home it leads: who leads it next finds in the state what is not done, and goes on.
//!
//! The revisions of a namespace are brought one after the other. So a shard knows by the newest that it has seen what is a straggler.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use flintwheel_model::DefinitionKey;
use flintwheel_raft::Group;
use flintwheel_shard::Machine;
use flintwheel_shard::calendar_entry::{CalendarMark, CalendarStep};
use flintwheel_shard::entry::Body;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, stream};
use tokio::time::MissedTickBehavior;

use super::days_of;
use crate::api::{Api, ApiError, CalendarAt};
use crate::error::EngineError;

/// How often is looked for what nobody has told of: what a leader of before has left.
const ROUND: Duration = Duration::from_secs(1);
/// Namespaces at a time.
const SIDE_BY_SIDE: usize = 8;
/// Until a shard is asked again whether all its definitions are due by the new days; doubled from one time to the next.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LONGEST_LOOK: Duration = Duration::from_millis(500);

/// What is to be brought to all shards.
struct Pending {
    home: u32,
    mark: CalendarMark,
    leaving: bool,
}

/// Brings what is pending, for all time. A namespace whose definitions take long holds no other one up.
pub async fn run(api: Api) {
    let mut running: FuturesUnordered<BoxFuture<'_, (String, bool)>> = FuturesUnordered::new();
    // Those under way, and those that could not be brought: they are tried again in the next round.
    let (mut busy, mut failed) = (BTreeSet::new(), BTreeSet::new());
    let mut round = tokio::time::interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some((namespace, done)) = running.next() => {
                busy.remove(&namespace);
                if !done {
                    failed.insert(namespace);
                }
            }
            _ = round.tick() => failed.clear(),
            () = api.shared.spreading.notified() => {}
        }
        for one in pending(&api) {
            let namespace = &one.mark.namespace;
            if busy.len() < SIDE_BY_SIDE && !failed.contains(namespace) && busy.insert(namespace.clone()) {
                running.push(bring(&api, one).boxed());
            }
        }
    }
}

/// The oldest revision of each namespace that is not known to be everywhere.
fn pending(api: &Api) -> Vec<Pending> {
    let mut oldest: BTreeMap<String, Pending> = BTreeMap::new();
    for group in api.shared.led_groups() {
        let home = group.shard();
        let look = group.read(|machine, _| {
            let held = machine.is_held();
            let open = machine.calendars().homes().filter(|(_, _, head)| head.pending && !held);
            let open = open.map(|(namespace, name, head)| Pending {
                home,
                mark: CalendarMark { namespace: namespace.into(), name: name.into(), revision: head.revision },
                leaving: head.leaving.is_some(),
            });
            open.collect::<Vec<_>>()
        });
        for one in look.unwrap_or_default() {
            let known = oldest.get(&one.mark.namespace).map(|known| known.mark.revision);
            if known.is_none_or(|known| one.mark.revision < known) {
                oldest.insert(one.mark.namespace.clone(), one);
            }
        }
    }
    oldest.into_values().collect()
}

/// Says for which namespace, and whether it is done.
async fn bring(api: &Api, pending: Pending) -> (String, bool) {
    let (namespace, name) = (pending.mark.namespace.clone(), pending.mark.name.clone());
    let brought = try_to_bring(api, pending).await;
    if let Err(error) = &brought {
        tracing::debug!(namespace, name, %error, "a calendar is not in all shards yet; tried again");
    }
    (namespace, brought.is_ok())
}

async fn try_to_bring(api: &Api, Pending { home, mark, leaving }: Pending) -> Result<(), ApiError> {
    let group = api.shared.led(home).ok_or(EngineError::NotLed)?;
    let step = if leaving { take_away(api, &mark).await? } else { spread(api, &group, &mark).await? };
    api.shared.command(home, Body::Calendar(step), 0).await?;
    Ok(())
}

/// Where any shard has a definition that uses it, it stays.
async fn take_away(api: &Api, mark: &CalendarMark) -> Result<CalendarStep, ApiError> {
    let key = DefinitionKey::new(&mark.namespace, &mark.name);
    let ask = |shard| api.drop_calendar(shard, &key, mark.revision);
    let stands = everywhere(api, ask).await?;
    let stays = stands.iter().any(|at| at.revision.is_some_and(|revision| revision < mark.revision));
    let spread = || CalendarStep::Spread { mark: mark.clone(), users: 0, moved: 0 };
    Ok(if stays { CalendarStep::Keep(mark.clone()) } else { spread() })
}

async fn spread(api: &Api, group: &Group<Machine>, mark: &CalendarMark) -> Result<CalendarStep, ApiError> {
    let key = DefinitionKey::new(&mark.namespace, &mark.name);
    let days = read_days(group, mark).await?;
    let ask = |shard| api.give_days(shard, &key, mark.revision, days.clone());
    let mut stands = everywhere(api, ask).await?;
    let mut wait = FIRST_LOOK;
    while stands.iter().any(|at| !at.has(mark.revision)) {
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_LOOK);
        check_pending(group, mark)?;
        let ask = |shard| api.calendar_at(shard, &key);
        stands = everywhere(api, ask).await?;
    }
    let sum = |of: fn(&CalendarAt) -> u64| stands.iter().map(of).sum();
    Ok(CalendarStep::Spread { mark: mark.clone(), users: sum(|at| at.users), moved: sum(|at| at.moved) })
}

/// A newer revision goes before: the shards that have it will never have this one.
fn check_pending(group: &Group<Machine>, mark: &CalendarMark) -> Result<(), ApiError> {
    let head = group.read(|machine, _| {
        machine.calendars().home(&mark.namespace, &mark.name).map(|head| (head.revision, head.pending))
    })?;
    if head == Some((mark.revision, true)) { Ok(()) } else { Err(EngineError::Busy.into()) }
}

async fn read_days(group: &Group<Machine>, mark: &CalendarMark) -> Result<Bytes, ApiError> {
    let (group, mark) = (group.clone(), mark.clone());
    let read = tokio::task::spawn_blocking(move || days_of(&group, &mark.namespace, &mark.name)).await;
    let read = read.map_err(|error| EngineError::Read(format!("a calendar could not be read: {error}")))?;
    // It was admitted before it was stored: a fault means that this program reads calendars otherwise than the one that admitted it.
    Ok(read?.map_err(|faults| EngineError::Read(format!("a stored calendar can't be read: {faults}")))?)
}

/// Asks every shard, some at a time, also where some of them can't be reached; an error is the first of theirs.
async fn everywhere<F>(api: &Api, ask: impl Fn(u32) -> F) -> Result<Vec<CalendarAt>, ApiError>
where
    F: Future<Output = Result<CalendarAt, ApiError>>,
{
    let answers = stream::iter((0..api.shared.shards()).map(ask)).buffered(SIDE_BY_SIDE * 2);
    answers.collect::<Vec<_>>().await.into_iter().collect()
}
