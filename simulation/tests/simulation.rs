//! Seeds that must hold, runs that must be the same, and planted bugs that must be found. In parts, so that they run side by side.

use flintwheel_simulation::{Campaign, Planted, campaign, run};

/// Seeds of CI, in four parts. A change of the code makes other runs of them: they are as good as any others.
const SEEDS: u64 = 200;
/// Within so many seeds each planted bug must be found.
const WITHIN: u64 = 200;

fn seeds_hold(part: u64) {
    let (first, end) = (1 + part * SEEDS / 4, 1 + (part + 1) * SEEDS / 4);
    let Campaign { runs, totals, failed, .. } =
        campaign(first..end, None, 1, |_| ()).expect("there is room for temporary files");
    if let Some(failed) = failed {
        panic!("{failed:#?}\nto see it again: cargo xtask prove simulate --seed {}", failed.seed);
    }
    assert_eq!(runs, end - first);
    assert!(totals.iter().all(|total| *total > 0), "all of it happened: {totals:?}");
}

#[test]
fn clusters_of_the_first_quarter_of_the_seeds_keep_all_promises() {
    seeds_hold(0);
}

#[test]
fn clusters_of_the_second_quarter_of_the_seeds_keep_all_promises() {
    seeds_hold(1);
}

#[test]
fn clusters_of_the_third_quarter_of_the_seeds_keep_all_promises() {
    seeds_hold(2);
}

#[test]
fn clusters_of_the_last_quarter_of_the_seeds_keep_all_promises() {
    seeds_hold(3);
}

#[test]
fn a_run_is_the_same_each_time() {
    for seed in [3, 1_000_003] {
        let (first, second) = (run(seed, None).expect("a run"), run(seed, None).expect("a run"));
        assert_eq!(first, second);
        assert_ne!(first.trace, run(seed + 1, None).expect("a run").trace);
    }
}

/// One test each, named after what was broken.
macro_rules! found {
    ($($name:ident: $bug:ident,)*) => {$(
        #[test]
        fn $name() {
            let campaign = campaign(1..WITHIN + 1, Some(Planted::$bug), 1, |_| ()).expect("there is room for temporary files");
            assert!(campaign.failed.is_some(), "{:?} is not found within {WITHIN} seeds", Planted::$bug);
        }
    )*};
}

found! {
    a_skipped_fsync_is_found: FsyncSkipped,
    a_vote_that_is_not_synced_is_found: VoteNotSynced,
    an_applied_index_outside_the_batch_is_found: AppliedOutsideTheBatch,
    a_flush_that_does_nothing_is_found: FlushForgotten,
    a_forgotten_truncation_is_found: TruncationForgotten,
    an_old_key_left_by_a_snapshot_is_found: SnapshotLeavesOldKeys,
    a_dedupe_bucket_dropped_too_early_is_found: DedupeDroppedEarly,
    an_answer_before_the_commit_is_found: AnsweredBeforeCommit,
    a_stale_read_is_found: StaleRead,
    a_dropped_timer_is_found: TimerDropped,
    an_early_decision_is_found: FiresEarly,
    a_forgotten_due_time_is_found: MissedIsForgotten,
    a_start_before_the_commit_is_found: StartedBeforeCommit,
    a_stale_leader_that_starts_is_found: StaleLeaderStarts,
    an_acknowledgement_before_the_start_is_found: AcknowledgedBeforeStart,
    a_random_request_id_of_a_start_is_found: RequestIdRandom,
    a_random_request_id_of_a_change_is_found: ApplyIdRandom,
    a_random_dedupe_key_is_found: DedupeKeyRandom,
    a_reused_workflow_id_is_found: ReuseAllowed,
    a_clock_that_is_not_compared_is_found: ClockNotCompared,
    a_forgotten_end_of_a_run_is_found: RunEndForgotten,
    an_end_taken_for_that_of_another_run_is_found: AnotherRunEnds,
    a_firing_that_waited_and_is_not_sent_is_found: WaitingNotSent,
    a_forgotten_end_of_a_pause_is_found: PauseEndForgotten,
    a_pause_that_drops_too_much_is_found: PauseEndsNow,
    a_resume_by_another_schedule_is_found: ResumeNotCompared,
    a_bound_counted_in_memory_is_found: BoundCountedInMemory,
    a_backfill_outside_the_batch_is_found: BackfillOutsideTheBatch,
    a_backfill_stopped_in_memory_is_found: BackfillStoppedInMemory,
    a_calendar_that_is_not_followed_is_found: CalendarNotFollowed,
}
