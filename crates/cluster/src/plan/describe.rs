//! A plan in words, for `--dry-run`.

use super::{Action, Step, View};
use crate::refusal::shard_name;
use crate::rows::Reason;

/// One line a step.
pub fn describe_all(view: &View<'_>, steps: &[Step]) -> String {
    if steps.is_empty() {
        return "nothing to do\n".to_owned();
    }
    steps.iter().map(|step| describe(view, step) + "\n").collect()
}

/// What one step does, and why.
pub fn describe(view: &View<'_>, step: &Step) -> String {
    let node = |id: u64| view.meta.node(id).map_or_else(|| format!("node {id}"), |node| node.title());
    let in_place = |replaces: Option<u64>| replaces.map_or(String::new(), |old| format!(", in place of {}", node(old)));
    let what = match step.action {
        Action::AddLearner { node: new, replaces } => format!("add a replica on {}{}", node(new), in_place(replaces)),
        Action::Promote { node: new, replaces } => {
            format!("let the replica on {} vote{}", node(new), in_place(replaces))
        }
        Action::Remove { node: old } => format!("remove the replica on {}", node(old)),
        Action::Abandon { node: new } => format!("give up the new replica on {}", node(new)),
        Action::Keep { node: old } => format!("keep the replica on {} for now", node(old)),
        Action::TransferLeader { from, to } => format!("hand the leadership from {} to {}", node(from), node(to)),
    };
    format!("{}: {what} ({})", shard_name(step.shard), reason_name(step.reason))
}

/// A reason in words.
pub fn reason_name(reason: Reason) -> &'static str {
    match reason {
        Reason::Repair => "repair",
        Reason::Drain => "drain",
        Reason::Zone => "zones",
        Reason::Rebalance => "rebalance",
        Reason::Command => "command",
    }
}
