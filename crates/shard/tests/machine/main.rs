//! The state machine by example, by its bytes, and beside a naive model.

mod ack;
mod after;
mod backfill;
mod batching;
mod bounds;
mod bytes;
mod calendars;
mod damage;
mod dead;
mod define;
mod delete;
mod expire;
mod fire;
mod ingest;
mod model;
mod overlap;
mod pause;
mod queries;
mod request;
mod restore;
mod support;
mod trigger;
mod zones;
