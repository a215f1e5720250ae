//! Threads of their own for what blocks: applying entries means writing to RocksDB, and that can stall for seconds. The threads that
//! carry ticks and elections never wait for it.
//!
//! Knows nothing of groups: a group sends its next piece of work when the last one is done, so its order holds by itself.

use crate::runtime::in_turn;
use crate::world;
use parking_lot::Mutex;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::sync::{mpsc, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that may wait; then whoever brings more does. A group has one or two at a time.
const QUEUE: usize = 1024;

/// The queue of the threads. They end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct ApplyPool {
    /// None in a simulated world, which has no threads.
    jobs: Option<mpsc::Sender<Job>>,
}

/// The work was not finished: it panicked, or the threads have ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotDone(&'static str);

impl ApplyPool {
    /// Starts `threads` threads.
    pub(crate) fn start(threads: usize) -> io::Result<(Self, Vec<JoinHandle<()>>)> {
        if world::current().is_some() {
            return Ok((Self { jobs: None }, Vec::new()));
        }
        let (jobs, waiting) = mpsc::channel::<Job>(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |n| {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("apply-{n}")).spawn(move || work(&waiting))
        };
        let handles = (0..threads).map(start).collect::<io::Result<_>>()?;
        Ok((Self { jobs: Some(jobs) }, handles))
    }

    /// Runs `job` on one of the threads and returns what it made.
    pub(crate) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let jobs = match (&self.jobs, world::current()) {
            (Some(jobs), _) => jobs,
            (None, Some(world)) => return Ok(in_turn(world, job).await),
            (None, None) => return Err(NotDone("its simulated world has ended")),
        };
        let (done, result) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Whoever asked may have been shut down meanwhile.
            let _ = done.send(job());
        });
        jobs.send(job).await.map_err(|_| NotDone("the node is shutting down"))?;
        result.await.map_err(|_| NotDone("it panicked, or the node is shutting down"))
    }
}

fn work(waiting: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let next = waiting.lock().blocking_recv();
        let Some(job) = next else { return };
        // The panic has been reported by its hook; the job's asker learns it from the dropped channel. The thread lives on for the others.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_its_askers_and_nobody_elses() {
        let (pool, threads) = ApplyPool::start(1).unwrap();
        assert!(pool.run(|| panic!("on purpose")).await.is_err());
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
        drop(pool);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[tokio::test]
    async fn jobs_of_different_askers_run_at_the_same_time() {
        let (pool, _threads) = ApplyPool::start(2).unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let (one, two) = (barrier.clone(), barrier);
        let both = futures::future::join(pool.run(move || one.wait()), pool.run(move || two.wait())).await;
        assert!(both.0.is_ok() && both.1.is_ok());
    }
}
