//! The doors of a node: gRPC and HTTP on listeners of their own, served until told to stop, then closed without cutting off what is under way.
//!
//! Knows sockets and their limits; what is asked and answered is the business of `grpc` and `http`.

mod doors;
mod fault;
mod incoming;
mod waiting;

pub use doors::{Doors, PAGE_BYTES, kib};
pub use fault::{Fault, Subject};
pub use waiting::serve_waiting;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::api::Api;
use crate::{grpc, http};

/// What a producer may have on the way on one stream before it must wait for us.
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// The same for all streams of one connection.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Larger than HTTP/2's own 16 KiB: a batch of events is not cut into hundreds of frames.
const FRAME: u32 = 256 * 1024;
/// Calls of one connection at a time.
const CALLS: usize = 256;
/// All headers of one request, in bytes.
const HEADERS: u32 = 32 * 1024;
/// A connection that stands still is asked whether it lives, and given up if it does not answer for as long again.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What a node without a cluster says to all requests but the one that makes it.
pub const NOT_INITIALISED: &str = "this node waits for its cluster, which is not initialised: run `flintwheel cluster init` on one node, or start this one with `--join`";

/// Why the doors closed of themselves.
#[derive(Debug, thiserror::Error)]
#[error("{door}: {cause}")]
pub struct ServeError {
    door: &'static str,
    cause: tonic::transport::Error,
}

/// Serves both doors until `stop` is over and what was under way has ended. `extra` are gRPC services of other rooms.
pub async fn serve(
    api: Api,
    grpc: TcpListener,
    http: TcpListener,
    stop: impl Future<Output = ()>,
    extra: Routes,
) -> Result<(), ServeError> {
    let stopping = CancellationToken::new();
    // However this future ends, the tasks that it started end too.
    let _guard = stopping.clone().drop_guard();
    let doors = Doors::new(api);
    let routes = grpc::routes(&doors, extra, &stopping);
    let router = http::router(doors);
    let both = async {
        tokio::try_join!(
            door("gRPC", grpc, false, routes, stopping.clone()),
            door("HTTP", http, true, router.into(), stopping.clone()),
        )
    };
    let stop = async {
        stop.await;
        stopping.cancel();
        std::future::pending().await
    };
    tokio::select! {
        served = both => served.map(|_| ()),
        never = stop => never,
    }
}

async fn door(
    door: &'static str,
    listener: TcpListener,
    http1: bool,
    routes: Routes,
    stopping: CancellationToken,
) -> Result<(), ServeError> {
    let server = Server::builder()
        .accept_http1(http1)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(CALLS as u32)
        .concurrency_limit_per_connection(CALLS)
        .http2_max_header_list_size(HEADERS)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_routes(routes.prepare());
    let incoming = incoming::connections(listener);
    let served = server.serve_with_incoming_shutdown(incoming, stopping.cancelled_owned()).await;
    served.map_err(|cause| ServeError { door, cause })
}
