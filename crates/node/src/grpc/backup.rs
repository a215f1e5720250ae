//! `BackupService`: shards read for a backup, and rows brought into a new cluster.

use std::pin::Pin;

use flintwheel_client::convert::{backup as convert, time};
use flintwheel_client::{ExportBegun, ExportedRows};
use flintwheel_proto::v1;
use flintwheel_proto::v1::backup_service_server::BackupService;
use flintwheel_proto::v1::export_shard_response::Part;
use futures::{Stream, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::api::{Api, ApiError};
use crate::error::EngineError;
use crate::exports::{Begun, Page};
use crate::server::{Doors, Fault};

/// See the module.
pub struct Backups {
    /// The engine.
    pub doors: Doors,
    /// Ends streams.
    pub stopping: CancellationToken,
}

type Parts = Pin<Box<dyn Stream<Item = Result<v1::ExportShardResponse, Status>> + Send>>;

#[tonic::async_trait]
impl BackupService for Backups {
    async fn get_backup_source(
        &self,
        _: Request<v1::GetBackupSourceRequest>,
    ) -> Result<Response<v1::GetBackupSourceResponse>, Status> {
        Ok(Response::new(convert::source_to_proto(self.doors.api.backup_source())))
    }

    type ExportShardStream = Parts;

    async fn export_shard(&self, request: Request<v1::ExportShardRequest>) -> Result<Response<Parts>, Status> {
        let shard = request.into_inner().shard;
        let api = self.doors.api.clone();
        let begun = api.export(shard).await.map_err(Fault::from)?;
        let first = part(Part::Begun(convert::begun_to_proto(&told(&begun))));
        let stopping = self.stopping.clone();
        let pages =
            stream::unfold(Some(0), move |next| page(api.clone(), shard, begun.session, next, stopping.clone()));
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(pages))))
    }

    async fn begin_restore(
        &self,
        request: Request<v1::BeginRestoreRequest>,
    ) -> Result<Response<v1::BeginRestoreResponse>, Status> {
        let v1::BeginRestoreRequest { backup_id, skip_before } = request.into_inner();
        let odd = || Fault::field("skip_before", "is no time");
        let skip_before = skip_before.map(|proto| time::instant(proto).ok_or_else(odd)).transpose()?;
        let begun = self.doors.api.begin_restore(&backup_id, skip_before).await.map_err(Fault::from)?;
        Ok(Response::new(convert::restore_to_proto(&begun)))
    }

    async fn restore_rows(
        &self,
        request: Request<v1::RestoreRowsRequest>,
    ) -> Result<Response<v1::RestoreRowsResponse>, Status> {
        let v1::RestoreRowsRequest { backup_id, shard, from_row, rows } = request.into_inner();
        let _room = self.doors.room_soon(rows.len()).await?;
        let rows = self.doors.api.restore_rows(&backup_id, shard, from_row, rows).await.map_err(Fault::from)?;
        Ok(Response::new(v1::RestoreRowsResponse { rows }))
    }

    async fn finish_restore(
        &self,
        request: Request<v1::FinishRestoreRequest>,
    ) -> Result<Response<v1::FinishRestoreResponse>, Status> {
        let v1::FinishRestoreRequest { backup_id, rows } = request.into_inner();
        self.doors.api.finish_restore(&backup_id, &rows).await.map_err(Fault::from)?;
        Ok(Response::new(v1::FinishRestoreResponse {}))
    }
}

fn told(begun: &Begun) -> ExportBegun {
    let instant = |micros: i64| time::instant(time::timestamp_micros(micros));
    ExportBegun {
        applied: begun.applied,
        // A shard that has seen nothing yet has no clock.
        clock: instant(begun.clock).unwrap_or_default(),
        fired_through: instant(begun.fired_through),
    }
}

fn part(part: Part) -> v1::ExportShardResponse {
    v1::ExportShardResponse { part: Some(part) }
}

/// One page, and the number of the one after it. Read when it is asked for: a caller that is slow holds nothing but what is ready.
async fn page(
    api: Api,
    shard: u32,
    session: u64,
    next: Option<u32>,
    stopping: CancellationToken,
) -> Option<(Result<v1::ExportShardResponse, Status>, Option<u32>)> {
    let number = next?;
    let page = tokio::select! {
        page = api.export_page(shard, session, number) => page,
        () = stopping.cancelled() => Err(ApiError::from(EngineError::Stopping)),
    };
    Some(match page {
        Ok(Page { rows, count, last }) => {
            let rows = convert::rows_to_proto(ExportedRows { rows, count, last });
            (Ok(part(Part::Rows(rows))), (!last).then_some(number + 1))
        }
        Err(error) => (Err(Fault::from(error).into()), None),
    })
}
