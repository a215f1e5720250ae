//! The table of keys: name in the file, default, meaning. Variables and flags follow from the name.

/// One key.
#[derive(Debug)]
pub struct Key {
    /// In the file; a dot stands for a section.
    pub name: &'static str,
    /// Empty: not set.
    pub default: &'static str,
    /// What it means, for `--help` and the manual.
    pub help: &'static str,
    /// Never shown.
    pub secret: bool,
}

impl Key {
    /// The environment variable: `FLINTWHEEL_TEMPORAL_ADDRESS`.
    pub fn variable(&self) -> String {
        format!("FLINTWHEEL_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The flag: `--temporal-address`.
    pub fn flag(&self) -> String {
        format!("--{}", self.long())
    }

    /// The flag without its dashes.
    pub fn long(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, help, secret: false }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key("data_dir", "flintwheel-data", "Directory of all state of this node"),
    key("grpc_listen", "127.0.0.1:7733", "Address and port of the gRPC door; port 0 takes a free one"),
    key("http_listen", "127.0.0.1:7734", "Address and port of the HTTP door; port 0 takes a free one"),
    key("peer_listen", "", "Address and port of the door for other nodes (default: none, a cluster of one node)"),
    key(
        "join",
        "",
        "Peer addresses of nodes of the cluster, host:port,...; a new node waits until one of them takes it in",
    ),
    key("name", "", "The node's name (default: the host's, and the port of its door for others)"),
    key("zone", "", "Rack or zone: replicas of one shard are kept in different ones"),
    key("capacity", "", "Bytes that the node offers (default: as many as its disk has)"),
    key(
        "disk_reserve",
        "",
        "Bytes that stay free on the disk: with less, nothing new is taken in (default: a twentieth of it, at most 1 GiB)",
    ),
    key(
        "timezone_data",
        "",
        "A folder of time-zone data (TZif files, as in /usr/share/zoneinfo) to use instead of the compiled-in one",
    ),
    key("advertise.peer", "", "host:port by which other nodes reach this one (default: peer_listen)"),
    key("advertise.grpc", "", "host:port by which clients reach its gRPC door (default: grpc_listen)"),
    key("advertise.http", "", "host:port by which clients reach its HTTP door (default: http_listen)"),
    key(
        "replication",
        "3",
        "Replicas of each shard that a new cluster wants, 1 to 9; with fewer nodes there are fewer",
    ),
    key("shards", "16", "Partitions of the definitions, 1 to 4096; fixed when the cluster is made"),
    key("sink", "temporal", "Where firings go: `temporal`, or `null` to count them only"),
    key("workflow_prefix", "flintwheel", "First part of every workflow id"),
    key("task_queue", "flintwheel", "Task queue of the built-in orchestrator"),
    key(
        "catch_up_pace",
        "1000/s",
        "What was missed, of one namespace, is let through no faster than this by all nodes together, such as 50/s or 10/m",
    ),
    key("account_retention", "7d", "For how long occurrences and old versions of definitions are kept"),
    key("run_log", "", "Where runs are logged: sqlite:PATH or postgres://... (default: beside the data directory)"),
    key(
        "log_level",
        "info,openraft=error",
        "Filter of the log: error, warn, info, debug, trace, or `module=level,...`",
    ),
    key("log_format", "text", "Form of the log on stderr: `text` or `json`"),
    key("temporal.address", "", "host:port of Temporal (default: its profile, then localhost:7233)"),
    key("temporal.namespace", "", "Temporal's namespace (default: its profile, then `default`)"),
    key("temporal.profile", "", "Profile in Temporal's configuration file"),
    key("temporal.config_file", "", "Temporal's configuration file (default: as the Temporal CLI finds it)"),
    Key { name: "temporal.api_key", default: "", help: "Temporal's API key", secret: true },
    key("temporal.tls", "", "`true` or `false`: TLS to Temporal whatever its profile says"),
    key("temporal.tls_ca_path", "", "PEM file with the certificates that Temporal's is checked against"),
    key("temporal.tls_cert_path", "", "PEM file with this client's certificate"),
    key("temporal.tls_key_path", "", "PEM file with this client's key"),
    key("temporal.tls_server_name", "", "The name that Temporal's certificate must have"),
    key("temporal.connections", "4", "HTTP/2 connections to Temporal, 1 to 64"),
    key("temporal.start_timeout", "10s", "For one start call, connecting included"),
];
