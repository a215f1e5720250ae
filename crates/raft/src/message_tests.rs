//! What nodes of two versions say to each other must keep its bytes; what was cut or changed is no message.

use super::*;
use crate::candidate::Candidate;
use crate::types::{Command, LeaderId, Membership};
use openraft::entry::RaftEntry;
use openraft::{BasicNode, EntryPayload};
use std::collections::{BTreeMap, BTreeSet};

const GROUP: u32 = 3;

fn id(term: u64, index: u64) -> LogId {
    LogId::new(LeaderId { term, node_id: 1 }, index)
}

fn vote(term: u64) -> Vote {
    Vote { leader_id: Candidate { term, node_id: 2 }, committed: true }
}

fn membership() -> Membership {
    let nodes = BTreeMap::from([(1, BasicNode::new("a:1")), (2, BasicNode::new("b:2"))]);
    Membership::new(vec![BTreeSet::from([1, 2])], nodes).unwrap()
}

fn offer() -> Offer {
    let file = ExportedFile { name: "names-0.sst".into(), column: "names".into(), bytes: 300, checksum: 7 };
    let applied = Applied { last: Some(id(4, 9)), membership: StoredMembership::new(Some(id(1, 0)), membership()) };
    Offer { vote: vote(5), applied, files: vec![file] }
}

fn requests() -> Vec<(&'static str, Request)> {
    let payloads = [
        EntryPayload::Blank,
        EntryPayload::Normal(Command(Bytes::from_static(b"hi"))),
        EntryPayload::Membership(membership()),
    ];
    let entries = payloads.into_iter().zip(10..).map(|(payload, index)| Entry::new(id(5, index), payload)).collect();
    let append = |prev_log_id, entries| AppendEntriesRequest {
        vote: vote(5),
        prev_log_id,
        entries,
        leader_commit: Some(id(4, 8)),
    };
    let mut asked = VoteRequest::new(vote(6), Some(id(5, 12)));
    let plain = asked.clone();
    asked.leadership_transfer = true;
    vec![
        ("append", Request::Append(append(Some(id(4, 9)), entries))),
        ("heartbeat", Request::Append(append(None, vec![]))),
        ("vote", Request::Vote(asked)),
        ("pre-vote", Request::PreVote(plain)),
        ("take lead", Request::TakeLead { from: vote(5), to: 3, last: Some(id(5, 12)) }),
        ("offer", Request::Offer(offer())),
        ("piece", Request::Piece { offer: 1, file: 2, offset: 300, bytes: Bytes::from_static(b"data") }),
        ("install", Request::Install { offer: 1, vote: vote(5) }),
        ("sleep", Request::Sleep { token: 300, vote: vote(5), last: id(5, 12) }),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    use AppendEntriesResponse::{Conflict, HigherVote, PartialSuccess, Success};
    use TransferLeaderError::{LogNotFlushed, VoteChanged};
    let voted = VoteResponse { vote: vote(6), last_log_id: Some(id(5, 12)), vote_granted: true };
    vec![
        ("success", Answer::Append(Success)),
        ("partial", Answer::Append(PartialSuccess(Some(id(5, 11))))),
        ("conflict", Answer::Append(Conflict)),
        ("higher vote", Answer::Append(HigherVote(vote(9)))),
        ("voted", Answer::Vote(voted)),
        ("led", Answer::TakeLead(Ok(()))),
        ("vote changed", Answer::TakeLead(Err(VoteChanged { expected: vote(5), actual: vote(6) }))),
        ("not flushed", Answer::TakeLead(Err(LogNotFlushed { expected: Some(id(5, 12)), actual: None }))),
        ("wanted", Answer::Wanted { offer: 1, have: vec![0, 300] }),
        ("taken", Answer::Taken),
        ("installed", Answer::Installed { vote: vote(5) }),
        ("slept", Answer::Slept { boot: 300 }),
        ("failed", Answer::Failed("no".to_owned())),
    ]
}

/// All messages, in hex: golden, because nodes of two versions run side by side.
fn golden() -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let requests = requests().into_iter().map(|(name, request)| (name, request.encode(GROUP)));
    let answers = answers().into_iter().map(|(name, answer)| (name, answer.encode(GROUP)));
    requests.chain(answers).map(|(name, bytes)| format!("{name}: {}\n", hex(&bytes))).collect()
}

#[test]
fn messages_have_these_bytes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/message_golden.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, golden()).unwrap();
    }
    assert_eq!(golden(), std::fs::read_to_string(path).unwrap(), "set UPDATE_GOLDEN=1 to write it anew");
}

#[test]
fn messages_are_read_back() {
    for (name, request) in requests() {
        let read = Request::decode(GROUP, &request.encode(GROUP)).unwrap();
        assert_eq!(format!("{read:?}"), format!("{request:?}"), "{name}");
    }
    for (name, answer) in answers() {
        assert_eq!(Answer::decode(GROUP, &answer.encode(GROUP)), Ok(answer), "{name}");
    }
}

#[test]
fn what_was_cut_changed_or_meant_for_another_group_is_no_message() {
    let messages = requests().into_iter().map(|(_, request)| request.encode(GROUP));
    for bytes in messages.chain(answers().into_iter().map(|(_, answer)| answer.encode(GROUP))) {
        let refused =
            |group, bytes: Bytes| Request::decode(group, &bytes).is_err() && Answer::decode(group, &bytes).is_err();
        assert!(refused(GROUP + 1, bytes.clone()));
        for cut in 0..bytes.len() {
            assert!(refused(GROUP, bytes.slice(..cut)), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(refused(GROUP, damaged.into()), "bit {bit}");
        }
    }
}

#[test]
fn a_count_that_lies_allocates_nothing() {
    let mut into = Vec::new();
    sealed(&mut into, seed(GROUP), OFFER, |into| {
        put_vote(into, &vote(1));
        into.extend_from_slice(&[0, 0, 0, 0]);
        put_number(into, MOST_FILES);
    });
    assert!(Request::decode(GROUP, &into.into()).is_err());
}

#[test]
fn an_offer_of_the_same_files_is_the_same_whoever_leads() {
    let (one, other) = (offer(), Offer { vote: vote(9), ..offer() });
    assert_eq!(one.id(GROUP), other.id(GROUP));
    let mut changed = offer();
    changed.files[0].checksum += 1;
    assert_ne!(one.id(GROUP), changed.id(GROUP));
    assert_ne!(one.id(GROUP), one.id(GROUP + 1));
}
