//! Tests of the groups as a whole, on real databases.

mod cluster;
mod faults;
mod install;
mod kill;
mod maintenance;
mod over_links;
mod pipeline;
mod restart;
mod suite;
mod toy;
mod writer;
