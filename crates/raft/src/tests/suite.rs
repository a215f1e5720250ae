//! openraft's own tests of log storage and state machine.

use super::toy::{self, Toy};
use crate::group_log::GroupLog;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::open::Shared;
use crate::state_machine::StateMachine;
use crate::types::Types;
use flintwheel_store::LogDb;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use tempfile::TempDir;

struct OneGroup;

impl StoreBuilder<Types, LogStore, StateMachine<Toy>, TempDir> for OneGroup {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine<Toy>), StorageError<Types>> {
        let root = tempfile::tempdir().unwrap();
        let (shared, _) = Shared::open(&toy::options(root.path(), 1), LogDb::commit).unwrap();
        let log = Arc::new(GroupLog::open(shared.log, 0, 100).unwrap());
        let machine = Arc::new(Machine::open(shared.state, 0, shared.fatal).unwrap());
        Ok((root, LogStore { log, writer: shared.writer }, StateMachine { machine, pool: shared.pool }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(OneGroup).await.unwrap();
}
