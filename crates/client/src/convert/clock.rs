//! What schedules' clocks are ahead of UTC.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::read_instant;
use super::time;
use crate::types::ClockOffset;

/// To the wire.
pub(super) fn to_proto(offsets: &[ClockOffset]) -> Vec<v1::ClockOffset> {
    let write = |offset: &ClockOffset| v1::ClockOffset {
        from: Some(time::timestamp(offset.from)),
        utc_offset_seconds: offset.utc_offset_seconds,
    };
    offsets.iter().map(write).collect()
}

/// From the wire.
pub(super) fn from_proto(proto: Vec<v1::ClockOffset>, at: At<'_>, faults: &mut Violations) -> Vec<ClockOffset> {
    let read = |(i, offset): (usize, v1::ClockOffset)| ClockOffset {
        from: read_instant(offset.from, at.index(i).field("from"), faults),
        utc_offset_seconds: offset.utc_offset_seconds,
    };
    proto.into_iter().enumerate().map(read).collect()
}
