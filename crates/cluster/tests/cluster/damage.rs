//! Bytes that nobody wrote: each decoder answers with an error or a value, and never panics or reserves more than it was given; and
//! rows that do not fit together are not opened.

use ::bytes::Bytes;
use flintwheel_cluster::rows::{Counters, Node, Settings, Shard};
use flintwheel_cluster::{Entry, Meta, keys};
use flintwheel_shard::{ApplyError, Replicated};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::bytes;
use crate::support::*;

/// Everything that can be read, from the same bytes; whatever can be read must be written as it was read.
fn read_all(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
    if let Ok(settings) = Settings::decode(bytes) {
        assert_eq!(settings.encode(), bytes);
    }
    if let Ok(counters) = Counters::decode(bytes) {
        assert_eq!(counters.encode(), bytes);
    }
    if let Ok(node) = Node::decode(1, bytes) {
        assert_eq!(node.encode(), bytes);
    }
    if let Ok(shard) = Shard::decode(bytes) {
        assert_eq!(shard.encode(), bytes);
    }
    let _ = keys::parse_node(bytes);
    let _ = keys::parse_shard(bytes);
}

/// One sound encoding of each kind.
fn sound() -> Vec<Vec<u8>> {
    let entries = bytes::entries().into_iter().map(|(_, entry)| entry.encode().to_vec());
    let rows =
        [bytes::settings().encode(), bytes::counters().encode(), bytes::node().encode(), bytes::shard().encode()];
    entries.chain(rows).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..200), kind in 0_u8..12) {
        read_all(&bytes);
        // With a head that is known, so that the rest is looked at.
        bytes.splice(0..bytes.len().min(2), [1, kind]);
        read_all(&bytes);
        let mut group = Group::of(1, settings());
        let _ = group.try_apply(&[bytes.into()]);
    }

    #[test]
    fn damaged_encodings_never_panic(
        (which, place, cut) in any::<(Index, Index, Index)>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = which.get(&sound()).clone();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        read_all(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        read_all(&bytes);
    }
}

#[test]
fn an_entry_that_is_not_understood_changes_nothing() {
    let sound = bytes::entries().remove(1).1.encode();
    let spoil = |spoil: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound.to_vec();
        spoil(&mut bytes);
        Bytes::from(bytes)
    };
    let cases = [
        ("of a newer version", spoil(&|bytes| bytes[0] = 2), "entry version 2"),
        ("of a newer kind", spoil(&|bytes| bytes[1] = 200), "entry kind 200"),
        ("cut off", spoil(&|bytes| bytes.truncate(bytes.len() - 1)), "expected"),
        ("with bytes too many", spoil(&|bytes| bytes.push(0)), "1 bytes too many"),
        ("empty", Bytes::new(), "1 bytes expected, 0 are left"),
    ];
    for (case, entry, expected) in cases {
        let mut group = Group::of(2, settings());
        let (state, meta) = (group.state.clone(), group.meta.clone());
        let error = group.try_apply(&[entry]).expect_err(case);
        assert!(matches!(error, ApplyError::Unknown(_)), "{case}: {error:?}");
        assert!(error.to_string().contains(expected), "{case}: {error}");
        assert_eq!((group.state, group.meta), (state, meta), "{case}");
    }
}

/// What it is, the key, the row that stands there instead, and what is said.
type Damage = (&'static str, Vec<u8>, Option<Vec<u8>>, &'static str);

#[test]
fn rows_that_do_not_fit_together_are_not_opened() {
    let mut group = Group::of(2, settings());
    group.place(0, &[1, 2]);
    let cases: [Damage; 6] = [
        ("a key of a newer version", b"x".to_vec(), Some(vec![]), "is not known"),
        ("a node of a newer version", keys::node(1), Some(vec![2]), "node version 2"),
        ("a shard on no node", keys::node(2), None, "on a node that is not there"),
        ("no settings", keys::SETTINGS.to_vec(), None, "no settings"),
        ("an id that is given out again", keys::COUNTERS.to_vec(), None, "node 1 is there"),
        ("a longer key", [keys::shard(0), vec![0]].concat(), Some(vec![]), "bytes too many"),
    ];
    for (case, key, row, expected) in cases {
        let mut state = group.state.clone();
        match row {
            Some(row) => drop(state.0.insert(key, row)),
            None => drop(state.0.remove(&key)),
        }
        let error = Meta::open(&state).expect_err(case).to_string();
        assert!(error.contains(expected), "{case}: {error}");
    }
}
