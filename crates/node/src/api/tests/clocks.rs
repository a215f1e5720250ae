//! A node among others whose clocks show another time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures::FutureExt;

use super::{calls, close, stranger};
use crate::clock::{Clock, SystemClock};
use crate::clocks;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_the_others_contradict_is_not_ready_and_says_by_how_much() {
    let directory = tempfile::tempdir().expect("a directory");
    let ahead = Arc::new(AtomicI64::new(0));
    let (theirs, clock) = (Arc::clone(&ahead), SystemClock::default());
    let transport = calls(move |_, message: Bytes| {
        assert!(message.is_empty());
        let time = clock.now() + theirs.load(Ordering::Relaxed);
        let answer = [&[0][..], &time.to_le_bytes()].concat();
        futures::future::ready(Ok(answer.into())).boxed()
    });
    let api = stranger(directory.path(), transport, 3).await;
    let seconds =
        [(0, None), (95, Some("95 s behind those of the other nodes")), (0, None), (-95, Some("95 s ahead of"))];
    for (theirs, expected) in seconds {
        ahead.store(theirs * 1_000_000, Ordering::Relaxed);
        clocks::compare(&api.shared).await;
        let ready = api.ready();
        match expected {
            None => assert_eq!(ready, Ok(())),
            Some(part) => assert!(ready.as_ref().is_err_and(|why| why.contains(part)), "{theirs}: {ready:?}"),
        }
        let metrics = api.metrics();
        let gauge = metrics.lines().find_map(|line| line.strip_prefix("flintwheel_clock_ahead_seconds "));
        let shown: f64 = gauge.expect("it is told").parse().expect("a number");
        assert!((shown + theirs as f64).abs() < 2.0, "{theirs}: {shown}");
    }
    close(api).await;
}
