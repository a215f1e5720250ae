//! Two sides that weigh unequally, and what each may give to the other: which one, or which two in exchange, evens them out best.

/// Things that may be given, by their names, with their weights.
pub(super) type Things = Vec<(u32, u64)>;

/// Pairs that are looked at: where the most uneven can't be helped, others hardly can, and a plan is made every moment.
const PAIRS: usize = 32;

/// What the heavy side gives, and what it gets back, if anything.
pub(super) type Exchange = (u32, Option<u32>);

/// The exchange that leaves the smallest gap, where that is at most three quarters of what it is: less is not worth it. `single`
/// allows to give without getting back, `swap` to get something back.
pub(super) fn best(gap: u64, give: &Things, take: &Things, single: bool, swap: bool) -> Option<Exchange> {
    let back = take.iter().filter(|_| swap).map(|(name, weight)| (Some(*name), *weight));
    let back: Vec<_> = single.then_some((None, 0)).into_iter().chain(back).collect();
    let after = |given: u64, got: u64| (i128::from(gap) - 2 * (i128::from(given) - i128::from(got))).unsigned_abs();
    let exchanges = give.iter().flat_map(|(name, weight)| {
        back.iter().map(move |(back, got)| (after(*weight, *got), back.is_some(), *name, *back))
    });
    let (left, _, given, got) = exchanges.min()?;
    (left <= u128::from(gap) / 4 * 3).then_some((given, got))
}

/// Pairs of nodes, heavy and light, that differ by more than a fifth of what is usual, and more than `least`. The most uneven first.
pub(super) fn uneven(weights: &[(u64, u64)], least: u64) -> Vec<(u64, u64, u64)> {
    let sum: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    let usual = u64::try_from(sum / (weights.len().max(1) as u128)).unwrap_or(u64::MAX);
    let bound = least.max(usual / 5);
    let pairs = weights.iter().flat_map(|heavy| weights.iter().map(move |light| (heavy, light)));
    let gaps = pairs.filter_map(|(heavy, light)| Some((heavy.1.checked_sub(light.1)?, heavy.0, light.0)));
    let mut uneven: Vec<_> = gaps.filter(|(gap, ..)| *gap > bound).collect();
    uneven.sort_unstable_by_key(|(gap, heavy, light)| (std::cmp::Reverse(*gap), *heavy, *light));
    uneven.truncate(PAIRS);
    uneven
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_smallest_gap_is_exchanged() {
        let things = |weights: &[u64]| -> Things { (1..).zip(weights.iter().copied()).collect() };
        let cases = [
            ("one that fits", 100, vec![10, 50, 90], vec![], true, true, Some((2, None))),
            ("nothing may be given alone", 100, vec![10, 50, 90], vec![], false, true, None),
            ("a swap", 100, vec![90, 20], vec![40, 10], false, true, Some((1, Some(1)))),
            ("alone rather than in exchange", 100, vec![50, 60], vec![10], true, true, Some((1, None))),
            ("no swap allowed", 100, vec![90], vec![40], true, false, None),
            ("not worth it", 100, vec![12], vec![], true, true, None),
            ("just worth it", 100, vec![13], vec![], true, true, Some((1, None))),
            ("nothing there", 100, vec![], vec![5], true, true, None),
            ("too heavy", 100, vec![100], vec![], true, true, None),
        ];
        for (case, gap, give, take, single, swap, expected) in cases {
            assert_eq!(best(gap, &things(&give), &things(&take), single, swap), expected, "{case}");
        }
    }

    #[test]
    fn a_small_difference_is_left_alone() {
        assert_eq!(uneven(&[], 10), []);
        assert_eq!(uneven(&[(1, 100), (2, 119)], 10), []);
        assert_eq!(uneven(&[(1, 100), (2, 130)], 10), [(30, 2, 1)]);
        assert_eq!(uneven(&[(1, 100), (2, 130)], 30), []);
        assert_eq!(uneven(&[(1, 100), (2, 200), (3, 150)], 10), [(100, 2, 1), (50, 2, 3), (50, 3, 1)]);
        assert_eq!(uneven(&[(1, u64::MAX), (2, 0), (3, u64::MAX)], 0).len(), 2);
    }
}
