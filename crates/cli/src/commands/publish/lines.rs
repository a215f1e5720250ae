//! Lines of a file or of standard input, read on a thread of their own, so that a slow producer does not hold back what is there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flintwheel_model::limits::EVENT_BYTES;
use tokio::sync::mpsc;

use crate::exit::{Exit, Failure};

/// Longer than any event may be, however its JSON is escaped.
const LINE_BYTES: usize = 8 * EVENT_BYTES;
/// Lines that are read ahead.
const AHEAD: usize = 4096;

/// Numbered lines as they are read.
pub(super) struct Lines {
    pub name: String,
    pub lines: mpsc::Receiver<Line>,
}

/// A line: its number, from 1, and its text or why there is none.
pub(super) type Line = (u64, Result<Vec<u8>, String>);

pub(super) fn open(path: &Path) -> Result<Lines, Failure> {
    if path.as_os_str() == "-" {
        return Ok(start("standard input".to_owned(), io::stdin()));
    }
    let name = path.display().to_string();
    let file =
        File::open(path).map_err(|error| Failure::new(Exit::Refused, format!("{name} can't be read: {error}")))?;
    Ok(start(name, file))
}

fn start(name: String, input: impl Read + Send + 'static) -> Lines {
    let (sender, lines) = mpsc::channel(AHEAD);
    std::thread::spawn(move || read(BufReader::new(input), |line| sender.blocking_send(line).is_ok()));
    Lines { name, lines }
}

/// Hands out lines that are not blank until the end, a fault of reading, or until nobody wants more.
fn read(mut input: impl BufRead, mut hand_out: impl FnMut(Line) -> bool) {
    for number in 1.. {
        let line = match read_line(&mut input) {
            Ok(None) => return,
            Ok(Some(line)) => line,
            Err(error) => {
                hand_out((number, Err(format!("can't be read: {error}"))));
                return;
            }
        };
        let blank = line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty());
        if !blank && !hand_out((number, line)) {
            return;
        }
    }
}

/// None at the end. A line that is too long is read to its end and given as a fault.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    let limit = LINE_BYTES as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.ends_with(b"\n") || line.len() <= LINE_BYTES {
        return Ok(Some(Ok(line)));
    }
    input.skip_until(b'\n')?;
    Ok(Some(Err(format!("the line has more than {LINE_BYTES} bytes"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<(u64, Result<usize, String>)> {
        let mut lines = Vec::new();
        read(text, |(number, line)| {
            lines.push((number, line.map(|line| line.trim_ascii().len())));
            true
        });
        lines
    }

    #[test]
    fn blank_lines_count_but_are_not_handed_out() {
        assert_eq!(lines(b"a\n\n \r\nbc\r\nd"), [(1, Ok(1)), (4, Ok(2)), (5, Ok(1))]);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_whole() {
        let text = [vec![b'x'; 3 * LINE_BYTES], b"\nok\n".to_vec()].concat();
        let fault = format!("the line has more than {LINE_BYTES} bytes");
        assert_eq!(lines(&text), [(1, Err(fault)), (2, Ok(2))]);
        assert_eq!(lines(&vec![b'x'; LINE_BYTES]), [(1, Ok(LINE_BYTES))]);
    }
}
