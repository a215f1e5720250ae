//! The values in their types.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use flintwheel_model::{Pace, Span};
use flintwheel_temporal::options::{Secret, TlsOverrides};
use flintwheel_temporal::{Target, TemporalOptions};

use super::{Config, ConfigError, Origin};

/// Where firings go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// To a Temporal cluster.
    Temporal,
    /// Nowhere: they are counted.
    Null,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A namespace with a route of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// Temporal's namespace (default: that of `[temporal]`).
    pub temporal_namespace: Option<String>,
    /// Task queue of the built-in orchestrator (default: that of the node).
    pub task_queue: Option<String>,
    /// What is late is let through no faster than this (default: that of the node).
    pub catch_up_pace: Option<Pace>,
}

/// Addresses as others use them, where they differ from those that the doors listen at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise {
    /// Of the door for other nodes.
    pub peer: Option<String>,
    /// Of the gRPC door.
    pub grpc: Option<String>,
    /// Of the HTTP door.
    pub http: Option<String>,
}

/// The configuration of a node, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Directory of all state.
    pub data_dir: PathBuf,
    /// The gRPC door.
    pub grpc_listen: SocketAddr,
    /// The HTTP door.
    pub http_listen: SocketAddr,
    /// The door for other nodes; none for a cluster of one.
    pub peer_listen: Option<SocketAddr>,
    /// Peer addresses of the cluster that a new node joins.
    pub join: Vec<String>,
    /// The node's name, where it is given.
    pub name: Option<String>,
    /// Rack or zone.
    pub zone: Option<String>,
    /// Bytes that the node offers.
    pub capacity: Option<u64>,
    /// Bytes that stay free on the disk.
    pub disk_reserve: Option<u64>,
    /// A folder of time-zone data that is newer than the compiled-in one.
    pub timezone_data: Option<PathBuf>,
    /// What others are told of where the doors are.
    pub advertise: Advertise,
    /// Replicas that a new cluster wants.
    pub replication: u32,
    /// Partitions of a new cluster.
    pub shards: u32,
    /// Somebody has set `shards`: then a cluster that is there must have so many.
    pub shards_given: bool,
    /// Where firings go.
    pub sink: SinkKind,
    /// First part of every workflow id.
    pub workflow_prefix: String,
    /// Of the built-in orchestrator.
    pub task_queue: String,
    /// What is late, of one namespace, is let through no faster than this, by all nodes together.
    pub catch_up_pace: Pace,
    /// For how long occurrences and old versions are kept.
    pub account_retention: Span,
    /// URL of the run log.
    pub run_log: String,
    /// Filter of the log.
    pub log_level: String,
    /// Form of the log.
    pub log_format: LogFormat,
    /// How to reach Temporal.
    pub temporal: TemporalOptions,
    /// Namespaces with a route of their own.
    pub namespaces: BTreeMap<String, NamespaceSettings>,
}

impl Settings {
    /// Where Temporal is. Profiles and certificates are read here; faults name the key.
    pub fn temporal_target(&self) -> Result<Target, ConfigError> {
        self.temporal.resolve().map_err(|fault| ConfigError(vec![format!("temporal.{fault}")]))
    }
}

struct Reader<'a> {
    config: &'a Config,
    faults: Vec<String>,
}

