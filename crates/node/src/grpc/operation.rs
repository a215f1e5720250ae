//! `OperationService`: what operators do with stored definitions.

use flintwheel_client::convert::{definition, operation, record};
use flintwheel_client::{ChangeOptions, PageRequest};
use flintwheel_model::{DefinitionKey, Violations};
use flintwheel_proto::v1;
use flintwheel_proto::v1::operation_service_server::OperationService;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::server::{Doors, Fault};

/// See the module.
pub struct Operations(pub Doors);

/// What a call comes to.
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OperationService for Operations {
    async fn update(&self, request: Request<v1::UpdateRequest>) -> Answer<v1::UpdateResponse> {
        let v1::UpdateRequest { r#ref, changes, expected_version, request_id, validate_only } = request.into_inner();
        let key = read_key(r#ref)?;
        let changes = operation::changes_from_proto(changes).map_err(Fault::from)?;
        let options = ChangeOptions { validate_only, request_id, expected_version };
        let applied = self.0.api.update(&key, &changes, &options).await.map_err(Fault::from)?;
        Ok(Response::new(v1::UpdateResponse { result: Some(record::applied_to_proto(&applied)) }))
    }

    async fn list_versions(&self, request: Request<v1::ListVersionsRequest>) -> Answer<v1::ListVersionsResponse> {
        let v1::ListVersionsRequest { r#ref, page_size, page_token } = request.into_inner();
        let key = read_key(r#ref)?;
        let page = PageRequest { size: page_size, token: page_token };
        let ask = async |page: PageRequest| {
            let page = self.0.api.versions(&key, &page).await?;
            let records = page.items.iter().map(record::to_proto).collect::<Result<_, Violations>>()?;
            Ok(v1::ListVersionsResponse { records, next_page_token: page.next.unwrap_or_default() })
        };
        Ok(Response::new(self.0.page(page, ask, Message::encoded_len).await?))
    }

    async fn rollback(&self, request: Request<v1::RollbackRequest>) -> Answer<v1::RollbackResponse> {
        let v1::RollbackRequest { r#ref, version, expected_version, request_id, validate_only } = request.into_inner();
        let key = read_key(r#ref)?;
        let options = ChangeOptions { validate_only, request_id, expected_version };
        let applied = self.0.api.rollback(&key, version, &options).await.map_err(Fault::from)?;
        Ok(Response::new(v1::RollbackResponse { result: Some(record::applied_to_proto(&applied)) }))
    }

    async fn bulk(&self, request: Request<v1::BulkRequest>) -> Answer<v1::BulkResponse> {
        let mut request = request.into_inner();
        let page = PageRequest { size: request.page_size, token: std::mem::take(&mut request.page_token) };
        let bulk = operation::bulk_from_proto(request).map_err(Fault::from)?;
        let page = self.0.api.bulk(&bulk, &page).await.map_err(Fault::from)?;
        let results = page.items.iter().map(operation::bulk_result_to_proto).collect();
        Ok(Response::new(v1::BulkResponse { results, next_page_token: page.next.unwrap_or_default() }))
    }

    async fn backfill(&self, request: Request<v1::BackfillRequest>) -> Answer<v1::BackfillResponse> {
        let mut request = request.into_inner();
        let key = read_key(request.r#ref.take())?;
        let asked = operation::backfill_request_from_proto(&request).map_err(Fault::from)?;
        let begun = self.0.api.backfill(&key, &asked).await.map_err(Fault::from)?;
        Ok(Response::new(operation::begun_to_proto(&begun)))
    }

    async fn list_backfills(&self, request: Request<v1::ListBackfillsRequest>) -> Answer<v1::ListBackfillsResponse> {
        let query = operation::query_from_proto(request.into_inner());
        let backfills = self.0.api.backfills(&query).await.map_err(Fault::from)?;
        Ok(Response::new(operation::backfills_to_proto(&backfills)))
    }

    async fn stop_backfill(&self, request: Request<v1::StopBackfillRequest>) -> Answer<v1::StopBackfillResponse> {
        let v1::StopBackfillRequest { r#ref, backfill_id } = request.into_inner();
        let key = read_key(r#ref)?;
        let stopped = self.0.api.stop_backfill(&key, &backfill_id).await.map_err(Fault::from)?;
        Ok(Response::new(operation::stopped_to_proto(&stopped)))
    }
}

fn read_key(proto: Option<v1::DefinitionRef>) -> Result<DefinitionKey, Fault> {
    Ok(definition::key_from_proto(proto, "ref")?)
}
