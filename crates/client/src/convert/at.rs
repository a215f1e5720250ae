//! Where in a resource one is: a path that costs nothing until it is printed.

use std::fmt;

/// A step of a path with the steps above it.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    up: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// A top-level field; empty for the resource itself.
    pub fn root(name: &'a str) -> Self {
        Self { up: None, step: Step::Name(name) }
    }

    /// A field, or a key of a map.
    pub fn field(&'a self, name: &'a str) -> Self {
        Self { up: Some(self), step: Step::Name(name) }
    }

    /// An element of a list.
    pub fn index(&'a self, index: usize) -> Self {
        Self { up: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            up.fmt(f)?;
        }
        match (self.up, self.step) {
            (Some(up), Step::Name(name)) if !up.is_empty() => write!(f, ".{name}"),
            (_, Step::Name(name)) => f.write_str(name),
            (_, Step::Index(index)) => write!(f, "[{index}]"),
        }
    }
}

impl At<'_> {
    fn is_empty(&self) -> bool {
        self.up.is_none() && matches!(self.step, Step::Name(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_violations_name_fields() {
        let root = At::root("");
        let spec = root.field("spec");
        let cron = spec.field("cron");
        assert_eq!(cron.index(2).to_string(), "spec.cron[2]");
        assert_eq!(At::root("input").index(0).field("a").to_string(), "input[0].a");
        assert_eq!(root.to_string(), "");
    }
}
