//! What is a definition's own, for `H`: a number that its name alone decides, so that it stays when the definition changes
//! or is made anew.

use xxhash_rust::xxh3::xxh3_64;

/// The identity of the definition of this namespace and id.
pub fn identity(namespace: &str, id: &str) -> u64 {
    // Neither can hold a colon.
    xxh3_64(format!("{namespace}:{id}").as_bytes())
}

/// Whether a schedule, as JSON, may hold an `H`, so that its plan may depend on the identity. Sometimes `true` where it
/// does not.
pub fn may_depend_on_identity(json: &str) -> bool {
    let bytes = json.as_bytes();
    let is_letter = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_alphabetic);
    let alone = |at: usize| !(is_letter(at + 1) || at > 0 && is_letter(at - 1));
    json.match_indices('H').any(|(at, _)| alone(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_never_changes_and_no_two_names_share_one() {
        assert_eq!(identity("default", "a"), 6_473_609_193_557_851_670);
        assert_ne!(identity("a", "b-c"), identity("a-b", "c"));
    }

    #[test]
    fn an_h_that_stands_alone_is_seen() {
        for (json, expected) in [
            (r#"{"cron":["H 3 * * *"]}"#, true),
            (r#"{"cron":["0 H(1-5) * * *"]}"#, true),
            (r#"{"cron":["0 1,H/6 * * *"]}"#, true),
            (r#"{"cron":["0 3 * * *"]}"#, false),
            (r#"{"cron":["0 3 * * THU"],"timezone":"Europe/Helsinki"}"#, false),
            ("H", true),
            ("", false),
        ] {
            assert_eq!(may_depend_on_identity(json), expected, "{json}");
        }
    }
}
