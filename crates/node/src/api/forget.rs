//! For proofs: a fault that is made on purpose. No door leads here, and no configuration: only who runs an engine in its own process can ask for it.

use flintwheel_model::DefinitionKey;
use flintwheel_shard::query;

use super::{Api, ApiError};
use crate::actors::shard::ShardMessage;

impl Api {
    /// Lets go of an armed definition that this node leads, as a fault of the wheel would. Says whether there is such a definition.
    #[doc(hidden)]
    pub fn forget_armed(&self, key: &DefinitionKey) -> Result<bool, ApiError> {
        let shard = self.shard_of(key);
        let Some(group) = self.shared.led(shard) else { return Ok(false) };
        let Some(number) = query::number(&group.state(), &key.namespace, &key.id)? else { return Ok(false) };
        self.shared.send(shard, ShardMessage::Forget(number))?;
        Ok(true)
    }
}
