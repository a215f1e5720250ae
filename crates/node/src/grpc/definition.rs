//! `DefinitionService`: definitions stored, looked at, stopped, and run by hand.

use chrono::{DateTime, Utc};
use flintwheel_client::convert::{calendar, definition, json, occurrence, record, time};
use flintwheel_client::{ApplyOptions, BATCH_ITEMS, Code, ListQuery, NextTimes, PageRequest, Triggered, reason};
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, Violation, Violations};
use flintwheel_proto::v1::batch_apply_item_result::Outcome;
use flintwheel_proto::v1::definition_service_server::DefinitionService;
use flintwheel_proto::v1::next_times_request::Target;
use flintwheel_proto::{routing, v1};
use prost::Message;
use prost_types::Timestamp;
use tonic::{Request, Response, Status};

use crate::api::{Api, ApiError};
use crate::server::{Doors, Fault, PAGE_BYTES};

/// See the module.
pub struct Definitions(pub Doors);

/// What a call comes to.
type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl DefinitionService for Definitions {
    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Answer<v1::ApplyResponse> {
        let v1::ApplyRequest { definition, validate_only, request_id, expected_version, due_after } =
            request.into_inner();
        let definition = read_definition(definition)?;
        let due_after = read_time(due_after, "due_after").map_err(Fault::from)?;
        let options = ApplyOptions { validate_only, request_id, expected_version, due_after };
        let applied = self.0.api.apply(&definition, &options).await.map_err(Fault::from)?;
        let answer = v1::ApplyResponse { result: Some(record::applied_to_proto(&applied)) };
        let key = DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id);
        Ok(self.about(&key, answer))
    }

    async fn batch_apply(&self, request: Request<v1::BatchApplyRequest>) -> Answer<v1::BatchApplyResponse> {
        let v1::BatchApplyRequest { items, validate_only, calendars } = request.into_inner();
        if items.len() > BATCH_ITEMS {
            let message = format!("{} definitions; a batch has at most {BATCH_ITEMS}", items.len());
            return Err(Fault::field("items", message).into());
        }
        if !calendars.is_empty() && !validate_only {
            return Err(Fault::field("calendars", "are for validate_only: apply them with CalendarService").into());
        }
        let calendars = calendar::all_from_proto(calendars, "calendars").map_err(Fault::from)?;
        let results = batch(&self.0.api, items, validate_only, &calendars).await.map_err(Fault::from)?;
        Ok(Response::new(fitting(v1::BatchApplyResponse { results })))
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let v1::GetRequest { r#ref, version, incarnation, stale } = request.into_inner();
        let key = read_key(r#ref)?;
        let record = self.0.api.reading(stale).get(&key, version, incarnation).await.map_err(Fault::from)?;
        let record = record::to_proto(&record).map_err(Fault::from)?;
        Ok(self.about(&key, v1::GetResponse { record: Some(record) }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let v1::ListRequest { namespace, label_selector, page_size, page_token, paused, stale } = request.into_inner();
        let api = self.0.api.reading(stale);
        let query = ListQuery { namespace, label_selector, paused };
        let page = PageRequest { size: page_size, token: page_token };
        let ask = async |page: PageRequest| {
            let page = api.list(&query, &page).await?;
            let records = page.items.iter().map(record::to_proto).collect::<Result<_, Violations>>()?;
            Ok(v1::ListResponse { records, next_page_token: page.next.unwrap_or_default() })
        };
        Ok(Response::new(self.0.page(page, ask, Message::encoded_len).await?))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let v1::DeleteRequest { r#ref, expected_version, request_id, validate_only } = request.into_inner();
        let key = read_key(r#ref)?;
        let deleted = self.0.api.delete(&key, expected_version, &request_id, validate_only).await;
        let version = deleted.map_err(Fault::from)?;
        Ok(self.about(&key, v1::DeleteResponse { version }))
    }

    async fn pause(&self, request: Request<v1::PauseRequest>) -> Answer<v1::PauseResponse> {
        let v1::PauseRequest { r#ref, note, request_id, until } = request.into_inner();
        let key = read_key(r#ref)?;
        let until = until.map(|until| time::instant(until).ok_or_else(|| Fault::field("until", "is no time")));
        let paused = self.0.api.pause_until(&key, &note, until.transpose()?, &request_id).await;
        let switched = paused.map_err(Fault::from)?;
        let status = Some(record::status_to_proto(&switched.status));
        Ok(self.about(&key, v1::PauseResponse { status, changed: switched.changed }))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Answer<v1::ResumeResponse> {
        let v1::ResumeRequest { r#ref, note, request_id, missed } = request.into_inner();
        let key = read_key(r#ref)?;
        let missed = record::missed_from_proto(missed).map_err(Fault::from)?;
        let switched = self.0.api.resume(&key, &note, missed, &request_id).await.map_err(Fault::from)?;
        let status = Some(record::status_to_proto(&switched.status));
        Ok(self.about(&key, v1::ResumeResponse { status, changed: switched.changed }))
    }

    async fn trigger(&self, request: Request<v1::TriggerRequest>) -> Answer<v1::TriggerResponse> {
        let v1::TriggerRequest { r#ref, request_id, input, overlap_policy } = request.into_inner();
        let key = read_key(r#ref)?;
        let input = input.map(|input| json::from_proto(input, "input")).transpose().map_err(Fault::from)?;
        let overlap = record::overlap_from_proto(overlap_policy).map_err(Fault::from)?;
        let triggered = self.0.api.trigger(&key, &request_id, input.as_ref(), overlap).await.map_err(Fault::from)?;
        let Triggered { firing_key, workflow_id, duplicate, waits, skipped } = triggered;
        Ok(self.about(&key, v1::TriggerResponse { firing_key, workflow_id, duplicate, waits, skipped }))
    }

    async fn next_times(&self, request: Request<v1::NextTimesRequest>) -> Answer<v1::NextTimesResponse> {
        let next = next_times(&self.0.api, request.into_inner()).await.map_err(Fault::from)?;
        Ok(Response::new(record::next_times_to_proto(&next)))
    }

    async fn list_occurrences(
        &self,
        request: Request<v1::ListOccurrencesRequest>,
    ) -> Answer<v1::ListOccurrencesResponse> {
        let mut request = request.into_inner();
        let query = occurrence::query_from_proto(&request).map_err(Fault::from)?;
        let page = PageRequest { size: request.page_size, token: std::mem::take(&mut request.page_token) };
        let api = self.0.api.reading(request.stale);
        let ask = async |page: PageRequest| {
            let page = api.occurrences(&query, &page).await?;
            let occurrences = page.items.iter().map(occurrence::to_proto).collect();
            Ok(v1::ListOccurrencesResponse { occurrences, next_page_token: page.next.unwrap_or_default() })
        };
        Ok(Response::new(self.0.page(page, ask, Message::encoded_len).await?))
    }
}

impl Definitions {
    /// An answer about a definition. Where another node leads its shard, that one is named: a client that cares goes there the next time.
    fn about<T>(&self, key: &DefinitionKey, answer: T) -> Response<T> {
        let mut response = Response::new(answer);
        if let Some((shards, leader)) = self.0.api.led_elsewhere(key)
            && let Ok(leader) = leader.parse()
        {
            response.metadata_mut().insert(routing::LEADER, leader);
            response.metadata_mut().insert(routing::SHARDS, shards.into());
        }
        response
    }
}

fn read_key(proto: Option<v1::DefinitionRef>) -> Result<DefinitionKey, Fault> {
    Ok(definition::key_from_proto(proto, "ref")?)
}

fn read_definition(proto: Option<v1::ActivityDefinition>) -> Result<ActivityDefinition, Fault> {
    let proto = proto.ok_or_else(|| Fault::field("definition", "is required"))?;
    Ok(definition::from_proto(proto)?)
}

async fn next_times(api: &Api, request: v1::NextTimesRequest) -> Result<NextTimes, ApiError> {
    let v1::NextTimesRequest { target, count, after, stale, calendars } = request;
    let fault = |field, message: &str| Violations(vec![Violation::new(field, message)]);
    let after = read_time(after, "after")?;
    match target {
        Some(Target::Definition(proto)) => {
            let calendars = calendar::all_from_proto(calendars, "calendars")?;
            api.next_times_of(definition::from_proto(proto)?, &calendars, count, after).await
        }
        Some(Target::Ref(proto)) => {
            api.reading(stale).next_times(&definition::key_from_proto(Some(proto), "ref")?, count, after).await
        }
        None => Err(fault("target", "is required: a stored definition's ref, or a definition").into()),
    }
}

/// A time that may be left out.
fn read_time(proto: Option<Timestamp>, field: &str) -> Result<Option<DateTime<Utc>>, Violations> {
    let fault = || Violations(vec![Violation::new(field, "is no time")]);
    proto.map(|proto| time::instant(proto).ok_or_else(fault)).transpose()
}

/// Applies what can be read; each item has its own result, in order.
async fn batch(
    api: &Api,
    items: Vec<v1::BatchApplyItem>,
    validate_only: bool,
    calendars: &[Calendar],
) -> Result<Vec<v1::BatchApplyItemResult>, ApiError> {
    let mut readable = Vec::with_capacity(items.len());
    let mut unreadable = Vec::new();
    for item in items {
        let v1::BatchApplyItem { definition, request_id, expected_version } = item;
        match read_definition(definition) {
            Ok(definition) => {
                let options = ApplyOptions { validate_only, request_id, expected_version, due_after: None };
                readable.push((definition, options));
                unreadable.push(None);
            }
            Err(fault) => unreadable.push(Some(fault)),
        }
    }
    let applied = match calendars {
        [] => api.batch_apply(&readable).await,
        given => api.preview_with(&readable, given).await?,
    };
    let mut applied = applied.into_iter();
    let result = |fault: Option<Fault>| {
        let outcome = match fault {
            Some(fault) => Outcome::Fault(fault.error.to_proto()),
            None => match applied.next() {
                Some(Ok(applied)) => Outcome::Applied(record::applied_to_proto(&applied)),
                Some(Err(error)) => Outcome::Fault(Fault::from(error).error.to_proto()),
                None => Outcome::Fault(unanswered().error.to_proto()),
            },
        };
        v1::BatchApplyItemResult { outcome: Some(outcome) }
    };
    Ok(unreadable.into_iter().map(result).collect())
}

fn unanswered() -> Fault {
    Fault::new(Code::Internal, reason::INTERNAL, "the engine did not say what became of this definition")
}

/// Where so much is wrong with so many that the answer would not fit into a message, each item tells its first fault and how many more
/// there are.
fn fitting(mut answer: v1::BatchApplyResponse) -> v1::BatchApplyResponse {
    if answer.encoded_len() <= PAGE_BYTES {
        return answer;
    }
    for result in &mut answer.results {
        let Some(Outcome::Fault(fault)) = &mut result.outcome else { continue };
        let more = fault.violations.len().saturating_sub(1);
        fault.violations.truncate(1);
        if let Some(first) = fault.violations.first().filter(|_| more > 0) {
            fault.message =
                format!("{}: {}; and {more} more: apply this one alone to see them", first.field, first.message);
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faulty(violations: usize) -> v1::BatchApplyItemResult {
        let violation = |i| v1::FieldViolation { field: format!("f[{i}]"), message: "x".repeat(100), part: None };
        let violations = (0..violations).map(violation).collect();
        let fault = v1::Fault { message: "y".repeat(5000), violations, ..Default::default() };
        v1::BatchApplyItemResult { outcome: Some(Outcome::Fault(fault)) }
    }

    #[test]
    fn an_answer_that_fits_is_left_as_it_is() {
        let answer = v1::BatchApplyResponse { results: vec![faulty(5); 10] };
        assert_eq!(fitting(answer.clone()), answer);
    }

    #[test]
    fn an_answer_that_does_not_fit_says_how_much_it_leaves_out() {
        let answer = fitting(v1::BatchApplyResponse { results: vec![faulty(64); 1000] });
        assert!(answer.encoded_len() <= PAGE_BYTES);
        let Some(Outcome::Fault(fault)) = &answer.results[999].outcome else { panic!("a fault") };
        assert_eq!(fault.violations.len(), 1);
        assert!(fault.message.contains("and 63 more"), "{}", fault.message);
    }
}
