//! From when on a restored cluster fires what was due since the backup. Temporal drops what it knows it has started; what it has forgotten since,
//! nobody but the user can tell.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use flintwheel_model::Span;

use crate::output::{Zone, ago, compact};

/// For how long Temporal knows closed workflows at least: no namespace has a shorter retention.
const SHORTEST_RETENTION: Span = Span::from_secs(3600);

/// What the user chose.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Choice {
    /// Fire nothing that was due before this time (RFC 3339, or now); it is accounted as skipped
    #[arg(long, value_name = "TIME", conflicts_with = "refire_since")]
    pub skip_until: Option<When>,
    /// Fire what was due since this time (RFC 3339, or backup for all that was due since the backup), also what Temporal may have forgotten
    #[arg(long, value_name = "TIME")]
    pub refire_since: Option<When>,
    /// For how long the Temporal namespaces keep closed workflows, such as 72h [default: 1h, the least that Temporal takes]
    #[arg(long, value_name = "DURATION")]
    pub retention: Option<Span>,
}

/// A time, as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// When the restore begins.
    Now,
    /// When the backup began.
    Backup,
    /// This one.
    At(DateTime<Utc>),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(Self::Now),
            "backup" => Ok(Self::Backup),
            _ => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => Ok(Self::At(time.to_utc())),
                Err(error) => Err(format!("{error}; write 2026-11-27T09:00:00Z, now, or backup")),
            },
        }
    }
}

impl Choice {
    /// The time before which nothing that was due fires; none where all does, as the misfire policies say. The error says what to choose.
    pub fn skip_before(&self, backup: DateTime<Utc>, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
        let at = |when| match when {
            When::Now => now,
            When::Backup => backup,
            When::At(time) => time,
        };
        match (self.skip_until, self.refire_since) {
            (Some(until), _) => Ok(Some(at(until))),
            (None, Some(since)) if at(since) > now => Err(format!(
                "--refire-since {}: that lies ahead; --skip-until fires nothing before a time that is to come",
                Zone::UTC.exact(at(since))
            )),
            // What waits for Temporal since before the backup is fired too.
            (None, Some(When::Backup)) => Ok(None),
            (None, Some(since)) => Ok(Some(at(since))),
            (None, None) => self.all_known(backup, now).map(|()| None),
        }
    }

    /// Whether Temporal knows all that may have been started since the backup: then nothing needs to be chosen.
    fn all_known(&self, backup: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), String> {
        let retention = self.retention.unwrap_or(SHORTEST_RETENTION);
        let known = TimeDelta::from_std(retention.into()).unwrap_or(TimeDelta::MAX);
        if now.signed_duration_since(backup) <= known {
            return Ok(());
        }
        Err(format!(
            "the backup is of {} ({}), and Temporal may have forgotten what was started since: it keeps closed workflows for {}\
             {}\nchoose --skip-until now: nothing that was due until now fires\n\
             or --refire-since TIME: what was due since then fires, although it may have been started before\n\
             or --retention DURATION, where the Temporal namespaces keep closed workflows for as long as the backup is old\n\
             nothing was changed",
            Zone::UTC.exact(backup),
            ago(backup, now),
            compact(retention.into()),
            if self.retention.is_some() { "" } else { ", as far as is known here" },
        ))
    }

    /// Whether a time was named that means the same each time.
    pub fn is_exact(&self) -> bool {
        matches!(self.skip_until.or(self.refire_since), Some(When::At(_) | When::Backup))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn chosen(skip_until: Option<&str>, refire_since: Option<&str>, retention: Option<u64>) -> Choice {
        let when = |text: Option<&str>| text.map(|text| text.parse().expect("a time"));
        let (skip_until, refire_since) = (when(skip_until), when(refire_since));
        Choice { skip_until, refire_since, retention: retention.map(Span::from_secs) }
    }

    #[test]
    fn without_a_choice_only_what_temporal_knows_for_sure_is_fired_again() {
        let backup = time("2026-11-27T09:00:00Z");
        for (now, retention, allowed) in [
            ("2026-11-27T09:00:00Z", None, true),
            ("2026-11-27T10:00:00Z", None, true),
            ("2026-11-27T10:00:01Z", None, false),
            ("2026-11-27T10:00:01Z", Some(3 * 86_400), true),
            ("2026-11-30T09:00:00Z", Some(3 * 86_400), true),
            ("2026-11-30T09:00:01Z", Some(3 * 86_400), false),
            ("2026-11-27T09:00:01Z", Some(0), false),
            // A clock that is behind.
            ("2026-11-27T08:00:00Z", None, true),
        ] {
            let found = chosen(None, None, retention).skip_before(backup, time(now));
            assert_eq!(found.is_ok(), allowed, "{now} {retention:?}: {found:?}");
            match found {
                Ok(skip_before) => assert_eq!(skip_before, None),
                Err(why) => assert!(why.contains("--skip-until now") && why.contains("--refire-since TIME"), "{why}"),
            }
        }
    }

    #[test]
    fn a_choice_counts_however_old_the_backup_is() {
        let (backup, now) = (time("2026-11-20T09:00:00Z"), time("2026-11-27T09:00:00Z"));
        let between = "2026-11-25T09:00:00Z";
        for (skip_until, refire_since, expected) in [
            (Some("now"), None, Some(now)),
            (Some("backup"), None, Some(backup)),
            (Some(between), None, Some(time(between))),
            (Some("2026-12-01T00:00:00Z"), None, Some(time("2026-12-01T00:00:00Z"))),
            (None, Some("backup"), None),
            (None, Some("now"), Some(now)),
            (None, Some(between), Some(time(between))),
        ] {
            let choice = chosen(skip_until, refire_since, None);
            assert_eq!(choice.skip_before(backup, now), Ok(expected), "{choice:?}");
        }
        let ahead = chosen(None, Some("2026-12-01T00:00:00Z"), None).skip_before(backup, now);
        assert!(ahead.is_err_and(|why| why.contains("lies ahead")));
    }
}
