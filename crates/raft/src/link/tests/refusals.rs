//! Who must not talk to whom is told so, in words that say what is wrong.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn text(outcome: Result<Bytes, CallError>) -> String {
    match outcome {
        Err(CallError::Refused(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let echo = Echo::new();
    let admit = |node| if node == 9 { Err("node 9 was removed on Monday".to_owned()) } else { Ok(()) };
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, admit).await;
    let other_cluster = Identity { cluster: [0xAB; 16], ..identity(CALLER) };
    let newer = Identity { versions: 4..=5, ..identity(CALLER) };
    for (me, to, reason) in [
        (
            other_cluster,
            CALLED,
            "node 2 is of cluster 30313233343536373839616263646566, the caller of cluster abababababababababababababababab",
        ),
        (identity(CALLER), 3, "this is node 2, the caller looks for node 3"),
        (newer, CALLED, "node 2 speaks protocol versions 1..=3, node 1 speaks 4..=5: upgrade the older one"),
        (identity(9), CALLED, "node 9 was removed on Monday"),
    ] {
        let links = Links::new(me, Handle::current());
        let peer = Peer { node: to, ..node.peer.clone() };
        let told = text(call(&links, &peer, Lane::Log, 0, "a").await);
        assert_eq!(told, format!("node {to} at {}: {reason}", peer.address));
        // Until it tries again, it says the same.
        assert_eq!(call(&links, &peer, Lane::Log, 0, "b").now_or_never().map(text), Some(told));
        assert_eq!(links.heard(to), None);
    }
    assert_eq!(echo.calls(), []);
}

#[tokio::test]
async fn a_node_that_is_removed_loses_the_links_that_it_has() {
    let (echo, removed) = (Echo::holding(&["stuck"]), Arc::new(AtomicBool::new(false)));
    let asked = removed.clone();
    let admit = move |_| if asked.load(Ordering::Relaxed) { Err("removed".to_owned()) } else { Ok(()) };
    let (node, links) = (Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, admit).await, links());
    let stuck = tokio::spawn(call(&links, &node.peer, Lane::Log, 0, "stuck"));
    echo.called(1).await;
    removed.store(true, Ordering::Relaxed);
    let told = text(call(&links, &node.peer, Lane::Log, 0, "a").await);
    assert_eq!(told, format!("node 2 at {}: removed", node.peer.address));
    assert_eq!(text(stuck.await.unwrap()), told);
    assert_eq!(echo.calls().len(), 1);
}

#[tokio::test]
async fn another_service_at_the_address_is_no_door_for_peers() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).await;
    let peer = Peer { node: CALLED, address: listener.local_addr().unwrap().to_string().into() };
    let nothing = peer_server().add_routes(tonic::service::Routes::default());
    let server = tokio::spawn(nothing.serve_with_incoming(TcpListenerStream::new(listener)));
    let told = text(call(&links(), &peer, Lane::Log, 0, "a").await);
    assert!(told.ends_with("something else than a door for peers answers there"), "{told}");
    server.abort();
}
