//! The configuration of a node: one table of keys, filled from defaults, a TOML file, `FLINTWHEEL_*` variables and flags; the later wins.
//! Each value remembers where it came from.

mod file;
mod keys;
mod settings;

pub use keys::{KEYS, Key};
pub use settings::{Advertise, LogFormat, NamespaceSettings, Settings, SinkKind};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "{name}"),
        }
    }
}

/// One value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// As written; empty means "not set".
    pub value: String,
    /// Who said so.
    pub origin: Origin,
}

/// All values, by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    values: BTreeMap<&'static str, Setting>,
    namespaces: BTreeMap<String, NamespaceSettings>,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Fills the table. `file` must exist if it is given; `environment` looks a variable up; `flags` are (key, value).
    pub fn load(
        file: Option<&Path>,
        environment: impl Fn(&str) -> Option<String>,
        flags: &[(&'static str, String)],
    ) -> Result<Self, ConfigError> {
        let default = |key: &Key| Setting { value: key.default.to_owned(), origin: Origin::Default };
        let values = KEYS.iter().map(|key| (key.name, default(key))).collect();
        let mut config = Self { values, namespaces: BTreeMap::new() };
        if let Some(path) = file {
            config.merge_file(path)?;
        }
        for key in KEYS {
            if let Some(value) = environment(&key.variable()) {
                config.set(key.name, value, Origin::Environment(key.variable()));
            }
        }
        for (name, value) in flags {
            let key = KEYS.iter().find(|key| key.name == *name).expect("flags are made from the table of keys");
            config.set(key.name, value.clone(), Origin::Flag(key.flag()));
        }
        Ok(config)
    }

    fn merge_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let read = file::read(path)?;
        for (name, value, line) in read.values {
            self.set(name, value, Origin::File { path: path.to_owned(), line });
        }
        self.namespaces = read.namespaces;
        Ok(())
    }

    fn set(&mut self, name: &'static str, value: String, origin: Origin) {
        self.values.insert(name, Setting { value, origin });
    }

    /// The value of a key.
    pub fn get(&self, name: &str) -> &Setting {
        &self.values[name]
    }

    /// All keys with their values, secrets masked, in order.
    pub fn view(&self) -> impl Iterator<Item = (&'static Key, Setting)> {
        KEYS.iter().map(|key| {
            let mut setting = self.get(key.name).clone();
            if key.secret && !setting.value.is_empty() {
                setting.value = "********".to_owned();
            }
            (key, setting)
        })
    }

    /// Namespaces with a route of their own.
    pub fn namespaces(&self) -> &BTreeMap<String, NamespaceSettings> {
        &self.namespaces
    }

    /// The values in their types; all faults at once.
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        settings::read(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("writable");
        file
    }

    fn load(text: &str) -> Result<Config, ConfigError> {
        Config::load(Some(file(text).path()), |_| None, &[])
    }

    #[test]
    fn the_later_source_wins_and_is_named() {
        let file = file("shards = 4\ngrpc_listen = \"127.0.0.1:1\"\n\n[temporal]\naddress = \"a:1\"\n");
        let environment = |name: &str| (name == "FLINTWHEEL_TEMPORAL_ADDRESS").then(|| "b:2".to_owned());
        let config = Config::load(Some(file.path()), environment, &[("shards", "8".into())]).expect("valid");
        assert_eq!(config.get("shards"), &Setting { value: "8".into(), origin: Origin::Flag("--shards".into()) });
        assert_eq!(config.get("temporal.address").value, "b:2");
        assert_eq!(config.get("temporal.address").origin.to_string(), "$FLINTWHEEL_TEMPORAL_ADDRESS");
        assert_eq!(config.get("grpc_listen").origin, Origin::File { path: file.path().to_owned(), line: 2 });
        assert_eq!(config.get("sink").origin, Origin::Default);
    }

    #[test]
    fn faults_name_the_line_or_the_source() {
        for (text, says) in [
            ("shard = 4", ":1: unknown key \"shard\"; did you mean \"shards\"?"),
            ("[temporal]\nadress = \"x\"", ":2: unknown key \"temporal.adress\"; did you mean \"temporal.address\"?"),
            ("shards = [1]", ":1: shards: must be a string, a number or a boolean"),
            ("shards = ", ":1: "),
            ("[namespaces.a]\nqueue = \"x\"", ":2: unknown key \"namespaces.a.queue\""),
            ("[namespaces.\"A b\"]\ntask_queue = \"x\"", "holds 'A'"),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        for (text, says) in [
            ("shards = 0", "shards = \"0\""),
            ("shards = \"many\"", "is not a number"),
            ("sink = \"kafka\"", "sink = \"kafka\""),
            ("grpc_listen = \"7\"", "grpc_listen = \"7\""),
            ("account_retention = \"1 week\"", "account_retention = \"1 week\""),
        ] {
            let error = load(text).expect("readable").settings().expect_err(text).to_string();
            assert!(error.contains(says) && error.contains(":1"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_node_of_several_must_be_reachable() {
        let settings = |text: &str| load(text).expect("readable").settings();
        let alone = settings("").expect("valid");
        assert_eq!((alone.peer_listen, alone.join.len(), alone.shards_given), (None, 0, false));
        let joins = "peer_listen = \"10.0.0.1:7735\"\njoin = \"a:1, [::1]:2\"\nshards = 16";
        let member = settings(joins).expect("valid");
        assert_eq!((member.join, member.shards_given), (vec!["a:1".to_owned(), "[::1]:2".to_owned()], true));
        for (text, says) in [
            ("peer_listen = \"here\"", "peer_listen = \"here\" is not an address with a port"),
            ("join = \"a:1\"", ":1: join needs peer_listen"),
            ("peer_listen = \"127.0.0.1:1\"\njoin = \"a:1,b\"", ":2: join = \"a:1,b\" is not a list of host:port"),
            ("peer_listen = \"0.0.0.0:1\"", "set advertise.peer to host:port"),
            ("peer_listen = \"127.0.0.1:1\"\ngrpc_listen = \"[::]:1\"", "set advertise.grpc to host:port"),
            ("[advertise]\npeer = \"a b:1\"", ":2: advertise.peer = \"a b:1\" is not host:port"),
            ("replication = 10", "replication = \"10\" is not in 1 to 9"),
            ("disk_reserve = 5", "disk_reserve = \"5\" is not in 1048576 to"),
            ("capacity = 5", "capacity = \"5\" is not in 1073741824 to"),
        ] {
            let error = settings(text).expect_err(text).to_string();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        settings("peer_listen = \"0.0.0.0:1\"\n[advertise]\npeer = \"a:1\"").expect("others are told where it is");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let config = Config::load(None, |_| None, &[("temporal.api_key", "s3cret".into())]).expect("valid");
        assert!(config.view().all(|(_, setting)| !setting.value.contains("s3cret")));
    }
}
