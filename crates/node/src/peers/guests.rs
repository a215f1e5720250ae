//! Whom this node talks to, and by which start of their program it knows them: so that one whose disk was rolled back, or copied, never votes.
//!
//! What counts is the later of what the meta group has recorded, as far as this node has heard, and what the other one has told this node itself. The
//! latter is on this node's disk before anything else of the other one is believed: so after any restart, nobody comes back here older than he was
//! here. Within a start, it is what the other's log had on disk when it last spoke: a disk that is put back to an instant of the same start is
//! found by that, as long as this node has not been restarted itself.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flintwheel_cluster::rows::NodeState;
use flintwheel_raft::{Presence, Rejection, Start, Starts};
use flintwheel_shard::codec::{DecodeError, Decoder, Encoder};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::Directory;

const NAME: &str = "starts";
/// Where it is written before it gets its name.
const TEMPORARY: &str = "starts.new";
/// Of the file's form; the first byte.
const VERSION: u8 = 1;
/// Of the checksum, at the end.
const SUM: usize = 8;

/// See the module.
pub struct Guests {
    directory: Arc<Directory>,
    dir: PathBuf,
    /// This node's own start, when it has begun.
    mine: OnceLock<Mine>,
    known: Mutex<BTreeMap<u64, Known>>,
    /// By node: how much its log had on disk when it last spoke.
    heard: Mutex<BTreeMap<u64, u64>>,
}

struct Mine {
    epoch: u64,
    incarnation: u64,
    disk: Starts,
}

/// A start of another node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    epoch: u64,
    incarnation: u64,
}

impl Guests {
    /// Of the node with this data directory. What can't be read there is no reason not to start: the meta group knows too.
    pub fn load(dir: &Path, directory: Arc<Directory>) -> Self {
        let known = match fs::read(dir.join(NAME)) {
            Ok(bytes) => decode(&bytes).map_err(|error| error.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error.to_string()),
        };
        let known = known.unwrap_or_else(|why| {
            tracing::warn!(why, "what this node knew of the starts of others can't be read and is ignored");
            BTreeMap::new()
        });
        let (mine, heard) = (OnceLock::new(), Mutex::default());
        Self { directory, dir: dir.to_owned(), mine, known: Mutex::new(known), heard }
    }

    /// This node's start has begun. Until then nobody talks to it.
    pub fn begin(&self, epoch: u64, incarnation: u64, disk: Starts) {
        // A process begins one start.
        let _ = self.mine.set(Mine { epoch, incarnation, disk });
    }

    /// What the meta group has recorded, as far as this node has heard. None of a node that it does not know.
    fn recorded(&self, node: u64) -> Option<Known> {
        self.directory.meta().node(node).map(|row| Known { epoch: row.epoch, incarnation: row.incarnation })
    }

    fn check(&self, node: u64, start: Start, latest: Known) -> Result<(), Rejection> {
        let Start { epoch, incarnation, written } = start;
        let heard = self.heard.lock().get(&node).copied().unwrap_or(0);
        let known = match epoch.cmp(&latest.epoch) {
            std::cmp::Ordering::Less => format!("comes with epoch {epoch}, and is known by {}", latest.epoch),
            std::cmp::Ordering::Equal if incarnation == latest.incarnation => return Ok(()),
            std::cmp::Ordering::Equal => format!("comes with epoch {epoch}, which another program has had"),
            std::cmp::Ordering::Greater if written >= heard => return Ok(()),
            std::cmp::Ordering::Greater => format!("has {written} writes in its log, and has had {heard}"),
        };
        Err(Rejection::RolledBack(format!(
            "node {node} {known}: its disk was rolled back or copied, and may have forgotten votes. Empty its data directory, let it join as a new \
             node, and drain node {node}"
        )))
    }

    /// Before it is answered: what it says from now on must not be forgotten by a restart here.
    fn note(&self, known: &mut BTreeMap<u64, Known>, node: u64, start: Known) -> io::Result<()> {
        let meta = self.directory.meta();
        let mut next = known.clone();
        next.retain(|node, _| meta.node(*node).is_some_and(|row| row.state != NodeState::Removed));
        next.insert(node, start);
        write(&self.dir, &encode(&next))?;
        *known = next;
        Ok(())
    }
}

