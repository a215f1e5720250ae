//! Time, tasks and blocking jobs of a node, for openraft and for this crate: those of tokio, or of the [`crate::World`] in which it runs.
//!
//! Knows nothing of Raft.

use crate::world::{self, World};
use futures::future::{BoxFuture, Either, FutureExt, MapErr, TryFutureExt};
use openraft::{AsyncRuntime, OptionalSend, TokioRuntime};
use rand_core::TryRng;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio::time;

/// An instant of the clock that stands still while the machine is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(time::Instant);

/// What simulated clocks count from: any instant will do, if it is always the same.
static BEGINNING: OnceLock<time::Instant> = OnceLock::new();

fn beginning() -> time::Instant {
    *BEGINNING.get_or_init(time::Instant::now)
}

impl Moment {
    pub(crate) fn now() -> Self {
        match world::current() {
            None => Self(time::Instant::now()),
            Some(world) => Self(beginning() + world.now()),
        }
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// For who knows no simulated clock.
    pub(crate) fn into_std(self) -> std::time::Instant {
        self.0.into_std()
    }
}

impl openraft::Instant for Moment {
    fn now() -> Self {
        Self::now()
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0 + by)
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, by: Duration) {
        self.0 += by;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0 - by)
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, other: Self) -> Duration {
        self.0 - other.0
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, by: Duration) {
        self.0 -= by;
    }
}

/// A task did not end by itself: it panicked, or what ran it has ended.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Ended {
    panicked: bool,
    text: String,
}

fn of_tokio(error: JoinError) -> Ended {
    Ended { panicked: error.is_panic(), text: error.to_string() }
}

fn of_world(_: oneshot::error::RecvError) -> Ended {
    Ended { panicked: false, text: "the simulated node has ended".to_owned() }
}

/// Too late.
#[derive(Debug, thiserror::Error)]
#[error("it took too long")]
pub(crate) struct TimedOut;

fn elapsed(_: time::error::Elapsed) -> TimedOut {
    TimedOut
}

/// The end of a task.
pub(crate) type Join<T> = Either<MapErr<tokio::task::JoinHandle<T>, fn(JoinError) -> Ended>, InWorld<T>>;
/// Of one in a world.
type InWorld<T> = MapErr<oneshot::Receiver<T>, fn(oneshot::error::RecvError) -> Ended>;

/// A future of a simulated node, and until when it has time.
pub(crate) struct Within<F> {
    future: Pin<Box<F>>,
    deadline: BoxFuture<'static, ()>,
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(done) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        self.deadline.poll_unpin(cx).map(|()| Err(TimedOut))
    }
}

/// Where random numbers come from.
pub(crate) enum Dice {
    Machine(<TokioRuntime as AsyncRuntime>::ThreadLocalRng),
    World(Arc<dyn World>),
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        match self {
            Self::Machine(rng) => rng.try_next_u32(),
            Self::World(world) => Ok((world.random() >> 32) as u32),
        }
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        match self {
            Self::Machine(rng) => rng.try_next_u64(),
            Self::World(world) => Ok(world.random()),
        }
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        match self {
            Self::Machine(rng) => rng.try_fill_bytes(into),
            Self::World(world) => {
                for part in into.chunks_mut(8) {
                    part.copy_from_slice(&world.random().to_be_bytes()[..part.len()]);
                }
                Ok(())
            }
        }
    }
}

