//! One Temporal cluster as settings and as connections. It knows addresses, TLS and headers; not what is called over them.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use temporalio_client::{ConnectionOptions, GrpcCompression};
use temporalio_common::envconfig::ClientConfigProfile;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::options::{OptionsError, TemporalOptions};

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Everything needed to talk to one cluster, read and checked.
#[derive(Clone)]
pub struct Target {
    connection: ConnectionOptions,
    namespace: String,
    connections: NonZeroUsize,
    start_timeout: Duration,
    headers: Vec<(AsciiMetadataKey, AsciiMetadataValue)>,
}

impl Target {
    pub(crate) fn new(options: &TemporalOptions, profile: ClientConfigProfile) -> Result<Self, OptionsError> {
        let namespace = profile.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let headers = headers_of(&profile)?;
        let mut connection = ConnectionOptions::try_from(profile).map_err(|e| OptionsError::new("profile", e))?;
        connection.identity = options.identity.clone().unwrap_or_else(|| "flintwheel".to_owned());
        connection.connect_timeout = Some(options.connect_timeout);
        connection.grpc_compression = GrpcCompression::None;
        Ok(Self {
            connection,
            namespace,
            connections: options.connections,
            start_timeout: options.start_timeout,
            headers,
        })
    }

    /// Temporal's namespace where a definition's own one names none.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// For people: where it is, without credentials.
    pub fn address(&self) -> &str {
        self.connection.target.as_str()
    }

    /// The same cluster for a worker of the Temporal SDK.
    pub fn connection_options(&self) -> ConnectionOptions {
        self.connection.clone()
    }

    pub(crate) fn identity(&self) -> &str {
        &self.connection.identity
    }

    pub(crate) fn start_timeout(&self) -> Duration {
        self.start_timeout
    }

    pub(crate) fn headers(&self) -> &[(AsciiMetadataKey, AsciiMetadataValue)] {
        &self.headers
    }

    /// Channels that connect when they are first used, and again whenever the connection is lost.
    pub(crate) fn channels(&self) -> Result<Vec<Channel>, OptionsError> {
        let endpoint = self.endpoint()?;
        Ok((0..self.connections.get()).map(|_| endpoint.connect_lazy()).collect())
    }

    fn endpoint(&self) -> Result<Endpoint, OptionsError> {
        let mut endpoint = Endpoint::from_shared(self.connection.target.to_string())
            .map_err(|e| OptionsError::new("address", e))?
            .user_agent(concat!("flintwheel/", env!("CARGO_PKG_VERSION")))
            .map_err(|e| OptionsError::new("address", e))?
            .keep_alive_while_idle(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
        if let Some(timeout) = self.connection.connect_timeout {
            endpoint = endpoint.connect_timeout(timeout);
        }
        self.with_tls(endpoint)
    }

    fn with_tls(&self, mut endpoint: Endpoint) -> Result<Endpoint, OptionsError> {
        let Some(options) = &self.connection.tls_options else { return Ok(endpoint) };
        let mut tls = match &options.server_root_ca_cert {
            Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some(name) = &options.domain {
            let origin = format!("https://{name}").parse().map_err(|e| OptionsError::new("tls.server_name", e))?;
            endpoint = endpoint.origin(origin);
            tls = tls.domain_name(name);
        }
        if let Some(client) = &options.client_tls_options {
            tls = tls.identity(Identity::from_pem(&client.client_cert, &client.client_private_key));
        }
        endpoint.tls_config(tls).map_err(|e| OptionsError::new("tls", chain(&e)))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.address())
            .field("namespace", &self.namespace)
            .field("tls", &self.connection.tls_options.is_some())
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

fn headers_of(profile: &ClientConfigProfile) -> Result<Vec<(AsciiMetadataKey, AsciiMetadataValue)>, OptionsError> {
    let mut headers = Vec::with_capacity(profile.grpc_meta.len() + 1);
    for (name, value) in &profile.grpc_meta {
        headers.push(header(&format!("headers.{name}"), name, value)?);
    }
    if let Some(key) = &profile.api_key {
        headers.push(header("api_key", "authorization", &format!("Bearer {key}"))?);
    }
    Ok(headers)
}

fn header(field: &str, name: &str, value: &str) -> Result<(AsciiMetadataKey, AsciiMetadataValue), OptionsError> {
    let key = AsciiMetadataKey::from_bytes(name.as_bytes()).map_err(|_| {
        OptionsError::new(field, "the name is not a gRPC metadata key: a-z 0-9 . _ - , not ending in -bin")
    })?;
    let mut value = AsciiMetadataValue::try_from(value)
        .map_err(|_| OptionsError::new(field, "the value holds characters that are not visible ASCII"))?;
    value.set_sensitive(true);
    Ok((key, value))
}

/// An error with what caused it: tonic's own text is only "transport error".
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
