//! How runs end on a real Temporal server, as the sink tells it.

use std::path::Path;
use std::time::{Duration, Instant};

use flintwheel_loadtest::hand_worker::{Ending, HandWorker, texts};
use flintwheel_loadtest::temporal_dev::TemporalDev;
use flintwheel_model::firing::{Left, Start, StartOutcome};
use flintwheel_temporal::{ClosedRun, RunStatus, Standing, TemporalOptions, TemporalSink};

const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    _server: TemporalDev,
    sink: TemporalSink,
    worker: HandWorker,
}

impl Scene {
    async fn open(dir: &Path) -> Self {
        let server = TemporalDev::start(dir, &[]).await.expect("dev server");
        let options = TemporalOptions { address: Some(server.address().to_string()), ..TemporalOptions::default() };
        let sink = TemporalSink::new(options.resolve_in(Some(&Default::default())).expect("options")).expect("sink");
        let worker = HandWorker::new(server.address(), "default", "q").expect("an address");
        Self { _server: server, sink, worker }
    }

    async fn start(&self, id: &str, left: Left) {
        let start = Start {
            temporal_namespace: "default".to_owned(),
            workflow_id: id.to_owned(),
            request_id: format!("request of {id}"),
            workflow_type: "W".to_owned(),
            task_queue: "q".to_owned(),
            input: vec![],
            memo: vec![],
            execution_timeout: None,
            search_attributes: Vec::new(),
            retry_policy: None,
            run_timeout: None,
            task_timeout: Some(Duration::from_secs(120)),
            summary: None,
            details: None,
            priority: None,
            versioning_override: None,
            header: vec![],
            trace: vec![],
            left,
        };
        let outcome = self.sink.start(&start).await;
        assert!(matches!(outcome, StartOutcome::Started { .. }), "{outcome:?}");
    }

    async fn standing(&self, id: &str) -> Standing {
        self.sink.standing("default", id).await.expect("answer")
    }

    /// As soon as as many are listed as closed.
    async fn closed(&self, prefix: &str, count: usize) -> Vec<(String, RunStatus)> {
        let begun = Instant::now();
        loop {
            let (rows, token) = self.sink.closed_since("default", prefix, 0, Vec::new()).await.expect("answer");
            assert!(token.is_empty());
            if rows.len() >= count {
                assert!(rows.iter().all(|row| row.closed_at > 1_700_000_000_000_000), "{rows:?}");
                let mut shown: Vec<_> =
                    rows.into_iter().map(|ClosedRun { workflow_id, status, .. }| (workflow_id, status)).collect();
                shown.sort_by(|a, b| a.0.cmp(&b.0));
                return shown;
            }
            assert!(begun.elapsed() < PATIENCE, "{rows:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn status(standing: Standing) -> RunStatus {
    match standing {
        Standing::Closed { status, .. } => status,
        Standing::Open => RunStatus::Running,
        Standing::Gone => RunStatus::Unknown,
    }
}

#[tokio::test]
async fn how_a_run_ends_and_what_it_leaves_is_told_and_given_to_the_next() {
    let dir = tempfile::tempdir().expect("directory");
    let mut scene = Scene::open(dir.path()).await;
    for id in ["p:a", "p:b", "p:c", "p:d", "other"] {
        scene.start(id, Left::default()).await;
        assert_eq!(scene.standing(id).await, Standing::Open, "{id}");
    }
    assert_eq!(scene.standing("p:none").await, Standing::Gone);
    scene.worker.end("p:a", Ending::Complete("{\"n\":1}".into())).await.expect("ended");
    scene.worker.end("p:b", Ending::Fail("no luck".into())).await.expect("ended");
    scene.worker.end("other", Ending::Complete("1".into())).await.expect("ended");
    // Continued as new, it is open; only its newest run counts.
    scene.worker.end("p:c", Ending::ContinueAsNew).await.expect("ended");
    assert_eq!(scene.standing("p:c").await, Standing::Open);
    assert_eq!(
        scene.closed("p:", 3).await,
        [
            ("p:a".to_owned(), RunStatus::Completed),
            ("p:b".to_owned(), RunStatus::Failed),
            ("p:c".to_owned(), RunStatus::ContinuedAsNew)
        ]
    );
    let mut left = Left::default();
    for (id, ended) in [("p:a", RunStatus::Completed), ("p:b", RunStatus::Failed)] {
        let Standing::Closed { run_id, status, .. } = scene.standing(id).await else { panic!("{id} is open") };
        assert_eq!(status, ended);
        let behind = scene.sink.left_behind("default", id, &run_id).await.expect("answer");
        let value = behind.value.map(Into::into);
        if ended == RunStatus::Completed {
            left.result = value
        } else {
            left.failure = value
        }
        assert_eq!(behind.message, if ended == RunStatus::Completed { "" } else { "no luck" });
    }
    scene.start("p:e", left).await;
    let started = &scene.worker.task("p:e").await.expect("a task").started;
    assert_eq!(texts(started.last_completion_result.as_ref()), ["{\"n\":1}"]);
    assert_eq!(started.continued_failure.as_ref().map(|failure| failure.message.as_str()), Some("no luck"));
}

#[tokio::test]
async fn a_run_is_asked_to_cancel_or_is_terminated_as_often_as_it_is_asked() {
    let dir = tempfile::tempdir().expect("directory");
    let mut scene = Scene::open(dir.path()).await;
    for id in ["a", "b"] {
        scene.start(id, Left::default()).await;
    }
    for _ in 0..2 {
        assert_eq!(scene.sink.cancel("default", "a", "once", "make room").await, Ok(true));
    }
    assert_eq!(scene.standing("a").await, Standing::Open, "it is asked, and may take its time");
    scene.worker.end("a", Ending::Cancel).await.expect("ended");
    assert_eq!(status(scene.standing("a").await), RunStatus::Canceled);
    assert_eq!(scene.sink.cancel("default", "a", "twice", "make room").await, Ok(true), "in vain");
    assert_eq!(scene.sink.cancel("default", "never", "once", "make room").await, Ok(false));
    assert_eq!(scene.sink.terminate("default", "b", "make room").await, Ok(true));
    assert_eq!(status(scene.standing("b").await), RunStatus::Terminated);
    for id in ["b", "never"] {
        assert_eq!(scene.sink.terminate("default", id, "make room").await, Ok(false), "{id}");
    }
}