impl Presence for Guests {
    fn mine(&self) -> Start {
        let of = |mine: &Mine| Start { epoch: mine.epoch, incarnation: mine.incarnation, written: mine.disk.written() };
        self.mine.get().map(of).unwrap_or_default()
    }

    fn admit(&self, node: u64) -> Result<(), String> {
        self.directory.admit(node)
    }

    fn greeted(&self, node: u64, start: Start) -> Result<(), Rejection> {
        // Recorded as removed, which is for good. One that this node has not heard of yet may be new.
        self.directory.admit(node).map_err(|why| {
            Rejection::Removed(format!("{why}: empty its data directory, and let it join as a new node"))
        })?;
        // One that is not known has just joined: nobody has counted on it yet.
        let Some(recorded) = self.recorded(node) else { return Ok(()) };
        let mut known = self.known.lock();
        let told = known.get(&node).copied().unwrap_or_default();
        let latest = if told.epoch > recorded.epoch { told } else { recorded };
        self.check(node, start, latest)?;
        let start = Known { epoch: start.epoch, incarnation: start.incarnation };
        if start == told {
            return Ok(());
        }
        let noted = self.note(&mut known, node, start);
        noted.map_err(|error| Rejection::Refused(format!("the start of node {node} can't be written down: {error}")))
    }

    fn heard(&self, node: u64, written: u64) {
        let mut heard = self.heard.lock();
        let last = heard.entry(node).or_default();
        *last = written.max(*last);
    }
}

/// After a crash there is the old file or the new one.
fn write(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(NAME))?;
    File::open(dir)?.sync_all()
}

