//! Wishes about nodes and shards: whom they name, and what became of them.

use flintwheel_client::{ClusterNode, ClusterState, Granted, parse_shard};

use crate::exit::{Exit, Failure};
use crate::output::{Format, Printer};

/// A node by its name or its id.
pub fn node<'a>(state: &'a ClusterState, text: &str) -> Result<&'a ClusterNode, Failure> {
    state.find_node(text).ok_or_else(|| unknown(state, text))
}

/// The same for what may be gone already: an id passes, the cluster knows what became of it.
pub fn node_id(state: &ClusterState, text: &str) -> Result<u64, Failure> {
    state.node_id(text).ok_or_else(|| unknown(state, text))
}

fn unknown(state: &ClusterState, text: &str) -> Failure {
    const NAMED: usize = 20;
    let mut names: Vec<String> = state.nodes.iter().take(NAMED).map(|node| state.node_name(node.id)).collect();
    if state.nodes.len() > NAMED {
        names.push("...".into());
    }
    Failure::new(Exit::NotFound, format!("there is no node {text:?} in this cluster; it has {}", names.join(", ")))
}

/// A shard by its number, or `meta`.
pub fn shard(text: &str) -> Result<u32, String> {
    parse_shard(text)
}

/// What became of a wish.
pub fn tell(granted: &Granted, name: &str, format: Format) -> Result<(), Failure> {
    let mut printer = Printer::one(format);
    match printer.is_table() {
        true => printer.line(&granted.description)?,
        false => printer.value(name, granted)?,
    }
    printer.finish()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn who_is_not_there_is_told_with_who_is() {
        let state = sample::state();
        for (text, id) in [("c", Some(3)), ("3", Some(3)), ("node/c", Some(3)), ("9", None), ("x", None)] {
            let found = node(&state, text);
            assert_eq!(found.as_ref().ok().map(|node| node.id), id, "{text}");
            if let Err(failure) = found {
                assert_eq!(failure.exit, Exit::NotFound);
                assert_eq!(
                    failure.text,
                    format!("error: there is no node {text:?} in this cluster; it has a, b, c, d")
                );
            }
        }
        assert_eq!(node_id(&state, "9").ok(), Some(9), "the cluster knows whether it was removed");
        assert!(node_id(&state, "x").is_err());
    }
}
