//! Zones from files of an IANA database that is newer than the compiled-in one, read once when a program starts. Reading the files is somebody
//! else's business; here they are bytes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Zone;
use crate::limits::{FIRST_TIME, LAST_TIME};

/// Changes of one zone's clock; those with the most have some 250 to the year 2100.
const CHANGES: usize = 10_000;

/// What was loaded.
pub(super) struct Loaded {
    pub(super) version: String,
    pub(super) zones: BTreeMap<String, Zone>,
}

static LOADED: OnceLock<Loaded> = OnceLock::new();

/// Why zones were not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneFault {
    /// A file is none of a zone.
    Unreadable {
        /// The zone's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another database was loaded before: what was compiled by it would stay as it is.
    Loaded {
        /// Its version.
        version: String,
    },
}

impl std::fmt::Display for ZoneFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreadable { name, why } => write!(f, "time zone {name} can't be read: {why}"),
            Self::Loaded { version } => write!(f, "time-zone data {version} is in use already"),
        }
    }
}

impl std::error::Error for ZoneFault {}

pub(super) fn loaded() -> Option<&'static Loaded> {
    LOADED.get()
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    loaded().into_iter().flat_map(|loaded| loaded.zones.keys().map(String::as_str))
}

/// Reads zones from files in the TZif format (RFC 9636), each with its IANA name, for all schedules that this process compiles from now on. The same
/// version again changes nothing.
///
/// # Errors
/// The first file that can't be read; or that others were loaded before.
pub fn load_zones(version: &str, files: &[(String, Vec<u8>)]) -> Result<(), ZoneFault> {
    let read = |(name, bytes): &(String, Vec<u8>)| Ok((name.clone(), zone(name, bytes)?));
    let zones = files.iter().map(read).collect::<Result<_, ZoneFault>>()?;
    let loaded = LOADED.get_or_init(|| Loaded { version: version.to_owned(), zones });
    if loaded.version == version { Ok(()) } else { Err(ZoneFault::Loaded { version: loaded.version.clone() }) }
}

fn zone(name: &str, bytes: &[u8]) -> Result<Zone, ZoneFault> {
    let unreadable = |why: String| ZoneFault::Unreadable { name: name.to_owned(), why };
    let zone = TimeZone::tzif(name, bytes).map_err(|error| unreadable(error.to_string()))?;
    let begin = Timestamp::from_second(FIRST_TIME / 1_000_000).map_err(|error| unreadable(error.to_string()))?;
    let mut spans = vec![(i64::MIN, zone.to_offset(begin).seconds())];
    let coming = zone.following(begin).map(|change| (change.timestamp().as_second(), change.offset().seconds()));
    for (at, offset) in coming.take_while(|(at, _)| *at <= LAST_TIME / 1_000_000) {
        // Some changes are of the name only.
        if spans.last().is_some_and(|(_, before)| *before != offset) {
            spans.push((at, offset));
        }
        if spans.len() > CHANGES {
            return Err(unreadable(format!("its clock changes more than {CHANGES} times")));
        }
    }
    Ok(Zone::of_spans(name, spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one offset, which its last line gives; the older part of the format is left empty, as `zic` does.
    fn fixed(rule: &str) -> Vec<u8> {
        let head = |types: u8, chars: u8| {
            let counts = [0, 0, 0, 0, u32::from(types), u32::from(chars)].map(u32::to_be_bytes);
            [b"TZif2".as_slice(), &[0; 15], counts.as_flattened()].concat()
        };
        let kind = [0_u8; 6];
        [
            head(1, 4),
            [kind.as_slice(), b"UTC\0"].concat(),
            head(1, 4),
            [kind.as_slice(), b"UTC\0"].concat(),
            format!("\n{rule}\n").into(),
        ]
        .concat()
    }

    fn spans(rule: &str) -> Vec<(i64, i64)> {
        let zone = zone("Test/Zone", &fixed(rule)).expect("a zone");
        zone.spans_from(0).map(|span| (span.start, span.offset)).collect()
    }

    #[test]
    fn a_zone_of_a_file_has_the_spans_of_its_rule() {
        let offsets: Vec<i64> =
            spans("CET-1CEST,M3.5.0,M10.5.0/3").into_iter().map(|(_, offset)| offset).take(4).collect();
        assert_eq!(offsets, [3600, 7200, 3600, 7200]);
        let changes = spans("CET-1CEST,M3.5.0,M10.5.0/3").len();
        assert!((260..=264).contains(&changes), "{changes}: two a year to 2100");
        assert_eq!(spans("EET-2").iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [7200]);
    }

    #[test]
    fn a_zone_of_a_file_tells_its_offsets() {
        let (winter, summer) = (1_767_225_600_000_000, 1_782_864_000_000_000);
        for (rule, expected) in [
            ("EET-2", vec![(winter, 7_200)]),
            ("CET-1CEST,M3.5.0,M10.5.0/3", vec![(winter, 3_600), (1_774_746_000_000_000, 7_200)]),
        ] {
            let told = zone("Test/Zone", &fixed(rule)).expect("a zone").offsets(&[winter, summer]);
            assert_eq!(
                told.iter().map(|offset| (offset.from, offset.utc_offset)).collect::<Vec<_>>(),
                expected,
                "{rule}"
            );
        }
    }

    #[test]
    fn what_is_no_zone_is_refused_with_its_name() {
        let whole = fixed("EET-2");
        for bytes in [&b"TZif2"[..], b"nonsense", &whole[..60], b""] {
            let fault = zone("Test/Zone", bytes).expect_err("refused").to_string();
            assert!(fault.starts_with("time zone Test/Zone can't be read: "), "{fault}");
        }
    }
}
