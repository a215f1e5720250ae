//! What is full is full for itself alone, and free again afterwards.

use super::super::limits::{cost, largest_message, under_way};
use super::*;

/// A message of a lane that is held, so large that few fill it.
fn large(lane: Lane) -> Bytes {
    Bytes::from(vec![7; largest_message(lane)])
}

/// As many calls as the lane takes, none of which is answered.
fn fill(links: &Links, peer: &Peer, lane: Lane) -> Vec<BoxFuture<'static, Result<Bytes, CallError>>> {
    let message = large(lane);
    (0..under_way(lane) / cost(message.len()) as usize).map(|_| call(links, peer, lane, 0, message.clone())).collect()
}

fn holding(lane: Lane) -> Arc<Echo> {
    let echo = Echo::new();
    echo.held.lock().insert(large(lane), watch::Sender::new(false));
    echo
}

#[tokio::test]
async fn a_full_lane_says_so_and_a_call_that_is_given_up_makes_room() {
    for lane in [Lane::Log, Lane::Beat, Lane::Bulk] {
        let echo = holding(lane);
        let (node, links) = (Node::start(&echo).await, links());
        let mut calls = fill(&links, &node.peer, lane);
        assert_eq!(call(&links, &node.peer, lane, 1, large(lane)).await, Err(CallError::Busy));
        drop(calls.pop());
        calls.push(call(&links, &node.peer, lane, 1, large(lane)));
        assert_eq!(call(&links, &node.peer, lane, 1, large(lane)).await, Err(CallError::Busy));

        echo.held.lock()[&large(lane)].send_replace(true);
        for call in calls {
            assert_eq!(call.await, Ok(large(lane)));
        }
        assert_eq!(call(&links, &node.peer, lane, 1, large(lane)).await, Ok(large(lane)));
    }
}

#[tokio::test]
async fn a_full_lane_does_not_hold_up_the_others() {
    let echo = holding(Lane::Bulk);
    let (node, links) = (Node::start(&echo).await, links());
    let calls = fill(&links, &node.peer, Lane::Bulk);
    let calls = tokio::spawn(futures::future::join_all(calls));
    echo.called(1).await;
    assert_eq!(call(&links, &node.peer, Lane::Bulk, 1, large(Lane::Bulk)).await, Err(CallError::Busy));
    for lane in [Lane::Beat, Lane::Log] {
        assert_eq!(call(&links, &node.peer, lane, 0, "a").await, Ok("a".into()));
    }
    assert!(!calls.is_finished());
}

#[tokio::test]
async fn a_full_link_to_one_node_does_not_hold_up_another_node() {
    let echo = holding(Lane::Log);
    let (node, links) = (Node::start(&echo).await, links());
    let other = Node::start_as(identity(3), "127.0.0.1:0", &echo, anybody()).await;
    let _calls = fill(&links, &node.peer, Lane::Log);
    assert_eq!(call(&links, &node.peer, Lane::Log, 0, large(Lane::Log)).await, Err(CallError::Busy));
    assert_eq!(call(&links, &other.peer, Lane::Log, 0, "a").await, Ok("a".into()));
}

#[tokio::test]
async fn what_callers_gave_up_before_it_was_sent_is_not_sent() {
    let echo = Echo::new();
    let (node, links) = (Node::start(&echo).await, links());
    // One thread: nothing is sent before the first `await`.
    drop(call(&links, &node.peer, Lane::Log, 0, "given up"));
    assert_eq!(call(&links, &node.peer, Lane::Log, 0, "a").await, Ok("a".into()));
    assert_eq!(echo.calls(), [(CALLER, 0, "a".into())]);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_its_limit() {
    let (node, links) = (Node::start(&Echo::new()).await, links());
    for lane in [Lane::Log, Lane::Beat, Lane::Bulk] {
        let limit = largest_message(lane);
        let outcome = call(&links, &node.peer, lane, 0, vec![0; limit + 1]).await;
        assert_eq!(outcome, Err(CallError::TooLarge { bytes: limit + 1, limit }));
    }
    assert_eq!(links.stats(), Default::default());
}
