//! Asking before something that can't be taken back.

use std::io::{self, IsTerminal, Write};

use crate::exit::{Exit, Failure};

/// On a terminal: asks, and fails unless the answer is yes. Elsewhere nobody could answer, and who runs a script has decided.
pub fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes || !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(());
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if is_yes(&answer) { Ok(()) } else { Err(Failure::new(Exit::Failed, "not confirmed; nothing was changed")) }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, expected) in
            [("y\n", true), ("YES", true), ("", false), ("\n", false), ("n", false), ("yep", false)]
        {
            assert_eq!(is_yes(answer), expected, "{answer:?}");
        }
    }
}
