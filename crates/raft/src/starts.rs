//! The starts of a node's program, as its own disk knows them: so that a disk that was rolled back or copied is told from the one that went on.
//!
//! Each start has an epoch, the last one that the cluster has recorded and one more, and a random incarnation. Until the cluster has recorded it, the
//! next start is the same: so however often an older disk is started, it never overtakes what the cluster knows.

use crate::error::OpenError;
use crate::group_log::{NODE, tag};
use crate::groups::task_failed;
use crate::open::{number, put_number};
use crate::runtime::{blocking, random};
use flintwheel_store::{LogDb, StoreError};
use std::sync::{Arc, Weak};

/// See the module. Keeps nothing open; once the databases are closed, it does nothing.
#[derive(Clone)]
pub struct Starts {
    log: Weak<LogDb>,
}

impl Starts {
    pub(crate) fn of(log: &Arc<LogDb>) -> Self {
        Self { log: Arc::downgrade(log) }
    }

    /// The start that begins now: its epoch and its incarnation, on disk.
    pub async fn begin(&self) -> Result<(u64, u64), OpenError> {
        Ok(self.on_log(begin).await?.unwrap_or_default())
    }

    /// The cluster has recorded the start with this epoch.
    pub async fn confirm(&self, epoch: u64) -> Result<(), OpenError> {
        self.on_log(move |log| confirm(log, epoch)).await.map(drop)
    }

    /// The cluster says that this disk has forgotten something: it is not opened any more.
    pub async fn expel(&self, why: String) -> Result<(), OpenError> {
        self.on_log(move |log| expel(log, &why)).await.map(drop)
    }

    /// How many writes the log has on disk, ever. What was told once, no later start falls behind.
    pub fn written(&self) -> u64 {
        self.log.upgrade().map_or(0, |log| log.marked() + Words::of(&log).base)
    }

    async fn on_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&LogDb) -> Result<T, OpenError> + Send + 'static,
    ) -> Result<Option<T>, OpenError> {
        let Some(log) = self.log.upgrade() else { return Ok(None) };
        blocking(move || work(&log)).await.map_err(task_failed)?.map(Some)
    }
}

/// What the node keeps beside its log, and needs also when that is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Of the cluster; 0 where nothing was kept.
    pub(crate) shards: u64,
    /// Which start began last.
    pub(crate) epoch: u64,
    /// Which one the cluster has recorded last.
    pub(crate) confirmed: u64,
    /// Of the start that began last.
    pub(crate) incarnation: u64,
    /// Writes of logs that were lost.
    pub(crate) base: u64,
}

impl Words {
    pub(crate) fn of(log: &LogDb) -> Self {
        let [shards, epoch, confirmed, incarnation, base] = log.words();
        Self { shards, epoch, confirmed, incarnation, base }
    }
}

/// Blocks until they are on disk.
pub(crate) fn keep(log: &LogDb, words: Words) -> Result<(), StoreError> {
    if words == Words::of(log) {
        return Ok(());
    }
    let Words { shards, epoch, confirmed, incarnation, base } = words;
    log.set_words([shards, epoch, confirmed, incarnation, base])
}

/// The last start, by the log and by what is kept beside it: the later of the two, since either may have been lost.
fn last(log: &LogDb) -> Result<Words, OpenError> {
    let kept = Words::of(log);
    let epoch = number(log, tag::EPOCH, "the epoch")?.unwrap_or(0);
    // Else an older version has begun it, which counted each start, and told it.
    let is_ours = number(log, tag::BEGUN, "the epoch of the incarnation")? == Some(epoch);
    let ours = |tag, what| if is_ours { number(log, tag, what) } else { Ok(None) };
    let confirmed = ours(tag::CONFIRMED, "the confirmed epoch")?.unwrap_or(epoch);
    let incarnation = ours(tag::INCARNATION, "the incarnation")?.unwrap_or(0);
    let later = (kept.confirmed, kept.epoch) > (confirmed, epoch);
    Ok(if later { kept } else { Words { epoch, confirmed, incarnation, ..kept } })
}

