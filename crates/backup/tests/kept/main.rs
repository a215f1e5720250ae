//! Backups as they are kept: written and read back, damaged and refused; and their rows on the way into other numbers of shards.

mod damage;
mod objects;
mod places;
mod routes;
mod support;
