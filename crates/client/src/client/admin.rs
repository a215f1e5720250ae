//! Calls of `AdminService`.

use flintwheel_proto::v1;

use super::definitions::understood;
use super::{Client, admin_service};
use crate::convert::cluster;
use crate::error::Error;
use crate::types::ClusterStatus;

impl Client {
    /// How the cluster stands.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        let request = v1::GetStatusRequest {};
        let answer = self.call(request, |t, q| async move { admin_service(t).get_status(q).await }).await?;
        understood(cluster::from_proto(answer))
    }
}
