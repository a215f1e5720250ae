//! Sending a snapshot: what it consists of, then the bytes that the other replica lacks, then the word to install it.
//!
//! Whoever was interrupted goes on where the other one's files end: the files stay as they are until they are too old.

use crate::message::{Answer, Offer, Request};
use crate::network::Replica;
use crate::runtime::blocking;
use crate::snapshot::Export;
use crate::types::{LogId, Types, Vote};
use bytes::Bytes;
use flintwheel_shard::Replicated;
use flintwheel_store::ExportedFile;
use openraft::errors::StreamingError;
use openraft::raft::SnapshotResponse;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of one piece: large enough that the round trips between them cost little, small enough to be forgotten at once.
const PIECE: u64 = 512 << 10;
/// How long the other replica may take to check and install all of it: a gigabyte, on a slow disk.
const INSTALL: Duration = Duration::from_secs(600);

/// Sends this replica's state, which has at least all up to `least`. `within` bounds each single piece.
pub(crate) async fn send<M: Replicated>(
    replica: &Replica<M>,
    vote: Vote,
    least: Option<LogId>,
    within: Duration,
) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
    let local = |error: io::Error| replica.away(&format!("the snapshot can't be read: {error}"));
    // Few at a time: they share the disk and the network with what is urgent.
    let _turn = replica.exports.turn().await;
    let export = replica.exports.current(&replica.machine, least).await.map_err(local)?;
    let offer = Offer { vote, applied: export.applied.clone(), files: export.files.clone() };
    let id = offer.id(replica.machine.group);
    let have = match replica.ask(Request::Offer(offer), within).await? {
        Answer::Wanted { offer, have } if offer == id && have.len() == export.files.len() => have,
        Answer::Installed { vote } => return Ok(SnapshotResponse { vote }),
        other => return Err(replica.away(&format!("answered the offer of a snapshot with {other:?}")).into()),
    };
    for (number, (file, have)) in export.files.iter().zip(have).enumerate() {
        send_file(replica, &export, id, (number as u32, file), have, within).await?;
    }
    match replica.ask(Request::Install { offer: id, vote }, INSTALL).await? {
        Answer::Installed { vote } => Ok(SnapshotResponse { vote }),
        other => Err(replica.away(&format!("answered the end of a snapshot with {other:?}")).into()),
    }
}

async fn send_file<M: Replicated>(
    replica: &Replica<M>,
    export: &Arc<Export>,
    offer: u64,
    (number, file): (u32, &ExportedFile),
    mut offset: u64,
    within: Duration,
) -> Result<(), StreamingError<Types>> {
    while offset < file.bytes {
        let length = PIECE.min(file.bytes - offset);
        let (path, at) = (export.dir().join(&file.name), offset);
        let read = blocking(move || read_piece(&path, at, length)).await;
        let bytes = read.map_err(io::Error::other).flatten();
        let bytes = bytes.map_err(|error| replica.away(&format!("the snapshot can't be read: {error}")))?;
        replica.exports.pace(length).await;
        match replica.ask(Request::Piece { offer, file: number, offset, bytes }, within).await? {
            Answer::Taken => offset += length,
            other => return Err(replica.away(&format!("answered a piece of a snapshot with {other:?}")).into()),
        }
    }
    Ok(())
}

fn read_piece(path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; length as usize];
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}
