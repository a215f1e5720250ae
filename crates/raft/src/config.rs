//! openraft's settings, each with its reason.

use openraft::{Config, ConfigError, SnapshotPolicy};
use std::sync::Arc;

/// Milliseconds in which nobody unseats a leader that was heard. openraft takes the longest election timeout for it; groups that sleep keep to it too.
pub(crate) const LEASE: u64 = 500;

/// Purges are of at least so many times what is kept.
const PURGE: u64 = 4;

/// The settings of every group, which keeps so many entries below the last flush. One whose replica here is not to stand for elections yet has one of its own.
pub(crate) fn raft_config(elects: bool, kept: u64) -> Result<Arc<Config>, ConfigError> {
    let config = Config {
        cluster_name: "flintwheel".to_owned(),
        enable_elect: elects,
        // Ticks come five times per heartbeat and group: 16 wake-ups a second, where openraft's default has 100.
        heartbeat_interval: 200,
        // A leader that fell silent is replaced in 0.85 to 1.0 s: lease, then one sampled timeout. Four heartbeats may be lost before that.
        election_timeout_min: 350,
        election_timeout_max: LEASE,
        // No heartbeat to who has just acknowledged entries. 100 + 200 + a tick of 40 stay below the least timeout.
        heartbeat_min_interval: Some(100),
        // A node that was cut off does not unseat a leader that works.
        enable_pre_vote: Some(true),
        // A restarted leader may have lost what it had only in memory: it stands for election like everyone.
        enable_leader_restore: Some(false),
        // A leader without a quorum falls silent for a while, so that others can elect. `sleep` sees to that: this would also silence a leader
        // that has only slept.
        quorum_loss_probe_interval: None,
        // Snapshots are marks of a flush of all groups together: `maintain` makes them.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: kept,
        // Each purge leaves a range removal behind: few and wide ones.
        purge_batch_size: kept.saturating_mul(PURGE).max(1),
        // A follower is sent a snapshot only when the log can't bring it up any more.
        replication_lag_threshold: 100_000,
        // An entry is a batch already: a request of 64 is up to a few MiB.
        max_payload_entries: 64,
        // Milliseconds for a piece of a snapshot.
        install_snapshot_timeout: 30_000,
        ..Config::default()
    };
    config.validate().map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_valid_together() {
        assert!(
            [(true, 64), (false, 64), (true, 0)].into_iter().all(|(elects, kept)| raft_config(elects, kept).is_ok())
        );
    }
}
