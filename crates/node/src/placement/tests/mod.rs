//! Placement on several nodes with real databases and Raft, over a network in memory: what comes true by itself, and what an operator wants.

mod damage;
mod nodes;
mod operator;
mod placed;
mod restart;
