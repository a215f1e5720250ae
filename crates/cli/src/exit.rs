//! How a command ends: the exit code, which scripts rely on (`docs/cli.md`), and what is said on the way out.

use std::fmt;
use std::io;

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
