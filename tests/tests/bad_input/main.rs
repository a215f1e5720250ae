//! Bad input, against real processes: each case is refused with a message that names field, value and what is allowed, for files the
//! line; nothing is stored, and the server goes on. What the messages must hold is data, so that a new case is a line.

mod backup;
mod calendars;
mod disk;
mod doors;
mod files;
mod import;
mod publish;
mod start;
mod support;
mod temporal;
