//! What happens when something breaks: nobody waits for nothing, and what is back is found again.

use super::*;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn a_killed_node_fails_what_waits_and_is_found_again_at_its_address() {
    let echo = Echo::holding(&["stuck"]);
    let (mut node, links) = (Node::start(&echo).await, links());
    for lane in [Lane::Log, Lane::Beat, Lane::Bulk] {
        call_until_answered(&links, &node.peer, lane, "before").await;
        let stuck = tokio::spawn(call(&links, &node.peer, lane, 1, "stuck"));
        let last = |calls: &Vec<(u64, u32, Bytes)>| calls.last().is_some_and(|(.., message)| message == "stuck");
        echo.calls.subscribe().wait_for(last).await.unwrap();
        node.kill();
        let outcome = stuck.await.unwrap();
        assert!(is_unreachable(&outcome), "{outcome:?}");

        node = Node::start_as(identity(CALLED), &node.peer.address, &echo, anybody()).await;
        call_until_answered(&links, &node.peer, lane, "after").await;
    }
}

#[tokio::test]
async fn after_a_failure_calls_fail_at_once_and_then_connect_again() {
    // Bound and closed again: nobody is there.
    let address = listen("127.0.0.1:0".parse().unwrap()).await.local_addr().unwrap();
    let peer = Peer { node: CALLED, address: address.to_string().into() };
    let links = links();
    let outcome = call(&links, &peer, Lane::Log, 0, "a").await;
    let Err(CallError::Unreachable(text)) = &outcome else { panic!("{outcome:?}") };
    assert!(text.starts_with(&format!("node 2 at {address}: ")) && text.contains("refused"), "{text}");
    // Never polled, or polled once, it has failed.
    assert_eq!(call(&links, &peer, Lane::Log, 0, "b").now_or_never(), Some(outcome));
    let _node = Node::start_as(identity(CALLED), &peer.address, &Echo::new(), anybody()).await;
    call_until_answered(&links, &peer, Lane::Log, "c").await;
}

#[tokio::test]
async fn a_door_that_never_answers_is_unreachable() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).await;
    let peer = Peer { node: CALLED, address: listener.local_addr().unwrap().to_string().into() };
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // Until the other side has given up.
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        all.len()
    });
    let outcome = call(&links(), &peer, Lane::Beat, 0, "a").await;
    let text = format!("node 2 at {}: no handshake within 1s", peer.address);
    assert_eq!(outcome, Err(CallError::Unreachable(text)));
    assert!(silent.await.unwrap() > 0);
}

#[tokio::test]
async fn an_address_that_has_changed_replaces_the_link() {
    let echo = Echo::holding(&["stuck"]);
    let (old, new, links) = (Node::start(&echo).await, Node::start(&echo).await, links());
    let stuck = tokio::spawn(call(&links, &old.peer, Lane::Log, 0, "stuck"));
    echo.called(1).await;
    assert_eq!(call(&links, &new.peer, Lane::Log, 0, "a").await, Ok("a".into()));
    let text = format!("node 2 at {}: the node's address is {} now", old.peer.address, new.peer.address);
    assert_eq!(stuck.await.unwrap(), Err(CallError::Unreachable(text)));
    assert_eq!((old.door.stats().log.links_opened, new.door.stats().log.links_opened), (1, 1));
}

#[tokio::test]
async fn an_answer_that_panics_fails_its_call_alone() {
    let echo = Echo::holding(&["held"]);
    let (node, links) = (Node::start(&echo).await, links());
    let held = tokio::spawn(call(&links, &node.peer, Lane::Log, 0, "held"));
    let outcome = call(&links, &node.peer, Lane::Log, 0, PANIC).await;
    assert_eq!(outcome, Err(CallError::Unreachable("it failed to answer: see its log".to_owned())));
    echo.release("held");
    assert_eq!(held.await.unwrap(), Ok("held".into()));
}

#[tokio::test]
async fn links_that_are_dropped_and_a_runtime_that_ends_leave_nobody_waiting() {
    let echo = Echo::holding(&["stuck"]);
    let node = Node::start(&echo).await;
    let dropped = links();
    let stuck = tokio::spawn(call(&dropped, &node.peer, Lane::Log, 0, "stuck"));
    echo.called(1).await;
    drop(dropped);
    let text = format!("node 2 at {}: this node ends", node.peer.address);
    assert_eq!(stuck.await.unwrap(), Err(CallError::Unreachable(text)));

    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let links = Links::new(identity(CALLER), runtime.handle().clone(), anybody());
    let stuck = tokio::spawn(call(&links, &node.peer, Lane::Log, 0, "stuck"));
    echo.called(2).await;
    runtime.shutdown_background();
    assert!(is_unreachable(&stuck.await.unwrap()));
    // Another lane: its connection would begin on a runtime that is no more.
    assert!(is_unreachable(&call(&links, &node.peer, Lane::Beat, 0, "a").await));
}

#[tokio::test]
async fn a_door_that_stops_ends_its_links_and_takes_no_more() {
    let echo = Echo::holding(&["stuck"]);
    let (node, links) = (Node::start(&echo).await, links());
    let stuck = tokio::spawn(call(&links, &node.peer, Lane::Log, 0, "stuck"));
    echo.called(1).await;
    node.door.stop();
    for outcome in [stuck.await.unwrap(), call(&links, &node.peer, Lane::Beat, 0, "a").await] {
        let Err(CallError::Unreachable(text)) = &outcome else { panic!("{outcome:?}") };
        assert!(text.contains("the node is stopping"), "{text}");
    }
}
