//! Calls of `DefinitionService`, save the batches.

use chrono::{DateTime, Utc};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey, Violations};
use flintwheel_proto::v1;
use flintwheel_proto::v1::next_times_request::Target;
use serde_json::Value;

use super::{Client, definition_service};
use crate::convert::{self, time::timestamp};
use crate::error::Error;
use crate::types::{
    Applied, ApplyOptions, DefinitionRecord, DefinitionStatus, ListQuery, NextTimes, Occurrence, OccurrenceQuery, Page,
    PageRequest, Switched, Triggered,
};

/// Whose coming times are asked for.
#[derive(Clone, Copy, Debug)]
pub enum NextOf<'a> {
    /// A stored definition's.
    Stored(&'a DefinitionKey),
    /// Those of one that need not be stored, with calendars that need not be either.
    Given(&'a ActivityDefinition, &'a [Calendar]),
}

impl Client {
    /// Creates a definition or changes it to what is given. The same request, sent again within an hour, is answered as the first time.
    pub async fn apply(&self, definition: &ActivityDefinition, options: ApplyOptions) -> Result<Applied, Error> {
        let request = v1::ApplyRequest {
            definition: Some(convert::definition::to_proto(definition)?),
            validate_only: options.validate_only,
            request_id: self.request_id(&options.request_id),
            expected_version: options.expected_version,
            due_after: options.due_after.map(timestamp),
        };
        let about = DefinitionKey::new(&definition.metadata.namespace, &definition.metadata.id);
        let call = |t, q| async move { definition_service(t).apply(q).await };
        let answer = self.call_about(Some(&about), request, call).await?;
        understood(convert::record::applied_from_proto(answer.result.unwrap_or_default()))
    }

    /// A stored definition.
    pub async fn get(&self, key: &DefinitionKey) -> Result<DefinitionRecord, Error> {
        self.get_at(key, None, None).await
    }

