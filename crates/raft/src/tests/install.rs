//! Snapshots on the receiving side: pieces that come in any way but the right one, and installations that end half way.

use super::toy::{self, Toy};
use crate::Founding;
use crate::candidate::Candidate;
use crate::codec::{encode_entry, place};
use crate::fence::Fence;
use crate::group_log::GroupLog;
use crate::groups::Groups;
use crate::machine::Machine;
use crate::message::Offer;
use crate::open::{OpenOptions, Shared};
use crate::receive_snapshot::{Incoming, ReceiveError, Staged};
use crate::snapshot::remove;
use crate::types::{Entry, LeaderId, LogId, Vote};
use flintwheel_store::{DataDir, ExportedFile, LogDb};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const VOTE: Vote = Vote { leader_id: Candidate { term: 5, node_id: 1 }, committed: true };

/// A snapshot of a shard with `count` entries, as files, and what its machine says.
async fn snapshot(count: u64) -> (TempDir, Offer, Toy) {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    let toy = toy::propose(&groups, 0, count).await;
    let out = tempfile::tempdir().unwrap();
    let machine = groups.group(0).inner.machine.clone();
    let (applied, files) = machine.export(&out.path().join("files"), &mut |_| ()).unwrap();
    drop(machine);
    groups.shutdown().await.unwrap();
    (out, Offer { vote: VOTE, applied, files }, toy)
}

fn files(out: &TempDir) -> std::path::PathBuf {
    out.path().join("files")
}

/// Sends all pieces, `piece` bytes each.
fn receive(incoming: &Incoming, from: &Path, offer: &Offer, piece: usize) -> u64 {
    let (id, have) = incoming.offer(0, offer.clone()).unwrap();
    for (number, (file, have)) in offer.files.iter().zip(have).enumerate() {
        let bytes = fs::read(from.join(&file.name)).unwrap();
        let mut offset = have;
        for chunk in bytes[have as usize..].chunks(piece) {
            incoming.piece(0, id, number as u32, offset, chunk).unwrap();
            offset += chunk.len() as u64;
        }
    }
    id
}

/// What a node has of the shard when a snapshot comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// The first entries.
    Less,
    /// The first entries, and many that never were committed.
    Garbage,
    /// More than the snapshot has.
    More,
}

async fn node(root: &Path, before: Before) -> OpenOptions {
    let founding = if before == Before::Nothing { Founding::Member } else { Founding::Alone };
    let options = || OpenOptions { founding, ..OpenOptions::new(DataDir::open(root, 1, None).unwrap(), 1) };
    let groups = Groups::<Toy>::open(options()).await.unwrap();
    match before {
        Before::Nothing => groups.host(0).await.unwrap(),
        Before::Less | Before::Garbage => drop(toy::propose(&groups, 0, 5).await),
        Before::More => drop(toy::propose(&groups, 0, 400).await),
    }
    groups.shutdown().await.unwrap();
    if before == Before::Garbage {
        append_garbage(&options());
    }
    options()
}

/// Entries of another leader, far beyond the snapshot.
fn append_garbage(options: &OpenOptions) {
    let db = LogDb::open(&options.data).unwrap();
    let (last, _) = db.last_entry(0).unwrap().unwrap();
    let mut batch = db.batch();
    for index in last + 1..last + 500 {
        let entry = Entry::new(LogId::new(LeaderId { term: 1, node_id: 9 }, index), EntryPayload::Blank);
        let mut bytes = Vec::new();
        encode_entry(&mut bytes, place(0, index), &entry);
        batch.put_entry(0, index, &bytes);
    }
    db.commit(batch).unwrap();
}

/// How far an installation had come when the process ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Staged,
    FilesImported,
    StateStands,
    LogStands,
}

fn install_until(end: End, shared: &Shared, staged: &Staged) {
    let log = GroupLog::open(shared.log.clone(), 0, 1000).unwrap();
    let machine = Machine::<Toy>::open(shared.state.clone(), Arc::new(Fence::new(0)), shared.fatal.clone()).unwrap();
    let applied = staged.offer.applied.clone();
    match end {
        End::Staged => {}
        End::FilesImported => {
            let columns: Vec<_> = crate::state::table_columns().collect();
            shared.state.import(0, &columns, staged.dir(), &staged.offer.files, |_| ()).unwrap();
        }
        End::StateStands | End::LogStands => {
            machine.install(applied.clone(), staged.dir(), &staged.offer.files).unwrap()
        }
    }
    if matches!(end, End::LogStands) {
        log.stand_at(applied.last.unwrap(), VOTE).unwrap();
    }
}

