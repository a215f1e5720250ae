//! Nodes that join, register, are drained and removed.

use flintwheel_cluster::entry::{Body, Init, Join, Register};
use flintwheel_cluster::rows::{Formats, NodeState, Settings};
use flintwheel_cluster::{Accepted, META, Refusal};

use crate::support::*;

fn state(group: &Group, node: u64) -> NodeState {
    group.meta.node(node).expect("is there").state
}

#[test]
fn the_first_node_makes_the_cluster_and_holds_the_meta_group() {
    let mut group = Group::default();
    let init = |cluster, token| {
        Body::Init(Init { settings: Settings { cluster, ..settings() }, first: Join { token, ..join(1) } })
    };
    assert_eq!(group.apply(Body::Join(join(1))), Err(Refusal::NotInitialised));
    assert_eq!(group.apply(init([7; 16], 1)), Ok(Accepted::Node(1)));
    assert_eq!((group.replicas(META), group.generation(META)), (vec![(1, true)], 1));
    assert_eq!(state(&group, 1), NodeState::Joining);
    let made = group.state.clone();
    assert_eq!(group.apply(init([7; 16], 1)), Ok(Accepted::Node(1)), "the same request again");
    for (cluster, token) in [([7; 16], 2), ([8; 16], 1), ([8; 16], 3)] {
        assert_eq!(group.apply(init(cluster, token)), Err(Refusal::AlreadyInitialised { cluster: [7; 16] }));
    }
    assert_eq!(group.state, made);
}

#[test]
fn a_join_that_is_sent_again_is_the_same_node() {
    let mut group = Group::of(1, settings());
    assert_eq!(group.apply(Body::Join(join(2))), Ok(Accepted::Node(2)));
    let joined = group.state.clone();
    assert_eq!(group.apply(Body::Join(join(2))), Ok(Accepted::Node(2)));
    assert_eq!(group.state, joined);
    assert_eq!(group.apply(Body::Join(join(3))), Ok(Accepted::Node(3)));
}

#[test]
fn a_name_or_address_that_is_in_use_is_refused_until_its_node_is_drained_or_removed() {
    let mut group = Group::of(3, settings());
    let again = Join { token: 99, ..join(2) };
    let taken = Err(Refusal::NameTaken { name: "n2".into(), node: 2 });
    assert_eq!(group.apply(Body::Join(again.clone())), taken);
    let renamed = Join { name: "other".into(), ..again.clone() };
    assert_eq!(group.apply(Body::Join(renamed)), Err(Refusal::AddressTaken { address: "n2:7071".into(), node: 2 }));
    assert_eq!(group.drain(2, true), Ok(Accepted::Done));
    assert_eq!(group.apply(Body::Join(again)), Ok(Accepted::Node(4)), "it replaces the one that is drained");
    assert_eq!(group.drain(2, false), Err(Refusal::NameTaken { name: "n2".into(), node: 4 }));
    assert_eq!(group.apply(Body::Register(register(2, 2))), Ok(Accepted::Registered { epoch: 2 }));
    assert_eq!(group.remove(2, false), Ok(Accepted::Done));
}

#[test]
fn what_is_too_long_or_missing_is_refused_by_name() {
    let mut group = Group::of(1, settings());
    let long = |len: usize| "x".repeat(len);
    let mut peer = join(2);
    peer.addresses.peer = long(301);
    let mut client = join(2);
    client.addresses.client = String::new();
    let mut http = join(2);
    http.addresses.http = long(301);
    let cases = [
        (Join { name: long(129), ..join(2) }, "name has 129 bytes; 1 to 128 are allowed"),
        (Join { name: String::new(), ..join(2) }, "name has 0 bytes; 1 to 128 are allowed"),
        (Join { zone: Some(String::new()), ..join(2) }, "zone has 0 bytes; 1 to 128 are allowed"),
        (peer, "peer address has 301 bytes; 1 to 300 are allowed"),
        (client, "client address has 0 bytes; 1 to 300 are allowed"),
        (http, "http address has 301 bytes; 1 to 300 are allowed"),
    ];
    let before = group.state.clone();
    for (join, expected) in cases {
        assert_eq!(group.apply(Body::Join(join)).expect_err(expected).to_string(), expected);
    }
    let program = Register { program: long(65), ..register(1, 2) };
    let expected = "program has 65 bytes; 1 to 64 are allowed";
    assert_eq!(group.apply(Body::Register(program)).expect_err(expected).to_string(), expected);
    assert_eq!(group.state, before);
}

#[test]
fn a_disk_that_was_rolled_back_does_not_take_part() {
    let mut group = Group::of(1, settings());
    let mut start = |epoch, incarnation| {
        let register = Register { incarnation, ..register(1, epoch) };
        group.apply(Body::Register(register))
    };
    assert_eq!(start(5, 50), Ok(Accepted::Registered { epoch: 5 }));
    assert_eq!(start(5, 50), Ok(Accepted::Registered { epoch: 5 }), "the same program asks again");
    for (given, incarnation) in [(5, 51), (4, 50), (1, 1), (0, 0)] {
        assert_eq!(start(given, incarnation), Err(Refusal::RolledBack { node: 1, recorded: 5, given }));
    }
    assert_eq!(start(6, 51), Ok(Accepted::Registered { epoch: 6 }));
}