pub(super) fn read(config: &Config) -> Result<Settings, ConfigError> {
    let mut r = Reader { config, faults: Vec::new() };
    let data_dir = PathBuf::from(r.text("data_dir"));
    let settings = Settings {
        grpc_listen: r.parsed("grpc_listen", "an address with a port such as 127.0.0.1:7733"),
        http_listen: r.parsed("http_listen", "an address with a port such as 127.0.0.1:7734"),
        peer_listen: r.peer_listen(),
        join: r.join(),
        name: r.optional("name"),
        zone: r.optional("zone"),
        capacity: r.optional("capacity").map(|_| r.number("capacity", 1 << 30, u64::MAX)),
        timezone_data: r.optional("timezone_data").map(PathBuf::from),
        disk_reserve: r.optional("disk_reserve").map(|_| r.number("disk_reserve", 1 << 20, u64::MAX)),
        advertise: Advertise {
            peer: r.host_port("advertise.peer"),
            grpc: r.host_port("advertise.grpc"),
            http: r.host_port("advertise.http"),
        },
        replication: r.number("replication", 1, 9) as u32,
        shards: r.number("shards", 1, 4096) as u32,
        shards_given: config.get("shards").origin != Origin::Default,
        sink: r.word("sink", &[("temporal", SinkKind::Temporal), ("null", SinkKind::Null)]),
        workflow_prefix: r.prefix(),
        task_queue: r.text("task_queue"),
        catch_up_pace: r.parsed("catch_up_pace", "a pace such as 1000/s"),
        account_retention: r.span("account_retention", 3600, 3650 * 86_400),
        run_log: r.optional("run_log").unwrap_or_else(|| format!("sqlite:{}.runs.db", data_dir.display())),
        log_level: r.text("log_level"),
        log_format: r.word("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        temporal: r.temporal(),
        namespaces: config.namespaces().clone(),
        data_dir,
    };
    if r.faults.is_empty() { Ok(settings) } else { Err(ConfigError(r.faults)) }
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, allowed: &str) {
        let setting = self.config.get(name);
        self.faults.push(format!("{}: {name} = {:?} is not {allowed}", setting.origin, setting.value));
    }

    fn text(&self, name: &str) -> String {
        self.config.get(name).value.clone()
    }

    fn optional(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.optional(name).map(PathBuf::from)
    }

    /// Falls back to the default after a fault, so that the others are found too.
    fn parsed<T: FromStr>(&mut self, name: &str, allowed: &str) -> T {
        if let Ok(value) = self.config.get(name).value.parse() {
            return value;
        }
        self.fault(name, allowed);
        let key = super::KEYS.iter().find(|key| key.name == name).expect("asked for by its name in the table");
        key.default.parse().ok().expect("defaults are valid")
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        match self.config.get(name).value.parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            Ok(_) => {
                self.fault(name, &format!("in {least} to {most}"));
                least
            }
            Err(_) => {
                self.fault(name, "a number");
                least
            }
        }
    }

    /// Nothing else reaches a node of several: so its address must say something to others.
    fn peer_listen(&mut self) -> Option<SocketAddr> {
        self.optional("peer_listen")?;
        let address: SocketAddr = match self.config.get("peer_listen").value.parse() {
            Ok(address) => address,
            Err(_) => {
                self.fault("peer_listen", "an address with a port such as 10.0.0.1:7735");
                return None;
            }
        };
        for (listen, advertise) in
            [("peer_listen", "advertise.peer"), ("grpc_listen", "advertise.grpc"), ("http_listen", "advertise.http")]
        {
            let everywhere = |text: &str| text.parse::<SocketAddr>().is_ok_and(|a| a.ip().is_unspecified());
            if everywhere(&self.text(listen)) && self.optional(advertise).is_none() {
                let own = self.text(listen);
                self.faults.push(format!("{listen} = {own:?} tells other nodes nothing: set {advertise} to host:port"));
            }
        }
        Some(address)
    }

    fn join(&mut self) -> Vec<String> {
        let Some(text) = self.optional("join") else { return Vec::new() };
        let seeds: Vec<String> = text.split(',').map(|seed| seed.trim().to_owned()).collect();
        if !seeds.iter().all(|seed| is_host_port(seed)) {
            self.fault("join", "a list of host:port, separated by commas");
        } else if self.optional("peer_listen").is_none() {
            let origin = &self.config.get("join").origin;
            self.faults
                .push(format!("{origin}: join needs peer_listen, the address of this node's door for the others"));
        }
        seeds
    }

    fn host_port(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        if !is_host_port(&text) {
            self.fault(name, "host:port");
        }
        Some(text)
    }

    fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> T {
        let found = words.iter().find(|(word, _)| *word == self.config.get(name).value);
        if found.is_none() {
            let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(name, &format!("one of {}", allowed.join(", ")));
        }
        found.unwrap_or(&words[0]).1
    }

    fn span(&mut self, name: &str, least: u64, most: u64) -> Span {
        let (least, most) = (Span::from_secs(least), Span::from_secs(most));
        match self.config.get(name).value.parse::<Span>() {
            Ok(span) if (least..=most).contains(&span) => span,
            _ => {
                self.fault(name, &format!("a duration in {least} to {most}"));
                least
            }
        }
    }

    fn prefix(&mut self) -> String {
        let prefix = self.text("workflow_prefix");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=63).contains(&prefix.len()) || !prefix.chars().all(plain) {
            self.fault("workflow_prefix", "1 to 63 characters of A-Z a-z 0-9 . _ -");
        }
        prefix
    }

    fn temporal(&mut self) -> TemporalOptions {
        let enabled =
            self.optional("temporal.tls").map(|_| self.word("temporal.tls", &[("true", true), ("false", false)]));
        TemporalOptions {
            config_file: self.path("temporal.config_file"),
            profile: self.optional("temporal.profile"),
            address: self.optional("temporal.address"),
            namespace: self.optional("temporal.namespace"),
            api_key: self.optional("temporal.api_key").map(Secret::from),
            tls: TlsOverrides {
                enabled,
                server_ca_cert: self.path("temporal.tls_ca_path"),
                client_cert: self.path("temporal.tls_cert_path"),
                client_key: self.path("temporal.tls_key_path"),
                server_name: self.optional("temporal.tls_server_name"),
            },
            connections: NonZeroUsize::new(self.number("temporal.connections", 1, 64) as usize)
                .unwrap_or(NonZeroUsize::MIN),
            start_timeout: self.span("temporal.start_timeout", 1, 60).into(),
            ..TemporalOptions::default()
        }
    }
}

fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || c == '/')
            && port.parse::<u16>().is_ok_and(|p| p != 0)
    })
}
