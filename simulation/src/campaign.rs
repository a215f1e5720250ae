//! Many runs, on all cores: until one has a violation, or all are done.

use crate::planted::Planted;
use crate::run::{Report, run};
use std::io;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What came of them.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Runs that were made.
    pub runs: u64,
    /// Simulated, in all of them.
    pub time: Duration,
    /// In all of them; see [`TOTALS`].
    pub totals: [u64; 10],
    /// The run of the lowest seed that was seen to have a violation.
    pub failed: Option<Report>,
}

/// Names of the totals.
pub const TOTALS: [&str; 10] = [
    "messages",
    "of them, of snapshots",
    "faults",
    "crashes",
    "leaders that began",
    "replicas moved",
    "groups seen asleep",
    "entries compared",
    "states compared",
    "occurrences",
];

/// Makes the runs of some seeds on so many threads. `told` hears of each.
pub fn campaign(
    seeds: Range<u64>,
    planted: Option<Planted>,
    threads: usize,
    told: impl Fn(&Report) + Sync,
) -> io::Result<Campaign> {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let campaign = Mutex::new((Campaign::default(), Ok(())));
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let report = run(seed, planted);
            let mut campaign = campaign.lock().expect("nobody panics while it is held");
            match report {
                Ok(report) => {
                    told(&report);
                    stop.fetch_or(report.violation.is_some(), Ordering::Relaxed);
                    campaign.0.add(report);
                }
                Err(error) => {
                    stop.store(true, Ordering::Relaxed);
                    campaign.1 = Err(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        (0..threads.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    let (campaign, failed) = campaign.into_inner().expect("nobody panics while it is held");
    failed.map(|()| campaign)
}

impl Campaign {
    fn add(&mut self, report: Report) {
        let counts = report.counts;
        let of_run = [
            counts.messages,
            counts.snapshot_messages,
            counts.faults,
            counts.crashes,
            counts.leaders,
            counts.moves,
            counts.asleep,
            counts.entries,
            counts.states,
            counts.occurrences,
        ];
        self.runs += 1;
        self.time += report.time;
        self.totals.iter_mut().zip(of_run).for_each(|(total, more)| *total += more);
        let earlier = self.failed.as_ref().is_none_or(|failed| report.seed < failed.seed);
        if report.violation.is_some() && earlier {
            self.failed = Some(report);
        }
    }
}
