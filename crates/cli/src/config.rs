//! Settings of the commands that speak to a server: flags, then `FLINTWHEEL_*`, then a profile of the client's file, then defaults.
//!
//! The server's own configuration is another file, and `flintwheel-node`'s business.

mod profile;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use flintwheel_client::{ApiKey, Client, DEFAULT_ADDRESS, Options, Tls};
use flintwheel_model::DefinitionKey;

use crate::exit::{Exit, Failure};
use profile::Profile;

/// Where the server is, and as whom to speak to it.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Server, HOST:PORT; several, with commas between, are tried in turn [default: 127.0.0.1:7733]
    #[arg(long, env = "FLINTWHEEL_ADDRESS", value_delimiter = ',')]
    address: Vec<String>,
    /// Namespace [default: default]
    #[arg(short, long, env = "FLINTWHEEL_NAMESPACE")]
    namespace: Option<String>,
    /// API key, sent as a bearer token
    #[arg(long, env = "FLINTWHEEL_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Encrypt the connection
    #[arg(long, env = "FLINTWHEEL_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    tls: Option<bool>,
    /// Who may have signed the server's certificate (PEM) [default: the system's roots]
    #[arg(long, env = "FLINTWHEEL_TLS_CA_PATH", value_name = "FILE")]
    tls_ca_path: Option<PathBuf>,
    /// The client's certificate (PEM)
    #[arg(long, env = "FLINTWHEEL_TLS_CERT_PATH", value_name = "FILE")]
    tls_cert_path: Option<PathBuf>,
    /// The client's key (PEM)
    #[arg(long, env = "FLINTWHEEL_TLS_KEY_PATH", value_name = "FILE")]
    tls_key_path: Option<PathBuf>,
    /// The name that the server's certificate must bear
    #[arg(long, env = "FLINTWHEEL_TLS_SERVER_NAME", value_name = "NAME")]
    tls_server_name: Option<String>,
    /// Give up on a call after this long, such as 30s [default: 10s]
    #[arg(long, env = "FLINTWHEEL_TIMEOUT", value_name = "DURATION")]
    timeout: Option<flintwheel_model::Span>,
    /// Profile of the client's file
    #[arg(long, env = "FLINTWHEEL_PROFILE", value_name = "NAME")]
    profile: Option<String>,
    /// The client's file [default: flintwheel/client.toml in the configuration directory]
    #[arg(long, env = "FLINTWHEEL_CLIENT_CONFIG", value_name = "FILE")]
    client_config: Option<PathBuf>,
}

/// Connection settings with everything filled in.
pub struct Session {
    /// Ready to call.
    pub client: Client,
    /// The namespace of those who name none.
    pub namespace: String,
}

/// For commands that change definitions.
#[derive(Clone, Debug, clap::Args)]
pub struct RequestArg {
    /// Done once, however often it is said with this id within an hour; what others change in between stays [default: a new one]
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    request_id: String,
}

impl RequestArg {
    /// The id that was given for all that the command changes; empty: each change has one of its own.
    pub fn of_all(&self) -> String {
        self.request_id.clone()
    }

    /// None was given: the command is said for the first time.
    pub fn is_new(&self) -> bool {
        self.request_id.is_empty()
    }
}

/// For commands that write definitions and speak to no server.
#[derive(Clone, Debug, Args)]
pub struct NamespaceArg {
    /// Namespace of the definitions [default: default]
    #[arg(short, long, env = "FLINTWHEEL_NAMESPACE")]
    namespace: Option<String>,
}

impl NamespaceArg {
    /// One that can be one.
    pub fn name(&self) -> Result<String, Failure> {
        let name = self.namespace.clone().unwrap_or_else(|| "default".to_owned());
        flintwheel_model::ids::check_namespace(&name).map_err(Failure::usage)?;
        Ok(name)
    }
}

