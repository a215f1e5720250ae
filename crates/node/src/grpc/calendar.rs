//! `CalendarService`: named calendars stored, looked at and removed.

use flintwheel_client::convert::{calendar, definition};
use flintwheel_client::{ApplyOptions, PageRequest};
use flintwheel_proto::v1;
use flintwheel_proto::v1::calendar_service_server::CalendarService;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::server::{Doors, Fault};

/// See the module.
pub struct Calendars(pub Doors);

#[tonic::async_trait]
impl CalendarService for Calendars {
    async fn apply_calendar(
        &self,
        request: Request<v1::ApplyCalendarRequest>,
    ) -> Result<Response<v1::ApplyCalendarResponse>, Status> {
        let request = request.into_inner();
        let v1::ApplyCalendarRequest { calendar, validate_only, request_id, expected_version, others } = request;
        let calendar = calendar.ok_or_else(|| Fault::field("calendar", "is required"))?;
        let calendar = calendar::from_proto(calendar).map_err(Fault::from)?;
        if !others.is_empty() && !validate_only {
            return Err(Fault::field("others", "are for validate_only: apply them one by one").into());
        }
        let others = calendar::all_from_proto(others, "others").map_err(Fault::from)?;
        let options = ApplyOptions { validate_only, request_id, expected_version, due_after: None };
        let api = &self.0.api;
        let applied = match &others[..] {
            [] => api.apply_calendar(&calendar, &options).await,
            others => api.preview_calendar(&calendar, others, expected_version).await,
        };
        let applied = applied.map_err(Fault::from)?;
        Ok(Response::new(calendar::applied_to_proto(&applied)))
    }

    async fn get_calendar(
        &self,
        request: Request<v1::GetCalendarRequest>,
    ) -> Result<Response<v1::GetCalendarResponse>, Status> {
        let key = definition::key_from_proto(request.into_inner().r#ref, "ref").map_err(Fault::from)?;
        let record = self.0.api.calendar(&key).await.map_err(Fault::from)?;
        Ok(Response::new(v1::GetCalendarResponse { record: Some(calendar::record_to_proto(&record)) }))
    }

    async fn list_calendars(
        &self,
        request: Request<v1::ListCalendarsRequest>,
    ) -> Result<Response<v1::ListCalendarsResponse>, Status> {
        let v1::ListCalendarsRequest { namespace, page_size, page_token } = request.into_inner();
        let page = PageRequest { size: page_size, token: page_token };
        let ask = async |page: PageRequest| {
            let page = self.0.api.calendars(&namespace, &page).await?;
            let records = page.items.iter().map(calendar::record_to_proto).collect();
            Ok(v1::ListCalendarsResponse { records, next_page_token: page.next.unwrap_or_default() })
        };
        Ok(Response::new(self.0.page(page, ask, Message::encoded_len).await?))
    }

    async fn delete_calendar(
        &self,
        request: Request<v1::DeleteCalendarRequest>,
    ) -> Result<Response<v1::DeleteCalendarResponse>, Status> {
        let v1::DeleteCalendarRequest { r#ref, expected_version, request_id, validate_only } = request.into_inner();
        let key = definition::key_from_proto(r#ref, "ref").map_err(Fault::from)?;
        let deleted = self.0.api.delete_calendar(&key, expected_version, &request_id, validate_only).await;
        Ok(Response::new(v1::DeleteCalendarResponse { version: deleted.map_err(Fault::from)? }))
    }
}