    /// A definition at an older version, and of an earlier incarnation if one is given; what runs load.
    pub async fn get_at(
        &self,
        key: &DefinitionKey,
        version: Option<u64>,
        incarnation: Option<u64>,
    ) -> Result<DefinitionRecord, Error> {
        let r#ref = Some(convert::definition::key_to_proto(key));
        let request = v1::GetRequest { r#ref, version, incarnation, stale: self.stale };
        let call = |t, q| async move { definition_service(t).get(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        understood(convert::record::from_proto(answer.record.unwrap_or_default()))
    }

    /// Definitions in order of namespace and id.
    pub async fn list(&self, query: &ListQuery, page: PageRequest) -> Result<Page<DefinitionRecord>, Error> {
        let request = v1::ListRequest {
            namespace: query.namespace.clone(),
            label_selector: query.label_selector.clone(),
            page_size: page.size,
            page_token: page.token,
            paused: query.paused,
            stale: self.stale,
        };
        let answer = self.call(request, |t, q| async move { definition_service(t).list(q).await }).await?;
        read_page(answer.records, answer.next_page_token, convert::record::from_proto)
    }

    /// Removes a definition (or, with `validate_only`, tells whether it could be) and returns its last version. A try that is repeated never
    /// removes another one that has taken the name since.
    pub async fn delete(&self, key: &DefinitionKey, validate_only: bool) -> Result<u64, Error> {
        let request = v1::DeleteRequest {
            r#ref: Some(convert::definition::key_to_proto(key)),
            expected_version: None,
            request_id: self.request_id(""),
            validate_only,
        };
        let call = |t, q| async move { definition_service(t).delete(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        Ok(answer.version)
    }

    /// Stops a definition from firing until it is resumed.
    pub async fn pause(&self, key: &DefinitionKey, note: &str) -> Result<Switched, Error> {
        self.pause_until(key, note, None).await
    }

    /// The same, until a time at which it goes on by itself.
    pub async fn pause_until(
        &self,
        key: &DefinitionKey,
        note: &str,
        until: Option<DateTime<Utc>>,
    ) -> Result<Switched, Error> {
        let request = v1::PauseRequest {
            r#ref: Some(convert::definition::key_to_proto(key)),
            note: note.to_owned(),
            request_id: self.request_id(""),
            until: until.map(timestamp),
        };
        let call = |t, q| async move { definition_service(t).pause(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        Ok(Switched { status: read_status(answer.status)?, changed: answer.changed })
    }

    /// Lets a paused definition fire again; one that is not paused is refused ([`reason::NOT_PAUSED`](crate::reason::NOT_PAUSED)). `missed` is
    /// what becomes of due times that passed meanwhile; without it, what the definition says.
    pub async fn resume(&self, key: &DefinitionKey, note: &str, missed: Option<OnResume>) -> Result<Switched, Error> {
        let request = v1::ResumeRequest {
            r#ref: Some(convert::definition::key_to_proto(key)),
            note: note.to_owned(),
            request_id: self.request_id(""),
            missed: convert::record::missed_to_proto(missed).into(),
        };
        let call = |t, q| async move { definition_service(t).resume(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        Ok(Switched { status: read_status(answer.status)?, changed: answer.changed })
    }

    /// Fires a definition now, once for each request id (empty: the client makes one). Without a policy, the definition says what becomes of it
    /// while a run is open.
    pub async fn trigger(
        &self,
        key: &DefinitionKey,
        id: &str,
        input: Option<&Value>,
        overlap: Option<OverlapPolicy>,
    ) -> Result<Triggered, Error> {
        let request = v1::TriggerRequest {
            r#ref: Some(convert::definition::key_to_proto(key)),
            request_id: self.request_id(id),
            input: input.map(|input| convert::json::to_proto(input, "input")).transpose()?,
            overlap_policy: convert::record::overlap_to_proto(overlap).into(),
        };
        let call = |t, q| async move { definition_service(t).trigger(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        let v1::TriggerResponse { firing_key, workflow_id, duplicate, waits, skipped } = answer;
        Ok(Triggered { firing_key, workflow_id, duplicate, waits, skipped })
    }

    /// Coming due times, at most `count` (1 to 1,000), after a time or after now.
    pub async fn next_times(
        &self,
        of: NextOf<'_>,
        count: u32,
        after: Option<DateTime<Utc>>,
    ) -> Result<NextTimes, Error> {
        let (target, given) = match of {
            NextOf::Stored(key) => (Target::Ref(convert::definition::key_to_proto(key)), &[][..]),
            NextOf::Given(definition, given) => (Target::Definition(convert::definition::to_proto(definition)?), given),
        };
        let calendars = given.iter().map(convert::calendar::to_proto).collect();
        let (target, after, stale) = (Some(target), after.map(timestamp), self.stale);
        let request = v1::NextTimesRequest { target, count, after, stale, calendars };
        let about = if let NextOf::Stored(key) = of { Some(key) } else { None };
        let call = |t, q| async move { definition_service(t).next_times(q).await };
        let answer = self.call_about(about, request, call).await?;
        understood(convert::record::next_times_from_proto(answer))
    }

    /// How due times, events and manual triggers ended, newest first.
    pub async fn occurrences(&self, query: &OccurrenceQuery, page: PageRequest) -> Result<Page<Occurrence>, Error> {
        let request = v1::ListOccurrencesRequest {
            stale: self.stale,
            ..convert::occurrence::query_to_proto(query, page.size, page.token)
        };
        let answer = self.call(request, |t, q| async move { definition_service(t).list_occurrences(q).await }).await?;
        read_page(answer.occurrences, answer.next_page_token, convert::occurrence::from_proto)
    }
}

fn read_status(proto: Option<v1::DefinitionStatus>) -> Result<DefinitionStatus, Error> {
    understood(convert::record::status_from_proto(proto))
}

/// A fault in an answer is not the user's.
pub(super) fn understood<T>(read: Result<T, Violations>) -> Result<T, Error> {
    read.map_err(|faults| Error::unreadable(&faults))
}

pub(super) fn read_page<P, T>(
    items: Vec<P>,
    next: String,
    read: impl Fn(P) -> Result<T, Violations>,
) -> Result<Page<T>, Error> {
    let items = understood(items.into_iter().map(read).collect())?;
    Ok(Page { items, next: Some(next).filter(|token| !token.is_empty()) })
}
