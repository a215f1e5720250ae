//! The meta group's machine by example, by its bytes and by random histories; the planner by example and in simulated clusters.

mod bytes;
mod damage;
mod history;
mod moves;
mod nodes;
mod plans;
mod settings;
mod simulated;
mod support;
mod wishes;
mod world;
