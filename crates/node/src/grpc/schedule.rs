//! `ScheduleService`: why a time is due or not, and how much comes when.

use flintwheel_client::convert::{definition, explain};
use flintwheel_proto::v1;
use flintwheel_proto::v1::schedule_service_server::ScheduleService;
use tonic::{Request, Response, Status};

use crate::server::{Doors, Fault};

/// See the module.
pub struct Schedules(pub Doors);

#[tonic::async_trait]
impl ScheduleService for Schedules {
    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        let v1::ExplainRequest { r#ref, at, stale } = request.into_inner();
        let key = definition::key_from_proto(r#ref, "ref").map_err(Fault::from)?;
        let at = explain::asked_from_proto(at).map_err(Fault::from)?;
        let explanation = self.0.api.reading(stale).explain(&key, at).await.map_err(Fault::from)?;
        Ok(Response::new(explain::to_proto(&explanation)))
    }

    async fn count_due(&self, request: Request<v1::CountDueRequest>) -> Result<Response<v1::CountDueResponse>, Status> {
        let request = request.into_inner();
        let query = explain::due_query_from_proto(&request).map_err(Fault::from)?;
        let api = self.0.api.reading(request.stale);
        let part = api.count_due(&query, &request.page_token).await.map_err(Fault::from)?;
        Ok(Response::new(explain::due_part_to_proto(&part)))
    }
}
