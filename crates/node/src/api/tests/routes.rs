//! Which nodes are asked, one after the other, and what is told in the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flintwheel_model::DefinitionKey;
use flintwheel_raft::CallError;
use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::Value;

use super::{ME, calls, close, sealed, stranger};
use crate::api::ApiError;
use crate::api::ask::{Act, Reply, Told};
use crate::error::EngineError;

/// More than any healthy machine needs.
const LONG: Duration = Duration::from_secs(60);

/// What a node says to one call.
type Said = Result<Reply, CallError>;

#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Said>>,
    /// Whom, and whether it was said to be asked again.
    asked: Mutex<Vec<(u64, bool)>>,
}

impl Script {
    /// Each call gets the next answer; where there is none, the node is away.
    fn play(self: &Arc<Self>, node: u64, message: &[u8]) -> Result<bytes::Bytes, CallError> {
        let question: Value = serde_json::from_slice(message).expect("JSON");
        self.asked.lock().push((node, question["shard"]["again"] == true));
        let answer = self.answers.lock().pop_front().unwrap_or_else(away);
        answer.map(|reply| sealed(&reply))
    }
}

fn away() -> Said {
    Err(CallError::Unreachable("away".into()))
}

fn told() -> Said {
    Ok(Reply::Told(Told::Settled(vec![true])))
}

fn not_led(leader: Option<u64>) -> Said {
    Ok(Reply::NotLed { leader })
}

fn failed(error: impl Into<ApiError>) -> Said {
    Ok(Reply::Failed(error.into()))
}

fn act() -> Act {
    Act::Settle { letters: vec![7], retry: true }
}

#[tokio::test]
async fn an_ask_goes_on_until_a_node_answers_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = Arc::new(Script::default());
    let play = Arc::clone(&script);
    let transport = calls(move |node, message| futures::future::ready(play.play(node, &message)).boxed());
    let api = stranger(directory.path(), transport, 3).await;
    let late = Err(CallError::TimedOut(LONG));
    let gone = || ApiError::NotFound(DefinitionKey::new("a", "b"));
    /// What it is, what nodes say, who is asked (and whether again), and what comes of it.
    type Case<'a> = (&'a str, Vec<Said>, &'a [(u64, bool)], Result<(), ApiError>);
    let cases: [Case<'_>; 10] = [
        ("a replica is asked", vec![told()], &[(1, false)], Ok(())),
        ("a hint is followed", vec![not_led(Some(3)), told()], &[(1, false), (3, false)], Ok(())),
        (
            "and another",
            vec![not_led(Some(3)), not_led(Some(2)), told()],
            &[(1, false), (3, false), (2, false)],
            Ok(()),
        ),
        ("without one, it is the next", vec![not_led(None), told()], &[(1, false), (2, false)], Ok(())),
        ("not oneself", vec![not_led(Some(ME)), told()], &[(1, false), (2, false)], Ok(())),
        ("who is away may have done it", vec![away(), told()], &[(1, false), (2, true)], Ok(())),
        (
            "who is late too, and for good",
            vec![late, not_led(None), told()],
            &[(1, false), (2, true), (3, true)],
            Ok(()),
        ),
        (
            "who could not finish too",
            vec![failed(EngineError::Restarting { shard: 0 }), told()],
            &[(1, false), (2, true)],
            Ok(()),
        ),
        ("a full link drains", vec![Err(CallError::Busy), told()], &[(1, false), (1, false)], Ok(())),
        ("what is refused stays refused", vec![failed(gone())], &[(1, false)], Err(gone())),
    ];
    for (shard, (what, answers, asked, end)) in (0..).zip(cases) {
        // Each begins with a shard that nothing is known of.
        api.shared.not_led_by(shard % super::SHARDS, 3, None);
        *script.answers.lock() = answers.into();
        let answer = api.ask_within(shard % super::SHARDS, act(), LONG).await;
        assert_eq!((std::mem::take(&mut *script.asked.lock()), answer.map(drop)), (asked.to_vec(), end), "{what}");
    }
    close(api).await;
}

#[tokio::test]
async fn who_leads_is_remembered() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = Arc::new(Script::default());
    let play = Arc::clone(&script);
    let transport = calls(move |node, message| futures::future::ready(play.play(node, &message)).boxed());
    let api = stranger(directory.path(), transport, 3).await;
    *script.answers.lock() = vec![not_led(Some(2)), told(), told()].into();
    for _ in 0..2 {
        api.ask_within(1, act(), LONG).await.expect("told");
    }
    assert_eq!(*script.asked.lock(), [(1, false), (2, false), (2, false)]);
    close(api).await;
}

#[tokio::test]
async fn an_ask_that_nobody_answers_ends_with_an_error_that_passes() {
    let directory = tempfile::tempdir().expect("a directory");
    for (replicas, said) in [(3, "shard 0 could not be asked: node "), (0, "the shard has no leader right now")] {
        let transport = calls(|_, _| futures::future::ready(Err(CallError::Unreachable("away".into()))).boxed());
        let api = stranger(&directory.path().join(replicas.to_string()), transport, replicas).await;
        let answer = api.ask_within(0, act(), Duration::from_millis(100)).await.map(drop);
        let Err(ApiError::Engine(error)) = &answer else { panic!("{answer:?}") };
        assert!(error.is_passing() && error.to_string().starts_with(said), "{error}");
        close(api).await;
    }
}
