//! Where a run log is: `sqlite:PATH` or `postgres://...`, read from configuration, shown without its secrets.

use std::fmt;
use std::path::{Path, PathBuf};

use url::Url;

use super::RunLogError;

/// A run log's place.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// A server and database, with credentials.
    Postgres(Url),
}

impl Address {
    /// Reads `sqlite:PATH`, `sqlite://PATH`, `postgres://...` or `postgresql://...`.
    pub fn parse(text: &str) -> Result<Self, RunLogError> {
        match text.split_once(':') {
            Some(("sqlite", rest)) => sqlite(rest.strip_prefix("//").unwrap_or(rest)),
            Some(("postgres" | "postgresql", _)) => postgres(text),
            Some((scheme, _)) => Err(bad(format!("the scheme {scheme:?} is not known"))),
            None => Err(bad("it has no scheme".to_owned())),
        }
    }

    /// As the driver reads it. Holds the password.
    pub fn connection_url(&self) -> String {
        match self {
            Self::Sqlite(path) => sqlite_url(path),
            Self::Postgres(url) => url.as_str().to_owned(),
        }
    }
}

/// Without password and parameters: those may hold one too.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "postgres://{}{port}{}", url.host_str().unwrap_or("localhost"), url.path())
            }
        }
    }
}

fn bad(why: String) -> RunLogError {
    RunLogError::Address { why }
}

fn sqlite(path: &str) -> Result<Address, RunLogError> {
    if path.is_empty() || path == ":memory:" {
        return Err(bad("sqlite needs a file: what is only in memory is no log".to_owned()));
    }
    let absolute = std::path::absolute(path).map_err(|e| bad(format!("{path:?} is not a path: {e}")))?;
    if absolute.to_str().is_none() {
        return Err(bad(format!("the path {} is not UTF-8", absolute.display())));
    }
    Ok(Address::Sqlite(absolute))
}

fn postgres(text: &str) -> Result<Address, RunLogError> {
    let url = Url::parse(text).map_err(|e| bad(format!("the postgres URL does not parse: {e}")))?;
    Ok(Address::Postgres(url))
}

/// The driver reads the path percent-decoded, up to a `?`.
fn sqlite_url(path: &Path) -> String {
    let path = path.to_str().expect("parse() has refused paths that are not UTF-8");
    let escaped: String = path
        .bytes()
        .map(|byte| match byte {
            b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("sqlite://{escaped}?mode=rwc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_shown_without_secrets() {
        for (text, shown) in [
            ("sqlite:/var/lib/runs.db", "sqlite:/var/lib/runs.db"),
            ("sqlite:///var/lib/runs.db", "sqlite:/var/lib/runs.db"),
            ("postgres://ada:s3cret@db:5433/runs?password=s3cret", "postgres://db:5433/runs"),
            ("postgresql://db/runs", "postgres://db/runs"),
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn faults_are_named_without_the_secret() {
        for (text, why) in [
            ("", "no scheme"),
            ("runs.db", "no scheme"),
            ("mysql://root:s3cret@db/x", "\"mysql\" is not known"),
            ("sqlite:", "needs a file"),
            ("sqlite::memory:", "needs a file"),
            ("postgres://ada:s3cret@:x/", "does not parse"),
        ] {
            let error = Address::parse(text).err().expect(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn odd_paths_survive_the_way_to_the_driver() {
        let address = Address::parse("sqlite:/tmp/a b?c#d%20ä.db").expect("a path");
        assert_eq!(address.connection_url(), "sqlite:///tmp/a%20b%3Fc%23d%2520%C3%A4.db?mode=rwc");
    }
}
