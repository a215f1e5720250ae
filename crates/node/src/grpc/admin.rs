//! `AdminService`: how the cluster stands.

use flintwheel_client::convert::cluster;
use flintwheel_proto::v1;
use flintwheel_proto::v1::admin_service_server::AdminService;
use tonic::{Request, Response, Status};

use crate::server::{Doors, Fault};

/// See the module.
pub struct Admin(pub Doors);

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        let status = self.0.api.status().await.map_err(Fault::from)?;
        Ok(Response::new(cluster::to_proto(&status)))
    }
}
