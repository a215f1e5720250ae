//! A change of a definition is made once, however often it is asked for: it makes one version, or none where nothing has changed by it.

/// A client has changed what had version `before`, and is told which version came of it. (Nobody else changes it meanwhile.)
pub fn check(id: &str, before: u32, told: u32) -> Result<(), String> {
    if told == before || told == before + 1 {
        return Ok(());
    }
    Err(format!("definition {id} had version {before}, and a change has made it {told}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_too_many_is_seen() {
        assert!(check("d", 3, 3).is_ok() && check("d", 3, 4).is_ok());
        assert!(check("d", 3, 5).is_err() && check("d", 3, 2).is_err());
    }
}
