//! The part of a document that a message shows: long lines are cut around what is meant, so that a prompt of a page
//! does not hide it.

use std::collections::BTreeSet;
use std::iter;
use std::ops::Range;

use loupe_spec::{LONGEST_ECHO, is_obeyed};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// How many characters of a longer line are shown on each side of where something meant begins or ends.
const AROUND: usize = 40;

/// A document as a terminal can show it. Its lines are the document's.
#[derive(Debug)]
pub(crate) struct Excerpt {
    name: String,
    text: String,
    /// Where what is meant lies in `text`.
    spans: Vec<Range<usize>>,
    /// Column in the document of each span, from 1.
    columns: Vec<usize>,
}

impl Excerpt {
    /// Of the document `text` called `name`, around `meant` (bytes, and the column of the first).
    pub(crate) fn of(name: String, text: &str, meant: &[(Range<usize>, usize)]) -> Excerpt {
        let edges: BTreeSet<usize> = meant.iter().flat_map(|(span, _)| [span.start, span.end]).collect();
        let mut shown = String::new();
        let mut moved = Vec::with_capacity(edges.len());
        let mut begins = 0;
        for line in text.split_inclusive('\n') {
            let ends = begins + line.len();
            cut(line, edges.range(begins..ends).map(|edge| edge - begins), &mut shown, &mut moved);
            begins = ends;
        }
        let to =
            |edge: usize| edges.iter().zip(&moved).find(|(from, _)| **from == edge).map_or(shown.len(), |(_, to)| *to);
        let spans = meant.iter().map(|(span, _)| to(span.start)..to(span.end)).collect();
        let columns = meant.iter().map(|(_, column)| *column).collect();
        Excerpt { name, spans, columns, text: shown }
    }

    /// Where the `at`-th of what is meant lies in the excerpt.
    pub(crate) fn span(&self, at: usize) -> Range<usize> {
        self.spans.get(at).cloned().unwrap_or_default()
    }
}

/// Appends to `shown` what is shown of `line`, and to `moved` where each of `edges` lies in it then.
fn cut(line: &str, edges: impl Iterator<Item = usize>, shown: &mut String, moved: &mut Vec<usize>) {
    let edges: Vec<usize> = edges.collect();
    let characters: Vec<(usize, char)> = line.char_indices().collect();
    let around = |edge: usize| {
        let place = characters.partition_point(|(at, _)| *at < edge);
        place.saturating_sub(AROUND)..place + AROUND
    };
    // Of a long line without anything meant, the start.
    let start = edges.is_empty().then_some(0);
    let kept: Vec<Range<usize>> = match characters.len() <= LONGEST_ECHO {
        true => iter::once(0..characters.len()).collect(),
        false => edges.iter().copied().chain(start).map(around).collect(),
    };
    let mut edges = edges.into_iter().peekable();
    let mut kept = kept.into_iter().peekable();
    let mut left_out = false;
    for (place, (at, c)) in characters.iter().enumerate() {
        while kept.next_if(|range| range.end <= place).is_some() {}
        while edges.next_if(|edge| edge <= at).is_some() {
            moved.push(shown.len());
        }
        match c {
            '\n' => shown.push('\n'),
            _ if !kept.peek().is_some_and(|range| range.contains(&place)) => {
                if !left_out {
                    shown.push('…');
                }
                left_out = true;
                continue;
            }
            // miette spaces tabs; a line may end in a carriage return.
            '\t' => shown.push('\t'),
            '\r' if line.get(at + 1..) == Some("\n") => {}
            c if is_obeyed(*c) => shown.push('\u{fffd}'),
            c => shown.push(*c),
        }
        left_out = false;
    }
    moved.extend(edges.map(|_| shown.len()));
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, lines_before, lines_after)?;
        // Asked for without the lines around it, a span's column is what a person is told.
        let own = self.spans.iter().position(|meant| meant.start == span.offset());
        let told = own.filter(|_| lines_before == 0).and_then(|at| self.columns.get(at)).map(|column| column - 1);
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            inner.line(),
            told.unwrap_or(inner.column()),
            inner.line_count(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::{AROUND, Excerpt};

    #[test]
    fn of_a_long_line_the_ends_of_what_is_meant_are_shown() {
        let long = "x".repeat(1000);
        let text = format!("{{\n\"prompt\": \"{long}\", \"chek\": \"{long}\"\r\n}} {long}\n");
        let start = text.find("\"chek").unwrap_or_default();
        let value = start + 8;
        let spans = [(start..start + 6, 1015), (value..value + 1002, 1023)];
        let excerpt = Excerpt::of("c.json".into(), &text, &spans);
        let lines: Vec<&str> = excerpt.text.lines().collect();
        assert_eq!(lines.len(), 3);
        let [before, after] = [37, 39].map(|count| "x".repeat(count));
        assert_eq!(lines[1], format!("…{before}\", \"chek\": \"{after}…{after}\""));
        assert_eq!(lines[2], format!("}} {}…", "x".repeat(AROUND - 2)));
        assert_eq!(excerpt.text.get(excerpt.span(0)), Some("\"chek\""));
        assert_eq!(excerpt.text.get(excerpt.span(1)), Some(format!("\"{after}…{after}\"").as_str()));
    }

    #[test]
    fn what_a_terminal_obeys_is_replaced() {
        let excerpt = Excerpt::of("c.json".into(), "/*\u{1b}[2J é*/ {\t}", &[(11..12, 10)]);
        assert_eq!(excerpt.text, "/*\u{fffd}[2J é*/ {\t}");
        assert_eq!(excerpt.text.get(excerpt.span(0)), Some(" "));
    }

    #[test]
    fn a_span_may_end_with_the_text() {
        let excerpt = Excerpt::of("c.json".into(), "[1", &[(0..2, 1), (2..2, 3)]);
        assert_eq!((excerpt.span(0), excerpt.span(1)), (0..2, 2..2));
    }
}
