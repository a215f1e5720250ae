//! What stands on disk and in the log, byte for byte: `golden.txt` has one line for each kind of entry, row and key. A line that
//! changes is a new format version, with the old one still read; it is never just edited.

use flintwheel_cluster::entry::{
    BeginMove, Body, Change, Drain, EndMove, Init, Join, MoveOutcome, Placement, Register, Remove, StepMove,
};
use flintwheel_cluster::rows::{
    Addresses, Counters, Formats, Move, MoveStep, Node, NodeState, Reason, Replica, Role, Settings, Shard,
};
use flintwheel_cluster::{Entry, META, Meta, keys};

use crate::support::Group;

/// The committed line of this name, as bytes; none of them where there is no such line.
fn golden(name: &str) -> Vec<u8> {
    let mut lines = include_str!("golden.txt").lines().filter_map(|line| line.split_once(' '));
    let (_, hex) = lines.find(|(known, _)| *known == name).unwrap_or_default();
    let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex digits")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Collects all that differ, so that one run shows each.
fn assert_golden(cases: &[(impl AsRef<str>, Vec<u8>)]) {
    let differs = |(name, bytes): &&(_, Vec<u8>)| golden(AsRef::as_ref(name)) != *bytes;
    let differing: Vec<String> =
        cases.iter().filter(differs).map(|(name, bytes)| format!("{} {}", name.as_ref(), hex(bytes))).collect();
    assert!(differing.is_empty(), "the format has changed:\n{}", differing.join("\n"));
}

fn addresses() -> Addresses {
    Addresses { peer: "p:1".into(), client: "c:2".into(), http: "h:3".into() }
}

fn first() -> Join {
    Join { name: "n1".into(), addresses: addresses(), zone: Some("z".into()), capacity: Some(0x0A0B), token: 0x0C0D }
}

/// One entry of each kind, each field with a value of its own.
pub fn entries() -> Vec<(&'static str, Entry)> {
    let register = Register {
        node: 1,
        epoch: 2,
        incarnation: 3,
        addresses: addresses(),
        zone: Some("z".into()),
        capacity: Some(4),
        program: "0.1.0".into(),
        formats: Formats { least: 5, most: 6 },
    };
    let change = Change { replication: Some(5), repair_after: Some(-6), most_moves: Some(7) };
    let begin = BeginMove { shard: 1, generation: 2, from: Some(3), to: Some(4), reason: Reason::Zone };
    let bodies = [
        ("init", Body::Init(Init { settings: settings(), first: first() })),
        ("join", Body::Join(Join { zone: None, capacity: None, token: u128::MAX - 1, ..first() })),
        ("register", Body::Register(register)),
        ("drain", Body::Drain(Drain { node: 1, drain: true })),
        ("undrain", Body::Drain(Drain { node: 2, drain: false })),
        ("remove", Body::Remove(Remove { node: 1, force: true })),
        ("settings", Body::SetSettings(change)),
        ("settings.none", Body::SetSettings(Change::default())),
        ("begin", Body::BeginMove(begin)),
        ("begin.none", Body::BeginMove(BeginMove { from: None, to: None, reason: Reason::Rebalance, ..begin })),
        ("step", Body::StepMove(StepMove { shard: 1, generation: 2, step: MoveStep::Promote })),
        ("end", Body::EndMove(EndMove { shard: 1, generation: 2, outcome: MoveOutcome::Done })),
        ("abandon", Body::EndMove(EndMove { shard: META, generation: 2, outcome: MoveOutcome::Abandoned })),
        (
            "replicas",
            Body::SetReplicas(vec![Placement { shard: 1, nodes: vec![2, 3] }, Placement { shard: 4, nodes: vec![] }]),
        ),
    ];
    bodies.map(|(name, body)| (name, Entry { at: 0x0102_0304_0506, body })).into()
}

pub fn settings() -> Settings {
    Settings { cluster: [0xC1; 16], shards: 16, replication: 3, repair_after: 0x0708, most_moves: 2 }
}

pub fn node() -> Node {
    Node {
        id: 1,
        name: "n1".into(),
        addresses: addresses(),
        zone: Some("z".into()),
        capacity: Some(2),
        token: 3,
        state: NodeState::Draining,
        since: 4,
        epoch: 5,
        incarnation: 6,
        program: "0.1.0".into(),
        formats: Formats { least: 7, most: 8 },
    }
}

pub fn shard() -> Shard {
    let pending = Move { from: Some(1), to: None, step: MoveStep::Remove, started: -2, reason: Reason::Repair };
    let replicas =
        vec![Replica { node: 1, role: Role::Voter, since: 2 }, Replica { node: 3, role: Role::Learner, since: 4 }];
    Shard { replicas, generation: 5, pending: Some(pending) }
}

pub fn counters() -> Counters {
    Counters { clock: -1, next_node: 2 }
}

#[test]
fn each_kind_of_entry_has_its_bytes() {
    let entries = entries();
    let cases: Vec<_> =
        entries.iter().map(|(name, entry)| (format!("entry.{name}"), entry.encode().to_vec())).collect();
    assert_golden(&cases);
    for (name, entry) in entries {
        assert_eq!(Entry::decode(&golden(&format!("entry.{name}"))), Ok(entry));
    }
}

#[test]
fn each_row_has_its_bytes() {
    let bare = Node { zone: None, capacity: None, ..node() };
    let settled = Shard { pending: None, ..shard() };
    assert_golden(&[
        ("row.settings", settings().encode()),
        ("row.counters", counters().encode()),
        ("row.node", node().encode()),
        ("row.node.bare", bare.encode()),
        ("row.shard", shard().encode()),
        ("row.shard.settled", settled.encode()),
    ]);
    assert_eq!(Settings::decode(&golden("row.settings")), Ok(settings()));
    assert_eq!(Counters::decode(&golden("row.counters")), Ok(counters()));
    assert_eq!(Node::decode(1, &golden("row.node")), Ok(node()));
    assert_eq!(Node::decode(1, &golden("row.node.bare")), Ok(bare));
    assert_eq!(Shard::decode(&golden("row.shard")), Ok(shard()));
    assert_eq!(Shard::decode(&golden("row.shard.settled")), Ok(settled));
}

/// Each code, by itself: the order of an enum's lines must not matter.
#[test]
fn each_code_has_its_byte() {
    let node = |state| Node { state, ..node() }.encode();
    let states = [NodeState::Joining, NodeState::Up, NodeState::Draining, NodeState::Removed].map(node);
    let with = |step, reason| {
        let pending = Some(Move { from: None, to: None, step, started: 0, reason });
        Shard { replicas: vec![], generation: 0, pending }.encode()
    };
    use MoveStep::{Abandon, AddLearner, CatchUp, Promote};
    use Reason::{Command, Drain, Rebalance, Repair, Zone};
    let steps = [AddLearner, CatchUp, Promote, MoveStep::Remove, Abandon].map(|step| with(step, Repair));
    let reasons = [Repair, Drain, Zone, Rebalance, Command].map(|reason| with(AddLearner, reason));
    // Where two encodings differ, and what stands there.
    let codes = |all: &[Vec<u8>]| -> Vec<u8> {
        let place = (0..all[0].len()).find(|place| all[0][*place] != all[1][*place]).expect("they differ");
        all.iter().map(|bytes| bytes[place]).collect()
    };
    assert_eq!(codes(&states), [1, 2, 3, 4]);
    assert_eq!(codes(&steps), [1, 2, 3, 4, 5]);
    assert_eq!(codes(&reasons), [1, 2, 3, 4, 5]);
}

#[test]
fn each_key_has_its_bytes() {
    assert_golden(&[
        ("key.settings", keys::SETTINGS.to_vec()),
        ("key.counters", keys::COUNTERS.to_vec()),
        ("key.node", keys::node(0x0102)),
        ("key.shard", keys::shard(0x0304)),
    ]);
    for id in [0, 1, 256, u64::MAX] {
        assert_eq!(keys::parse_node(&keys::node(id)), Ok(id));
    }
    for shard in [0, 1, 256, META] {
        assert_eq!(keys::parse_shard(&keys::shard(shard)), Ok(shard));
    }
}

/// What a node without a replica of the meta group holds, in memory and in a file, and what one that joins is given.
#[test]
fn a_copy_of_all_rows_has_its_bytes() {
    let meta = Group::of(1, settings()).meta;
    assert_golden(&[("copy", meta.to_bytes()), ("copy.empty", Meta::default().to_bytes())]);
    assert_eq!(Meta::from_bytes(&golden("copy")), Ok(meta));
    assert_eq!(Meta::from_bytes(&golden("copy.empty")), Ok(Meta::default()));
}
