//! A document as a tree of positions: which key and which value stands where. Knows no schema.

use std::ops::Range;

use serde_saphyr::granit_parser::{Event, Parser, Span};

/// Deeper nodes are not told apart: nobody looks for a field there, and a deep tree can't be dropped without a deep stack.
const MAX_DEPTH: usize = 100;

/// A node and where it stands (bytes of the document).
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// The text after quotes and escapes have been read.
    Scalar(String),
    Map(Vec<(Node, Node)>),
    List(Vec<Node>),
    /// An alias, or something too deep.
    Opaque,
}

/// The tree of the first document, as far as it can be read.
pub(super) fn read(text: &str) -> Option<Node> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { break };
        builder.event(&event, &span);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// Containers below the depth that is told apart.
    too_deep: usize,
    root: Option<Node>,
}

struct Open {
    start: usize,
    is_map: bool,
    items: Vec<Node>,
}

impl Builder {
    fn event(&mut self, event: &Event<'_>, span: &Span) {
        let Some(span) = span.byte_range() else { return };
        match event {
            Event::Scalar(text, ..) => self.leaf(span, Kind::Scalar(text.as_ref().to_owned())),
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.leaf(span, Kind::Opaque),
            Event::MappingStart(..) => self.begin(span, true),
            Event::SequenceStart(..) => self.begin(span, false),
            Event::MappingEnd | Event::SequenceEnd => self.end(span.end),
            _ => {}
        }
    }

    fn leaf(&mut self, span: Range<usize>, kind: Kind) {
        if self.too_deep == 0 {
            self.add(Node { span, kind });
        }
    }

    fn begin(&mut self, span: Range<usize>, is_map: bool) {
        if self.too_deep > 0 || self.open.len() == MAX_DEPTH {
            if self.too_deep == 0 {
                self.add(Node { span, kind: Kind::Opaque });
            }
            self.too_deep += 1;
            return;
        }
        self.open.push(Open { start: span.start, is_map, items: Vec::new() });
    }

    fn end(&mut self, end: usize) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
            return;
        }
        let Some(open) = self.open.pop() else { return };
        // A block collection ends where the next thing begins: its last child tells better.
        let end = open.items.last().map_or(end, |last| last.span.end.max(open.start));
        let span = open.start..end;
        let kind = if open.is_map { Kind::Map(pairs(open.items)) } else { Kind::List(open.items) };
        self.add(Node { span, kind });
    }

    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = self.root.take().or(Some(node)),
        }
    }

    /// What is still open when the text breaks off is closed there.
    fn finish(mut self) -> Option<Node> {
        self.too_deep = 0;
        while !self.open.is_empty() {
            self.end(0);
        }
        self.root
    }
}

fn pairs(items: Vec<Node>) -> Vec<(Node, Node)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let Some(key) = items.next() {
        let end = key.span.end;
        let value = items.next().unwrap_or(Node { span: end..end, kind: Kind::Opaque });
        pairs.push((key, value));
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_the_text() {
        let text = "a: [1, \"zwö lf\"]\nb:\n  c: x # y\nd: |\n  e\n";
        let root = read(text).expect("a tree");
        let Kind::Map(pairs) = &root.kind else { panic!("a map") };
        let shown: Vec<_> = pairs.iter().map(|(k, v)| (&text[k.span.clone()], &text[v.span.clone()])).collect();
        assert_eq!(shown[..2], [("a", "[1, \"zwö lf\""), ("b", "c: x")]);
        let Kind::List(items) = &pairs[0].1.kind else { panic!("a list") };
        assert_eq!(&text[items[1].span.clone()], "\"zwö lf\"");
        assert_eq!(items[1].kind, Kind::Scalar("zwö lf".into()));
    }

    #[test]
    fn a_broken_text_gives_what_stands_before_the_break() {
        let root = read("a: 1\nb: [x, {c: \"y\n").expect("a tree");
        let Kind::Map(pairs) = &root.kind else { panic!("a map") };
        assert_eq!(pairs.len(), 2);
    }

    #[test]
    fn a_deep_text_does_no_harm() {
        assert_eq!(read(&"[".repeat(200_000)), None);
        let nested: String = (0..2000).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert!(read(&nested).is_some());
    }
}