impl RequestArg {
    /// The one that was given, or a new one: for whoever asks several times for the same.
    pub fn id_or_new(&self) -> String {
        if self.request_id.is_empty() { uuid::Uuid::now_v7().to_string() } else { self.request_id.clone() }
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Connection {
    /// Reads the profile and prepares the client; connects with the first call.
    pub fn open(&self) -> Result<Session, Failure> {
        let profile = Profile::load(self.client_config.as_deref(), self.profile.as_deref())?;
        let timeout = self.timeout.or(profile.timeout).map_or(DEFAULT_TIMEOUT, Into::into);
        let options = Options {
            connect_timeout: timeout.min(Duration::from_secs(5)),
            call_timeout: timeout,
            // A server that is away is told at once: people and scripts decide better how long to wait.
            retry_for: timeout / 4,
            // Who names a node means it: it may be the only one that can be reached from here.
            follow_leaders: false,
            api_key: self.api_key.clone().or_else(|| profile.api_key.clone()).map(ApiKey::new),
            tls: self.tls(&profile)?,
        };
        let default = || vec![DEFAULT_ADDRESS.to_owned()];
        let addresses =
            Some(self.address.clone()).filter(|a| !a.is_empty()).or(profile.address).unwrap_or_else(default);
        let namespace = self.namespace.clone().or(profile.namespace).unwrap_or_else(|| "default".to_owned());
        flintwheel_model::ids::check_namespace(&namespace).map_err(Failure::usage)?;
        Ok(Session { client: Client::new(&addresses, options)?, namespace })
    }

    fn tls(&self, profile: &Profile) -> Result<Option<Tls>, Failure> {
        let pick = |flag: &Option<PathBuf>, file: &Option<PathBuf>| flag.clone().or_else(|| file.clone());
        let ca = pick(&self.tls_ca_path, &profile.tls.ca_path);
        let cert = pick(&self.tls_cert_path, &profile.tls.cert_path);
        let key = pick(&self.tls_key_path, &profile.tls.key_path);
        let server_name = self.tls_server_name.clone().or_else(|| profile.tls.server_name.clone());
        let implied = ca.is_some() || cert.is_some() || key.is_some() || server_name.is_some();
        if !self.tls.or(profile.tls.enabled).unwrap_or(implied) {
            return Ok(None);
        }
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((read_pem(&cert)?, read_pem(&key)?)),
            (None, None) => None,
            _ => return Err(Failure::usage("a client certificate needs both --tls-cert-path and --tls-key-path")),
        };
        Ok(Some(Tls { ca: ca.as_ref().map(read_pem).transpose()?, identity, server_name }))
    }
}

fn read_pem(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::new(Exit::Usage, format!("{} can't be read: {error}", path.display())))
}

impl Session {
    /// With reads that may be `stale`, or not.
    #[must_use]
    pub fn reading(self, stale: bool) -> Self {
        if stale { Self { client: self.client.stale(), ..self } } else { self }
    }

    /// With changes that have this request id, if one is given.
    #[must_use]
    pub fn requesting(self, request: &RequestArg) -> Self {
        Self { client: self.client.with_request_id(&request.request_id), ..self }
    }

    /// `id`, `namespace/id`, or either after `activitydefinition/`, as `-o name` prints it.
    pub fn key(&self, name: &str) -> Result<DefinitionKey, Failure> {
        parse_key(name, &self.namespace).map_err(Failure::usage)
    }

    /// Several of them.
    pub fn keys(&self, names: &[String]) -> Result<Vec<DefinitionKey>, Failure> {
        names.iter().map(|name| self.key(name)).collect()
    }
}

fn parse_key(name: &str, namespace: &str) -> Result<DefinitionKey, String> {
    let name = name.strip_prefix("activitydefinition/").unwrap_or(name);
    let (namespace, id) = name.split_once('/').unwrap_or((namespace, name));
    flintwheel_model::ids::check_namespace(namespace)?;
    flintwheel_model::ids::check_id(id)?;
    Ok(DefinitionKey::new(namespace, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_definitions_are_read_in_every_form_that_is_printed() {
        for (name, expected) in [
            ("a", Ok("ns/a")),
            ("other/a", Ok("other/a")),
            ("activitydefinition/other/a", Ok("other/a")),
            ("activitydefinition/a", Ok("ns/a")),
            ("a/b/c", Err("\"b/c\" holds '/'")),
            ("", Err("an id has 1 to 200 characters")),
            ("A", Err("\"A\" holds 'A'")),
        ] {
            let read = parse_key(name, "ns").map(|key| key.to_string());
            match (&read, expected) {
                (Ok(key), Ok(expected)) => assert_eq!(key, expected),
                (Err(message), Err(expected)) => assert!(message.starts_with(expected), "{name}: {message}"),
                _ => panic!("{name}: {read:?}"),
            }
        }
    }
}