#[tokio::test]
async fn an_installation_that_ended_half_way_is_finished_at_the_next_start() {
    let (out, offer, toy) = snapshot(300).await;
    let last = offer.applied.last.unwrap().index();
    for end in [End::Staged, End::FilesImported, End::StateStands, End::LogStands] {
        for before in [Before::Nothing, Before::Less, Before::Garbage, Before::More] {
            let root = tempfile::tempdir().unwrap();
            let options = node(root.path(), before).await;
            let (shared, threads) = Shared::open(&options, LogDb::commit).unwrap();
            let id = receive(&shared.incoming, &files(&out), &offer, 1000);
            let staged = shared.incoming.complete(0, id).unwrap();
            let staged = shared.incoming.stage(0, staged).unwrap();
            // openraft does not let a snapshot be installed over a state that has more: it can only have been staged then.
            install_until(if before == Before::More { End::Staged } else { end }, &shared, &staged);
            drop(shared);
            threads.into_iter().for_each(|thread| thread.join().unwrap());

            let groups = Groups::<Toy>::open(options).await.unwrap();
            assert!(groups.shared.incoming.staged(0).unwrap().is_none(), "{end:?} {before:?}");
            let (status, found) = (groups.group(0).status(), toy::machine(&groups, 0));
            if before == Before::More {
                assert_eq!(found.count, 400, "what was committed after the snapshot stays");
            } else {
                assert_eq!((found.count, found.digest), (toy.count, toy.digest), "{end:?} {before:?}");
                assert_eq!(status.purged, Some(last), "{end:?} {before:?}");
                assert!(status.last_log <= Some(last + 1), "{end:?} {before:?}: {status:?}");
            }
            groups.shutdown().await.unwrap();
        }
    }
}

#[tokio::test]
async fn files_are_sent_again_but_never_such_as_lack_what_openraft_counts_on() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 10).await;
    let (machine, exports) = (groups.group(0).inner.machine.clone(), groups.group(0).inner.exports.clone());
    let first = exports.current(&machine, None).await.unwrap();
    assert_eq!(exports.standing(), Some(first.applied.clone()), "what is said to be sent is what is sent");
    toy::propose(&groups, 0, 10).await;
    let again = exports.current(&machine, first.applied.last).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again));
    let least = machine.applied().last;
    let newer = exports.current(&machine, least).await.unwrap();
    assert!(newer.applied.last >= least && !Arc::ptr_eq(&first, &newer));
    let dir = first.dir().to_owned();
    assert!(dir.exists());
    drop((first, again));
    assert!(!dir.exists(), "nobody has them any more");
    drop((machine, exports, newer));
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn receiving_goes_on_where_it_was_interrupted() {
    let (out, offer, _) = snapshot(300).await;
    let root = tempfile::tempdir().unwrap();
    let incoming = Incoming::open(root.path().to_owned()).unwrap();
    let (id, have) = incoming.offer(0, offer.clone()).unwrap();
    assert!(have.iter().all(|have| *have == 0));
    let first = fs::read(files(&out).join(&offer.files[0].name)).unwrap();
    incoming.piece(0, id, 0, 0, &first[..100]).unwrap();
    assert_eq!(incoming.offer(0, offer.clone()).unwrap().1[0], 100, "the same process");
    drop(incoming);
    let incoming = Incoming::open(root.path().to_owned()).unwrap();
    assert_eq!(
        incoming.offer(0, offer.clone()).unwrap(),
        (id, {
            let mut have = vec![0; offer.files.len()];
            have[0] = 100;
            have
        }),
        "the next one"
    );
    receive(&incoming, &files(&out), &offer, 77);
    let staged = incoming.complete(0, id).unwrap();
    assert_eq!(staged.offer, offer);
    // A snapshot of another instant begins anew.
    let mut other = offer.clone();
    other.applied.last = None;
    receive(&incoming, &files(&out), &offer, 5000);
    assert_eq!(incoming.offer(0, other).unwrap().1[0], 0);
}

