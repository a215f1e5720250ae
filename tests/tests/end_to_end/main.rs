//! The whole as its users meet it: the programs as processes, a real Temporal server, the worker of `examples/`. What goes on inside is not known here.

mod after;
mod backup;
mod calendars;
mod cluster;
mod commands;
mod configuration;
mod crash;
mod dev;
mod events;
mod firings;
mod import;
mod looking;
mod objects;
mod operations;
mod outage;
mod overlap;
mod restore;
mod runs;
mod support;
mod zones;
