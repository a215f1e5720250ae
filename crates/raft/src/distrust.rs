//! A node whose log has lost something that was on disk: it may have forgotten any vote, and any entry that it has acknowledged, of any group, or of some of which
//! that is known. So none of these replicas may take part again before it was taken out of its group: each is fenced, also those that come back without the log
//! knowing that they were there, until it has left once.

use crate::error::OpenError;
use crate::group_log::{HOST_GUEST, NODE, tag};
use crate::open::put_host;
use crate::starts::{Words, keep};
use flintwheel_store::{DataDir, LogBatch, LogDb, Loss, StoreError};

/// Opens the log, without what it has lost, which is recorded: of no use but where others have what it had. Blocks.
pub(crate) fn open(dir: &DataDir) -> Result<LogDb, OpenError> {
    let (log, loss) = LogDb::open_anyway(dir, NODE, &|batch, group, why| {
        // It is there, to be fenced.
        put_host(batch, group, HOST_GUEST);
        batch.put_meta(group, tag::DISTRUST, why.to_string().as_bytes());
    })?;
    if loss != Loss::Nothing {
        rebase(&log)?;
    }
    if let Loss::All(why) = &loss {
        begin(&log, why)?;
    }
    if loss != Loss::Nothing {
        log.accept()?;
    }
    Ok(log)
}

/// What this node tells others of its writes must not go back, or they would take it for rolled back.
fn rebase(log: &LogDb) -> Result<(), StoreError> {
    let words = Words::of(log);
    let base = words.base + log.marked().saturating_sub(log.written());
    keep(log, Words { base, ..words })
}

/// Begins to distrust all replicas.
fn begin(log: &LogDb, why: &StoreError) -> Result<(), StoreError> {
    tracing::error!(%why, "the log has lost what was on disk: all replicas here are to be made anew");
    let mut batch = log.batch();
    batch.put_meta(NODE, tag::DISTRUST, why.to_string().as_bytes());
    for group in log.groups()?.into_iter().filter(|group| *group != NODE) {
        batch.remove_meta(group, tag::CLEARED);
    }
    log.commit(batch)
}

/// Why a group's replica must not take part, if it must not.
pub(crate) fn of(log: &LogDb, group: u32) -> Result<Option<String>, StoreError> {
    let text = |why: Vec<u8>| String::from_utf8_lossy(&why).into_owned();
    if let Some(why) = log.meta(group, tag::DISTRUST)? {
        return Ok(Some(text(why)));
    }
    let Some(why) = log.meta(NODE, tag::DISTRUST)? else { return Ok(None) };
    let cleared = log.meta(group, tag::CLEARED)?.is_some();
    Ok((!cleared).then(|| text(why)))
}

/// Adds to a batch that a group's replica leaves: what comes after it may take part.
pub(crate) fn clear(log: &LogDb, batch: &mut LogBatch<'_>, group: u32) -> Result<(), StoreError> {
    batch.remove_meta(group, tag::DISTRUST);
    if log.meta(NODE, tag::DISTRUST)?.is_some() {
        batch.put_meta(group, tag::CLEARED, &[]);
    }
    Ok(())
}
