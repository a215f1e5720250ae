//! Where the server is and how to speak to it.

use std::fmt;
use std::time::Duration;

/// Where a server listens that was told nothing else, and where a client looks that was told nothing else.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7733";

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// For making a connection (default: 5 s).
    pub connect_timeout: Duration,
    /// For one try of one call (default: 30 s).
    pub call_timeout: Duration,
    /// For all tries of one call, counted from the first; no new try begins after it (default: 30 s).
    pub retry_for: Duration,
    /// Calls about one definition go to the node that leads its shard, at the address that the cluster tells, where that can be reached
    /// (default: true). Else all go to the addresses given, and are passed on from there.
    pub follow_leaders: bool,
    /// Sent as `authorization: Bearer ...`.
    pub api_key: Option<ApiKey>,
    /// Without it, the connection is not encrypted.
    pub tls: Option<Tls>,
}

impl Default for Options {
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Self {
            connect_timeout: Duration::from_secs(5),
            call_timeout: half_a_minute,
            retry_for: half_a_minute,
            follow_leaders: true,
            api_key: None,
            tls: None,
        }
    }
}

/// A secret that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Of its text.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// An encrypted connection. All texts are PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Who may have signed the server's certificate (default: the system's roots).
    pub ca: Option<Vec<u8>>,
    /// The client's own certificate and key, where the server asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the server's certificate must bear (default: the address's host).
    pub server_name: Option<String>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}
