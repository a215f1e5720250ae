//! Ticks: milliseconds since the Unix epoch, and their digits in base 256.

const MICROS_PER_TICK: u64 = 1_000;
const BITS_PER_DIGIT: usize = 8;

/// The tick at whose beginning a due time has passed. What is due before 1970 is due in 1970.
pub(crate) fn due(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0).div_ceil(MICROS_PER_TICK)
}

/// The last tick that has begun at a time.
pub(crate) fn reached(micros: i64) -> u64 {
    u64::try_from(micros).unwrap_or(0) / MICROS_PER_TICK
}

/// When a tick begins, in microseconds.
pub(crate) fn start(tick: u64) -> i64 {
    i64::try_from(tick.saturating_mul(MICROS_PER_TICK)).unwrap_or(i64::MAX)
}

/// The position of the highest digit that is not zero; `difference` is not zero.
pub(crate) fn highest_digit(difference: u64) -> usize {
    difference.ilog2() as usize / BITS_PER_DIGIT
}

pub(crate) fn digit(tick: u64, level: usize) -> u8 {
    tick.to_le_bytes()[level]
}

/// The tick that has `slot` at `level`, the digits of `now` above it, and zeros below.
pub(crate) fn slot_start(now: u64, level: usize, slot: u8) -> u64 {
    let shift = level * BITS_PER_DIGIT;
    let above = now >> shift >> BITS_PER_DIGIT << BITS_PER_DIGIT;
    (above | u64::from(slot)) << shift
}
