//! The run log: what the orchestrator did, in SQLite or Postgres, from the same `migrations/` and the same SQL.
//!
//! Knows nothing of Temporal. Writing is idempotent and in any order: a row that has ended is never overwritten by a late
//! word of its beginning.

mod address;
mod query;

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Executor, SqlSafeStr};
use tokio::sync::OnceCell;

pub use query::Cursor;

use address::Address;

/// How long a caller waits for a connection before the database counts as unreachable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// Runs are logged at most a few thousand times a second; a handful of connections carries that.
const MAX_CONNECTIONS: u32 = 5;

/// A handle to the run log; cheap to clone.
#[derive(Clone)]
pub struct RunLog {
    pool: AnyPool,
    address: Arc<Address>,
    migrated: Arc<OnceCell<()>>,
}

/// Why the run log can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RunLogError {
    /// The URL in the configuration.
    #[error("run_log: {why}; write sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE")]
    Address {
        /// What is wrong, without secrets.
        why: String,
    },
    /// The database refused, or can't be reached.
    #[error("the run log at {address}: {driver}")]
    Database {
        /// Where, without secrets.
        address: String,
        /// The driver's word.
        driver: sqlx::Error,
    },
    /// Its tables can't be brought up to date.
    #[error("the run log at {address} can't be brought up to date: {why}")]
    Migration {
        /// Where, without secrets.
        address: String,
        /// What stands against it, and what to do.
        why: String,
    },
    /// A row holds what this program never writes.
    #[error("the run log at {address}: run {run_id}: column {column}: {why}")]
    Row {
        /// Where, without secrets.
        address: String,
        /// Which row.
        run_id: String,
        /// Which column.
        column: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A page token that this log did not hand out.
    #[error("{0:?} is not a page token; use the `next_page_token` of the page before, or none")]
    PageToken(String),
}

impl RunLog {
    /// Whether a URL can be one of a run log, before anything is opened.
    pub fn check(url: &str) -> Result<(), RunLogError> {
        Address::parse(url).map(drop)
    }

    /// Opens `sqlite:PATH` (made if it is not there) or `postgres://...`.
    ///
    /// A SQLite file is opened and brought up to date here, so that a bad path is known at once. A Postgres server is connected to on
    /// first use: a worker starts, and waits, while it is down.
    pub async fn open(url: &str) -> Result<Self, RunLogError> {
        sqlx::any::install_default_drivers();
        let address = Address::parse(url)?;
        let log = Self {
            pool: pool(&address).map_err(|driver| RunLogError::Database { address: address.to_string(), driver })?,
            address: Arc::new(address),
            migrated: Arc::new(OnceCell::new()),
        };
        if let Address::Sqlite(_) = *log.address {
            log.ready().await?;
        }
        Ok(log)
    }

    /// Where it is, without secrets.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until all connections are given back and closed.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool, with the tables up to date.
    async fn ready(&self) -> Result<&AnyPool, RunLogError> {
        self.migrated.get_or_try_init(|| self.migrate()).await?;
        Ok(&self.pool)
    }

    async fn migrate(&self) -> Result<(), RunLogError> {
        match migrator().run(&self.pool).await {
            Ok(()) => Ok(()),
            Err(MigrateError::Execute(driver)) => Err(self.failed(driver)),
            Err(error) => Err(RunLogError::Migration { address: self.address(), why: explain(&error) }),
        }
    }

    fn failed(&self, driver: sqlx::Error) -> RunLogError {
        RunLogError::Database { address: self.address(), driver }
    }
}

fn pool(address: &Address) -> Result<AnyPool, sqlx::Error> {
    let is_sqlite = matches!(address, Address::Sqlite(_));
    AnyPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move { if is_sqlite { set_up_sqlite(connection).await } else { Ok(()) } })
        })
        .connect_lazy(&address.connection_url())
}

/// Readers beside one writer, which waits for its turn; a crash of the machine may lose the last rows, never the file: Temporal's
/// history still holds them.
async fn set_up_sqlite(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000").await?;
    Ok(())
}

fn migrator() -> Migrator {
    let runs = Migration::new(
        1,
        "runs".into(),
        MigrationType::Simple,
        include_str!("../../../../migrations/0001_runs.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![runs])
}

fn explain(error: &MigrateError) -> String {
    match error {
        MigrateError::VersionMissing(version) => {
            format!(
                "it has migration {version}, which this program does not know: a newer flintwheel has written it; use that one"
            )
        }
        MigrateError::VersionMismatch(version) => {
            format!("its migration {version} is not the one that this program has: a changed build has written it")
        }
        other => other.to_string(),
    }
}