#[test]
fn a_node_that_never_registered_can_not_come_with_epoch_zero() {
    let mut group = Group::of(1, settings());
    assert_eq!(group.apply(Body::Join(join(2))), Ok(Accepted::Node(2)));
    let zero = Register { incarnation: 0, ..register(2, 0) };
    assert_eq!(group.apply(Body::Register(zero)), Err(Refusal::RolledBack { node: 2, recorded: 0, given: 0 }));
    assert_eq!(state(&group, 2), NodeState::Joining);
}

#[test]
fn programs_that_have_no_format_in_common_do_not_run_side_by_side() {
    let mut group = Group::of(3, settings());
    let with = |node, epoch, least, most| {
        Body::Register(Register { formats: Formats { least, most }, ..register(node, epoch) })
    };
    assert_eq!(group.meta.format(), Some(1));
    assert_eq!(group.apply(with(1, 2, 1, 2)), Ok(Accepted::Registered { epoch: 2 }), "one version newer");
    let refusal = group.apply(with(2, 2, 2, 3)).expect_err("node 3 speaks 1 only");
    let expected = "node 2 speaks formats 2 to 3, and node 3 1: they have none in common. Go on one version at a time";
    assert_eq!(refusal.to_string(), expected);
    assert_eq!(group.apply(with(2, 2, 1, 2)), Ok(Accepted::Registered { epoch: 2 }));
    assert_eq!(group.meta.format(), Some(1));
    assert_eq!(group.apply(with(3, 2, 2, 3)), Ok(Accepted::Registered { epoch: 2 }));
    assert_eq!(group.meta.format(), Some(2));
    let upside_down = group.apply(with(1, 3, 3, 2)).expect_err("least is above most");
    assert!(matches!(upside_down, Refusal::Range { value: 3, most: 2, .. }), "{upside_down}");
}

#[test]
fn a_drained_node_takes_part_again_when_told() {
    let mut group = Group::of(2, settings());
    let steps = [
        (1, true, Ok(Accepted::Done), NodeState::Draining),
        (1, true, Ok(Accepted::Same), NodeState::Draining),
        (2, true, Err(Refusal::LastNode { node: 2 }), NodeState::Up),
        (1, false, Ok(Accepted::Done), NodeState::Up),
        (1, false, Ok(Accepted::Same), NodeState::Up),
        (2, true, Ok(Accepted::Done), NodeState::Draining),
    ];
    for (node, drain, reply, after) in steps {
        group.at += SECOND;
        let reply_was = group.drain(node, drain);
        assert_eq!((reply_was, state(&group, node)), (reply, after));
    }
    assert_eq!(group.meta.node(2).expect("is there").since, group.at);
    assert_eq!(group.apply(Body::Register(register(2, 2))), Ok(Accepted::Registered { epoch: 2 }));
    assert_eq!(state(&group, 2), NodeState::Draining, "a restart does not end it");
    assert_eq!(group.apply(Body::Join(join(3))), Ok(Accepted::Node(3)));
    assert_eq!(group.drain(3, true), Err(Refusal::NotUp { node: 3, is: NodeState::Joining }));
    assert_eq!(group.drain(9, true), Err(Refusal::UnknownNode { node: 9 }));
}

#[test]
fn a_removed_id_never_comes_back() {
    let mut group = Group::of(3, settings());
    assert_eq!(group.remove(3, false), Ok(Accepted::Done));
    let removed = group.state.clone();
    assert_eq!(group.remove(3, false), Ok(Accepted::Same));
    assert_eq!(group.drain(3, true), Err(Refusal::Removed { node: 3 }));
    assert_eq!(group.drain(3, false), Err(Refusal::Removed { node: 3 }));
    assert_eq!(group.apply(Body::Register(register(3, 9))), Err(Refusal::Removed { node: 3 }));
    assert_eq!(group.apply(Body::Join(join(3))), Err(Refusal::Removed { node: 3 }), "with the token that it had");
    assert_eq!(group.state, removed);
    assert_eq!(group.apply(Body::Join(Join { token: 33, ..join(3) })), Ok(Accepted::Node(4)));
    assert_eq!(group.remove(9, true), Err(Refusal::UnknownNode { node: 9 }));
}

#[test]
fn a_node_that_is_needed_is_not_removed() {
    let mut group = Group::of(4, settings());
    group.place(0, &[2]);
    group.place(1, &[2, 3, 4]);
    group.place(2, &[3, 4]);
    assert_eq!(group.remove(1, true), Err(Refusal::LastVoter { node: 1, shard: META }));
    assert_eq!(group.remove(2, true), Err(Refusal::LastVoter { node: 2, shard: 0 }));
    assert_eq!(group.remove(3, true), Err(Refusal::NoMajority { node: 3, shard: 2 }));
    let mut group = Group::of(4, settings());
    group.place(1, &[2, 3, 4]);
    assert_eq!(group.remove(2, false), Err(Refusal::HoldsReplicas { node: 2, replicas: 1 }));
    assert_eq!(group.remove(2, true), Ok(Accepted::Done));
    assert_eq!(group.replicas(1), [(2, true), (3, true), (4, true)], "replaced by moves, not by this");
    assert_eq!(group.remove(3, true), Err(Refusal::NoMajority { node: 3, shard: 1 }), "one of three is gone already");
    let mut alone = Group::of(1, settings());
    assert_eq!(alone.remove(1, true), Err(Refusal::LastNode { node: 1 }));
}

#[test]
fn time_does_not_go_back_when_a_leader_with_another_clock_follows() {
    let mut group = Group::of(2, settings());
    group.at -= 3600 * SECOND;
    assert_eq!(group.drain(1, true), Ok(Accepted::Done));
    assert_eq!(group.meta.node(1).expect("is there").since, START);
}
