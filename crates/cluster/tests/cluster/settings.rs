//! Settings that are fixed, changed or refused.

use flintwheel_cluster::entry::{Body, Change, Init};
use flintwheel_cluster::rows::Settings;
use flintwheel_cluster::{Accepted, Refusal};

use crate::support::*;

#[test]
fn settings_out_of_range_make_no_cluster() {
    let cases = [
        (Settings { shards: 0, ..settings() }, "shards is 0; 1 to 4096 is allowed"),
        (Settings { shards: 4097, ..settings() }, "shards is 4097; 1 to 4096 is allowed"),
        (Settings { replication: 0, ..settings() }, "replication factor is 0; 1 to 9 is allowed"),
        (Settings { replication: 10, ..settings() }, "replication factor is 10; 1 to 9 is allowed"),
        (Settings { repair_after: 0, ..settings() }, "repair_after is 0s; 1us to 365d is allowed"),
        (Settings { most_moves: 0, ..settings() }, "most moves at once is 0; 1 to 1024 is allowed"),
    ];
    for (settings, expected) in cases {
        let mut group = Group::default();
        let refusal = group.apply(Body::Init(Init { settings, first: join(1) })).expect_err(expected);
        assert_eq!(refusal.to_string(), expected);
        assert_eq!((group.meta.settings(), group.meta.nodes().count()), (None, 0));
    }
}

#[test]
fn a_setting_changes_alone() {
    let mut group = Group::of(3, settings());
    assert_eq!(group.set(Change { most_moves: Some(9), ..Change::default() }), Ok(Accepted::Done));
    assert_eq!(group.set(Change { repair_after: Some(SECOND), ..Change::default() }), Ok(Accepted::Done));
    let expected = Settings { most_moves: 9, repair_after: SECOND, ..settings() };
    assert_eq!(group.meta.settings(), Some(&expected));
    assert_eq!(group.set(Change { most_moves: Some(9), ..Change::default() }), Ok(Accepted::Same));
    assert_eq!(group.set(Change::default()), Ok(Accepted::Same));
    let refusal = group.set(Change { most_moves: Some(0), replication: Some(1), ..Change::default() });
    assert!(matches!(refusal, Err(Refusal::Range { field: "most moves at once", .. })));
    assert_eq!(group.meta.settings(), Some(&expected), "all of it, or nothing");
}

#[test]
fn a_repair_after_out_of_its_range_is_told_as_a_length_of_time() {
    let mut group = Group::of(3, settings());
    for (value, told) in [(0, "0s"), (-60 * SECOND, "-1m"), (366 * 24 * 3600 * SECOND, "366d"), (-1, "-1us")] {
        let refusal = group.set(Change { repair_after: Some(value), ..Change::default() }).expect_err(told);
        assert_eq!(refusal.to_string(), format!("repair_after is {told}; 1us to 365d is allowed"));
    }
}

#[test]
fn more_replicas_than_nodes_are_refused() {
    let mut group = Group::of(3, settings());
    let set =
        |group: &mut Group, replication| group.set(Change { replication: Some(replication), ..Change::default() });
    assert_eq!(set(&mut group, 4), Err(Refusal::ReplicationAboveNodes { wanted: 4, nodes: 3 }));
    assert_eq!(set(&mut group, 1), Ok(Accepted::Done));
    assert_eq!(group.apply(Body::Join(join(4))), Ok(Accepted::Node(4)));
    assert_eq!(set(&mut group, 4), Err(Refusal::ReplicationAboveNodes { wanted: 4, nodes: 3 }), "it has not come yet");
    assert_eq!(group.apply(Body::Register(register(4, 1))), Ok(Accepted::Registered { epoch: 1 }));
    assert_eq!(set(&mut group, 4), Ok(Accepted::Done));
    assert_eq!(group.drain(1, true), Ok(Accepted::Done));
    assert_eq!(set(&mut group, 4), Ok(Accepted::Same), "what is so already may be said again");
}