/// See the module.
pub(crate) struct Runtime(TokioRuntime);

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Runtime")
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = Ended;
    type JoinHandle<T: OptionalSend + 'static> = Join<T>;
    type Sleep = Either<time::Sleep, BoxFuture<'static, ()>>;
    type Instant = Moment;
    type TimeoutError = TimedOut;
    type Timeout<R, T: Future<Output = R> + OptionalSend> =
        Either<MapErr<time::Timeout<T>, fn(time::error::Elapsed) -> TimedOut>, Within<T>>;
    type ThreadLocalRng = Dice;
    type Mpsc = <TokioRuntime as AsyncRuntime>::Mpsc;
    type Watch = <TokioRuntime as AsyncRuntime>::Watch;
    type Oneshot = <TokioRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <TokioRuntime as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Join<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        match world::current() {
            None => Either::Left(tokio::spawn(future).map_err(of_tokio)),
            Some(world) => Either::Right(spawn_in(&world, future)),
        }
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Self::sleep_until(Moment::now() + duration)
    }

    fn sleep_until(deadline: Moment) -> Self::Sleep {
        match world::current() {
            None => Either::Left(time::sleep_until(deadline.0)),
            Some(world) => Either::Right(world.sleep_until(deadline.0.saturating_duration_since(beginning()))),
        }
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        Self::timeout_at(Moment::now() + duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Moment, future: F) -> Self::Timeout<R, F> {
        match Self::sleep_until(deadline) {
            Either::Left(_) => Either::Left(time::timeout_at(deadline.0, future).map_err(elapsed)),
            Either::Right(deadline) => Either::Right(Within { future: Box::pin(future), deadline }),
        }
    }

    fn is_panic(error: &Ended) -> bool {
        error.panicked
    }

    fn thread_rng() -> Dice {
        world::current().map_or_else(|| Dice::Machine(TokioRuntime::thread_rng()), Dice::World)
    }

    fn new(threads: usize) -> Self {
        Self(TokioRuntime::new(threads))
    }

    fn block_on<F: Future<Output = T>, T>(&mut self, future: F) -> T {
        self.0.block_on(future)
    }

    async fn spawn_blocking<F, T>(job: F) -> Result<T, std::io::Error>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        blocking(job).await.map_err(std::io::Error::other)
    }
}

fn spawn_in<T>(world: &Arc<dyn World>, future: T) -> InWorld<T::Output>
where
    T: Future + Send + 'static,
    T::Output: Send + 'static,
{
    let (done, result) = oneshot::channel();
    // Who spawned it need not wait for it.
    let task = async move { drop(done.send(future.await)) };
    world.spawn(task.boxed());
    result.map_err(of_world)
}

/// A random number.
pub(crate) fn random() -> u64 {
    world::current().map_or_else(rand::random, |world| world.random())
}

/// Waits for so long.
pub(crate) async fn sleep(duration: Duration) {
    Runtime::sleep(duration).await;
}

/// Waits until that moment.
pub(crate) async fn sleep_until(moment: Moment) {
    Runtime::sleep_until(moment).await;
}

/// Runs a job that blocks on a thread for such jobs, begun by this call.
pub(crate) fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    match world::current() {
        None => Either::Left(tokio::task::spawn_blocking(job)),
        Some(world) => Either::Right(in_turn(world, job).map(Ok)),
    }
}

/// The same, in a world.
pub(crate) fn in_turn<T: Send + 'static>(
    world: Arc<dyn World>,
    job: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let (begins, disk) = (world.sleep_until(world.now() + world.queues()), world.clone());
    let done = spawn_in(&world, async move {
        begins.await;
        let result = job();
        disk.writes().await;
        result
    });
    async move {
        match done.await {
            Ok(result) => result,
            // The node has crashed: this code does not go on either.
            Err(_) => std::future::pending().await,
        }
    }
}

/// What runs the tasks of a node's groups.
#[derive(Clone)]
pub(crate) enum Tasks {
    Threads(Handle),
    World,
}

impl Tasks {
    /// What runs the caller.
    pub(crate) fn current() -> Self {
        if world::current().is_some() { Self::World } else { Self::Threads(Handle::current()) }
    }

    pub(crate) fn spawn<T>(&self, future: T) -> Join<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        match self {
            Self::Threads(handle) => Either::Left(handle.spawn(future).map_err(of_tokio)),
            Self::World => Runtime::spawn(future),
        }
    }
}
