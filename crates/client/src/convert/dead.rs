//! Dead letters and how to choose them.

use flintwheel_model::Violations;
use flintwheel_proto::v1;
use flintwheel_proto::v1::dead_letter_selection::Selection;

use super::at::At;
use super::record::{read_instant, read_optional};
use super::{definition, required, time};
use crate::types::{DeadLetter, DeadLetterFilter, DeadLetterSelection};

/// To the wire.
pub fn to_proto(letter: &DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        id: letter.id.clone(),
        r#ref: Some(definition::key_to_proto(&letter.definition)),
        version: letter.version,
        firing_key: letter.firing_key.clone(),
        workflow_id: letter.workflow_id.clone(),
        reason: letter.reason.clone(),
        due: Some(time::timestamp(letter.due)),
        refused_at: Some(time::timestamp(letter.refused_at)),
    }
}

/// From the wire.
pub fn from_proto(proto: v1::DeadLetter) -> Result<DeadLetter, Violations> {
    let definition = definition::key_from_proto(proto.r#ref, "ref")?;
    let mut faults = Violations::default();
    let letter = DeadLetter {
        id: proto.id,
        definition,
        version: proto.version,
        firing_key: proto.firing_key,
        workflow_id: proto.workflow_id,
        reason: proto.reason,
        due: read_instant(proto.due, At::root("due"), &mut faults),
        refused_at: read_instant(proto.refused_at, At::root("refused_at"), &mut faults),
    };
    faults.into_result().map(|()| letter)
}

/// To the wire.
pub fn filter_to_proto(filter: &DeadLetterFilter) -> v1::DeadLetterFilter {
    v1::DeadLetterFilter {
        namespace: filter.namespace.clone(),
        definition_id: filter.definition_id.clone(),
        reason_contains: filter.reason_contains.clone(),
        refused_before: filter.refused_before.map(time::timestamp),
    }
}

/// From the wire; an absent filter is met by all.
pub fn filter_from_proto(proto: Option<v1::DeadLetterFilter>) -> Result<DeadLetterFilter, Violations> {
    let mut faults = Violations::default();
    let proto = proto.unwrap_or_default();
    let filter = DeadLetterFilter {
        namespace: proto.namespace,
        definition_id: proto.definition_id,
        reason_contains: proto.reason_contains,
        refused_before: read_optional(proto.refused_before, At::root("filter.refused_before"), &mut faults),
    };
    faults.into_result().map(|()| filter)
}

/// To the wire.
pub fn selection_to_proto(selection: &DeadLetterSelection) -> v1::DeadLetterSelection {
    let selection = match selection {
        DeadLetterSelection::Ids(ids) => Selection::Ids(v1::DeadLetterIds { ids: ids.clone() }),
        DeadLetterSelection::Filter(filter) => Selection::Filter(filter_to_proto(filter)),
    };
    v1::DeadLetterSelection { selection: Some(selection) }
}

/// From the wire. Choosing nothing is a fault, not a choice of all.
pub fn selection_from_proto(proto: Option<v1::DeadLetterSelection>) -> Result<DeadLetterSelection, Violations> {
    let mut faults = Violations::default();
    let at = At::root("selection");
    match required(proto.and_then(|proto| proto.selection), at, &mut faults) {
        Some(Selection::Filter(filter)) => filter_from_proto(Some(filter)).map(DeadLetterSelection::Filter),
        Some(Selection::Ids(ids)) if (1..=1000).contains(&ids.ids.len()) => Ok(DeadLetterSelection::Ids(ids.ids)),
        Some(Selection::Ids(ids)) => {
            faults.push("selection.ids", format!("{} ids; 1 to 1000 are allowed", ids.ids.len()));
            Err(faults)
        }
        None => Err(faults),
    }
}
