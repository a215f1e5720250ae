//! The identity file: whose data a directory holds, in which format. Text, one `name = value` a line.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The format of the data directory that this program reads and writes.
pub const FORMAT: u32 = 1;

/// The file's name in the data directory.
pub(crate) const FILE: &str = "identity";
/// Where it is written before it gets its name.
pub(crate) const TEMPORARY: &str = "identity.new";

/// Whose data a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The format of everything in the directory.
    pub format: u32,
    /// The cluster that the data belongs to.
    pub cluster: Uuid,
    /// The node of that cluster.
    pub node: u64,
    /// When the directory was made: seconds since the Unix epoch. For people only.
    pub created: u64,
}

impl Identity {
    /// One for a new directory.
    pub(crate) fn new(cluster: Uuid, node: u64) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { format: FORMAT, cluster, node, created }
    }

    /// Reads the file's text. A newer format is read as far as its number: [`Identity::format`] says so.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let format = number(text, "format")?;
        if format > u64::from(FORMAT) {
            let format = u32::try_from(format).unwrap_or(u32::MAX);
            return Ok(Self { format, cluster: Uuid::nil(), node: 0, created: 0 });
        }
        let cluster = field(text, "cluster")?;
        let cluster = Uuid::parse_str(cluster).map_err(|e| format!("cluster = {cluster:?} is not a UUID: {e}"))?;
        Ok(Self { format: FORMAT, cluster, node: number(text, "node")?, created: number(text, "created")? })
    }

    /// Writes the file so that after a crash there is either none or a whole one.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        let temporary = dir.join(TEMPORARY);
        let mut file = File::create(&temporary)?;
        write!(file, "{self}")?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# A Flintwheel data directory. Do not edit, do not copy to another node.")?;
        writeln!(f, "format = {}\ncluster = {}", self.format, self.cluster)?;
        writeln!(f, "node = {}\ncreated = {}", self.node, self.created)
    }
}

fn field<'a>(text: &'a str, name: &str) -> Result<&'a str, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(key, value)| (key.trim(), value.trim()))
        .find_map(|(key, value)| (key == name).then_some(value))
        .ok_or_else(|| format!("it has no line \"{name} = ...\""))
}

fn number(text: &str, name: &str) -> Result<u64, String> {
    let value = field(text, name)?;
    value.parse().map_err(|_| format!("{name} = {value:?} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let identity = Identity::new(Uuid::from_u128(42), 7);
        assert_eq!(Identity::parse(&identity.to_string()), Ok(identity));
    }

    #[test]
    fn the_text_is_as_documented() {
        let identity = Identity { format: 1, cluster: Uuid::from_u128(0xab), node: 3, created: 1_795_456_800 };
        let want = "# A Flintwheel data directory. Do not edit, do not copy to another node.\nformat = 1\n\
                    cluster = 00000000-0000-0000-0000-0000000000ab\nnode = 3\ncreated = 1795456800\n";
        assert_eq!(identity.to_string(), want);
    }

    #[test]
    fn damaged_text_names_the_line() {
        let cases = [
            ("", "it has no line \"format = ...\""),
            ("format = one", "format = \"one\" is not a number"),
            ("format = 1", "it has no line \"cluster = ...\""),
            ("format = 1\ncluster = 5\nnode = 1\ncreated = 1", "cluster = \"5\" is not a UUID"),
            ("format = 1\ncluster = 00000000-0000-0000-0000-0000000000ab\nnode = x\ncreated = 1", "node = \"x\""),
        ];
        for (text, want) in cases {
            let error = Identity::parse(text).unwrap_err();
            assert!(error.starts_with(want), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_newer_format_is_read_as_far_as_its_number() {
        assert_eq!(Identity::parse("format = 2\nanything = else").unwrap().format, 2);
        assert_eq!(Identity::parse("format = 99999999999").unwrap().format, u32::MAX);
    }
}
