//! Named calendars on a node: the days that plans are compiled by (`known`), what the change of a calendar means for the others of its
//! namespace (`plan`), and how it comes to every shard (`spread`).
//!
//! The truth of a namespace's calendars is in one shard, its home ([`calendar_home`](flintwheel_model::ids::calendar_home)). All shards have
//! their days, each in its own state, so that a definition is due by what stands in its shard and nothing else.

mod known;
mod plan;
pub mod spread;

pub use known::{Found, Given, Known, View, find};
pub use plan::{Planned, days_of, plan};

use flintwheel_model::near::nearest_first;

/// Names that an error lists.
const SHOWN: usize = 10;

/// That there is no such calendar, with those there are, the most alike first.
pub fn no_such(name: &str, namespace: &str, known: &[&str]) -> String {
    let name_shown = flintwheel_model::ids::short(name);
    let help = "apply it first, as kind: Calendar in the namespace of the definition";
    let near = nearest_first(name, known.iter().copied());
    let more = near.len().saturating_sub(SHOWN);
    let listed = near.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match (near.len(), more) {
        (0, _) => format!("there is no calendar {name_shown:?}, and namespace {namespace} has no other; {help}"),
        (_, 0) => format!("there is no calendar {name_shown:?}; namespace {namespace} has {listed}; or {help}"),
        (_, more) => {
            format!(
                "there is no calendar {name_shown:?}; namespace {namespace} has {listed} and {more} more; or {help}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_told_with_those_that_are_known_the_most_alike_first() {
        let many: Vec<String> = (0..12).map(|number| format!("c{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (name, known, says) in [
            ("x", &[][..], "there is no calendar \"x\", and namespace ops has no other; apply it first"),
            ("de-holiday", &["uk-holidays", "de-holidays"], "namespace ops has de-holidays, uk-holidays; or apply"),
            ("c11", &many, "has c11, c1, c10,"),
            ("c11", &many, "and 2 more; or apply it first"),
        ] {
            let said = no_such(name, "ops", known);
            assert!(said.contains(says), "{said}");
        }
    }
}