#[tokio::test]
async fn pieces_that_do_not_fit_are_refused_and_damage_is_found_at_the_end() {
    let (out, offer, _) = snapshot(50).await;
    let root = tempfile::tempdir().unwrap();
    let incoming = Incoming::open(root.path().to_owned()).unwrap();
    assert!(matches!(incoming.piece(0, 7, 0, 0, b"x"), Err(ReceiveError::Unknown(7))));
    let (id, _) = incoming.offer(0, offer.clone()).unwrap();
    let size = offer.files[0].bytes;
    let cases: [(u32, u64, Vec<u8>); 4] =
        [(0, 1, vec![1]), (0, 0, vec![0; size as usize + 1]), (99, 0, vec![1]), (0, u64::MAX, vec![1])];
    for (file, offset, bytes) in cases {
        assert!(incoming.piece(0, id, file, offset, &bytes).is_err(), "file {file} at {offset}");
    }
    receive(&incoming, &files(&out), &offer, 1 << 20);
    let path = incoming_file(root.path(), &offer.files[0]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = incoming.complete(0, id).unwrap_err();
    assert!(error.to_string().contains(&offer.files[0].name), "{error}");
    assert!(matches!(incoming.complete(0, id), Err(ReceiveError::Unknown(_))), "it begins anew");
    assert!(incoming.offer(0, offer).unwrap().1.iter().all(|have| *have == 0));
}

fn incoming_file(root: &Path, file: &ExportedFile) -> std::path::PathBuf {
    root.join("in").join("0").join(&file.name)
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let incoming = Arc::new(Incoming::open(root.path().to_owned()).unwrap());
    for name in ["../x.sst", "/x.sst", "a/b.sst", "offer", ".sst", "", "x.sst\0", "X.sst"] {
        let file = ExportedFile { name: name.to_owned(), column: "names".to_owned(), bytes: 1, checksum: 1 };
        let offer = Offer { vote: VOTE, applied: crate::codec::Applied::default(), files: vec![file] };
        assert!(matches!(incoming.offer(0, offer), Err(ReceiveError::Name(_))), "{name:?}");
    }
    let twice = ExportedFile { name: "x.sst".to_owned(), column: "names".to_owned(), bytes: 1, checksum: 1 };
    let offer = Offer { vote: VOTE, applied: crate::codec::Applied::default(), files: vec![twice.clone(), twice] };
    assert!(matches!(incoming.offer(0, offer), Err(ReceiveError::Name(_))));
    let large = ExportedFile { name: "x.sst".to_owned(), column: "names".to_owned(), bytes: u64::MAX, checksum: 1 };
    let offer = Offer { vote: VOTE, applied: crate::codec::Applied::default(), files: vec![large] };
    assert!(matches!(incoming.offer(0, offer), Err(ReceiveError::NoRoom { .. })));
    remove(root.path());
}

#[tokio::test]
async fn a_damaged_snapshot_that_was_being_installed_fences_its_replica_until_it_is_made_anew() {
    let (out, offer, toy) = snapshot(300).await;
    type Harm = fn(&Path, &Offer);
    let harms: [Harm; 2] = [
        |dir, _| fs::write(dir.join("offer"), "what").unwrap(),
        |dir, offer| fs::write(dir.join(&offer.files[0].name), "what").unwrap(),
    ];
    for harm in harms {
        let root = tempfile::tempdir().unwrap();
        let options = node(root.path(), Before::Less).await;
        let (shared, threads) = Shared::open(&options, LogDb::commit).unwrap();
        let id = receive(&shared.incoming, &files(&out), &offer, 1000);
        let staged = shared.incoming.complete(0, id).unwrap();
        let staged = shared.incoming.stage(0, staged).unwrap();
        harm(staged.dir(), &offer);
        drop(shared);
        threads.into_iter().for_each(|thread| thread.join().unwrap());

        let groups = Groups::<Toy>::open(options).await.unwrap();
        let why = groups.group(0).damage().unwrap();
        assert!(why.contains("a snapshot whose installation was interrupted can't be installed"), "{why}");
        groups.retire(0).await.unwrap();
        groups.host(0).await.unwrap();
        assert_eq!((groups.group(0).damage(), toy::machine(&groups, 0).count), (None, 0));
        // It is sent once more.
        let incoming = groups.shared.incoming.clone();
        let id = receive(&incoming, &files(&out), &offer, 1000);
        let complete = incoming.complete(0, id).unwrap();
        let machine = groups.group(0).inner.machine.clone();
        machine.install(complete.offer.applied.clone(), complete.dir(), &complete.offer.files).unwrap();
        assert_eq!(toy::machine(&groups, 0).digest, toy.digest);
        drop(machine);
        groups.close().await;
    }
}
