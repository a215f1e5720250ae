//! What happens when the disk fails under a write: the process ends. A failed fsync may have dropped what it was to write, and the
//! next one would report success; so nothing is tried again and nothing is acknowledged. The same where a damaged database can't be used any more and
//! only a start can make it anew.

use flintwheel_store::StoreError;
use std::fmt;
use std::sync::Arc;

/// Called once with the reason, on the thread that met the fault. It is expected not to return; if it does, the caller stops its
/// work and answers nobody.
#[derive(Clone)]
pub struct FatalHook(Arc<dyn Fn(&StoreError) + Send + Sync>);

impl FatalHook {
    /// One that calls `hook`.
    pub fn new(hook: impl Fn(&StoreError) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hook))
    }

    pub(crate) fn call(&self, error: &StoreError) {
        tracing::error!(%error, "the node ends: its disk failed");
        (self.0)(error);
    }
}

impl Default for FatalHook {
    /// Says why on standard error and aborts: no destructor runs that could touch the disk again.
    fn default() -> Self {
        Self::new(|error| {
            eprintln!("flintwheel: stopping, nothing more is acknowledged: {error}");
            std::process::abort();
        })
    }
}

impl fmt::Debug for FatalHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FatalHook")
    }
}
