//! Tells the supervisor which shards this node leads, as that changes and as replicas come and go.

use std::collections::HashMap;
use std::sync::Arc;

use flintwheel_raft::Leadership;
use ractor::ActorRef;
use tokio::task::JoinHandle;

use crate::actors::supervisor::SupervisorMessage;
use crate::shared::Shared;

/// Runs until it is dropped.
pub async fn run(shared: Arc<Shared>, supervisor: ActorRef<SupervisorMessage>) {
    let mut replicas = shared.groups.watch();
    let mut watched: HashMap<u32, Watched> = HashMap::new();
    loop {
        // One that ended belongs to a replica that left; the shard may have a new one by now.
        watched.retain(|_, task| !task.0.is_finished());
        for group in shared.groups.iter() {
            let supervisor = supervisor.clone();
            let begin = || Watched(tokio::spawn(follow(group.shard(), group.watch_leader(), supervisor)));
            watched.entry(group.shard()).or_insert_with(begin);
        }
        if replicas.changed().await.is_err() {
            return;
        }
    }
}

/// Ends with whoever started it.
struct Watched(JoinHandle<()>);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Seen = tokio::sync::watch::Receiver<Leadership>;

async fn follow(shard: u32, mut seen: Seen, supervisor: ActorRef<SupervisorMessage>) {
    loop {
        let now = seen.borrow_and_update().clone();
        let message = match now {
            Leadership::Leader { term } => SupervisorMessage::Lead { shard, term },
            Leadership::Follower { .. } | Leadership::Stopped(_) => SupervisorMessage::Lose { shard },
        };
        // It is gone only when the node stops.
        if supervisor.cast(message).is_err() || matches!(now, Leadership::Stopped(_)) || seen.changed().await.is_err() {
            break;
        }
    }
    let _ = supervisor.cast(SupervisorMessage::Lose { shard });
}
