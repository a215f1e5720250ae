//! What people call a place: a path, or a URL. Buckets and prefixes stand in the URL; all else of an object store, credentials above all, comes from
//! the environment, by the names that its other tools use.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use super::said::Secrets;
use super::store::Store;
use crate::error::BackupError;

const KINDS: &str = "places are paths of directories, file:///path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, and \
                     abfss://container@account.dfs.core.windows.net/prefix";
/// For a request, unless the environment has another: a part must fit through a slow line that eight of them share.
const TIMEOUT: &str = "300s";
/// Between tries at most.
const PAUSE: Duration = Duration::from_secs(10);
/// More than fit into any time that is given: that ends it, not a count.
const MOST_RETRIES: usize = 10_000;

/// See the module.
#[derive(Debug, PartialEq, Eq)]
pub enum Name {
    /// Of a directory.
    Path(PathBuf),
    /// Of a prefix in an object store.
    Store(StoreName),
}

/// Of a prefix in an object store.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreName {
    kind: Kind,
    /// Bucket or container, with the account where that is named.
    bucket: String,
    prefix: Path,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    S3,
    Google,
    Azure { scheme: &'static str },
}

impl Kind {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Google => "gs",
            Self::Azure { scheme } => scheme,
        }
    }
}

/// Reads a name. What might be a credential is not repeated in the error.
pub fn parse(text: &str) -> Result<Name, BackupError> {
    if text.is_empty() {
        return Err(wrong(text, format!("is no name of a place: {KINDS}")));
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(Name::Path(text.into())) };
    let kind = match scheme {
        "file" => return path(text).map(Name::Path),
        "s3" => Kind::S3,
        "gs" => Kind::Google,
        "az" => Kind::Azure { scheme: "az" },
        "abfss" => Kind::Azure { scheme: "abfss" },
        _ => return Err(wrong(&format!("{scheme}://..."), format!("begins otherwise than any place does: {KINDS}"))),
    };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let account = matches!(kind, Kind::Azure { .. });
    if bucket.contains(':') || (bucket.contains('@') && !account) {
        let why = "has a user or a port in it; credentials and endpoints come from the environment (docs/backup.md)";
        return Err(wrong(&format!("{scheme}://..."), why));
    }
    if key.contains(['?', '#']) {
        return Err(wrong(
            &format!("{scheme}://{bucket}/..."),
            "has a ? or a # in it; only a bucket and a prefix stand there",
        ));
    }
    if bucket.is_empty() {
        return Err(wrong(text, format!("names no bucket: write {scheme}://bucket/prefix")));
    }
    let prefix = prefix(key).map_err(|why| wrong(text, why))?;
    Ok(Name::Store(StoreName { kind, bucket: bucket.to_owned(), prefix }))
}

/// A prefix as it is kept: without slashes around it.
pub fn prefix(text: &str) -> Result<Path, String> {
    Path::parse(text).map_err(|error| format!("has a prefix that can't be one: {error}"))
}

fn path(text: &str) -> Result<PathBuf, BackupError> {
    let why = || wrong(text, "is no path: write file:///path, with three slashes and an absolute path");
    Url::parse(text).map_err(|_| why())?.to_file_path().map_err(|()| why())
}

fn wrong(place: &str, why: impl Into<String>) -> BackupError {
    BackupError::Name { place: place.to_owned(), why: why.into() }
}

impl StoreName {
    /// As errors name it.
    fn url(&self) -> String {
        let Self { kind, bucket, prefix } = self;
        let url = format!("{}://{bucket}/{prefix}", kind.scheme());
        url.trim_end_matches('/').to_owned()
    }

    /// Ready to be asked; nothing is asked yet.
    pub fn open(self, retry_for: Duration) -> Result<Store, BackupError> {
        // One provider of TLS for the whole program; whoever came first has set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (name, secrets) = (self.url(), Secrets::of_environment());
        let store = self.build(retry_for).map_err(|error| {
            let why = format!("can't be reached with what the environment says: {}", secrets.said(&error));
            wrong(&name, why)
        })?;
        Ok(Store::new(store, name, self.prefix, secrets))
    }

    fn build(&self, retry_for: Duration) -> object_store::Result<Arc<dyn ObjectStore>> {
        let backoff = BackoffConfig { max_backoff: PAUSE, ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: MOST_RETRIES, retry_timeout: retry_for };
        let timeout = ClientConfigKey::Timeout;
        Ok(match self.kind {
            Kind::S3 => {
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(&self.bucket).with_retry(retry);
                if unset("AWS_TIMEOUT") {
                    builder = builder.with_config(AmazonS3ConfigKey::Client(timeout), TIMEOUT);
                }
                // Who names an endpoint without TLS means it.
                if unset("AWS_ALLOW_HTTP") && endpoint(&builder).is_some_and(|url| url.starts_with("http://")) {
                    builder = builder.with_allow_http(true);
                }
                Arc::new(builder.build()?)
            }
            Kind::Google => {
                let mut builder =
                    GoogleCloudStorageBuilder::from_env().with_bucket_name(&self.bucket).with_retry(retry);
                if unset("GOOGLE_TIMEOUT") {
                    builder = builder.with_config(GoogleConfigKey::Client(timeout), TIMEOUT);
                }
                Arc::new(builder.build()?)
            }
            Kind::Azure { scheme } => {
                let url = format!("{scheme}://{}", self.bucket);
                let mut builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(retry);
                if unset("AZURE_TIMEOUT") {
                    builder = builder.with_config(AzureConfigKey::Client(timeout), TIMEOUT);
                }
                Arc::new(builder.build()?)
            }
        })
    }
}

fn endpoint(builder: &AmazonS3Builder) -> Option<String> {
    let of = |key| builder.get_config_value(&key);
    of(AmazonS3ConfigKey::S3Endpoint).or_else(|| of(AmazonS3ConfigKey::Endpoint))
}

fn unset(variable: &str) -> bool {
    env::var_os(variable).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_meant() {
        for (text, url) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://bucket/2026-11-27", "gs://bucket/2026-11-27"),
            ("az://container/a", "az://container/a"),
            ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
        ] {
            let Name::Store(name) = parse(text).expect(text) else { panic!("{text} is an object store") };
            assert_eq!(name.url(), url);
        }
        for (text, path) in [("/a", "/a"), ("a b", "a b"), ("file:///a%20b", "/a b"), ("./s3:/x", "./s3:/x")] {
            assert_eq!(parse(text).expect(text), Name::Path(path.into()));
        }
    }

    #[test]
    fn what_is_no_place_is_refused_and_credentials_are_not_repeated() {
        for (text, why) in [
            ("", "is no name of a place"),
            ("ftp://x/y", "begins otherwise than any place does"),
            ("https://bucket.s3.amazonaws.com/x", "begins otherwise than any place does"),
            ("file://host/x", "is no path"),
            ("s3://", "names no bucket"),
            ("s3:///a", "names no bucket"),
            ("s3://bucket/a//b", "has a prefix that can't be one"),
            ("s3://bucket/../b", "has a prefix that can't be one"),
            ("s3://key:hidden@bucket/a", "has a user or a port in it"),
            ("gs://hidden@bucket/a", "has a user or a port in it"),
            ("az://c/a?sig=hidden", "has a ? or a # in it"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why) && !error.contains("hidden"), "{text}: {error}");
        }
    }
}
