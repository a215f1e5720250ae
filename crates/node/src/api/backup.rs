//! Backups: shards read row by row, and rows brought into the shards of a new cluster. Where the rows are kept meanwhile is not known here.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_client::{BackupSource, RestoreBegun, ShardRestore};
use flintwheel_cluster::Meta;
use flintwheel_cluster::rows::NodeState;
use flintwheel_shard::entry::{BOUNDS_SINCE, Body, RESTORES_SINCE, Restore};
use flintwheel_shard::reply::{Outcome, Restored};
use flintwheel_shard::rows::{self, Row};
use uuid::Uuid;

use super::ask::{Act, BackupId, Export, Look, Packed, Restoration, RestoreStep, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, OperateError, one, time};
use crate::error::EngineError;
use crate::exports::{Begun, Page};

/// Rows of one entry, encoded: an entry may have twice as many bytes.
pub const ROWS_BYTES: usize = 2 * 1024 * 1024;

/// Where nothing is too old to fire.
const EVERYTHING: i64 = i64::MIN;

impl Api {
    /// What a backup says of where it comes from, and a restore compares.
    pub fn backup_source(&self) -> BackupSource {
        BackupSource {
            cluster_id: self.node.cluster_id.clone(),
            shards: self.shared.shards(),
            workflow_id_prefix: self.shared.dispatchers.prefix.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: time(self.now()),
        }
    }

    /// Begins to read a shard: with all that was acknowledged by now.
    pub async fn export(&self, shard: u32) -> Result<Begun, ApiError> {
        self.check_shard(shard)?;
        match self.ask(shard, Act::Export(Export::Begin)).await? {
            Told::Export(begun) => Ok(begun),
            _ => Err(otherwise()),
        }
    }

    /// A page of it; the newest one may be asked for again.
    pub async fn export_page(&self, shard: u32, session: u64, page: u32) -> Result<Page, ApiError> {
        match self.ask(shard, Act::Export(Export::Page { session, page })).await? {
            Told::Rows { rows: Packed(rows), count, last } => Ok(Page { rows, count, last }),
            _ => Err(otherwise()),
        }
    }

    /// Begins a restore, or goes on with it: every shard is empty, or has a part of this very backup. From now on nothing else is done in this
    /// cluster until all is there.
    pub async fn begin_restore(
        &self,
        backup: &str,
        skip_before: Option<DateTime<Utc>>,
    ) -> Result<RestoreBegun, ApiError> {
        let backup = read_id(backup)?;
        let too_old = too_old(&self.shared.peers.directory().meta(), RESTORES_SINCE);
        if !too_old.is_empty() {
            return Err(needs_upgrade(&too_old).into());
        }
        let asked = skip_before.map_or(EVERYTHING, |at| at.timestamp_micros());
        let found = self.restorations().await?;
        for (shard, there) in found.iter().enumerate() {
            check_target(shard, there, backup)?;
        }
        let skip_before = found.iter().find(|there| there.backup.is_some()).map_or(asked, |there| there.skip_before);
        let begin = |shard| (shard, Act::Restore { backup, step: RestoreStep::Begin { skip_before } });
        let told = match self.ask_each((0..self.shared.shards()).map(begin)).await {
            Ok(told) => told,
            Err(error) => {
                self.take_back(backup, &found).await;
                return Err(error);
            }
        };
        let shards = told.into_iter().map(progress).collect::<Result<_, _>>()?;
        Ok(RestoreBegun { skip_before: (skip_before != EVERYTHING).then(|| time(skip_before)), shards })
    }

    /// Somebody was quicker with a definition: what was begun just now has no rows yet.
    async fn take_back(&self, backup: BackupId, found: &[Restoration]) {
        for (shard, _) in (0..).zip(found).filter(|(_, there)| there.backup.is_none()) {
            let cancel = Act::Restore { backup, step: RestoreStep::Cancel };
            // Where it was not begun, that is refused.
            if let Err(error) = self.ask(shard, cancel).await {
                tracing::debug!(shard, %error, "a restore that was refused elsewhere was not taken back here");
            }
        }
    }

    /// Brings rows into a shard; tells how many are there.
    pub async fn restore_rows(&self, backup: &str, shard: u32, from: u64, rows: Bytes) -> Result<u64, ApiError> {
        let backup = read_id(backup)?;
        self.check_shard(shard)?;
        if rows.len() > ROWS_BYTES {
            return Err(one("rows", format!("{} bytes; at most {ROWS_BYTES} at a time", rows.len())).into());
        }
        let step = RestoreStep::Rows { from, rows: Packed(rows) };
        Ok(progress(self.ask(shard, Act::Restore { backup, step }).await?)?.rows)
    }

    /// All is there, so many rows in each shard: from now on the cluster is as any other.
    pub async fn finish_restore(&self, backup: &str, rows: &[u64]) -> Result<(), ApiError> {
        let backup = read_id(backup)?;
        if rows.len() != self.shared.shards() as usize {
            let message = format!("{} numbers; the cluster has {} shards", rows.len(), self.shared.shards());
            return Err(one("rows", message).into());
        }
        for ((shard, rows), there) in rows.iter().enumerate().zip(self.restorations().await?) {
            if there.backup != Some(backup) || there.rows != *rows {
                let why = format!("shard {shard} has {} rows of this backup, and {rows} are needed", there.rows);
                return Err(
                    OperateError::Refused(format!("{why}: restore it again, which goes on where it was")).into()
                );
            }
        }
        let finish =
            |(shard, rows): (u32, &u64)| (shard, Act::Restore { backup, step: RestoreStep::Finish { rows: *rows } });
        self.ask_each((0..).zip(rows).map(finish)).await.map(drop)
    }

