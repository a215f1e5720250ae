//! One started workflow as a line of text: what the stand-in exports and the ledger reads.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// What is known of one workflow id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartLine {
    /// When the first call arrived: microseconds since the Unix epoch.
    pub first_us: i64,
    /// Calls with the request id that started it, the first included.
    pub calls: u32,
    /// Calls with another request id; each would have been a second run without its id.
    pub conflicts: u32,
    /// Temporal's namespace.
    pub namespace: String,
    /// The id.
    pub workflow_id: String,
    /// Of the first call; empty where it isn't known.
    pub request_id: String,
    /// As its worker would register it.
    pub workflow_type: String,
    /// XXH3 of the encoded input; 0 where it isn't known.
    pub input_hash: u64,
}

impl fmt::Display for StartLine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{:016x}",
            self.first_us,
            self.calls,
            self.conflicts,
            escape(&self.namespace),
            escape(&self.workflow_id),
            escape(&self.request_id),
            escape(&self.workflow_type),
            self.input_hash,
        )
    }
}

/// Why a text is no such line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a line of a start record ({field}): {line:?}")]
pub struct LineError {
    field: &'static str,
    line: String,
}

impl FromStr for StartLine {
    type Err = LineError;

    fn from_str(line: &str) -> Result<Self, LineError> {
        let error = |field| LineError { field, line: line.chars().take(200).collect() };
        let mut fields = line.split('\t');
        let mut next = |name| fields.next().ok_or_else(|| error(name));
        Ok(Self {
            first_us: next("first_us")?.parse().map_err(|_| error("first_us"))?,
            calls: next("calls")?.parse().map_err(|_| error("calls"))?,
            conflicts: next("conflicts")?.parse().map_err(|_| error("conflicts"))?,
            namespace: unescape(next("namespace")?),
            workflow_id: unescape(next("workflow_id")?),
            request_id: unescape(next("request_id")?),
            workflow_type: unescape(next("workflow_type")?),
            input_hash: u64::from_str_radix(next("input_hash")?, 16).map_err(|_| error("input_hash"))?,
        })
    }
}

/// Keeps a field on its line: tabs, line ends and backslashes are written as `\t`, `\n`, `\r`, `\\`.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\t', '\n', '\r', '\\']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r"))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('t')) => plain.push('\t'),
            (_, Some('n')) => plain.push('\n'),
            (_, Some('r')) => plain.push('\r'),
            (_, Some(other)) => plain.push(other),
            (c, None) => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_id_survives_a_line() {
        for id in ["flintwheel:a:b:t:2026-11-23T08:00:00Z", "tab\tline\nreturn\rback\\slash\\t", "", "ü 漢"] {
            let line = StartLine { first_us: -5, calls: 3, workflow_id: id.to_owned(), ..StartLine::default() };
            let text = line.to_string();
            assert_eq!(text.lines().count(), 1);
            assert_eq!(text.parse(), Ok(line));
        }
    }

    #[test]
    fn a_broken_line_names_the_field() {
        for (text, field) in [("", "first_us"), ("1\tx", "calls"), ("1\t1\t0\tns\tid", "request_id")] {
            assert_eq!(text.parse::<StartLine>().expect_err(text).field, field);
        }
    }
}
