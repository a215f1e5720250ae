//! The whole as its users meet it: the programs as processes, a real Temporal server, the worker of `examples/`. What goes on inside is not known here.

mod backup;
mod cluster;
mod commands;
mod configuration;
mod crash;
mod dev;
mod events;
mod firings;
mod looking;
mod objects;
mod outage;
mod overlap;
mod restore;
mod runs;
mod support;