fn encode(known: &BTreeMap<u64, Known>) -> Vec<u8> {
    let mut e = Encoder::default();
    e.u8(VERSION);
    let starts: Vec<_> = known.iter().collect();
    e.list(&starts, |e, (node, start)| {
        e.u64(**node);
        e.u64(start.epoch);
        e.u64(start.incarnation);
    });
    let mut bytes = e.finish();
    bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<u64, Known>, DecodeError> {
    let (body, sum) = bytes.split_at(bytes.len().saturating_sub(SUM));
    let mut d = Decoder::new(body);
    match d.u8()? {
        VERSION => {}
        other => return Err(DecodeError(format!("form {other} is not known ({VERSION} is)"))),
    }
    if sum != xxh3_64(body).to_le_bytes() {
        return Err(DecodeError("its checksum does not fit".to_owned()));
    }
    let starts = d.list(|d| Ok((d.u64()?, Known { epoch: d.u64()?, incarnation: d.u64()? })))?;
    d.end()?;
    Ok(starts.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use flintwheel_cluster::Meta;
    use flintwheel_cluster::entry::{Body, Entry, Init, Join, Register, Remove};
    use flintwheel_cluster::rows::{Addresses, Formats, Settings};
    use flintwheel_shard::{Read, ReadError, Replicated, Table, Txn, Visit};

    use super::*;

    struct Nothing;

    impl Read for Nothing {
        fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
            Ok(None)
        }

        fn scan(&self, _: Table, _: &[u8], _: &[u8], _: Visit<'_>) -> Result<(), ReadError> {
            Ok(())
        }
    }

    /// Node 1, recorded with this epoch and incarnation.
    fn directory(epoch: u64, incarnation: u64) -> Arc<Directory> {
        let at = |port: u32| format!("a:{port}");
        let addresses = Addresses { peer: at(1), client: at(2), http: at(3) };
        let settings = Settings { cluster: [7; 16], shards: 1, replication: 1, repair_after: 1, most_moves: 1 };
        let first = Join { name: "a".into(), addresses: addresses.clone(), zone: None, capacity: None, token: 1 };
        let (program, formats) = ("0".to_owned(), Formats { least: 1, most: 2 });
        let register =
            Register { node: 1, epoch, incarnation, addresses, zone: None, capacity: None, program, formats };
        let meta = applied(Meta::default(), [Body::Init(Init { settings, first }), Body::Register(register)]);
        let directory = Directory::default();
        directory.set(1, meta);
        Arc::new(directory)
    }

    fn applied(mut meta: Meta, bodies: impl IntoIterator<Item = Body>) -> Meta {
        for body in bodies {
            let mut txn = Txn::new(&Nothing);
            meta.apply(&mut txn, &Entry { at: 0, body }.encode()).unwrap().unwrap();
        }
        meta
    }

    fn start(epoch: u64, incarnation: u64, written: u64) -> Start {
        Start { epoch, incarnation, written }
    }

    #[test]
    fn a_node_is_known_by_what_is_recorded_and_by_what_it_has_told() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::load(root.path(), directory(5, 50));
        let cases = [
            (start(4, 40, 100), Some("comes with epoch 4, and is known by 5")),
            (start(5, 51, 100), Some("comes with epoch 5, which another program has had")),
            (start(5, 50, 100), None),
            (start(6, 60, 100), None),
            (start(6, 60, 90), None),
            (start(5, 50, 100), Some("comes with epoch 5, and is known by 6")),
            (start(6, 61, 100), Some("comes with epoch 6, which another program has had")),
        ];
        for (start, why) in cases {
            match (guests.greeted(1, start), why) {
                (Ok(()), None) => {}
                (Err(Rejection::RolledBack(told)), Some(why)) if told.contains(why) => {}
                (other, why) => panic!("{start:?}: {other:?}, {why:?}"),
            }
        }
    }

    #[test]
    fn what_a_node_has_told_outlives_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(5, 50);
        Guests::load(root.path(), directory.clone()).greeted(1, start(6, 60, 0)).unwrap();
        let guests = Guests::load(root.path(), directory);
        assert!(matches!(guests.greeted(1, start(5, 50, 0)), Err(Rejection::RolledBack(_))));
        guests.greeted(1, start(6, 60, 0)).unwrap();
    }

    #[test]
    fn a_disk_that_is_put_back_within_a_start_is_found_by_what_it_has_written() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::load(root.path(), directory(5, 50));
        guests.greeted(1, start(5, 50, 10)).unwrap();
        guests.heard(1, 30);
        guests.heard(1, 20);
        guests.greeted(1, start(5, 50, 25)).expect("what was sent before may come later");
        let Err(Rejection::RolledBack(why)) = guests.greeted(1, start(6, 60, 29)) else { panic!("it is let in") };
        assert!(why.contains("has 29 writes in its log, and has had 30"), "{why}");
        guests.greeted(1, start(6, 60, 30)).unwrap();
    }

    #[test]
    fn a_node_that_was_removed_has_to_end() {
        let root = tempfile::tempdir().unwrap();
        let directory = directory(5, 50);
        let guests = Guests::load(root.path(), directory.clone());
        let addresses = Addresses { peer: "b:1".into(), client: "b:2".into(), http: "b:3".into() };
        let second = Join { name: "b".into(), addresses, zone: None, capacity: None, token: 2 };
        let joined = applied((*directory.meta()).clone(), [Body::Join(second)]);
        directory.set(2, joined.clone());
        guests.greeted(2, start(1, 1, 1)).unwrap();
        directory.set(3, applied(joined, [Body::Remove(Remove { node: 2, force: true })]));
        let Err(Rejection::Removed(why)) = guests.greeted(2, start(1, 1, 1)) else { panic!("it is let in") };
        assert!(
            why.ends_with("was removed from the cluster: empty its data directory, and let it join as a new node"),
            "{why}"
        );
    }

    #[test]
    fn a_node_that_is_not_known_is_let_in_and_not_written_down() {
        let root = tempfile::tempdir().unwrap();
        let guests = Guests::load(root.path(), directory(5, 50));
        guests.greeted(9, start(1, 1, 1)).unwrap();
        assert!(!root.path().join(NAME).exists());
    }

    #[test]
    fn a_damaged_file_is_ignored() {
        let known = BTreeMap::from([(1, Known { epoch: 6, incarnation: 60 })]);
        let whole = encode(&known);
        assert_eq!(decode(&whole), Ok(known));
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            assert!(decode(&flipped).is_err() && decode(&whole[..at]).is_err(), "{at}");
        }
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(NAME), "what").unwrap();
        Guests::load(root.path(), directory(5, 50)).greeted(1, start(5, 50, 0)).unwrap();
    }
}
