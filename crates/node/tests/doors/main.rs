//! The doors of a running node, from outside: what they take, what they refuse and in which words.

mod api;
mod backup;
mod cluster;
mod events;
mod faults;
mod operations;
mod requests;
mod streams;
mod support;
