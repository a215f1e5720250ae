//! What the user says about Temporal: `temporal.toml` and `TEMPORAL_*` as the Temporal CLI reads them, and explicit
//! values on top. It knows files and variables, not connections.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use temporalio_common::envconfig::{
    ClientConfigProfile, ClientConfigTLS, DataSource, LoadClientConfigProfileOptions, load_client_config_profile,
};

use crate::target::Target;

/// How many HTTP/2 connections a sink opens where nothing else is said.
pub const DEFAULT_CONNECTIONS: NonZeroUsize = NonZeroUsize::new(4).expect("four");

/// A text that never shows up in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself; for the wire only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Why the settings can't be used: which one, its value where that is no secret, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct OptionsError {
    /// As in [`TemporalOptions`], such as `tls.client_cert`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl OptionsError {
    pub(crate) fn new(field: &str, message: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), message: message.to_string() }
    }
}

/// Explicit values; each one that is set overrides what the profile and the environment say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemporalOptions {
    /// Read this file instead of `$TEMPORAL_CONFIG_FILE` or the CLI's default one. It must exist.
    pub config_file: Option<PathBuf>,
    /// Profile in that file (default: `$TEMPORAL_PROFILE`, then `default`).
    pub profile: Option<String>,
    /// `host:port`, or a URL with `http` or `https` (default: `localhost:7233`).
    pub address: Option<String>,
    /// Temporal's namespace (default: `default`).
    pub namespace: Option<String>,
    /// Sent as a bearer token; turns TLS on unless that is explicitly off.
    pub api_key: Option<Secret>,
    /// Certificates and names.
    pub tls: TlsOverrides,
    /// gRPC metadata of each call, in addition to the profile's; the same name replaces.
    pub headers: BTreeMap<String, Secret>,
    /// Who Temporal shows as the starter (default: `flintwheel`).
    pub identity: Option<String>,
    /// HTTP/2 connections, used in turn.
    pub connections: NonZeroUsize,
    /// For one attempt to connect.
    pub connect_timeout: Duration,
    /// For one start, from the call to its answer, connecting included.
    pub start_timeout: Duration,
}

impl Default for TemporalOptions {
    fn default() -> Self {
        Self {
            config_file: None,
            profile: None,
            address: None,
            namespace: None,
            api_key: None,
            tls: TlsOverrides::default(),
            headers: BTreeMap::new(),
            identity: None,
            connections: DEFAULT_CONNECTIONS,
            connect_timeout: Duration::from_secs(5),
            start_timeout: Duration::from_secs(10),
        }
    }
}

/// TLS as far as it differs from the profile. Setting any of the files turns TLS on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOverrides {
    /// On or off, whatever else is said.
    pub enabled: Option<bool>,
    /// PEM file with the certificates that the server's is checked against (default: the system's).
    pub server_ca_cert: Option<PathBuf>,
    /// PEM file; together with `client_key`.
    pub client_cert: Option<PathBuf>,
    /// PEM file; together with `client_cert`.
    pub client_key: Option<PathBuf>,
    /// The name that the server's certificate must have (default: the address's host).
    pub server_name: Option<String>,
}

impl TlsOverrides {
    fn names_any(&self) -> bool {
        self != &Self::default()
    }
}

impl TemporalOptions {
    /// Reads profile, environment and certificate files. Connects to nothing.
    pub fn resolve(&self) -> Result<Target, OptionsError> {
        self.resolve_in(None)
    }

    /// The same with an environment of the caller's.
    pub fn resolve_in(&self, environment: Option<&HashMap<String, String>>) -> Result<Target, OptionsError> {
        let mut profile = self.load_profile(environment)?;
        self.apply_to(&mut profile);
        refuse_unsupported(&profile)?;
        check_address(profile.address.as_deref())?;
        if let Some(tls) = &mut profile.tls {
            read_files(tls)?;
        }
        Target::new(self, profile)
    }

    fn load_profile(&self, environment: Option<&HashMap<String, String>>) -> Result<ClientConfigProfile, OptionsError> {
        let source = self.config_file.as_deref().map(existing_file).transpose()?;
        let options = LoadClientConfigProfileOptions::builder()
            .maybe_config_source(source)
            .maybe_config_file_profile(self.profile.clone())
            .build();
        load_client_config_profile(options, environment).map_err(|e| {
            let place = self.config_file.as_ref().map(|path| path.display().to_string());
            let place =
                place.unwrap_or_else(|| "Temporal's configuration file, where the Temporal CLI finds it".to_owned());
            OptionsError::new("profile", format!("{e} in {place}"))
        })
    }

