//! Key prefixes: every key starts with its group, so one database serves all groups and a group is one range.

/// The key of `suffix` in `group`: the group as four bytes, big endian, then the suffix. `into` is overwritten.
pub(crate) fn group_key<'a>(into: &'a mut Vec<u8>, group: u32, suffix: &[u8]) -> &'a [u8] {
    into.clear();
    into.extend_from_slice(&group.to_be_bytes());
    into.extend_from_slice(suffix);
    into
}

/// The key of a log entry: group and index, both big endian, so that keys sort as the log does.
pub(crate) fn entry_key(group: u32, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// The index in a key made by [`entry_key`], if it has that form.
pub(crate) fn index_of(key: &[u8]) -> Option<u64> {
    let index = key.get(4..12)?;
    (key.len() == 12).then(|| index.try_into().map(u64::from_be_bytes).ok()).flatten()
}

/// A key after all keys of `group` and before the next group's. Nothing follows the last group: there it is longer than any key.
pub(crate) fn group_end(group: u32) -> Vec<u8> {
    match group.checked_add(1) {
        Some(next) => next.to_be_bytes().to_vec(),
        None => vec![0xff; 64],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_keys_sort_by_group_then_index() {
        let keys = [entry_key(0, u64::MAX), entry_key(1, 0), entry_key(1, 255), entry_key(1, 256), entry_key(256, 1)];
        assert!(keys.is_sorted());
        assert_eq!(keys.map(|key| index_of(&key)), [Some(u64::MAX), Some(0), Some(255), Some(256), Some(1)]);
        assert_eq!(index_of(b"short"), None);
        assert_eq!(index_of(b"longer than a key"), None);
    }

    #[test]
    fn a_group_ends_before_the_next_begins() {
        let mut key = Vec::new();
        assert!(group_key(&mut key, 7, &[0xff; 32]) < group_end(7).as_slice());
        assert!(group_end(7).as_slice() <= group_key(&mut key, 8, b""));
        assert!(group_key(&mut key, u32::MAX, &[0xff; 32]) < group_end(u32::MAX).as_slice());
    }
}
