//! Tests of the groups as a whole, on real databases.

mod chaos;
mod cluster;
mod damage;
mod faults;
mod install;
mod kill;
mod maintenance;
mod nodes;
mod pipeline;
mod restart;
mod sleep;
mod suite;
mod toy;
mod votes;
mod writer;
