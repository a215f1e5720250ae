//! Names of others as ids of definitions.

use flintwheel_model::ids::check_id;
use flintwheel_model::limits::ID_LEN;
use flintwheel_schedule::identity;

/// An id for what is called so elsewhere: the name itself where it can be one. Otherwise its letters and digits, and a digest of the name, so that
/// two names never share an id, and a name always has the same one.
pub fn definition_id(name: &str) -> String {
    if check_id(name).is_ok() {
        return name.to_owned();
    }
    with_digest(name, name)
}

/// Words of `shown`, and a digest of `whole`.
pub(crate) fn with_digest(shown: &str, whole: &str) -> String {
    let digest = format!("{:08x}", identity("", whole) >> 32);
    let mut id = String::new();
    for c in shown.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.' | '_') => id.push(c),
            _ if !id.is_empty() && !id.ends_with('-') => id.push('-'),
            _ => {}
        }
    }
    id.truncate(ID_LEN - digest.len() - 1);
    let id = id.trim_end_matches('-');
    if id.is_empty() { digest } else { format!("{id}-{digest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_an_id_is_one_and_others_are_marked_with_a_digest() {
        for (name, begin) in [
            ("nightly", "nightly"),
            ("Nightly Report", "nightly-report-"),
            ("a:b", "a-b-"),
            ("a/b", "a-b-"),
            ("ü", ""),
            ("--", ""),
        ] {
            let id = definition_id(name);
            assert!(check_id(&id).is_ok() && id.starts_with(begin), "{name}: {id}");
        }
        assert_ne!(definition_id("a:b"), definition_id("a/b"));
        assert_eq!(definition_id("A").len(), 10);
        assert!(check_id(&definition_id(&"Long ".repeat(200))).is_ok());
    }
}
