//! A new node that was told whom to join waits until they take it in, or until somebody has it make the cluster. Its doors are open meanwhile.

use flintwheel_client::{InitReply, InitRequest};
use flintwheel_store::Reserved;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::join::others;
use super::{Card, New, Part, settle, which};
use crate::engine::FOUNDER;
use crate::error::RunError;
use crate::server;

/// Finds out which part a node has; see [`settle`]. Gives the doors back.
pub async fn settle_behind_doors(
    data: &Reserved,
    seeds: &[String],
    card: &Card,
    doors: (TcpListener, TcpListener),
) -> Result<(Part, TcpListener, TcpListener), RunError> {
    let (grpc, http) = doors;
    if data.identity().is_some() || seeds.is_empty() {
        return Ok((settle(data, seeds, card).await?, grpc, http));
    }
    let (made, mut making) = mpsc::channel(1);
    let asked = others(seeds, card);
    let mut part = None;
    let found = async {
        part = Some(tokio::select! {
            part = settle(data, seeds, card) => part,
            Some(new) = making.recv() => Ok(Part::Founder(new)),
        });
    };
    let (grpc, http) =
        server::serve_waiting(grpc, http, move |request| init(&made, asked.clone(), request), found).await?;
    let part = part.ok_or_else(|| RunError("the doors closed by themselves".to_owned()))?;
    Ok((part?, grpc, http))
}

/// The cluster's id is told before there is a cluster: whoever hears it waits until the node is ready.
///
/// Asks the others first whether one of them has a cluster, which this node is only about to join. Two that are told at the same moment to make one
/// can't see each other.
fn init(
    made: &mpsc::Sender<New>,
    others: Vec<String>,
    request: InitRequest,
) -> BoxFuture<'static, Result<InitReply, String>> {
    let made = made.clone();
    async move {
        let InitRequest { shards, replication } = request;
        check("shards", shards, flintwheel_cluster::limits::SHARDS)?;
        check("replication", replication, flintwheel_cluster::limits::REPLICATION)?;
        if let Some((seed, cluster)) = which::existing(&others).await {
            return Err(format!(
                "there is a cluster already, {cluster}: {seed} is of it; nothing was changed, and this node joins it by itself"
            ));
        }
        let cluster = Uuid::new_v4();
        let new = New { cluster: Some(cluster), shards, replication };
        made.try_send(new).map_err(|_| "a cluster is being made here already".to_owned())?;
        Ok(InitReply { cluster_id: cluster.to_string(), node: FOUNDER })
    }
    .boxed()
}

fn check(field: &str, value: Option<u32>, most: u32) -> Result<(), String> {
    match value {
        Some(value) if !(1..=most).contains(&value) => Err(format!("{field} is {value}; 1 to {most} is allowed")),
        _ => Ok(()),
    }
}
