//! Something done to many definitions, chosen by their labels: page by page, each by itself. A page that is asked for again does nothing twice, so
//! whoever broke off goes on where they were, or begins anew.

use chrono::{DateTime, Utc};
use flintwheel_client::{
    ApplyOptions, ApplyOutcome, BulkAction, BulkRequest, BulkResult, DefinitionRecord, FieldChange, ListQuery, Page,
    PageRequest,
};
use flintwheel_model::DefinitionKey;
use futures::{StreamExt, stream};

use super::switch::check_note;
use super::update::{asked, changed};
use super::{Api, ApiError, check_request_id, one};
use crate::server::Fault;

/// Definitions of one page: each is an entry of its own.
const PAGE: u32 = 500;
/// What is under way at a time. Entries of one shard go to the disk together.
const SIDE_BY_SIDE: usize = 32;
/// Every definition: an empty selector is more often a slip than meant.
const ALL: &str = "*";

impl Api {
    /// Does it to the definitions of one page, or tells to which it would.
    pub async fn bulk(&self, request: &BulkRequest, page: &PageRequest) -> Result<Page<BulkResult>, ApiError> {
        self.check_bulk(request)?;
        let label_selector = match request.label_selector.as_str() {
            ALL => String::new(),
            selector => selector.to_owned(),
        };
        let paused = match request.action {
            BulkAction::Resume { .. } => Some(true),
            // Also those that are paused already: until another time, maybe.
            BulkAction::Pause { .. } | BulkAction::Delete | BulkAction::Update(_) => None,
        };
        let query = ListQuery { namespace: request.namespace.clone(), label_selector, paused };
        let size = if page.size == 0 { 0 } else { page.size.min(PAGE) };
        let found = self.list(&query, &PageRequest { size, token: page.token.clone() }).await?;
        let done = found.items.iter().map(|record| self.one_of_many(request, record));
        let items = stream::iter(done.collect::<Vec<_>>()).buffered(SIDE_BY_SIDE).collect().await;
        Ok(Page { items, next: found.next })
    }

    fn check_bulk(&self, request: &BulkRequest) -> Result<(), ApiError> {
        check_request_id(&request.request_id)?;
        if request.label_selector.is_empty() {
            let message = "is required: the labels of those that are meant, such as team=billing, or * for every one";
            return Err(one("label_selector", message).into());
        }
        match &request.action {
            BulkAction::Pause { note, until } => {
                check_note(note)?;
                self.check_pause(*until).map(drop)
            }
            BulkAction::Resume { note, .. } => check_note(note),
            BulkAction::Delete | BulkAction::Update(_) => Ok(()),
        }
    }

    async fn one_of_many(&self, request: &BulkRequest, record: &DefinitionRecord) -> BulkResult {
        let metadata = &record.definition.metadata;
        let definition = DefinitionKey::new(&metadata.namespace, &metadata.id);
        let version = record.status.version;
        let done = if request.validate_only {
            self.try_one(request, record).await
        } else {
            self.do_one(request, record, &definition).await
        };
        match done {
            Ok((version, changed)) => BulkResult { definition, version, changed, fault: None },
            // What a request that came before has done is done.
            Err(ApiError::NotPaused(_)) => BulkResult { definition, version, changed: false, fault: None },
            Err(ApiError::NotFound(_)) if request.action == BulkAction::Delete => {
                BulkResult { definition, version, changed: false, fault: None }
            }
            Err(error) => BulkResult { definition, version: 0, changed: false, fault: Some(Fault::from(error).error) },
        }
    }

    /// The version that it would have, and whether anything would change.
    async fn try_one(&self, request: &BulkRequest, record: &DefinitionRecord) -> Result<(u64, bool), ApiError> {
        match &request.action {
            BulkAction::Update(changes) => self.update_one(request, record, changes).await,
            BulkAction::Pause { until, .. } => Ok((record.status.version, !is_paused(record, *until))),
            BulkAction::Resume { .. } | BulkAction::Delete => Ok((record.status.version, true)),
        }
    }

    async fn do_one(
        &self,
        request: &BulkRequest,
        record: &DefinitionRecord,
        key: &DefinitionKey,
    ) -> Result<(u64, bool), ApiError> {
        let (id, version) = (request.request_id.as_str(), record.status.version);
        match &request.action {
            BulkAction::Pause { until, .. } if is_paused(record, *until) => Ok((version, false)),
            BulkAction::Pause { note, until } => {
                let switched = self.pause_until(key, note, *until, id).await?;
                Ok((switched.status.version, true))
            }
            BulkAction::Resume { note, missed } => {
                let switched = self.resume(key, note, *missed, id).await?;
                Ok((switched.status.version, switched.changed))
            }
            // Labels may have changed since they were looked at: then it may not be meant any more.
            BulkAction::Delete => Ok((self.delete(key, Some(version), id, false).await?, true)),
            BulkAction::Update(changes) => self.update_one(request, record, changes).await,
        }
    }

    async fn update_one(
        &self,
        request: &BulkRequest,
        record: &DefinitionRecord,
        changes: &[FieldChange],
    ) -> Result<(u64, bool), ApiError> {
        let changed = changed(&record.definition, changes)?;
        let BulkRequest { validate_only, request_id, .. } = request.clone();
        let options =
            ApplyOptions { validate_only, request_id, expected_version: Some(record.status.version), due_after: None };
        let applied = self.apply_asked(&changed, &options, asked(changes, None)).await?;
        Ok((applied.new_version, applied.outcome != ApplyOutcome::Unchanged))
    }
}

/// Whether it is paused already, until that very time: to microseconds, as a pause is kept.
fn is_paused(record: &DefinitionRecord, until: Option<DateTime<Utc>>) -> bool {
    let micros = |until: Option<DateTime<Utc>>| until.map(|until| until.timestamp_micros());
    record.status.paused.as_ref().is_some_and(|paused| micros(paused.until) == micros(until))
}
