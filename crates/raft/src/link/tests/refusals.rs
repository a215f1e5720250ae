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
    let admit = |node: u64| if node == 9 { Err("node 9 was removed on Monday".to_owned()) } else { Ok(()) };
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, Arc::new(admit)).await;
    let other_cluster = Identity { cluster: [0xAB; 16], ..identity(CALLER) };
    let newer = Identity { versions: 5..=6, ..identity(CALLER) };
    for (me, to, reason) in [
        (
            other_cluster,
            CALLED,
            "node 2 is of cluster 30313233343536373839616263646566, the caller of cluster abababababababababababababababab",
        ),
        (identity(CALLER), 3, "this is node 2, the caller looks for node 3"),
        (newer, CALLED, "node 2 speaks protocol versions 1..=4, node 1 speaks 5..=6: upgrade the older one"),
        (identity(9), CALLED, "node 9 was removed on Monday"),
    ] {
        let links = Links::new(me, Handle::current(), anybody());
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
    let admit = move |_: u64| if asked.load(Ordering::Relaxed) { Err("removed".to_owned()) } else { Ok(()) };
    let (node, links) = (Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, Arc::new(admit)).await, links());
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

/// Of one node that knows another by its third start.
struct Known(Mutex<Vec<(u64, Start)>>, Mutex<Vec<u64>>);

const OWN: Start = Start { epoch: 5, incarnation: 6, written: 7 };

impl Presence for Known {
    fn mine(&self) -> Start {
        OWN
    }

    fn admit(&self, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn greeted(&self, node: u64, start: Start) -> Result<(), Rejection> {
        self.0.lock().push((node, start));
        match start.epoch {
            0..3 => Err(Rejection::RolledBack(format!("its start {} is over", start.epoch))),
            _ => Ok(()),
        }
    }

    fn heard(&self, _: u64, written: u64) {
        self.1.lock().push(written);
    }
}

/// One that says that it is at its second start.
struct Second;

impl Presence for Second {
    fn mine(&self) -> Start {
        Start { epoch: 2, incarnation: 1, written: 1 }
    }

    fn admit(&self, _: u64) -> Result<(), String> {
        Ok(())
    }

    fn greeted(&self, _: u64, _: Start) -> Result<(), Rejection> {
        Ok(())
    }

    fn heard(&self, _: u64, _: u64) {}
}

fn known() -> Arc<Known> {
    Arc::new(Known(Mutex::default(), Mutex::default()))
}

#[tokio::test]
async fn a_caller_that_was_rolled_back_is_told_so_and_knows_that_it_must_end() {
    let (echo, known) = (Echo::new(), known());
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, known.clone()).await;
    let links = Links::new(identity(CALLER), Handle::current(), Arc::new(Second));
    let told = text(call(&links, &node.peer, Lane::Log, 0, "a").await);
    assert_eq!(told, format!("node 2 at {}: its start 2 is over", node.peer.address));
    let mut expelled = links.expelled();
    let why = expelled.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(why, Some(format!("refused: {told}")));
    assert_eq!((echo.calls(), known.0.lock()[0]), (vec![], (CALLER, Second.mine())));
}

#[tokio::test]
async fn what_one_who_was_rolled_back_answers_is_not_believed() {
    let (echo, known) = (Echo::new(), known());
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, Arc::new(Second)).await;
    let links = Links::new(identity(CALLER), Handle::current(), known.clone());
    let told = text(call(&links, &node.peer, Lane::Log, 0, "a").await);
    assert_eq!(told, format!("node 2 at {}: its start 2 is over", node.peer.address));
    assert_eq!((links.heard(CALLED), links.expelled().borrow().clone()), (None, None), "the other one has to end");
}

#[tokio::test]
async fn each_message_says_how_much_is_written() {
    let (echo, here, there) = (Echo::new(), known(), known());
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, there.clone()).await;
    let links = Links::new(identity(CALLER), Handle::current(), here.clone());
    for _ in 0..2 {
        call(&links, &node.peer, Lane::Log, 0, "a").await.unwrap();
    }
    for (known, other) in [(here, CALLED), (there, CALLER)] {
        assert_eq!((&known.0.lock()[..], &known.1.lock()[..]), (&[(other, OWN)][..], &[7, 7][..]));
    }
}

#[tokio::test]
async fn a_program_that_does_not_know_of_starts_is_talked_to() {
    let (echo, known) = (Echo::new(), known());
    let node = Node::start_as(identity(CALLED), "127.0.0.1:0", &echo, known.clone()).await;
    let older = Identity { versions: 1..=1, ..identity(CALLER) };
    let links = Links::new(older, Handle::current(), Arc::new(Second));
    assert!(call(&links, &node.peer, Lane::Log, 0, "a").await.is_ok());
    assert_eq!(known.0.lock().len(), 0);
}
