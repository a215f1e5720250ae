//! Runs all tasks of a simulation on one thread. Which task goes on next follows from the seed; time stands still while any can, and then
//! leaps to the next instant that somebody waits for.
//!
//! Knows owners of tasks, so that those of a crashed node can be dropped, and worlds to run them in. What the tasks do is not known here.

use crate::random::Random;
use flintwheel_raft::{World, enter};
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Whose a task is: one start of one node, or nobody's.
pub type Owner = u64;
/// Clients, the network, faults: what never crashes.
pub const OUTSIDE: Owner = 0;
/// Tasks that run at one instant: more than that is somebody who tries again and again without a pause.
const MOST_AT_ONCE: u64 = 100_000;

/// See the module.
pub struct Executor {
    inner: Mutex<Inner>,
    /// Tasks that were woken since the last step. They are sorted before they count: in which order tasks are woken must not matter, for
    /// channels of tokio wake theirs in an order that no seed governs.
    woken: Arc<Mutex<Vec<u64>>>,
}

struct Inner {
    /// Nanoseconds since the beginning.
    now: u64,
    random: Random,
    next_task: u64,
    tasks: BTreeMap<u64, Task>,
    ready: Vec<u64>,
    timers: BTreeMap<(u64, u64), Waker>,
    next_timer: u64,
    /// Owners whose tasks stand still, and until when.
    paused: BTreeMap<Owner, u64>,
    steps: u64,
    /// Of them, at this instant.
    steps_now: u64,
    /// Over all that has happened: two runs are the same if theirs are.
    trace: u64,
    panicked: Option<String>,
}

struct Task {
    owner: Owner,
    world: Option<Arc<dyn World>>,
    /// Taken out while it runs.
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    is_ready: bool,
}

struct Alarm {
    task: u64,
    woken: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.lock().push(self.task);
    }
}

impl Executor {
    /// At the beginning of time, without tasks.
    pub fn new(seed: u64) -> Arc<Self> {
        let inner = Inner {
            now: 0,
            random: Random::new(seed),
            next_task: 1,
            tasks: BTreeMap::new(),
            ready: Vec::new(),
            timers: BTreeMap::new(),
            next_timer: 0,
            paused: BTreeMap::new(),
            steps: 0,
            steps_now: 0,
            trace: seed,
            panicked: None,
        };
        Arc::new(Self { inner: Mutex::new(inner), woken: Arc::default() })
    }

