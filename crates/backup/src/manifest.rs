//! The manifest: what a backup holds. It is written when all else is there; without it, there is no backup.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use crate::error::BackupError;

/// Its name.
pub const MANIFEST: &str = "manifest.json";
/// Of manifest and files. What is added, and may be passed over by who does not know it, does not change it.
pub const FORMAT: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Names this backup among all others.
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub backup_id: Uuid,
    /// Of the cluster that it is of.
    pub cluster_id: String,
    /// Of the program that the cluster ran.
    pub program: String,
    /// Before the first shard was read, by the cluster's clock: what was acknowledged by then is in it.
    pub started_at: DateTime<Utc>,
    /// When the last one had been read.
    pub finished_at: DateTime<Utc>,
    /// Every workflow id of the cluster begins with it.
    pub workflow_id_prefix: String,
    /// Definitions.
    pub definitions: u64,
    /// One for each shard of the cluster, in order of shard.
    pub shards: Vec<ShardFile>,
}

/// One shard's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardFile {
    /// Of the file.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Of all its bytes: `xxh3-128:` and 32 hex digits.
    pub checksum: String,
    /// Rows in it.
    pub rows: u64,
    /// At which instant the shard was read.
    #[serde(flatten)]
    pub instant: Instant,
}

/// At which instant a shard was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// The last entry of its log that is in it.
    pub applied: u64,
    /// The latest time that it had seen.
    pub clock: DateTime<Utc>,
    /// All due times up to here had been decided; none where there were none.
    pub fired_through: Option<DateTime<Utc>>,
}

/// Around the manifest: which format it is of, and that it is as it was written.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u64,
    checksum: String,
    manifest: Box<RawValue>,
}

/// Of an envelope of any format.
#[derive(Deserialize)]
struct Format {
    format: u64,
}

fn write_id<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    let text = String::deserialize(deserializer)?;
    Uuid::parse_str(&text).map_err(|e| de::Error::custom(format!("{text:?} is no id of a backup: {e}")))
}

/// As a manifest names it.
pub(crate) fn checksum(digest: u128) -> String {
    format!("xxh3-128:{digest:032x}")
}

impl Manifest {
    /// As it stands in its file.
    pub fn encode(&self) -> Result<Vec<u8>, BackupError> {
        let failed =
            |e: serde_json::Error| BackupError::Failed { file: MANIFEST.into(), action: "written", why: e.to_string() };
        let text = serde_json::to_string_pretty(self).map_err(failed)?;
        let checksum = checksum(xxh3_128(text.as_bytes()));
        let manifest = RawValue::from_string(text).map_err(failed)?;
        let mut bytes =
            serde_json::to_vec_pretty(&Envelope { format: FORMAT.into(), checksum, manifest }).map_err(failed)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// From its file, which is at `place`.
    pub fn decode(place: &str, bytes: &[u8]) -> Result<Self, BackupError> {
        let file = format!("{place}/{MANIFEST}");
        let damaged = |e: serde_json::Error| BackupError::damaged(&file, e.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format != u64::from(FORMAT) {
            return Err(BackupError::Format { place: place.to_owned(), found: format, known: FORMAT.into() });
        }
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(damaged)?;
        let text = envelope.manifest.get();
        if checksum(xxh3_128(text.as_bytes())) != envelope.checksum {
            return Err(BackupError::damaged(&file, "its checksum does not match"));
        }
        let manifest: Self = serde_json::from_str(text).map_err(damaged)?;
        if manifest.shards.is_empty() {
            return Err(BackupError::damaged(&file, "it names no shard"));
        }
        Ok(manifest)
    }

    /// The file of a shard.
    pub fn file_name(shard: u32) -> String {
        format!("shard-{shard:05}.rows")
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// Rows of all files.
    pub fn rows(&self) -> u64 {
        self.shards.iter().map(|shard| shard.rows).sum()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let at = |text: &str| text.parse().expect("a time");
        let clock = at("2026-11-27T09:00:00.5Z");
        let shard = |shard, fired_through| ShardFile {
            file: Manifest::file_name(shard),
            bytes: 100,
            checksum: checksum(7),
            rows: 3,
            instant: Instant { applied: 12, clock, fired_through },
        };
        Manifest {
            backup_id: Uuid::from_bytes(*b"0123456789abcdef"),
            cluster_id: "7d2f".into(),
            program: "0.1.0".into(),
            started_at: at("2026-11-27T09:00:00Z"),
            finished_at: at("2026-11-27T09:00:01Z"),
            workflow_id_prefix: "flintwheel".into(),
            definitions: 2,
            shards: vec![shard(0, None), shard(1, Some(clock))],
        }
    }

    #[test]
    fn a_manifest_has_this_text() {
        let text = String::from_utf8(manifest().encode().expect("written")).expect("text");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manifest_golden.json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &text).expect("written");
        }
        assert_eq!(text, std::fs::read_to_string(path).expect("read"), "set UPDATE_GOLDEN=1 to write it anew");
        assert_eq!(Manifest::decode("x", text.as_bytes()).expect("sound"), manifest());
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let inner = serde_json::to_string(&manifest()).expect("written").replacen('{', "{\"later\":1,", 1);
        let sum = checksum(xxh3_128(inner.as_bytes()));
        let text = format!("{{\"later\":2,\"format\":1,\"checksum\":\"{sum}\",\"manifest\":{inner}}}");
        assert_eq!(Manifest::decode("x", text.as_bytes()).expect("sound"), manifest());
    }

    #[test]
    fn what_is_not_as_it_was_written_is_refused() {
        let text = String::from_utf8(manifest().encode().expect("written")).expect("text");
        for (from, to, why) in [
            ("2026-11-27T09:00:00Z", "2026-11-27T09:00:02Z", "its checksum does not match"),
            ("xxh3-128:0", "xxh3-128:1", "its checksum does not match"),
            ("\"format\": 1", "\"format\": 2", "x is a backup of format 2; this program reads format 1"),
            ("\"format\": 1", "\"fromat\": 1", "missing field `format`"),
        ] {
            let odd = text.replace(from, to);
            assert_ne!(odd, text, "{from}");
            let error = Manifest::decode("x", odd.as_bytes()).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
        let cut = Manifest::decode("x", &text.as_bytes()[..text.len() / 2]).expect_err("cut").to_string();
        assert!(cut.starts_with("x/manifest.json is damaged: EOF while parsing"), "{cut}");
    }
}
