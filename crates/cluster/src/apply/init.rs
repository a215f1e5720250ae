//! The cluster is made. The same request again is the same cluster.

use flintwheel_shard::Txn;

use super::{join, settings};
use crate::META;
use crate::entry::Init;
use crate::machine::Meta;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Replica, Role, Shard};

pub(super) fn apply(m: &mut Meta, txn: &mut Txn<'_>, init: Init) -> Result<Accepted, Refusal> {
    if let Some(settings) = &m.settings {
        let first = m.nodes.values().find(|node| node.token == init.first.token);
        return match first {
            Some(node) if settings.cluster == init.settings.cluster => Ok(Accepted::Node(node.id)),
            _ => Err(Refusal::AlreadyInitialised { cluster: settings.cluster }),
        };
    }
    settings::check(&init.settings)?;
    join::check(m, &init.first)?;
    m.put_settings(txn, init.settings);
    let node = join::create(m, txn, init.first);
    let replicas = vec![Replica { node, role: Role::Voter, since: 1 }];
    m.put_shard(txn, META, Shard { replicas, ..Shard::default() });
    Ok(Accepted::Node(node))
}