    /// Nanoseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.inner.lock().now
    }

    /// How often a task was run.
    pub fn steps(&self) -> u64 {
        self.inner.lock().steps
    }

    /// A number over all that has happened so far.
    pub fn trace(&self) -> u64 {
        self.inner.lock().trace
    }

    /// Makes something part of the trace.
    pub fn note(&self, what: u64) {
        self.inner.lock().note(what);
    }

    /// What the first panic of a task said.
    pub fn panicked(&self) -> Option<String> {
        self.inner.lock().panicked.clone()
    }

    /// Adds a task.
    pub fn spawn(&self, owner: Owner, world: Option<Arc<dyn World>>, future: BoxFuture<'static, ()>) {
        let mut inner = self.inner.lock();
        let number = inner.next_task;
        inner.next_task += 1;
        let waker = Waker::from(Arc::new(Alarm { task: number, woken: self.woken.clone() }));
        waker.wake_by_ref();
        inner.tasks.insert(number, Task { owner, world, future: Some(future), waker, is_ready: false });
    }

    /// Adds one that never crashes.
    pub fn spawn_outside(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn(OUTSIDE, None, future.boxed());
    }

    /// Drops all tasks of an owner where they stand.
    pub fn end(&self, owner: Owner) {
        let mut inner = self.inner.lock();
        inner.paused.remove(&owner);
        let (gone, kept) = std::mem::take(&mut inner.tasks).into_iter().partition(|(_, task)| task.owner == owner);
        inner.tasks = kept;
        drop(inner);
        // Outside of the lock: what is dropped may wake others.
        let gone: BTreeMap<u64, Task> = gone;
        gone.into_values().for_each(drop_task);
    }

    /// Drops all tasks.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut self.inner.lock().tasks);
        gone.into_values().for_each(drop_task);
        self.inner.lock().timers.clear();
    }

    /// An owner's tasks stand still for a while.
    pub fn pause(&self, owner: Owner, duration: Duration) {
        let mut inner = self.inner.lock();
        let until = inner.now + duration.as_nanos() as u64;
        inner.paused.insert(owner, until);
    }

    /// Ends all pauses; what waits for their end does so a moment longer.
    pub fn resume_all(&self) {
        self.inner.lock().paused.clear();
    }

    /// Waits for an instant.
    pub fn sleep_until(self: &Arc<Self>, at: u64) -> Sleep {
        Sleep { executor: self.clone(), at, timer: None }
    }

    /// Waits for a while.
    pub fn sleep(self: &Arc<Self>, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration.as_nanos() as u64)
    }

    /// Runs until `end`, or until `over` says so, or a task has panicked, or nothing would ever happen.
    pub fn run(&self, end: u64, over: impl Fn() -> bool) {
        while !over() && self.panicked().is_none() {
            self.gather();
            match self.next() {
                Some((number, task)) => self.step(number, task),
                None if self.is_idle() && !self.leap(end) => return,
                None => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.inner.lock().ready.is_empty()
    }

    fn gather(&self) {
        let mut woken = std::mem::take(&mut *self.woken.lock());
        woken.sort_unstable();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        for number in woken {
            if let Some(task) = inner.tasks.get_mut(&number)
                && !std::mem::replace(&mut task.is_ready, true)
            {
                inner.ready.push(number);
            }
        }
    }

    /// Takes one of the tasks that can go on, its future taken out.
    fn next(&self) -> Option<(u64, Running)> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if inner.ready.is_empty() {
            return None;
        }
        let place = inner.random.below(inner.ready.len() as u64) as usize;
        let number = inner.ready.swap_remove(place);
        let task = inner.tasks.get_mut(&number)?;
        task.is_ready = false;
        if let Some(until) = inner.paused.get(&task.owner).copied().filter(|until| *until > inner.now) {
            let key = (until, inner.next_timer);
            inner.next_timer += 1;
            inner.timers.insert(key, task.waker.clone());
            return None;
        }
        let running = Running { future: task.future.take()?, world: task.world.clone(), waker: task.waker.clone() };
        inner.steps += 1;
        inner.steps_now += 1;
        if inner.steps_now > MOST_AT_ONCE {
            inner.panicked.get_or_insert_with(|| {
                format!("time stands still at {} ns: somebody tries without a pause", inner.now)
            });
        }
        inner.note(inner.now ^ (number << 1));
        Some((number, running))
    }

    fn step(&self, number: u64, mut task: Running) {
        let mut context = Context::from_waker(&task.waker);
        let future = &mut task.future;
        let poll = AssertUnwindSafe(|| match &task.world {
            Some(world) => enter(world, || future.as_mut().poll(&mut context)),
            None => future.as_mut().poll(&mut context),
        });
        match catch_unwind(poll) {
            Ok(Poll::Pending) => {
                let mut inner = self.inner.lock();
                // It may have been ended meanwhile.
                if let Some(kept) = inner.tasks.get_mut(&number) {
                    kept.future = Some(task.future);
                }
            }
            Ok(Poll::Ready(())) => drop(self.inner.lock().tasks.remove(&number)),
            Err(panic) => {
                let mut inner = self.inner.lock();
                inner.tasks.remove(&number);
                inner.panicked.get_or_insert_with(|| said(panic.as_ref()));
            }
        }
    }

    /// Goes on to the next instant at which anything happens; false if that is beyond `end`, or never.
    fn leap(&self, end: u64) -> bool {
        if !self.woken.lock().is_empty() {
            return true;
        }
        let mut inner = self.inner.lock();
        let Some(at) = inner.timers.keys().next().map(|(at, _)| *at).filter(|at| *at <= end) else {
            inner.now = end.max(inner.now);
            return false;
        };
        inner.now = at.max(inner.now);
        inner.steps_now = 0;
        let later = inner.timers.split_off(&(at + 1, 0));
        let due = std::mem::replace(&mut inner.timers, later);
        drop(inner);
        due.into_values().for_each(Waker::wake);
        true
    }
}

struct Running {
    future: BoxFuture<'static, ()>,
    world: Option<Arc<dyn World>>,
    waker: Waker,
}

impl Inner {
    fn note(&mut self, what: u64) {
        self.trace = (self.trace.rotate_left(7) ^ what).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

fn drop_task(task: Task) {
    match task.world.clone() {
        Some(world) => enter(&world, || drop(task)),
        None => drop(task),
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// Ends at an instant.
pub struct Sleep {
    executor: Arc<Executor>,
    at: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let executor = self.executor.clone();
        let mut inner = executor.inner.lock();
        if inner.now >= self.at {
            return Poll::Ready(());
        }
        let key = self.timer.unwrap_or((self.at, inner.next_timer));
        if self.timer.is_none() {
            inner.next_timer += 1;
            self.timer = Some(key);
        }
        inner.timers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            self.executor.inner.lock().timers.remove(&key);
        }
    }
}
