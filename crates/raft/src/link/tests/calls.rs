//! What calls are promised while nothing breaks: their own answer, their order, and no waiting for others.

use super::*;
use futures::future::join_all;
use std::collections::BTreeMap;

#[tokio::test]
async fn each_call_gets_its_own_answer_though_they_come_in_another_order() {
    let messages = ["a", "b", "c"];
    let echo = Echo::holding(&messages);
    let (node, links) = (Node::start(&echo).await, links());
    let mut calls: Vec<_> =
        messages.iter().map(|message| tokio::spawn(call(&links, &node.peer, Lane::Log, 7, *message))).collect();
    echo.called(3).await;
    for message in ["c", "b", "a"] {
        echo.release(message);
        assert_eq!(calls.pop().unwrap().await.unwrap(), Ok(message.into()));
        assert!(calls.iter().all(|call| !call.is_finished()));
    }
    assert_eq!(echo.calls(), messages.map(|message| (CALLER, 7, message.into())));
}

#[tokio::test]
async fn ten_thousand_calls_of_a_thousand_groups_keep_the_order_of_each_group_and_travel_together() {
    const GROUPS: u32 = 1000;
    const EACH: u32 = 10;
    let echo = Echo::new();
    let (node, links) = (Node::start(&echo).await, links());
    let message = |n: u32, group: u32| Bytes::from(format!("{group}/{n}"));
    let order: Vec<_> = (0..EACH).flat_map(|n| (0..GROUPS).map(move |group| (n, group))).collect();
    // This runtime has one thread, so all calls are made before the connection is. The last one's future is polled first.
    let calls = order.iter().map(|&(n, group)| call(&links, &node.peer, Lane::Log, group, message(n, group)));
    let calls: Vec<_> = calls.collect();
    let outcomes = join_all(calls.into_iter().rev()).await;
    let expected: Vec<_> = order.iter().rev().map(|&(n, group)| Ok(message(n, group))).collect();
    assert_eq!(outcomes, expected);

    let mut by_group: BTreeMap<u32, Vec<Bytes>> = BTreeMap::new();
    for (_, group, message) in echo.calls() {
        by_group.entry(group).or_default().push(message);
    }
    for (group, messages) in &by_group {
        assert_eq!(*messages, (0..EACH).map(|n| message(n, *group)).collect::<Vec<_>>());
    }
    assert_eq!(by_group.len(), GROUPS as usize);

    let (ours, theirs) = (links.stats().log, node.door.stats().log);
    assert_eq!((ours.messages_out, ours.messages_in, ours.batches_out, ours.links_opened), (10_000, 10_000, 10, 1));
    assert_eq!((ours.bytes_out, ours.bytes_in), (theirs.bytes_in, theirs.bytes_out));
    assert_eq!((theirs.messages_in, theirs.messages_out, theirs.links_opened), (10_000, 10_000, 1));
    assert_eq!((links.stats().beat, links.stats().bulk), Default::default());
}

#[tokio::test]
async fn a_group_that_hangs_does_not_hold_up_another_one() {
    let echo = Echo::holding(&["stuck"]);
    let (node, links) = (Node::start(&echo).await, links());
    let stuck = tokio::spawn(call(&links, &node.peer, Lane::Log, 1, "stuck"));
    echo.called(1).await;
    assert_eq!(call(&links, &node.peer, Lane::Log, 2, "free").await, Ok("free".into()));
    assert!(!stuck.is_finished());
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_given_up_on_both_sides() {
    let echo = Echo::holding(&["stuck"]);
    let (node, links) = (Node::start(&echo).await, links());
    let within = Duration::from_millis(20);
    let came_in = || echo.calls().iter().any(|(.., message)| message == "stuck");
    // On a busy machine it may be given up before it is sent.
    while !came_in() {
        let outcome = links.call(&node.peer, Lane::Log, 1, "stuck".into(), within).await;
        assert_eq!(outcome, Err(CallError::TimedOut(within)));
    }
    let stuck = echo.held.lock()["stuck".as_bytes()].clone();
    stuck.closed().await;
    // The link goes on.
    assert_eq!(call(&links, &node.peer, Lane::Log, 1, "free").await, Ok("free".into()));
    assert_eq!(links.stats().log.links_opened, 1);
}

#[tokio::test]
async fn a_node_is_heard_when_it_has_answered_on_any_lane() {
    let echo = Echo::new();
    let (node, links) = (Node::start(&echo).await, links());
    assert_eq!(links.heard(CALLED), None);
    call(&links, &node.peer, Lane::Bulk, 0, "a").await.unwrap();
    let after_bulk = links.heard(CALLED).unwrap();
    while links.heard(CALLED).unwrap() <= after_bulk {
        tokio::task::yield_now().await;
    }
    call(&links, &node.peer, Lane::Beat, 0, "a").await.unwrap();
    assert!(links.heard(CALLED).is_some() && links.heard(3).is_none());
}

#[tokio::test]
async fn messages_may_be_empty_and_as_large_as_their_lane_takes() {
    let echo = Echo::new();
    let (node, links) = (Node::start(&echo).await, links());
    for lane in [Lane::Log, Lane::Beat, Lane::Bulk] {
        for bytes in [0, 1, super::super::largest_message(lane)] {
            let message = Bytes::from(vec![7; bytes]);
            assert_eq!(call(&links, &node.peer, lane, u32::MAX, message.clone()).await, Ok(message));
        }
    }
}
