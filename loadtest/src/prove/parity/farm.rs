//! Temporal's jitter: a hash of the nominal time and of a name of the schedule, as a fraction of the window. The hash is FarmHash's Fingerprint32
//! (`farmhashmk`), whose description is public; nobody else here needs it.

const C1: u32 = 0xcc9e_2d51;
const C2: u32 = 0x1b87_3593;
/// From 0001-01-01 to the Unix epoch, in seconds: Go's times are counted from there.
const BEFORE_UNIX: i64 = 62_135_596_800;

/// How far a time (seconds since the Unix epoch) is moved, in milliseconds. `most` is the window, or the distance to the time that follows, if that is
/// less; in milliseconds.
pub fn jitter_ms(seed: &str, nominal: i64, most: i64) -> i64 {
    let mut bytes = vec![1];
    bytes.extend((nominal + BEFORE_UNIX).to_be_bytes());
    bytes.extend([0, 0, 0, 0, 0xff, 0xff]);
    bytes.extend(seed.as_bytes());
    let most = u64::try_from(most).unwrap_or(0).min(u64::from(u32::MAX));
    ((u64::from(fingerprint(&bytes)) * most) >> 32) as i64
}

/// Of at least 13 bytes.
fn fingerprint(bytes: &[u8]) -> u32 {
    if bytes.len() <= 24 { short(bytes) } else { long(bytes) }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn mix(a: u32, h: u32) -> u32 {
    step(h ^ a.wrapping_mul(C1).rotate_right(17).wrapping_mul(C2))
}

fn step(h: u32) -> u32 {
    h.rotate_right(19).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn short(bytes: &[u8]) -> u32 {
    let len = bytes.len();
    let half = len >> 1;
    let [a, b, c, d, e, f] = [half - 4, 4, len - 8, half, 0, len - 4].map(|at| word(bytes, at));
    let mut h = d.wrapping_mul(C1).wrapping_add(len as u32);
    let mut a = a.rotate_right(12).wrapping_add(f);
    h = mix(c, h).wrapping_add(a);
    a = a.rotate_right(3).wrapping_add(c);
    h = mix(e, h).wrapping_add(a);
    a = a.wrapping_add(f).rotate_right(12).wrapping_add(d);
    h = mix(b, h).wrapping_add(a);
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

fn long(bytes: &[u8]) -> u32 {
    let len = bytes.len();
    let [a0, a1, a2, a3, a4] =
        [4, 8, 16, 12, 20].map(|back| word(bytes, len - back).wrapping_mul(C1).rotate_right(17).wrapping_mul(C2));
    let (mut h, mut g) = (len as u32, C1.wrapping_mul(len as u32));
    let mut f = g;
    for a in [a0, a2] {
        h = step(h ^ a);
    }
    for a in [a1, a3] {
        g = step(g ^ a);
    }
    f = f.wrapping_add(a4).rotate_right(19).wrapping_add(113);
    for block in bytes.chunks_exact(20).take((len - 1) / 20) {
        let [a, b, c, d, e] = [0, 4, 8, 12, 16].map(|at| word(block, at));
        (h, g, f) = (h.wrapping_add(a), g.wrapping_add(b), f.wrapping_add(c));
        h = mix(d, h).wrapping_add(e);
        g = mix(c, g).wrapping_add(a);
        f = mix(b.wrapping_add(e.wrapping_mul(C1)), f).wrapping_add(d);
        f = f.wrapping_add(g);
        g = g.wrapping_add(f);
    }
    let twice = |v: u32| v.rotate_right(11).wrapping_mul(C1).rotate_right(17).wrapping_mul(C1);
    (g, f) = (twice(g), twice(f));
    h = step(h.wrapping_add(g)).rotate_right(17).wrapping_mul(C1);
    step(h.wrapping_add(f)).rotate_right(17).wrapping_mul(C1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_what_the_servers_own_tests_expect() {
        for (seed, nominal, most, expected) in [
            ("", 1_648_036_800, 5_400_000, 876_524),
            ("", 1_648_042_200, 5_400_000, 3_174_562),
            ("", 1_648_080_000, 3_600_000, 2_124_276),
            ("seed-1", 1_648_080_000, 3_600_000, 372_519),
            ("seed-2", 1_648_080_000, 3_600_000, 2_356_922),
            ("9f6c2d9e-6a2f-4a44-8a2e-000000000001-my-sched", 1_704_067_200, 3_600_000, 2_676_711),
        ] {
            assert_eq!(jitter_ms(seed, nominal, most), expected, "{seed} {nominal}");
        }
    }
}
