//! Which workflow ids were started, when first, and how often again: what Temporal keeps, in 32 bytes of memory an id.
//!
//! The ids themselves go to a spill file as they come. It knows no gRPC and no faults.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use uuid::Uuid;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::start_line::{StartLine, escape};

const STRIPES: usize = 64;

/// One start call, as far as the record wants to know it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Temporal's namespace.
    pub namespace: &'a str,
    /// The id that makes it one of its kind in its namespace.
    pub workflow_id: &'a str,
    /// Tells a repeat from a foreign start.
    pub request_id: &'a str,
    /// As its worker would register it.
    pub workflow_type: &'a str,
    /// The encoded arguments.
    pub input: &'a [u8],
    /// When the call arrived: microseconds since the Unix epoch.
    pub at_us: i64,
}

/// What Temporal would answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It runs: by this call, or by an earlier one with the same request id.
    Started {
        /// The same for each repeat.
        run_id: Uuid,
    },
    /// Another request has started it.
    Taken {
        /// That of the first call.
        start_request_id: String,
        /// Its run.
        run_id: Uuid,
    },
}

/// An id that was started: the request's hash instead of its text, and where the spill file has the rest.
struct Entry {
    request: u64,
    offset: u64,
    repeats: u32,
    conflicts: u32,
}

struct Spill {
    writer: BufWriter<File>,
    len: u64,
}

/// All ids that were started.
pub struct Record {
    stripes: Vec<Mutex<HashMap<u64, Entry, Hashed>>>,
    spill: Mutex<Spill>,
    ids: AtomicU64,
    repeats: AtomicU64,
    conflicts: AtomicU64,
}

/// Sums over all ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sums {
    /// Distinct workflow ids started.
    pub ids: u64,
    /// Calls for an id that runs, with the request id that started it: harmless.
    pub repeats: u64,
    /// Calls for an id that runs, with another request id.
    pub conflicts: u64,
}

impl Record {
    /// With a spill file of its own that is gone when the record is.
    pub fn new() -> io::Result<Self> {
        let writer = BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
        Ok(Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            spill: Mutex::new(Spill { writer, len: 0 }),
            ids: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            conflicts: AtomicU64::new(0),
        })
    }

    /// Notes one call and says what Temporal would.
    pub fn start(&self, call: &Call) -> io::Result<Answer> {
        let id = hash_id(call.namespace, call.workflow_id);
        let request = xxh3_64(call.request_id.as_bytes());
        let mut stripe = self.stripe(id as u64).lock();
        if let Some(entry) = stripe.get_mut(&(id as u64)) {
            return self.again(entry, request, run_id(id));
        }
        let offset = self.spill(call)?;
        stripe.insert(id as u64, Entry { request, offset, repeats: 0, conflicts: 0 });
        self.ids.fetch_add(1, Ordering::Relaxed);
        Ok(Answer::Started { run_id: run_id(id) })
    }

    /// The request and run that started an id, if one has.
    pub fn find(&self, namespace: &str, workflow_id: &str) -> io::Result<Option<(StartLine, Uuid)>> {
        let id = hash_id(namespace, workflow_id);
        let offset = self.stripe(id as u64).lock().get(&(id as u64)).map(|entry| entry.offset);
        offset.map(|offset| Ok((self.line_at(offset)?, run_id(id)))).transpose()
    }

    /// Sums over all ids.
    pub fn sums(&self) -> Sums {
        Sums {
            ids: self.ids.load(Ordering::Relaxed),
            repeats: self.repeats.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
        }
    }

    /// Writes one line per id, in order of their first start. Calls that come meanwhile may or may not be in it.
    pub fn export(&self, path: &Path) -> io::Result<u64> {
        let mut lines = self.reader()?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let mut written = 0;
        while let Some(mut line) = read_line(&mut lines)? {
            let id = hash_id(&line.namespace, &line.workflow_id) as u64;
            if let Some(entry) = self.stripe(id).lock().get(&id) {
                line.calls = 1 + entry.repeats;
                line.conflicts = entry.conflicts;
            }
            writeln!(out, "{line}")?;
            written += 1;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(written)
    }

    fn again(&self, entry: &mut Entry, request: u64, run_id: Uuid) -> io::Result<Answer> {
        if entry.request == request {
            entry.repeats += 1;
            self.repeats.fetch_add(1, Ordering::Relaxed);
            return Ok(Answer::Started { run_id });
        }
        entry.conflicts += 1;
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        Ok(Answer::Taken { start_request_id: self.line_at(entry.offset)?.request_id, run_id })
    }

    fn stripe(&self, id: u64) -> &Mutex<HashMap<u64, Entry, Hashed>> {
        // The map uses the low bits itself.
        &self.stripes[(id >> 58) as usize]
    }

    /// Appends a line; returns where it begins.
    fn spill(&self, call: &Call) -> io::Result<u64> {
        let line = format!(
            "{}\t1\t0\t{}\t{}\t{}\t{}\t{:016x}\n",
            call.at_us,
            escape(call.namespace),
            escape(call.workflow_id),
            escape(call.request_id),
            escape(call.workflow_type),
            xxh3_64(call.input),
        );
        let mut spill = self.spill.lock();
        spill.writer.write_all(line.as_bytes())?;
        let offset = spill.len;
        spill.len += line.len() as u64;
        Ok(offset)
    }

    fn line_at(&self, offset: u64) -> io::Result<StartLine> {
        let mut spill = self.spill.lock();
        spill.writer.flush()?;
        let end = spill.len;
        let file = spill.writer.get_mut();
        file.seek(SeekFrom::Start(offset))?;
        let line = read_line(&mut BufReader::new(&*file));
        file.seek(SeekFrom::Start(end))?;
        line?.ok_or_else(|| io::Error::other("the spill file ends before a line that it should have"))
    }

    /// Everything up to now, read through a cursor of its own so that starts can go on meanwhile.
    fn reader(&self) -> io::Result<BufReader<io::Take<SharedFile>>> {
        let mut spill = self.spill.lock();
        spill.writer.flush()?;
        let file = SharedFile { file: spill.writer.get_ref().try_clone()?, at: 0 };
        Ok(BufReader::with_capacity(1 << 20, file.take(spill.len)))
    }
}

