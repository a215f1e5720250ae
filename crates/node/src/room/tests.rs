//! Who refuses what, and an engine on a disk that is low.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use flintwheel_client::{ApplyOptions, OccurrenceQuery, PageRequest};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_proto::cloudevents::CloudEvent;
use flintwheel_store::free_space;
use prost::Message;
use serde_json::{Value, json};

use super::{Level, Rooms};
use crate::api::ApiError;
use crate::config::Config;
use crate::engine::Engine;
use crate::error::EngineError;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_shard_grows_as_long_as_a_majority_of_its_voters_has_room() {
    const ME: u64 = 1;
    type Case = (Level, &'static [u64], &'static [u64], Option<&'static [u64]>);
    let cases: [Case; 6] = [
        (Level::Plenty, &[], &[1, 2, 3], None),
        (Level::Low, &[], &[1, 2, 3], None),
        (Level::Low, &[], &[1], Some(&[1])),
        (Level::Plenty, &[2, 3], &[1, 2, 3], Some(&[2, 3])),
        (Level::Out, &[3], &[1, 2, 3], Some(&[1, 3])),
        (Level::Plenty, &[7, 8, 9], &[1, 2, 3], None),
    ];
    for (own, low, voters, expected) in cases {
        let rooms = Rooms::default();
        rooms.set_own(own);
        rooms.set_others(low.iter().map(|node| (*node, Level::Low)).collect(), &[2, 3, 7, 8, 9]);
        let refused = rooms.refuse(ME, &voters.iter().copied().collect());
        assert_eq!(refused.as_deref(), expected, "{own:?}, {low:?} low, of {voters:?}");
    }
}

#[test]
fn a_node_that_has_left_is_forgotten() {
    let rooms = Rooms::default();
    rooms.set_others(BTreeMap::from([(2, Level::Low)]), &[1, 2]);
    assert!(rooms.any.load(Ordering::Acquire));
    rooms.set_others(BTreeMap::new(), &[1]);
    assert!(!rooms.any.load(Ordering::Acquire));
    assert_eq!(rooms.of(2, 1), Level::Plenty);
}

async fn engine(directory: &Path, more: &[(&'static str, String)]) -> Engine {
    let own = [("data_dir", directory.display().to_string()), ("sink", "null".into()), ("shards", "2".into())];
    let flags = [&own[..], more].concat();
    let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
    Engine::start(&settings, "test".into()).await.expect("starts")
}

fn definition(id: &str, trigger: Value) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
    }))
    .expect("a definition")
}

fn event(event_type: &str) -> bytes::Bytes {
    let (id, source, spec_version) = ("1".into(), "test".into(), "1.0".into());
    let event = CloudEvent { id, source, spec_version, r#type: event_type.into(), ..CloudEvent::default() };
    event.encode_to_vec().into()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn fired(engine: &Engine, id: &str) -> usize {
    let query = OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
    let page = PageRequest { size: 1000, ..PageRequest::default() };
    engine.api().occurrences(&query, &page).await.expect("read").items.len()
}

fn is_refused<T>(result: Result<T, ApiError>) -> bool {
    matches!(result, Err(ApiError::Engine(EngineError::DiskLow { nodes, .. })) if nodes == [1])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_less_than_the_reserve_nothing_new_is_taken_and_what_exists_goes_on_firing() {
    let directory = tempfile::tempdir().expect("a directory");
    let before = engine(directory.path(), &[]).await;
    let every_second = || definition("tick", json!({"schedule": {"interval": {"every": "1s"}}}));
    for definition in [every_second(), definition("listen", json!({"event": {"types": "t"}}))] {
        before.api().apply(&definition, &ApplyOptions::default()).await.expect("applied");
    }
    before.close().await.expect("closes");

    let free = free_space(directory.path()).expect("is told").available;
    let low = engine(directory.path(), &[("disk_reserve", (free * 2).to_string())]).await;
    let api = low.api();
    until("the disk is seen to be low", async || api.snapshot().disk == Level::Low).await;
    let new = definition("new", json!({"schedule": {"interval": {"every": "1s"}}}));
    assert!(is_refused(api.apply(&new, &ApplyOptions::default()).await));
    assert!(is_refused(api.publish("default", &[event("t")]).await));
    assert_eq!(api.publish("default", &[event("other")]).await.expect("nobody listens").accepted, 1);
    let seen = fired(&low, "tick").await;
    until("it goes on firing", async || fired(&low, "tick").await > seen).await;
    api.delete(&DefinitionKey::new("default", "listen"), None, "", false).await.expect("what makes room is taken");
    low.close().await.expect("closes");

    let out = engine(directory.path(), &[("disk_reserve", (free * 16).to_string())]).await;
    until("the disk is seen to be nearly full", async || out.api().snapshot().disk == Level::Out).await;
    let held = fired(&out, "tick").await;
    let now = out.api().shared.clock.now();
    until("two due times have passed", async || out.api().shared.clock.now() > now + 2_000_000).await;
    let later = fired(&out, "tick").await;
    assert!(later <= held + 1, "one may have been on its way: {held}, {later}");
    out.close().await.expect("closes");

    let again = engine(directory.path(), &[]).await;
    until("what was due is fired", async || fired(&again, "tick").await > later + 1).await;
    again.api().apply(&new, &ApplyOptions::default()).await.expect("there is room again");
    again.close().await.expect("closes");
}
