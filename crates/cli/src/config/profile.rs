//! The client's file: named profiles, so that `--profile prod` is enough.
//!
//! ```toml
//! [profile.prod]
//! address = "flintwheel.example.com:7733"    # or a list of them
//! namespace = "billing"
//! api_key = "..."
//! timeout = "30s"
//! tls = { enabled = true, ca_path = "/etc/ssl/ca.pem" }
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flintwheel_model::Span;
use serde::{Deserialize, Deserializer};

use crate::exit::Failure;

const DEFAULT: &str = "default";

/// One profile; what it leaves out has the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    #[serde(default, deserialize_with = "one_or_many")]
    pub address: Option<Vec<String>>,
    pub namespace: Option<String>,
    pub api_key: Option<String>,
    pub timeout: Option<Span>,
    #[serde(default)]
    pub tls: TlsProfile,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TlsProfile {
    pub enabled: Option<bool>,
    pub ca_path: Option<PathBuf>,
    pub cert_path: Option<PathBuf>,
    pub key_path: Option<PathBuf>,
    pub server_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    flintwheel_model::one_or_many::one_or_many(deserializer).map(Some)
}

impl Profile {
    /// A missing file is empty, unless it was named; so is a missing profile.
    pub fn load(path: Option<&Path>, name: Option<&str>) -> Result<Self, Failure> {
        let default = default_path();
        let Some(file) = path.or(default.as_deref()) else { return Self::pick("", "", name) };
        let shown = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => Self::pick(&shown, &text, name),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_none() => Self::pick(&shown, "", name),
            Err(error) => Err(Failure::usage(format!("{shown} can't be read: {error}"))),
        }
    }

    fn pick(shown: &str, text: &str, name: Option<&str>) -> Result<Self, Failure> {
        let mut file: File = toml::from_str(text).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        match (file.profile.remove(name.unwrap_or(DEFAULT)), name) {
            (Some(profile), _) => Ok(profile),
            (None, None | Some(DEFAULT)) => Ok(Self::default()),
            (None, Some(name)) => {
                let known: Vec<&str> = file.profile.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(Failure::usage(format!("{shown} has no profile {name:?}; it has: {known}")))
            }
        }
    }
}

/// `$XDG_CONFIG_HOME` or `~/.config`.
fn default_path() -> Option<PathBuf> {
    let directory = std::env::var_os("XDG_CONFIG_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    Some(directory.or_else(home)?.join("flintwheel").join("client.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[profile.default]
address = "a:1"
[profile.prod]
address = ["b:1", "c:1"]
namespace = "billing"
timeout = "30s"
tls = { enabled = true }
"#;

    fn pick(text: &str, name: Option<&str>) -> Result<Profile, String> {
        Profile::pick("client.toml", text, name).map_err(|failure| failure.text)
    }

    #[test]
    fn a_profile_is_picked_by_name() {
        assert_eq!(pick(TEXT, None).expect("default").address, Some(vec!["a:1".to_owned()]));
        let prod = pick(TEXT, Some("prod")).expect("prod");
        assert_eq!((prod.address.map(|a| a.len()), prod.tls.enabled), (Some(2), Some(true)));
        assert_eq!(pick("", None), Ok(Profile::default()));
        assert_eq!(pick("", Some("default")), Ok(Profile::default()));
    }

    #[test]
    fn faults_name_the_line_or_the_profiles_there_are() {
        let error = pick(TEXT, Some("test")).expect_err("unknown");
        assert_eq!(error, "error: client.toml has no profile \"test\"; it has: default, prod");
        let error = pick("[profile.a]\nadress = \"x\"\n", None).expect_err("misspelt");
        assert!(error.contains("line 2") && error.contains("adress"), "{error}");
        let error = pick("[profile.a]\ntimeout = \"5\"\n", None).expect_err("no unit");
        assert!(error.contains("line 2") && error.contains("is not a duration"), "{error}");
    }
}