    fn apply_to(&self, profile: &mut ClientConfigProfile) {
        replace(&mut profile.address, &self.address);
        replace(&mut profile.namespace, &self.namespace);
        if let Some(key) = &self.api_key {
            profile.api_key = Some(key.reveal().to_owned());
        }
        for (name, value) in &self.headers {
            profile.grpc_meta.insert(name.to_lowercase(), value.reveal().to_owned());
        }
        if self.tls.names_any() {
            self.tls.apply_to(profile.tls.get_or_insert_default());
        }
    }
}

impl TlsOverrides {
    fn apply_to(&self, tls: &mut ClientConfigTLS) {
        if let Some(enabled) = self.enabled {
            tls.disabled = Some(!enabled);
        }
        replace(&mut tls.server_name, &self.server_name);
        replace(&mut tls.server_ca_cert, &self.server_ca_cert.as_deref().map(path_source));
        replace(&mut tls.client_cert, &self.client_cert.as_deref().map(path_source));
        replace(&mut tls.client_key, &self.client_key.as_deref().map(path_source));
    }
}

fn replace<T: Clone>(slot: &mut Option<T>, explicit: &Option<T>) {
    if explicit.is_some() {
        slot.clone_from(explicit);
    }
}

fn path_source(path: &Path) -> DataSource {
    DataSource::Path(path.to_string_lossy().into_owned())
}

/// The loader takes a file that isn't there for an empty one; a file that was asked for must be there.
fn existing_file(path: &Path) -> Result<DataSource, OptionsError> {
    let data = fs::read(path)
        .map_err(|e| OptionsError::new("config_file", format!("can't read \"{}\": {e}", path.display())))?;
    Ok(DataSource::Data(data))
}

/// What the profile format has and we don't do: better refused than ignored, for both are about safety.
fn refuse_unsupported(profile: &ClientConfigProfile) -> Result<(), OptionsError> {
    if profile.codec.as_ref().is_some_and(|codec| codec.endpoint.is_some()) {
        return Err(OptionsError::new(
            "codec",
            "a remote codec is not supported: inputs would be sent unencoded; \
             remove `codec` from the profile (or TEMPORAL_CODEC_ENDPOINT)",
        ));
    }
    if profile.tls.as_ref().is_some_and(|tls| tls.disable_host_verification) {
        return Err(OptionsError::new(
            "tls.disable_host_verification",
            "not supported; set `tls.server_name` to the name in the server's certificate, \
             or `tls.server_ca_cert` to the certificates that it is signed with",
        ));
    }
    Ok(())
}

/// Without this, `localhost` would mean port 80.
fn check_address(address: Option<&str>) -> Result<(), OptionsError> {
    let Some(address) = address else { return Ok(()) };
    let authority = match address.split_once("://") {
        Some(("http" | "https", authority)) => authority,
        Some((scheme, _)) => {
            let message = format!("scheme \"{scheme}\" of \"{address}\" is not http or https");
            return Err(OptionsError::new("address", message));
        }
        None => address,
    };
    let port = authority.trim_end_matches('/').rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(1..) => Ok(()),
        _ => Err(OptionsError::new(
            "address",
            format!("\"{address}\" has no port; write host:port, for example localhost:7233"),
        )),
    }
}

