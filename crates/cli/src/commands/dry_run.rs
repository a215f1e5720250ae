//! `--dry-run`.

use clap::ValueEnum;

/// Whether a command does what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It does
    None,
    /// It only checks what can be checked here
    Client,
    /// The server checks everything, but changes nothing
    Server,
}

impl DryRun {
    /// What is added to a line that tells what was done, or was not.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (client dry run)",
            Self::Server => " (server dry run)",
        }
    }
}
