//! Backups.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::{read_instant, read_optional};
use super::time::timestamp;
use crate::types::{BackupSource, ExportBegun, ExportedRows, RestoreBegun, ShardRestore};

/// To the wire.
pub fn source_to_proto(source: BackupSource) -> v1::GetBackupSourceResponse {
    let BackupSource { cluster_id, shards, workflow_id_prefix, version, now } = source;
    v1::GetBackupSourceResponse { cluster_id, shards, workflow_id_prefix, version, now: Some(timestamp(now)) }
}

/// From the wire.
pub fn source_from_proto(proto: v1::GetBackupSourceResponse) -> Result<BackupSource, Violations> {
    let mut faults = Violations::default();
    let now = read_instant(proto.now, At::root("now"), &mut faults);
    let v1::GetBackupSourceResponse { cluster_id, shards, workflow_id_prefix, version, .. } = proto;
    faults.into_result().map(|()| BackupSource { cluster_id, shards, workflow_id_prefix, version, now })
}

/// To the wire.
pub fn begun_to_proto(begun: &ExportBegun) -> v1::ExportBegun {
    let ExportBegun { applied, clock, fired_through } = *begun;
    v1::ExportBegun { applied, clock: Some(timestamp(clock)), fired_through: fired_through.map(timestamp) }
}

/// From the wire.
pub fn begun_from_proto(proto: v1::ExportBegun) -> Result<ExportBegun, Violations> {
    let mut faults = Violations::default();
    let clock = read_instant(proto.clock, At::root("clock"), &mut faults);
    let fired_through = read_optional(proto.fired_through, At::root("fired_through"), &mut faults);
    faults.into_result().map(|()| ExportBegun { applied: proto.applied, clock, fired_through })
}

/// To the wire.
pub fn rows_to_proto(rows: ExportedRows) -> v1::ExportedRows {
    let ExportedRows { rows, count, last } = rows;
    v1::ExportedRows { rows, count, last }
}

/// From the wire.
pub fn rows_from_proto(proto: v1::ExportedRows) -> ExportedRows {
    let v1::ExportedRows { rows, count, last } = proto;
    ExportedRows { rows, count, last }
}

/// To the wire.
pub fn restore_to_proto(begun: &RestoreBegun) -> v1::BeginRestoreResponse {
    let shard = |shard: &ShardRestore| v1::ShardRestore { rows: shard.rows, finished: shard.finished };
    v1::BeginRestoreResponse {
        skip_before: begun.skip_before.map(timestamp),
        shards: begun.shards.iter().map(shard).collect(),
    }
}

/// From the wire.
pub fn restore_from_proto(proto: v1::BeginRestoreResponse) -> Result<RestoreBegun, Violations> {
    let mut faults = Violations::default();
    let skip_before = read_optional(proto.skip_before, At::root("skip_before"), &mut faults);
    let shard = |v1::ShardRestore { rows, finished }| ShardRestore { rows, finished };
    let shards = proto.shards.into_iter().map(shard).collect();
    faults.into_result().map(|()| RestoreBegun { skip_before, shards })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let now = "2026-11-27T09:00:00.000001Z".parse().expect("a time");
        let source = BackupSource {
            cluster_id: "c".into(),
            shards: 16,
            workflow_id_prefix: "flintwheel".into(),
            version: "0.1.0".into(),
            now,
        };
        assert_eq!(source_from_proto(source_to_proto(source.clone())), Ok(source));
        for fired_through in [None, Some(now)] {
            let begun = ExportBegun { applied: 7, clock: now, fired_through };
            assert_eq!(begun_from_proto(begun_to_proto(&begun)), Ok(begun));
            let shards = vec![ShardRestore { rows: 1, finished: true }, ShardRestore { rows: 0, finished: false }];
            let restore = RestoreBegun { skip_before: fired_through, shards };
            assert_eq!(restore_from_proto(restore_to_proto(&restore)), Ok(restore));
        }
        let rows = ExportedRows { rows: vec![1, 2].into(), count: 3, last: true };
        assert_eq!(rows_from_proto(rows_to_proto(rows.clone())), rows);
        assert!(begun_from_proto(v1::ExportBegun::default()).is_err());
    }
}
