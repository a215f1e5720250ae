//! What surrounds a node, where that is not the machine: a clock, tasks, chance and a disk that a simulation has in its hand.
//!
//! A node's code asks here what time it is, runs its tasks here and waits here for its disk. Outside of a simulation there is no such world,
//! and all of it goes to tokio, to threads and to RocksDB. The network is not here: it is a [`crate::Transport`].

use flintwheel_store::Shelf;
use futures::future::BoxFuture;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

/// One simulated node's surroundings. All of its code runs on one thread, within [`enter`].
pub trait World: Send + Sync + 'static {
    /// What the node's monotonic clock shows, since some instant that never changes.
    fn now(&self) -> Duration;

    /// Ends when that clock shows `at`.
    fn sleep_until(&self, at: Duration) -> BoxFuture<'static, ()>;

    /// Runs a task of the node, beside the others, in this world.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// A number that follows from the seed.
    fn random(&self) -> u64;

    /// How long a job that blocks waits for a thread that takes it.
    fn queues(&self) -> Duration;

    /// Takes as long as the disk needs for one write. What a crash meets before is not on disk, what it meets after is.
    fn writes(&self) -> BoxFuture<'static, ()>;

    /// What the log database stands on.
    fn log(&self) -> Arc<dyn Shelf>;

    /// What the state database stands on.
    fn state(&self) -> Arc<dyn Shelf>;
}

thread_local! {
    static WORLD: RefCell<Option<Arc<dyn World>>> = const { RefCell::new(None) };
}

/// Runs `code` in a world. Only simulations call this: without it, a node runs on the machine.
pub fn enter<R>(world: &Arc<dyn World>, code: impl FnOnce() -> R) -> R {
    let outer = WORLD.replace(Some(world.clone()));
    let result = code();
    WORLD.set(outer);
    result
}

/// The world in which this code runs, if it is simulated.
pub(crate) fn current() -> Option<Arc<dyn World>> {
    WORLD.with_borrow(Clone::clone)
}

/// Stands before and after a write that others wait for: in a simulated world, where the write itself is a step that nothing interrupts, a
/// crash can come before it, and after it when nobody has been told. On the machine, this is nothing.
pub(crate) async fn writing() {
    if let Some(world) = current() {
        world.writes().await;
    }
}
