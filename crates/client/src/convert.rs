//! Between the wire (`proto`) and what the rest of the program speaks of (`model`, and the types of this crate).
//!
//! Nothing is lost on the way in either direction: what the other side can't hold is a violation that names its field.
//! Whether a definition makes sense is not judged here but by `model::validate`.

pub mod backup;
pub mod calendar;
pub mod cluster;
pub mod cluster_state;
pub mod dead;
pub mod definition;
pub mod event;
pub mod explain;
pub mod json;
pub mod occurrence;
pub mod operation;
pub mod record;
pub mod run;
pub mod time;

mod at;
mod clock;
mod schedule;
mod tasks;

use at::At;
use flintwheel_model::Violations;

/// A field that the contract requires.
fn required<T>(value: Option<T>, at: At<'_>, faults: &mut Violations) -> Option<T> {
    if value.is_none() {
        faults.push(at.to_string(), "is required");
    }
    value
}

/// An enum's number as the generated type; `None` for UNSPECIFIED too.
fn known<E: TryFrom<i32> + Default + PartialEq>(number: i32, at: At<'_>, faults: &mut Violations) -> Option<E> {
    let Ok(value) = E::try_from(number) else {
        faults.push(at.to_string(), format!("{number} is not a value of this enum that this version knows"));
        return None;
    };
    (value != E::default()).then_some(value)
}
