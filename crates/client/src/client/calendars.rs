//! Calls of `CalendarService`.

use flintwheel_model::{Calendar, DefinitionKey};
use flintwheel_proto::v1;

use super::definitions::{read_page, understood};
use super::{Client, calendar_service};
use crate::convert;
use crate::error::Error;
use crate::types::{ApplyOptions, CalendarApplied, CalendarRecord, Page, PageRequest};

impl Client {
    /// Creates a calendar or changes it to what is given; answered when all definitions that use it are due by it. The same request, sent again
    /// within an hour, is answered as the first time.
    pub async fn apply_calendar(&self, calendar: &Calendar, options: ApplyOptions) -> Result<CalendarApplied, Error> {
        let request = v1::ApplyCalendarRequest {
            calendar: Some(convert::calendar::to_proto(calendar)),
            validate_only: options.validate_only,
            request_id: self.request_id(&options.request_id),
            expected_version: options.expected_version,
            others: Vec::new(),
        };
        let answer = self.call(request, |t, q| async move { calendar_service(t).apply_calendar(q).await }).await?;
        understood(convert::calendar::applied_from_proto(answer))
    }

    /// Says what [`apply_calendar`](Self::apply_calendar) would do, and which definitions would move, as if the others, of the same namespace, had
    /// been applied before.
    pub async fn try_calendar(&self, calendar: &Calendar, others: &[Calendar]) -> Result<CalendarApplied, Error> {
        let request = v1::ApplyCalendarRequest {
            calendar: Some(convert::calendar::to_proto(calendar)),
            validate_only: true,
            request_id: String::new(),
            expected_version: None,
            others: others.iter().map(convert::calendar::to_proto).collect(),
        };
        let answer = self.call(request, |t, q| async move { calendar_service(t).apply_calendar(q).await }).await?;
        understood(convert::calendar::applied_from_proto(answer))
    }

    /// A stored calendar, by its namespace and name.
    pub async fn calendar(&self, key: &DefinitionKey) -> Result<CalendarRecord, Error> {
        let request = v1::GetCalendarRequest { r#ref: Some(convert::definition::key_to_proto(key)) };
        let answer = self.call(request, |t, q| async move { calendar_service(t).get_calendar(q).await }).await?;
        understood(convert::calendar::record_from_proto(answer.record.unwrap_or_default()))
    }

    /// Calendars of a namespace, or of all where it is empty, in order of namespace and name.
    pub async fn calendars(&self, namespace: &str, page: PageRequest) -> Result<Page<CalendarRecord>, Error> {
        let request =
            v1::ListCalendarsRequest { namespace: namespace.to_owned(), page_size: page.size, page_token: page.token };
        let answer = self.call(request, |t, q| async move { calendar_service(t).list_calendars(q).await }).await?;
        read_page(answer.records, answer.next_page_token, convert::calendar::record_from_proto)
    }

    /// Removes a calendar that nothing uses (or, with `validate_only`, tells whether it could be) and returns its last version.
    pub async fn delete_calendar(&self, key: &DefinitionKey, validate_only: bool) -> Result<u64, Error> {
        let request = v1::DeleteCalendarRequest {
            r#ref: Some(convert::definition::key_to_proto(key)),
            expected_version: None,
            request_id: self.request_id(""),
            validate_only,
        };
        let answer = self.call(request, |t, q| async move { calendar_service(t).delete_calendar(q).await }).await?;
        Ok(answer.version)
    }
}
