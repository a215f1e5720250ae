//! Calls of `BackupService`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_proto::v1;
use flintwheel_proto::v1::backup_service_client::BackupServiceClient;
use flintwheel_proto::v1::export_shard_response::Part;
use prost::bytes::Bytes;
use tokio::time::timeout;
use tonic::{Request, Streaming};

use super::Client;
use super::definitions::understood;
use crate::call::{explain, is_away};
use crate::convert::backup as convert;
use crate::convert::time::timestamp;
use crate::error::{Code, Error, reason};
use crate::transport::Transport;
use crate::types::{BackupSource, ExportBegun, ExportedRows, RestoreBegun};

/// One page of rows, which ends with a row that makes it long enough.
const ROWS_BYTES: usize = 8 * 1024 * 1024;

/// A shard being read. An error ends it: what was read is of no use, and reading begins anew.
pub struct ShardExport {
    /// At which instant.
    pub begun: ExportBegun,
    parts: Streaming<v1::ExportShardResponse>,
    address: String,
    within: Duration,
    ended: bool,
}

impl Client {
    /// Where a backup of this cluster comes from.
    pub async fn backup_source(&self) -> Result<BackupSource, Error> {
        let request = v1::GetBackupSourceRequest {};
        let answer = self.call(request, |t, q| async move { backup_service(t).get_backup_source(q).await }).await?;
        understood(convert::source_from_proto(answer))
    }

    /// Begins to read a shard, with all that was acknowledged by now. Is not tried again: whoever keeps the rows knows what to throw away.
    pub async fn export_shard(&self, shard: u32) -> Result<ShardExport, Error> {
        let (index, address, transport) = self.transports.current();
        let begun = self.begin_export(address, transport, shard).await;
        if let Err(error) = &begun
            && is_away(error)
        {
            self.transports.turn_from(index);
        }
        begun
    }

    async fn begin_export(&self, address: &str, transport: Transport, shard: u32) -> Result<ShardExport, Error> {
        let within = self.options.call_timeout;
        let mut service = backup_service(transport);
        let call = service.export_shard(Request::new(v1::ExportShardRequest { shard }));
        let answer = timeout(within, call).await.map_err(|_| late(address, within))?;
        let mut parts = answer.map_err(|status| explain(&status, address))?.into_inner();
        match next(&mut parts, address, within).await? {
            Some(Part::Begun(begun)) => {
                let begun = understood(convert::begun_from_proto(begun))?;
                Ok(ShardExport { begun, parts, address: address.to_owned(), within, ended: false })
            }
            _ => Err(broken(address)),
        }
    }

    /// Begins to bring a backup into the cluster, or goes on with that.
    pub async fn begin_restore(
        &self,
        backup_id: &str,
        skip_before: Option<DateTime<Utc>>,
    ) -> Result<RestoreBegun, Error> {
        let skip_before = skip_before.map(timestamp);
        let request = v1::BeginRestoreRequest { backup_id: backup_id.to_owned(), skip_before };
        let answer = self.call(request, |t, q| async move { backup_service(t).begin_restore(q).await }).await?;
        understood(convert::restore_from_proto(answer))
    }

    /// Brings rows into a shard, of which `from_row` come before these; tells how many are there.
    pub async fn restore_rows(&self, backup_id: &str, shard: u32, from_row: u64, rows: Bytes) -> Result<u64, Error> {
        let request = v1::RestoreRowsRequest { backup_id: backup_id.to_owned(), shard, from_row, rows };
        let answer = self.call(request, |t, q| async move { backup_service(t).restore_rows(q).await }).await?;
        Ok(answer.rows)
    }

    /// All is there: so many rows, in order of shard.
    pub async fn finish_restore(&self, backup_id: &str, rows: &[u64]) -> Result<(), Error> {
        let request = v1::FinishRestoreRequest { backup_id: backup_id.to_owned(), rows: rows.to_vec() };
        self.call(request, |t, q| async move { backup_service(t).finish_restore(q).await }).await.map(drop)
    }
}

impl ShardExport {
    /// The next rows; none after the last.
    pub async fn next(&mut self) -> Result<Option<ExportedRows>, Error> {
        if self.ended {
            return Ok(None);
        }
        match next(&mut self.parts, &self.address, self.within).await? {
            Some(Part::Rows(rows)) => {
                let rows = convert::rows_from_proto(rows);
                self.ended = rows.last;
                Ok(Some(rows))
            }
            _ => Err(broken(&self.address)),
        }
    }
}

async fn next(
    parts: &mut Streaming<v1::ExportShardResponse>,
    address: &str,
    within: Duration,
) -> Result<Option<Part>, Error> {
    let message = timeout(within, parts.message()).await.map_err(|_| late(address, within))?;
    Ok(message.map_err(|status| explain(&status, address))?.and_then(|message| message.part))
}

fn late(address: &str, within: Duration) -> Error {
    let message = format!("{address} did not go on with an export within {within:?}");
    Error::new(Code::DeadlineExceeded, reason::DEADLINE, message)
}

fn broken(address: &str) -> Error {
    let message = format!("{address} ended an export before its last rows");
    Error::new(Code::Unavailable, reason::UNREADABLE_ANSWER, message)
}

fn backup_service(transport: Transport) -> BackupServiceClient<Transport> {
    BackupServiceClient::new(transport).max_decoding_message_size(ROWS_BYTES)
}
