//! Why a backup was not written, or is not read.

/// Each says where, what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The name of the place can't be one.
    #[error("{place:?} {why}")]
    Name {
        /// As it was given.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is something where a backup is to be written.
    #[error("{place} {why}; nothing was changed")]
    Taken {
        /// Where.
        place: String,
        /// What is there.
        why: String,
    },
    /// There is no backup.
    #[error("{place} holds no backup: {why}")]
    Missing {
        /// Where.
        place: String,
        /// What is not there.
        why: String,
    },
    /// It is of another version.
    #[error(
        "{place} is a backup of format {found}; this program reads format {known}: use the version that wrote it, or a newer one"
    )]
    Format {
        /// Where.
        place: String,
        /// What stands there.
        found: u64,
        /// What is understood.
        known: u64,
    },
    /// What stands there is not what was written.
    #[error("{file} is damaged: {why}; take another backup, or another copy of this one")]
    Damaged {
        /// Where.
        file: String,
        /// What does not fit.
        why: String,
    },
    /// It can't be read, or written.
    #[error("{file} can't be {action}: {why}")]
    Failed {
        /// Where.
        file: String,
        /// What was tried: `read`, `written`.
        action: &'static str,
        /// What the system says.
        why: String,
    },
}

impl BackupError {
    pub(crate) fn damaged(file: &str, why: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), why: why.into() }
    }
}