    async fn restorations(&self) -> Result<Vec<Restoration>, ApiError> {
        let told = self.ask_each((0..self.shared.shards()).map(|shard| (shard, Look::Restoration))).await?;
        let restoration = |told| if let Told::Restoration(there) = told { Ok(there) } else { Err(otherwise()) };
        told.into_iter().map(restoration).collect()
    }

    fn check_shard(&self, shard: u32) -> Result<(), ApiError> {
        let shards = self.shared.shards();
        if shard < shards {
            return Ok(());
        }
        Err(OperateError::NotFound(format!("there is no shard {shard}: this cluster has {shards}, from 0 on")).into())
    }
}

fn progress(told: Told) -> Result<ShardRestore, ApiError> {
    match told {
        Told::Restoration(Restoration { rows, finished, .. }) => Ok(ShardRestore { rows, finished }),
        _ => Err(otherwise()),
    }
}

fn read_id(text: &str) -> Result<BackupId, ApiError> {
    let id = Uuid::parse_str(text).map_err(|e| one("backup_id", format!("is the UUID of a manifest: {e}")))?;
    Ok(id.into_bytes())
}

/// Nodes whose programs would stop at an entry that brings a backup.
fn too_old(meta: &Meta, since: u32) -> Vec<String> {
    let registered = meta.nodes().filter(|node| node.epoch > 0 && node.state != NodeState::Removed);
    let old = registered.filter(|node| node.formats.most < since);
    old.map(|node| format!("{} ({})", node.id, node.program)).collect()
}

fn needs_upgrade(nodes: &[String]) -> OperateError {
    let which = match nodes {
        [] => "nodes of this cluster run".to_owned(),
        [one] => format!("node {one} runs"),
        more => format!("nodes {} run", more.join(", ")),
    };
    OperateError::Refused(format!(
        "{which} a version that does not know how a backup is restored: upgrade to the same version first; nothing was changed"
    ))
}

/// Whether a backup may be brought into a shard.
fn check_target(shard: usize, there: &Restoration, backup: BackupId) -> Result<(), ApiError> {
    let why = match there.backup {
        Some(known) if known == backup => return Ok(()),
        Some(known) => format!("another backup, {}, is being restored into it, or was", Uuid::from_bytes(known)),
        None if there.unused => return Ok(()),
        None => "it has, or has had, definitions".to_owned(),
    };
    let what_to_do = "a backup is restored into a new cluster; nothing was changed";
    Err(OperateError::Refused(format!("shard {shard}: {why}: {what_to_do}")).into())
}

impl Replica {
    /// Reads the shard for a backup.
    pub(super) async fn export(&self, export: &Export) -> Result<Told, ApiError> {
        let exports = &self.shared.exports;
        match *export {
            Export::Begin => {
                // What was acknowledged before is in it.
                self.confirm().await.map_err(|_| EngineError::NotLed)?;
                if self.group.read(|machine, _| machine.is_held())? {
                    return Err(EngineError::Restoring { shard: self.shard }.into());
                }
                Ok(Told::Export(exports.begin(&self.group).await?))
            }
            Export::Page { session, page } => match exports.page(self.shard, session, page).await {
                Some(page) => {
                    let Page { rows, count, last } = page?;
                    Ok(Told::Rows { rows: Packed(rows), count, last })
                }
                None => {
                    let why = format!("the export of shard {} has ended: its leader changed", self.shard);
                    Err(OperateError::Passing(format!("{why}, or nobody asked for a minute; begin it again")).into())
                }
            },
        }
    }

    /// Takes a step of a restore. Each can be repeated: rows that are there are passed over.
    pub(super) async fn restore(&self, backup: BackupId, step: &RestoreStep) -> Result<Told, ApiError> {
        // Who asked may have known less of the others than this node does.
        if !self.all_know(RESTORES_SINCE) {
            return Err(needs_upgrade(&too_old(&self.shared.peers.directory().meta(), RESTORES_SINCE)).into());
        }
        let mut bytes = 0;
        let step = match step {
            RestoreStep::Begin { skip_before } => Restore::Begin { backup, skip_before: *skip_before },
            RestoreStep::Rows { from, rows: Packed(rows) } => {
                bytes = rows.len();
                let rows = rows::decode_all(rows).map_err(|e| one("rows", e.to_string()))?;
                // Of a newer cluster than some node of this one.
                if rows.iter().any(|row| matches!(row, Row::Course(_))) && !self.all_know(BOUNDS_SINCE) {
                    return Err(needs_upgrade(&too_old(&self.shared.peers.directory().meta(), BOUNDS_SINCE)).into());
                }
                Restore::Rows { backup, from: *from, rows }
            }
            RestoreStep::Cancel => Restore::Cancel { backup },
            RestoreStep::Finish { rows } => Restore::Finish { backup, rows: *rows },
        };
        match self.command(Body::Restore(step), bytes).await? {
            Outcome::Restored(Restored::At { .. }) => self.read(|replica| replica.restoration()).await,
            Outcome::Restored(Restored::Refused(why)) => {
                Err(OperateError::Refused(format!("shard {}: {why}", self.shard)).into())
            }
            _ => Err(EngineError::Read("a restore entry was answered otherwise".into()).into()),
        }
    }

    pub(super) fn restoration(&self) -> Result<Told, ApiError> {
        let (found, unused) = self.group.read(|machine, _| (machine.restoration(), machine.is_unused()))?;
        Ok(Told::Restoration(Restoration {
            backup: found.map(|found| found.backup),
            skip_before: found.map_or(EVERYTHING, |found| found.skip_before),
            rows: found.map_or(0, |found| found.rows),
            finished: found.is_some_and(|found| found.finished),
            unused,
        }))
    }
}
