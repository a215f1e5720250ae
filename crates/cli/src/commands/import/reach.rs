//! Where the Temporal is whose schedules are read: the flags and variables of the server's own configuration.

use std::path::PathBuf;

use flintwheel_temporal::options::{Secret, TlsOverrides};
use flintwheel_temporal::{CallError, TemporalOptions, TemporalSink};

use crate::exit::{Exit, Failure};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Temporal")]
pub struct ReachArgs {
    /// Temporal, HOST:PORT [default: its profile, then localhost:7233]
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_ADDRESS", value_name = "HOST:PORT")]
    temporal_address: Option<String>,
    /// Temporal's namespace [default: its profile, then default]
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_NAMESPACE", value_name = "NAME")]
    temporal_namespace: Option<String>,
    /// Profile in Temporal's configuration file
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_PROFILE", value_name = "NAME")]
    temporal_profile: Option<String>,
    /// Temporal's configuration file [default: as the Temporal CLI finds it]
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_CONFIG_FILE", value_name = "FILE")]
    temporal_config_file: Option<PathBuf>,
    /// Temporal's API key
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_API_KEY", hide_env_values = true, value_name = "KEY")]
    temporal_api_key: Option<String>,
    /// Encrypt the connection to Temporal, or don't, whatever its profile says
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_TLS", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    temporal_tls: Option<bool>,
    /// Who may have signed Temporal's certificate (PEM)
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_TLS_CA_PATH", value_name = "FILE")]
    temporal_tls_ca_path: Option<PathBuf>,
    /// The client's certificate (PEM)
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_TLS_CERT_PATH", value_name = "FILE")]
    temporal_tls_cert_path: Option<PathBuf>,
    /// The client's key (PEM)
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_TLS_KEY_PATH", value_name = "FILE")]
    temporal_tls_key_path: Option<PathBuf>,
    /// The name that Temporal's certificate must bear
    #[arg(long, env = "FLINTWHEEL_TEMPORAL_TLS_SERVER_NAME", value_name = "NAME")]
    temporal_tls_server_name: Option<String>,
}

/// A namespace of a Temporal.
pub struct There {
    /// The connections.
    pub sink: TemporalSink,
    /// The namespace.
    pub namespace: String,
}

impl ReachArgs {
    /// Reads the profile; connects with the first call.
    pub fn open(&self) -> Result<There, Failure> {
        let options = TemporalOptions {
            config_file: self.temporal_config_file.clone(),
            profile: self.temporal_profile.clone(),
            address: self.temporal_address.clone(),
            namespace: self.temporal_namespace.clone(),
            api_key: self.temporal_api_key.clone().map(Secret::from),
            tls: TlsOverrides {
                enabled: self.temporal_tls,
                server_ca_cert: self.temporal_tls_ca_path.clone(),
                client_cert: self.temporal_tls_cert_path.clone(),
                client_key: self.temporal_tls_key_path.clone(),
                server_name: self.temporal_tls_server_name.clone(),
            },
            ..TemporalOptions::default()
        };
        let target = options.resolve().map_err(unusable)?;
        let namespace = target.namespace().to_owned();
        Ok(There { sink: TemporalSink::new(target).map_err(unusable)?, namespace })
    }
}

fn unusable(error: flintwheel_temporal::OptionsError) -> Failure {
    Failure::usage(format!("temporal.{error}"))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = match &error {
            CallError::NotFound(_) => Exit::NotFound,
            CallError::Denied(_) => Exit::Denied,
            CallError::Unavailable(_) | CallError::Timeout(_) => Exit::Unavailable,
            CallError::Refused(_) => Exit::Refused,
        };
        let text = match &error {
            // It says itself that it is Temporal.
            CallError::Unavailable(_) | CallError::Refused(_) => error.to_string(),
            _ => format!("temporal: {error}"),
        };
        Self::new(exit, text)
    }
}
