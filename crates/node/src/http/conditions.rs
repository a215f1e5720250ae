//! `If-Match` and `If-None-Match`: which version a change expects. A definition's entity tag is its version.

use flintwheel_model::ids::short;
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

use super::body::text;
use crate::server::Fault;

/// `If-Match: "3"` expects version 3, `If-None-Match: *` expects none.
pub fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    match (headers.contains_key(&IF_MATCH), headers.contains_key(&IF_NONE_MATCH)) {
        (false, false) => Ok(None),
        (true, true) => Err(Fault::field("If-None-Match", "stands beside If-Match; use one of the two")),
        (true, false) => {
            let tag = text(headers, &IF_MATCH);
            let version = tag.trim_matches('"').parse().ok().filter(|version| *version > 0);
            let message = || format!("{:?} is not a version such as \"3\"", short(tag));
            version.map(Some).ok_or_else(|| Fault::field("If-Match", message()))
        }
        (false, true) if text(headers, &IF_NONE_MATCH) == "*" => Ok(Some(0)),
        (false, true) => {
            Err(Fault::field("If-None-Match", "can only be *, for a definition that must not be there yet"))
        }
    }
}

/// A version as entity tag.
pub fn entity_tag(version: u64) -> [(http::HeaderName, HeaderValue); 1] {
    [(ETAG, HeaderValue::try_from(format!("\"{version}\"")).expect("digits and quotes"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_name_a_version_or_are_refused() {
        for (name, value, expected) in [
            (IF_MATCH, "\"3\"", Some(Some(3))),
            (IF_MATCH, "12", Some(Some(12))),
            (IF_MATCH, "*", None),
            (IF_MATCH, "\"0\"", None),
            (IF_MATCH, "W/\"3\"", None),
            (IF_NONE_MATCH, "*", Some(Some(0))),
            (IF_NONE_MATCH, "\"3\"", None),
        ] {
            let headers = HeaderMap::from_iter([(name.clone(), value.parse().expect("a value"))]);
            assert_eq!(expected_version(&headers).ok(), expected, "{name}: {value}");
        }
        assert_eq!(expected_version(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn both_at_once_are_refused() {
        let both = [(IF_MATCH, "3"), (IF_NONE_MATCH, "*")].map(|(name, value)| (name, HeaderValue::from_static(value)));
        assert!(expected_version(&HeaderMap::from_iter(both)).is_err());
    }
}
