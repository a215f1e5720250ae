//! What is on disk stays readable: golden bytes, and every kind of damage is seen.

use super::*;
use crate::candidate::Candidate;
use crate::types::Membership;
use openraft::BasicNode;
use std::collections::{BTreeMap, BTreeSet};

const GROUP: u32 = 3;
const INDEX: u64 = 300;

fn id(term: u64, node_id: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id }, index)
}

fn membership() -> Membership {
    let nodes = BTreeMap::from([(1, BasicNode::new("a:1")), (2, BasicNode::new("b:2")), (900, BasicNode::new(""))]);
    Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2])], nodes).unwrap()
}

fn entries() -> [(&'static str, Entry); 3] {
    let entry = |payload| Entry::new(id(200, 1, INDEX), payload);
    [
        ("blank", entry(EntryPayload::Blank)),
        ("command", entry(EntryPayload::Normal(Command(Bytes::from_static(b"hello"))))),
        ("membership", entry(EntryPayload::Membership(membership()))),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoded(entry: &Entry) -> Vec<u8> {
    let mut bytes = b"left over".to_vec();
    encode_entry(&mut bytes, place(GROUP, INDEX), entry);
    bytes
}

#[test]
fn entries_have_these_bytes_and_are_read_back() {
    let golden = [
        "01c2d7377306c6ae4500c80101",
        "01a8e5e7c28dc9c05b01c8010168656c6c6f",
        "011c694fa6d23fc3b102c80101020201020102030103613a310203623a32840700",
    ];
    for ((name, entry), golden) in entries().into_iter().zip(golden) {
        let bytes = encoded(&entry);
        assert_eq!(hex(&bytes), golden, "{name}");
        assert_eq!(decode_entry(place(GROUP, INDEX), INDEX, &bytes), Ok(entry), "{name}");
    }
}

#[test]
fn positions_have_these_bytes_and_are_read_back() {
    let at = place(7, 1);
    let vote = Vote { leader_id: Candidate { term: 5, node_id: 2 }, committed: true };
    assert_eq!(hex(&encode_vote(at, &vote)), "01b5d09fc5257bfa8903050201");
    assert_eq!(decode_vote(at, &encode_vote(at, &vote)), Ok(vote));
    let position = id(5, 2, 1 << 40);
    assert_eq!(hex(&encode_position(at, &position)), "018ba62f5404c943d0040502808080808020");
    assert_eq!(decode_position(at, &encode_position(at, &position)), Ok(position));
    assert_eq!(hex(&encode_number(at, 16)), "01605821f9b3f7c1c30610");
    assert_eq!(decode_number(at, &encode_number(at, 16)), Ok(16));
    let applied = Applied { last: Some(position), membership: StoredMembership::new(Some(id(1, 1, 0)), membership()) };
    assert_eq!(
        hex(&encode_applied(at, &applied)),
        "01ed4993e52236c9c00501050280808080802001010100020201020102030103613a310203623a32840700"
    );
    for applied in [applied, Applied::default()] {
        assert_eq!(decode_applied(at, &encode_applied(at, &applied)), Ok(applied));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    for (name, entry) in entries() {
        let bytes = encoded(&entry);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_entry(place(GROUP, INDEX), INDEX, &damaged).is_err(), "{name} bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(decode_entry(place(GROUP, INDEX), INDEX, &bytes[..length]).is_err(), "{name} cut to {length}");
        }
    }
}

#[test]
fn an_entry_under_another_key_is_an_error() {
    let bytes = encoded(&entries()[1].1);
    for (group, index) in [(GROUP, INDEX + 1), (GROUP + 1, INDEX)] {
        assert_eq!(decode_entry(place(group, index), index, &bytes), Err(DecodeError::Checksum));
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut bytes = encoded(&entries()[0].1);
    bytes[0] = 2;
    assert_eq!(decode_entry(place(GROUP, INDEX), INDEX, &bytes), Err(DecodeError::Newer(2)));
}

#[test]
fn a_value_of_another_kind_is_an_error() {
    let at = place(1, 1);
    assert_eq!(decode_position(at, &encode_number(at, 5)), Err(DecodeError::Malformed));
    assert_eq!(decode_entry(at, 1, &encode_position(at, &id(1, 1, 1))), Err(DecodeError::Malformed));
}

#[test]
fn numbers_of_all_lengths_are_read_back() {
    for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
        let mut bytes = Vec::new();
        put_number(&mut bytes, number);
        let mut rest = bytes.as_slice();
        assert_eq!(take_number(&mut rest), Ok(number));
        assert!(rest.is_empty());
    }
    assert_eq!(take_number(&mut [0xff; 11].as_slice()), Err(DecodeError::Malformed));
}
