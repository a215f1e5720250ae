//! Tests of the groups as a whole, on real databases.

mod faults;
mod kill;
mod maintenance;
mod pipeline;
mod restart;
mod suite;
mod toy;
mod writer;
