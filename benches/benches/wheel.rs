//! Our timing wheel beside `hierarchical_hash_wheel_timer`, both under the contract that a shard needs: absolute due
//! times in microseconds, what is overdue comes out next, one call for any jump of the clock.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flintwheel_wheel::Wheel;
use hierarchical_hash_wheel_timer::TimerError;
use hierarchical_hash_wheel_timer::wheels::Skip;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;

const MILLISECOND: i64 = 1_000;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
/// 2026-01-01, so that ticks have the size that they have in use.
const START: i64 = 1_767_225_600 * SECOND;

trait Timer {
    fn new() -> Self;
    fn insert(&mut self, due: i64, item: u64);
    fn advance(&mut self, now: i64, out: &mut Vec<(i64, u64)>);
    /// When it wants to be woken, asked at `now`; `None` when it is empty.
    fn wake(&self, now: i64) -> Option<i64>;
}

impl Timer for Wheel<u64> {
    fn new() -> Self {
        Self::new(START)
    }

    fn insert(&mut self, due: i64, item: u64) {
        self.insert(due, item);
    }

    fn advance(&mut self, now: i64, out: &mut Vec<(i64, u64)>) {
        self.advance(now, out);
    }

    fn wake(&self, _now: i64) -> Option<i64> {
        self.next_due_hint()
    }
}

/// The other wheel, which counts relative milliseconds and is moved by one of them at a time.
struct Other {
    wheel: QuadWheelWithOverflow<(i64, u64)>,
    now: i64,
    overdue: Vec<(i64, u64)>,
}

impl Timer for Other {
    fn new() -> Self {
        Self { wheel: QuadWheelWithOverflow::default(), now: START / MILLISECOND, overdue: Vec::new() }
    }

    fn insert(&mut self, due: i64, item: u64) {
        let tick = (due + MILLISECOND - 1) / MILLISECOND;
        let delay = Duration::from_millis(tick.saturating_sub(self.now).max(0) as u64);
        match self.wheel.insert_with_delay((due, item), delay) {
            Ok(()) => {}
            Err(TimerError::Expired(entry)) => self.overdue.push(entry),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn advance(&mut self, now: i64, out: &mut Vec<(i64, u64)>) {
        self.overdue.sort_unstable_by_key(|(due, _)| *due);
        out.append(&mut self.overdue);
        let target = now / MILLISECOND;
        while self.now < target {
            match self.wheel.can_skip() {
                Skip::None => {}
                Skip::Empty => {
                    self.now = target;
                    break;
                }
                Skip::Millis(ticks) => {
                    let ticks = i64::from(ticks).min(target - self.now);
                    self.wheel.skip(ticks as u32);
                    self.now += ticks;
                    if self.now == target {
                        break;
                    }
                }
            }
            out.append(&mut self.wheel.tick());
            self.now += 1;
        }
    }

    fn wake(&self, now: i64) -> Option<i64> {
        match self.wheel.can_skip() {
            Skip::Empty => None,
            Skip::None => Some(now + MILLISECOND),
            Skip::Millis(ticks) => Some(now + i64::from(ticks + 1) * MILLISECOND),
        }
    }
}

/// A small generator of numbers that look random (splitmix64), so that both wheels get the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % limit as u64) as i64
    }
}

fn filled<T: Timer>(dues: &[i64]) -> T {
    let mut timer = T::new();
    for (item, due) in (0..).zip(dues) {
        timer.insert(*due, item);
    }
    timer
}

/// Moves the clock on in steps, as a shard does that sleeps between them.
fn run<T: Timer>(timer: &mut T, until: i64, step: i64, out: &mut Vec<(i64, u64)>) {
    for now in (START..=until).step_by(step as usize) {
        timer.advance(now, out);
    }
}