/// Reads them here, so that an error names the setting and the path.
fn read_files(tls: &mut ClientConfigTLS) -> Result<(), OptionsError> {
    let sources = [
        ("tls.server_ca_cert", &mut tls.server_ca_cert),
        ("tls.client_cert", &mut tls.client_cert),
        ("tls.client_key", &mut tls.client_key),
    ];
    for (field, source) in sources {
        if let Some(DataSource::Path(path)) = source {
            let data = fs::read(&*path).map_err(|e| OptionsError::new(field, format!("can't read \"{path}\": {e}")))?;
            *source = Some(DataSource::Data(data));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        // Nothing of the machine that runs the test: neither its variables nor its file.
        let none = ("TEMPORAL_CONFIG_FILE", "/nonexistent/temporal.toml");
        [none].iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn resolve(options: &TemporalOptions, pairs: &[(&str, &str)]) -> Result<Target, OptionsError> {
        options.resolve_in(Some(&environment(pairs)))
    }

    fn toml(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        fs::write(file.path(), text).expect("written");
        file
    }

    #[test]
    fn with_nothing_said_it_is_localhost() {
        let target = resolve(&TemporalOptions::default(), &[]).expect("defaults");
        assert_eq!((target.address(), target.namespace()), ("http://localhost:7233/", "default"));
        assert!(target.connection_options().tls_options.is_none());
    }

    #[test]
    fn explicit_values_beat_variables_and_variables_beat_the_file() {
        let file = toml(
            "[profile.default]\naddress=\"file:1\"\nnamespace=\"file\"\napi_key=\"k\"\n[profile.default.grpc_meta]\nX_Team=\"a\"\n",
        );
        let path = file.path().to_string_lossy().into_owned();
        let options = TemporalOptions { address: Some("flag:3".to_owned()), ..TemporalOptions::default() };
        let variables = [
            ("TEMPORAL_CONFIG_FILE", path.as_str()),
            ("TEMPORAL_NAMESPACE", "variable"),
            ("TEMPORAL_ADDRESS", "variable:2"),
        ];
        let target = resolve(&options, &variables).expect("valid");
        // The key from the file turns TLS on.
        assert_eq!((target.address(), target.namespace()), ("https://flag:3/", "variable"));
        let names: Vec<_> = target.headers().iter().map(|(name, _)| name.as_str().to_owned()).collect();
        assert_eq!(names, ["x-team", "authorization"]);
    }

    #[test]
    fn a_named_profile_is_used() {
        let file = toml("[profile.default]\naddress=\"a:1\"\n[profile.prod]\naddress=\"b:2\"\n");
        let options = TemporalOptions {
            config_file: Some(file.path().to_owned()),
            profile: Some("prod".to_owned()),
            ..TemporalOptions::default()
        };
        assert_eq!(resolve(&options, &[]).expect("valid").address(), "http://b:2/");
    }

    #[test]
    fn what_can_t_be_used_is_refused_by_name() {
        let address = |text: &str| TemporalOptions { address: Some(text.to_owned()), ..TemporalOptions::default() };
        let file = |path: &str| TemporalOptions { config_file: Some(path.into()), ..TemporalOptions::default() };
        let tls = |tls: TlsOverrides| TemporalOptions { tls, ..TemporalOptions::default() };
        let header = |name: &str, value: &str| TemporalOptions {
            headers: BTreeMap::from([(name.to_owned(), Secret::from(value.to_owned()))]),
            ..TemporalOptions::default()
        };
        let broken = toml("[profile.default\n");
        let codec = ("TEMPORAL_CODEC_ENDPOINT", "http://codec");
        let unverified = ("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", "true");
        let cases = [
            (address("localhost"), vec![], "address", "has no port"),
            (address("localhost:"), vec![], "address", "has no port"),
            (address("localhost:0"), vec![], "address", "has no port"),
            (address("localhost:99999"), vec![], "address", "has no port"),
            (address("ftp://localhost:1"), vec![], "address", "not http or https"),
            (address("bad host:1"), vec![], "profile", "address"),
            (file("/nonexistent/t.toml"), vec![], "config_file", "/nonexistent/t.toml"),
            (file(&broken.path().to_string_lossy()), vec![], "profile", "TOML"),
            (
                TemporalOptions { profile: Some("nope".to_owned()), ..TemporalOptions::default() },
                vec![],
                "profile",
                "nope",
            ),
            (TemporalOptions::default(), vec![codec], "codec", "remote codec"),
            (TemporalOptions::default(), vec![unverified], "tls.disable_host_verification", "not supported"),
            (
                tls(TlsOverrides { client_cert: Some("/nonexistent/c.pem".into()), ..TlsOverrides::default() }),
                vec![],
                "tls.client_cert",
                "/nonexistent/c.pem",
            ),
            (header("bad name", "v"), vec![], "headers.bad name", "metadata key"),
        ];
        for (options, variables, field, message) in cases {
            let error = resolve(&options, &variables).expect_err(field);
            assert_eq!(error.field, field, "{error}");
            assert!(error.message.to_lowercase().contains(&message.to_lowercase()), "{error}");
        }
    }

    #[test]
    fn secrets_stay_out_of_what_is_printed() {
        let options = TemporalOptions {
            api_key: Some(Secret::from("canary".to_owned())),
            headers: BTreeMap::from([("x".to_owned(), Secret::from("canary".to_owned()))]),
            ..TemporalOptions::default()
        };
        let target = resolve(&options, &[]).expect("valid");
        assert!(!format!("{options:?} {target:?}").contains("canary"));
    }
}