fn begin(log: &LogDb) -> Result<(u64, u64), OpenError> {
    let last = last(log)?;
    if last.epoch > last.confirmed {
        return Ok((last.epoch, last.incarnation));
    }
    let (epoch, incarnation) = (last.confirmed + 1, random());
    let mut batch = log.batch();
    put_number(&mut batch, tag::EPOCH, epoch);
    put_number(&mut batch, tag::CONFIRMED, last.confirmed);
    put_number(&mut batch, tag::INCARNATION, incarnation);
    put_number(&mut batch, tag::BEGUN, epoch);
    log.commit(batch)?;
    keep(log, Words { epoch, incarnation, ..last })?;
    Ok((epoch, incarnation))
}

fn confirm(log: &LogDb, epoch: u64) -> Result<(), OpenError> {
    let mut batch = log.batch();
    put_number(&mut batch, tag::CONFIRMED, epoch);
    log.commit(batch)?;
    Ok(keep(log, Words { confirmed: epoch, ..Words::of(log) })?)
}

fn expel(log: &LogDb, why: &str) -> Result<(), OpenError> {
    let mut batch = log.batch();
    batch.put_meta(NODE, tag::EXPELLED, why.as_bytes());
    Ok(log.commit(batch)?)
}

/// Whether the cluster still has the disk.
pub(crate) fn check(log: &LogDb) -> Result<(), OpenError> {
    match log.meta(NODE, tag::EXPELLED)? {
        Some(why) => Err(OpenError::Expelled { why: String::from_utf8_lossy(&why).into_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flintwheel_store::DataDir;

    #[test]
    fn a_start_is_the_same_until_the_cluster_has_recorded_it() {
        let root = tempfile::tempdir().unwrap();
        let log = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap();
        let first = begin(&log).unwrap();
        assert_eq!((first.0, begin(&log).unwrap()), (1, first));
        confirm(&log, 1).unwrap();
        let second = begin(&log).unwrap();
        assert_eq!(second.0, 2);
        assert_ne!(second.1, first.1);
        assert_eq!(begin(&log).unwrap(), second);
    }

    #[test]
    fn a_directory_that_counted_each_start_goes_on_counting() {
        let root = tempfile::tempdir().unwrap();
        let log = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap();
        let mut batch = log.batch();
        put_number(&mut batch, tag::EPOCH, 7);
        log.commit(batch).unwrap();
        assert_eq!(begin(&log).unwrap().0, 8);
        assert_eq!(begin(&log).unwrap().0, 8);
    }

    #[test]
    fn an_older_version_that_started_in_between_has_counted_too() {
        let root = tempfile::tempdir().unwrap();
        let log = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap();
        begin(&log).unwrap();
        confirm(&log, 1).unwrap();
        let mut batch = log.batch();
        put_number(&mut batch, tag::EPOCH, 2);
        log.commit(batch).unwrap();
        let (epoch, incarnation) = begin(&log).unwrap();
        assert_eq!((epoch, begin(&log).unwrap()), (3, (3, incarnation)));
        confirm(&log, 3).unwrap();
        assert_eq!(begin(&log).unwrap().0, 4);
    }

    #[test]
    fn a_log_that_was_lost_does_not_take_the_starts_with_it() {
        let root = tempfile::tempdir().unwrap();
        let open = || crate::distrust::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap();
        let log = open();
        begin(&log).unwrap();
        confirm(&log, 1).unwrap();
        let second = begin(&log).unwrap();
        let before = log.written();
        let starts = Starts::of(&Arc::new(log));
        assert_eq!(starts.written(), 0, "it is closed");
        std::fs::remove_dir_all(root.path().join("log")).unwrap();
        let log = open();
        assert_eq!(begin(&log).unwrap(), second);
        let log = Arc::new(log);
        assert!(Starts::of(&log).written() >= before);
    }

    #[test]
    fn who_was_expelled_stays_so() {
        let root = tempfile::tempdir().unwrap();
        let log = LogDb::open(&DataDir::open(root.path(), 1, None).unwrap()).unwrap();
        check(&log).unwrap();
        expel(&log, "empty it").unwrap();
        let error = check(&log).unwrap_err().to_string();
        assert_eq!(error, "this data directory must not be used any more: empty it");
    }
}
