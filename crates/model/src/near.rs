//! Which known name somebody may have meant.

/// The names, those first that are most like the given one; of equals, in their order.
pub fn nearest_first<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let name = name.to_lowercase();
    let mut ranked: Vec<_> = known.into_iter().map(|other| (edits(&name, &other.to_lowercase()), other)).collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, other)| other).collect()
}

/// How many letters must be added, left out or changed to make one word of the other.
pub fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let changed = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_most_alike_comes_first() {
        let known = ["uk-holidays", "de-holidays", "de-school", "weekends"];
        for (name, nearest) in [("de-holiday", "de-holidays"), ("De-Schol", "de-school"), ("weekend", "weekends")] {
            let found = nearest_first(name, known);
            assert_eq!((found[0], found.len()), (nearest, known.len()), "{name}");
        }
        assert_eq!(edits("monday", "sunday"), 2);
        assert!(nearest_first("x", []).is_empty());
    }
}
