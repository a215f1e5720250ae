//! Calls of `OperationService`.

use flintwheel_model::DefinitionKey;
use flintwheel_proto::v1;

use super::definitions::{read_page, understood};
use super::{Client, operation_service};
use crate::convert::{definition, operation, record};
use crate::error::Error;
use crate::types::{
    Applied, BackfillBegun, BackfillQuery, BackfillRequest, BackfillStopped, Backfills, BulkRequest, BulkResult,
    ChangeOptions, DefinitionRecord, FieldChange, Page, PageRequest,
};

impl Client {
    /// Changes the named fields of a definition, and no others. The same request, sent again within an hour, is answered as the first time.
    pub async fn update(
        &self,
        key: &DefinitionKey,
        changes: &[FieldChange],
        options: ChangeOptions,
    ) -> Result<Applied, Error> {
        let request = v1::UpdateRequest {
            r#ref: Some(definition::key_to_proto(key)),
            changes: operation::changes_to_proto(changes)?,
            expected_version: options.expected_version,
            request_id: self.request_id(&options.request_id),
            validate_only: options.validate_only,
        };
        let call = |t, q| async move { operation_service(t).update(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        understood(record::applied_from_proto(answer.result.unwrap_or_default()))
    }

    /// The versions of a definition that are kept, newest first.
    pub async fn versions(&self, key: &DefinitionKey, page: PageRequest) -> Result<Page<DefinitionRecord>, Error> {
        let r#ref = Some(definition::key_to_proto(key));
        let request = v1::ListVersionsRequest { r#ref, page_size: page.size, page_token: page.token };
        let call = |t, q| async move { operation_service(t).list_versions(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        read_page(answer.records, answer.next_page_token, record::from_proto)
    }

    /// Makes a definition what it was at an older version, as a new version.
    pub async fn rollback(&self, key: &DefinitionKey, version: u64, options: ChangeOptions) -> Result<Applied, Error> {
        let request = v1::RollbackRequest {
            r#ref: Some(definition::key_to_proto(key)),
            version,
            expected_version: options.expected_version,
            request_id: self.request_id(&options.request_id),
            validate_only: options.validate_only,
        };
        let call = |t, q| async move { operation_service(t).rollback(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        understood(record::applied_from_proto(answer.result.unwrap_or_default()))
    }

    /// Does something to the definitions of one page; go on with [`Page::next`] until there is none.
    pub async fn bulk(&self, request: &BulkRequest, page: PageRequest) -> Result<Page<BulkResult>, Error> {
        let request = BulkRequest { request_id: self.request_id(&request.request_id), ..request.clone() };
        let request = operation::bulk_to_proto(&request, page.size, page.token)?;
        let answer = self.call(request, |t, q| async move { operation_service(t).bulk(q).await }).await?;
        read_page(answer.results, answer.next_page_token, operation::bulk_result_from_proto)
    }

    /// Fires the due times of a range of the past, at a pace.
    pub async fn backfill(&self, key: &DefinitionKey, request: &BackfillRequest) -> Result<BackfillBegun, Error> {
        let r#ref = Some(definition::key_to_proto(key));
        let request = v1::BackfillRequest { r#ref, ..operation::backfill_request_to_proto(request) };
        let call = |t, q| async move { operation_service(t).backfill(q).await };
        understood(operation::begun_from_proto(self.call_about(Some(key), request, call).await?))
    }

    /// Backfills under way, and those that have ended lately.
    pub async fn backfills(&self, query: &BackfillQuery) -> Result<Backfills, Error> {
        let request = operation::query_to_proto(query);
        let answer = self.call(request, |t, q| async move { operation_service(t).list_backfills(q).await }).await?;
        understood(operation::backfills_from_proto(answer))
    }

    /// Ends a backfill before all of its due times are decided.
    pub async fn stop_backfill(&self, key: &DefinitionKey, backfill: &str) -> Result<BackfillStopped, Error> {
        let r#ref = Some(definition::key_to_proto(key));
        let request = v1::StopBackfillRequest { r#ref, backfill_id: backfill.to_owned() };
        let call = |t, q| async move { operation_service(t).stop_backfill(q).await };
        understood(operation::stopped_from_proto(self.call_about(Some(key), request, call).await?))
    }
}