/// Reads by position: the writer shares the file's cursor.
struct SharedFile {
    file: File,
    at: u64,
}

impl Read for SharedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<StartLine>> {
    let mut text = String::new();
    if reader.read_line(&mut text)? == 0 {
        return Ok(None);
    }
    text.trim_end_matches('\n').parse().map(Some).map_err(io::Error::other)
}

/// 64 bits of it are the key: with ten million ids, two collide once in 350,000 runs.
fn hash_id(namespace: &str, workflow_id: &str) -> u128 {
    let mut text = Vec::with_capacity(namespace.len() + 1 + workflow_id.len());
    text.extend_from_slice(namespace.as_bytes());
    text.push(0);
    text.extend_from_slice(workflow_id.as_bytes());
    xxh3_128(&text)
}

/// A run id needs no memory where it is a function of the workflow's.
fn run_id(hash: u128) -> Uuid {
    uuid::Builder::from_custom_bytes(hash.to_be_bytes()).into_uuid()
}

/// The keys are hashes already.
#[derive(Clone, Default)]
struct Hashed;

impl std::hash::BuildHasher for Hashed {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

struct Identity(u64);

impl std::hash::Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        // The map takes its control bits from the top, which choose the stripe: all alike within one.
        self.0 = value.rotate_left(17);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(workflow_id: &'a str, request_id: &'a str, at_us: i64) -> Call<'a> {
        Call { namespace: "default", workflow_id, request_id, workflow_type: "T", input: b"x", at_us }
    }

    fn run(answer: Answer) -> Uuid {
        match answer {
            Answer::Started { run_id } => run_id,
            Answer::Taken { .. } => panic!("taken"),
        }
    }

    #[test]
    fn the_same_request_gets_the_same_run_and_another_a_refusal() {
        let record = Record::new().expect("record");
        let first = run(record.start(&call("a", "r1", 10)).expect("start"));
        assert_eq!(run(record.start(&call("a", "r1", 20)).expect("repeat")), first);
        let taken = record.start(&call("a", "r2", 30)).expect("conflict");
        assert_eq!(taken, Answer::Taken { start_request_id: "r1".to_owned(), run_id: first });
        assert_ne!(run(record.start(&call("b", "r1", 40)).expect("other id")), first);
        assert_eq!(record.sums(), Sums { ids: 2, repeats: 1, conflicts: 1 });
    }

    #[test]
    fn an_id_of_another_namespace_is_another_id() {
        let record = Record::new().expect("record");
        let here = run(record.start(&call("a", "r1", 10)).expect("start"));
        let there = Call { namespace: "other", ..call("a", "r2", 10) };
        assert_ne!(run(record.start(&there).expect("start")), here);
    }

    #[test]
    fn the_export_has_one_line_an_id_with_all_its_calls() {
        let record = Record::new().expect("record");
        for (id, request, at) in [("odd\tid\n", "r1", 1), ("b", "r", 2), ("b", "r", 3), ("b", "q", 4)] {
            record.start(&call(id, request, at)).expect("start");
        }
        let path = tempfile::NamedTempFile::new().expect("file");
        assert_eq!(record.export(path.path()).expect("export"), 2);
        let text = std::fs::read_to_string(path.path()).expect("text");
        let lines: Vec<StartLine> = text.lines().map(|l| l.parse().expect("line")).collect();
        assert_eq!((lines[0].workflow_id.as_str(), lines[0].calls, lines[0].first_us), ("odd\tid\n", 1, 1));
        assert_eq!((lines[1].workflow_id.as_str(), lines[1].calls, lines[1].conflicts), ("b", 2, 1));
        // Starting goes on after an export.
        record.start(&call("c", "r", 5)).expect("start");
        assert_eq!(record.find("default", "c").expect("find").expect("there").0.first_us, 5);
    }
}
