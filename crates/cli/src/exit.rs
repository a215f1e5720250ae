//! How a command ends: the exit code, which scripts rely on (`docs/cli.md`), and what is said on the way out.

use std::fmt;
use std::io::{self, Write};

use flintwheel_client::Code;

use crate::read::Fault;

/// Exit codes. Nothing here is ever renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// Not done, or only in part. For `diff`: there are differences.
    Failed = 1,
    /// The command line is wrong. For `diff`: could not compare.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// What was given is refused: a fault in a file or in a value.
    Refused = 4,
    /// The server is away, starting, or too busy.
    Unavailable = 5,
    /// The server does not let this caller do it.
    Denied = 6,
    /// Somebody else has changed it in between.
    Conflict = 7,
}

/// Ends the process without what the C library does at exit: it takes RocksDB's globals down while threads of RocksDB may still use them,
/// and a process that has done its work would be aborted.
pub fn at_once(code: i32) -> ! {
    // Nobody is left to be told if it can't be written.
    let _ = io::stdout().flush();
    signal_hook::low_level::exit(code)
}

/// Why a command was not carried out.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is written to standard error; empty where all has been said.
    pub text: String,
}

/// What a command yields.
pub type Outcome = Result<Exit, Failure>;

impl Failure {
    /// With a message for people; `error: ` is put before it.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, text: format!("error: {message}") }
    }

    /// The command line is wrong.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Faults of what was given, and a last line that says what has not been done.
    pub fn faults(faults: &[Fault], last: &str) -> Self {
        let mut text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        text.push(last.to_owned());
        Self { exit: Exit::Refused, text: text.join("\n") }
    }
}

impl From<flintwheel_client::Error> for Failure {
    fn from(error: flintwheel_client::Error) -> Self {
        let mut text = format!("error: {error}");
        if error.reason == flintwheel_client::reason::UNREACHABLE {
            text.push_str("\nis a server running there? `flintwheel dev` starts one; --address or FLINTWHEEL_ADDRESS names another");
        }
        Self { exit: exit_of(error.code), text }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // Whoever reads our output has seen enough: `| head` is no failure.
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::Ok, text: String::new() };
        }
        Self::new(Exit::Failed, error)
    }
}

/// The exit code for a server's answer.
pub fn exit_of(code: Code) -> Exit {
    match code {
        Code::Ok => Exit::Ok,
        Code::NotFound => Exit::NotFound,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Exit::Refused,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => Exit::Unavailable,
        Code::Unauthenticated | Code::PermissionDenied => Exit::Denied,
        Code::Aborted | Code::AlreadyExists => Exit::Conflict,
        Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_lists_every_code() {
        let page = include_str!("../../../docs/cli.md");
        for (exit, meaning) in [
            (Exit::Ok, "done"),
            (Exit::Failed, "not done, or only in part"),
            (Exit::Usage, "the command line is wrong"),
            (Exit::NotFound, "what was named does not exist"),
            (Exit::Refused, "what was given is refused"),
            (Exit::Unavailable, "the server is away, starting, or too busy"),
            (Exit::Denied, "the server does not let this caller do it"),
            (Exit::Conflict, "somebody else has changed it in between"),
        ] {
            assert!(page.contains(&format!("\n| {} | {meaning}", exit as u8)), "{exit:?}");
        }
    }

    #[test]
    fn a_server_that_is_away_is_told_with_what_to_do() {
        let error = flintwheel_client::Error::new(
            Code::Unavailable,
            flintwheel_client::reason::UNREACHABLE,
            "x:1 can't be reached",
        );
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.text.starts_with("error: x:1 can't be reached\n") && failure.text.contains("flintwheel dev"));
    }
}