/// Puts items in, then takes them out; both measured apart.
fn fill_and_drain<T: Timer>(c: &mut Criterion, name: &str, which: &str, dues: &[i64], until: i64, step: i64) {
    let mut group = c.benchmark_group(name);
    group.sample_size(10).throughput(Throughput::Elements(dues.len() as u64));
    group.bench_function(format!("{which}/insert"), |b| b.iter_with_large_drop(|| filled::<T>(black_box(dues))));
    group.bench_function(format!("{which}/drain"), |b| {
        b.iter_batched(
            || (filled::<T>(dues), Vec::with_capacity(dues.len())),
            |(mut timer, mut out)| {
                run(&mut timer, until, step, &mut out);
                assert_eq!(out.len(), dues.len());
                (timer, out)
            },
            BatchSize::PerIteration,
        );
    });
}

/// Whatever comes out goes in again, up to a minute later; ten seconds of that, per item that came out.
fn steady<T: Timer>(c: &mut Criterion, which: &str, items: u64) {
    let mut numbers = Numbers(3);
    let dues: Vec<i64> = (0..items).map(|_| START + numbers.below(MINUTE)).collect();
    let mut group = c.benchmark_group(format!("steady_{items}"));
    group.sample_size(10).throughput(Throughput::Elements(items / 6));
    group.bench_function(which, |b| {
        b.iter_batched(
            || filled::<T>(&dues),
            |mut timer| {
                let mut out = Vec::new();
                let mut numbers = Numbers(4);
                for now in (START..START + 10 * SECOND).step_by((10 * MILLISECOND) as usize) {
                    timer.advance(now, &mut out);
                    for (due, item) in out.drain(..) {
                        timer.insert(due + 10 * SECOND + numbers.below(MINUTE), item);
                    }
                }
                timer
            },
            BatchSize::PerIteration,
        );
    });
}

/// Sleeps as long as the wheel allows, wakes, and so on until it is empty; returns how often it woke.
fn sleep_through<T: Timer>(timer: &mut T, out: &mut Vec<(i64, u64)>) -> u64 {
    let (mut now, mut wakes) = (START, 0);
    while let Some(wake) = timer.wake(now) {
        now = wake;
        timer.advance(now, out);
        wakes += 1;
    }
    wakes
}

fn asleep<T: Timer>(c: &mut Criterion, which: &str) {
    let mut numbers = Numbers(5);
    let dues: Vec<i64> = (0..1_000).map(|_| START + numbers.below(10 * MINUTE)).collect();
    let wakes = sleep_through(&mut filled::<T>(&dues), &mut Vec::new());
    println!("asleep_10min_with_1000/{which} wakes: {wakes}");
    let mut group = c.benchmark_group("asleep_10min_with_1000");
    group.sample_size(10);
    group.bench_function(which, |b| {
        let mut out = Vec::with_capacity(dues.len());
        b.iter_batched(
            || filled::<T>(&dues),
            |mut timer| {
                out.clear();
                sleep_through(&mut timer, &mut out);
                assert_eq!(out.len(), dues.len());
            },
            BatchSize::PerIteration,
        );
    });
}

fn all<T: Timer>(c: &mut Criterion, which: &str) {
    let mut numbers = Numbers(1);
    let same_tick = vec![START + SECOND; 100_000];
    fill_and_drain::<T>(c, "same_tick_100k", which, &same_tick, START + SECOND, 10 * MILLISECOND);
    let spread: Vec<i64> = (0..1_000_000).map(|_| START + numbers.below(10 * MINUTE)).collect();
    fill_and_drain::<T>(c, "spread_1m_over_10min", which, &spread, START + 10 * MINUTE, 10 * MILLISECOND);
    let few: Vec<i64> = (0..100).map(|_| START + numbers.below(60 * MINUTE)).collect();
    fill_and_drain::<T>(c, "jump_1h_with_100", which, &few, START + 60 * MINUTE, 60 * MINUTE);
    asleep::<T>(c, which);
    steady::<T>(c, which, 10_000);
    steady::<T>(c, which, 1_000_000);
}

fn wheels(c: &mut Criterion) {
    all::<Wheel<u64>>(c, "ours");
    all::<Other>(c, "hierarchical_hash_wheel_timer");
}

criterion_group!(benches, wheels);
criterion_main!(benches);
