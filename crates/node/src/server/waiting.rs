//! The doors of a node that waits for its cluster: open so that it can be told, and given back for the node that it becomes.

use std::io;

use flintwheel_client::{InitReply, InitRequest};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::door;
use crate::error::{RunError, failed};
use crate::{grpc, http};

/// Serves both doors until `stop` is over and what was under way has been answered; gives the listeners back. Who connects in between
/// waits for the next who serves them.
pub async fn serve_waiting(
    grpc: TcpListener,
    http: TcpListener,
    init: impl Fn(InitRequest) -> BoxFuture<'static, Result<InitReply, String>> + Send + Sync + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(TcpListener, TcpListener), RunError> {
    let twice = |listener| twice(listener).map_err(|error| failed("a door can't be opened", &error));
    let ((grpc, served_grpc), (http, served_http)) = (twice(grpc)?, twice(http)?);
    let stopping = CancellationToken::new();
    let routes = grpc::init_only_routes(init).await;
    let both = async {
        tokio::try_join!(
            door("gRPC", served_grpc, false, routes, stopping.clone()),
            door("HTTP", served_http, true, Routes::from(http::waiting()), stopping.clone()),
        )
    };
    let stop = async {
        stop.await;
        stopping.cancel();
        std::future::pending().await
    };
    let served = tokio::select! {
        served = both => served,
        never = stop => never,
    };
    served.map_err(|error| failed("the doors", &error))?;
    Ok((grpc, http))
}

/// The same socket twice: one can be closed, and the other listens on.
fn twice(listener: TcpListener) -> io::Result<(TcpListener, TcpListener)> {
    let original = listener.into_std()?;
    let other = original.try_clone()?;
    Ok((TcpListener::from_std(original)?, TcpListener::from_std(other)?))
}
