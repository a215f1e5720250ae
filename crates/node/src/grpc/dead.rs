//! `DeadLetterService`: firings that the sink refused for good.

use flintwheel_client::PageRequest;
use flintwheel_client::convert::dead;
use flintwheel_proto::v1;
use flintwheel_proto::v1::dead_letter_service_server::DeadLetterService;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::server::{Doors, Fault};

/// See the module.
pub struct DeadLetters(pub Doors);

#[tonic::async_trait]
impl DeadLetterService for DeadLetters {
    async fn list_dead(&self, request: Request<v1::ListDeadRequest>) -> Result<Response<v1::ListDeadResponse>, Status> {
        let v1::ListDeadRequest { filter, page_size, page_token } = request.into_inner();
        let filter = dead::filter_from_proto(filter).map_err(Fault::from)?;
        let page = PageRequest { size: page_size, token: page_token };
        let ask = async |page: PageRequest| {
            let page = self.0.api.list_dead(&filter, &page).await?;
            let dead_letters = page.items.iter().map(dead::to_proto).collect();
            Ok(v1::ListDeadResponse { dead_letters, next_page_token: page.next.unwrap_or_default() })
        };
        Ok(Response::new(self.0.page(page, ask, Message::encoded_len).await?))
    }

    async fn retry_dead(
        &self,
        request: Request<v1::RetryDeadRequest>,
    ) -> Result<Response<v1::RetryDeadResponse>, Status> {
        let selection = dead::selection_from_proto(request.into_inner().selection).map_err(Fault::from)?;
        let settled = self.0.api.retry_dead(&selection).await.map_err(Fault::from)?;
        Ok(Response::new(v1::RetryDeadResponse { retried: settled.count, not_found: settled.not_found }))
    }

    async fn drop_dead(&self, request: Request<v1::DropDeadRequest>) -> Result<Response<v1::DropDeadResponse>, Status> {
        let selection = dead::selection_from_proto(request.into_inner().selection).map_err(Fault::from)?;
        let settled = self.0.api.drop_dead(&selection).await.map_err(Fault::from)?;
        Ok(Response::new(v1::DropDeadResponse { dropped: settled.count, not_found: settled.not_found }))
    }
}
