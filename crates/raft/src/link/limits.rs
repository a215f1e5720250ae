//! How much of everything a link takes, and how long things may take.

use crate::transport::Lane;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Messages that travel as one gRPC message. A thousand groups' heartbeats fit; the other side refuses more.
pub(super) const FRAMES: usize = 1024;
/// Messages are gathered into one gRPC message up to this size. Beyond it there is nothing to be won, and a small message would wait for its
/// neighbours to be copied.
const BATCH_BYTES: usize = 256 << 10;
/// What surrounds messages in a gRPC message: some 30 bytes for each of [`FRAMES`].
const ENVELOPE_BYTES: usize = 64 << 10;
/// The largest gRPC message: one message of the largest size, or a batch.
pub(super) const WIRE_BYTES: usize = LARGEST + ENVELOPE_BYTES;
const LARGEST: usize = 8 << 20;
/// What a call takes beside its message: its places in tables here, a task there. It bounds the number of calls.
const CALL_BYTES: usize = 1 << 10;

/// What may be on its way on a stream, or a connection (each has one stream), before the reader must have read it: enough for 1 Gbit/s over
/// 30 ms.
pub(super) const WINDOW: u32 = 4 << 20;
/// Larger than HTTP/2's own 16 KiB: a batch of entries is not cut into hundreds of pieces.
pub(super) const HTTP_FRAME: u32 = 256 << 10;

/// For the connection alone.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// From the connection to the welcome.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);
/// A connection that stands still is asked whether it lives.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// The largest message that a lane takes, in bytes.
pub const fn largest_message(lane: Lane) -> usize {
    match lane {
        Lane::Log | Lane::Bulk | Lane::Call => LARGEST,
        // Thousands of groups in one message, if somebody gathers them.
        Lane::Beat => 1 << 20,
    }
}

/// Bytes that may be under way on one link, messages with [`CALL_BYTES`] each. The sender refuses more; the receiver reads no more.
pub(super) const fn under_way(lane: Lane) -> usize {
    match lane {
        // Eight of the largest messages, or 65,536 small ones: groups have a few under way each.
        Lane::Log | Lane::Call => 64 << 20,
        // 8,192 groups at a time. What waits behind more would be late anyhow.
        Lane::Beat => 8 << 20,
        // Four pieces: as many as keep the disks of both sides busy.
        Lane::Bulk => 4 * (LARGEST + CALL_BYTES),
    }
}

/// What a message takes of [`under_way`].
pub(super) fn cost(message_bytes: usize) -> u32 {
    u32::try_from(message_bytes + CALL_BYTES).expect("messages are checked for their size first")
}

/// Calls of one link at most.
pub(super) const fn calls(lane: Lane) -> usize {
    under_way(lane) / CALL_BYTES
}

/// Room for what may be under way on one link.
pub(super) fn room(lane: Lane) -> Semaphore {
    Semaphore::new(under_way(lane))
}

/// How long a connection may leave the question whether it lives unanswered. On a full lane the question stands in line behind data.
pub(super) const fn patience(lane: Lane) -> Duration {
    match lane {
        Lane::Beat => Duration::from_secs(2),
        Lane::Log | Lane::Call => Duration::from_secs(4),
        Lane::Bulk => Duration::from_secs(10),
    }
}

/// One gRPC message that is being filled.
#[derive(Default)]
pub(super) struct Filling {
    messages: usize,
    bytes: usize,
}

impl Filling {
    /// Whether one more message of that size goes in; if so, it is counted. The first one always does.
    pub(super) fn admits(&mut self, bytes: usize) -> bool {
        let fits = self.messages == 0 || (self.messages < FRAMES && self.bytes + bytes <= BATCH_BYTES);
        if fits {
            self.messages += 1;
            self.bytes += bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_largest_size_can_be_under_way_and_its_cost_can_be_counted() {
        for lane in [Lane::Log, Lane::Beat, Lane::Bulk, Lane::Call] {
            assert!(cost(largest_message(lane)) as usize <= under_way(lane));
            assert!(under_way(lane) <= Semaphore::MAX_PERMITS && under_way(lane) <= u32::MAX as usize);
            assert!(largest_message(lane) + ENVELOPE_BYTES <= WIRE_BYTES && BATCH_BYTES <= LARGEST);
        }
    }

    #[test]
    fn a_batch_ends_at_its_number_or_its_size_but_takes_any_first_message() {
        for (bytes, taken) in [(0, FRAMES), (100, FRAMES), (BATCH_BYTES / 2, 2), (BATCH_BYTES, 1), (LARGEST, 1)] {
            let mut filling = Filling::default();
            let count = (0..2 * FRAMES).take_while(|_| filling.admits(bytes)).count();
            assert_eq!(count, taken, "messages of {bytes} bytes");
        }
    }
}
