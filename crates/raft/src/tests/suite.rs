//! openraft's own tests of log storage and state machine.

use super::toy::{self, Toy};
use crate::fence::Fence;
use crate::group_log::GroupLog;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::open::{Shared, Threads};
use crate::snapshot::Exports;
use crate::state_machine::StateMachine;
use crate::types::Types;
use flintwheel_store::LogDb;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use tempfile::TempDir;

struct OneGroup;

/// Outlives a test's log and machine. The process must not end under threads that hold a database: RocksDB's globals go first, and it
/// would be aborted.
struct Root {
    _dir: TempDir,
    threads: Threads,
}

impl Drop for Root {
    fn drop(&mut self) {
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl StoreBuilder<Types, LogStore, StateMachine<Toy>, Root> for OneGroup {
    async fn build(&self) -> Result<(Root, LogStore, StateMachine<Toy>), StorageError<Types>> {
        let root = tempfile::tempdir().unwrap();
        let (shared, threads) = Shared::open(&toy::options(root.path(), 1), LogDb::commit).unwrap();
        let log = Arc::new(GroupLog::open(shared.log, 0, 100).unwrap());
        let fence = Arc::new(Fence::new(0));
        let machine = Arc::new(Machine::open(shared.state, fence.clone(), shared.fatal).unwrap());
        let store = LogStore { log: log.clone(), writer: shared.writer.clone(), fence };
        let exports = Arc::new(Exports::new(shared.outgoing, log.clone()));
        let (pool, incoming, writer) = (shared.pool, shared.incoming, shared.writer);
        Ok((Root { _dir: root, threads }, store, StateMachine { machine, pool, exports, incoming, log, writer }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(OneGroup).await.unwrap();
}
