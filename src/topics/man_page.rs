//! Writes a topic as a page of the manual (man(7)).

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, line_break, roman};

use crate::topics::Topic;

pub(super) fn page(topic: &Topic) -> String {
    let title = format!("STILLAGE-{}", topic.name.to_uppercase());
    let mut page = Page::default();
    let version = concat!("stillage ", env!("CARGO_PKG_VERSION"));
    page.roff.control("TH", [title.as_str(), "7", "", version]);
    page.roff.control("SH", ["NAME"]);
    let name = format!("stillage-{} - {}", topic.name, topic.title());
    page.roff.text([roman(name)]);
    page.roff.control("SH", ["DESCRIPTION"]);
    let body = topic.text.split_once('\n').map_or("", |(_, body)| body);
    for event in Parser::new_ext(body, Options::ENABLE_TABLES) {
        page.take(event);
    }
    // groff(7) reads ASCII unless another program converts its input.
    let glyph = |c: char| {
        if c.is_ascii() {
            c.to_string()
        } else {
            format!("\\[u{:04X}]", u32::from(c))
        }
    };
    page.roff.to_roff().chars().map(glyph).collect()
}

#[derive(Default)]
struct Page {
    roff: Roff,
    /// The text of the block so far.
    inlines: Vec<Inline>,
    is_bold: bool,
    is_code: bool,
    /// The rows of the table so far.
    rows: Vec<Vec<String>>,
    in_table: bool,
    /// The number of the next item, in a list that counts.
    number: Option<u64>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.is_code => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.say(&text),
            Event::Code(text) => {
                let before = std::mem::replace(&mut self.is_bold, !self.in_table);
                self.say(&text);
                self.is_bold = before;
            }
            Event::SoftBreak => self.say(" "),
            Event::HardBreak => self.inlines.push(line_break()),
            _ => {}
        }
    }

    fn say(&mut self, text: &str) {
        if self.in_table {
            let cell = self.rows.last_mut().and_then(|row| row.last_mut());
            if let Some(cell) = cell {
                cell.push_str(text);
            }
        } else if self.is_bold {
            self.inlines.push(bold(text));
        } else {
            self.inlines.push(roman(text));
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Strong => self.is_bold = true,
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.flush();
                self.is_code = true;
                self.roff.control("PP", []).control("RS", ["4"]);
                self.roff.control("nf", []);
            }
            Tag::List(first) => {
                self.flush();
                self.number = *first;
            }
            Tag::Item => {
                let mark = match &mut self.number {
                    Some(number) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    None => r"\(bu".to_owned(),
                };
                self.roff.control("IP", [mark.as_str(), "3"]);
            }
            Tag::Table(_) => {
                self.in_table = true;
                self.rows.clear();
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::TableCell => {
                if let Some(row) = self.rows.last_mut() {
                    row.push(String::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong => self.is_bold = false,
            TagEnd::Heading(_) => {
                let words = std::mem::take(&mut self.inlines);
                let title: String = words.iter().map(text_of).collect();
                self.roff.control("SH", [title.as_str()]);
            }
            TagEnd::Paragraph => {
                self.roff.control("PP", []);
                self.flush();
            }
            TagEnd::Item => self.flush(),
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.roff.control("fi", []).control("RE", []);
            }
            TagEnd::Table => {
                self.in_table = false;
                self.table();
            }
            _ => {}
        }
    }

    fn flush(&mut self) {
        let inlines = std::mem::take(&mut self.inlines);
        if !inlines.is_empty() {
            self.roff.text(inlines);
        }
    }

    /// A table of two columns as a list of terms; a wider one in lines as they are.
    fn table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if rows.iter().all(|row| row.len() == 2) {
            let is_head = |cells: &[String]| cells.iter().any(|cell| !cell.is_empty());
            let body = &rows[1.min(rows.len())..];
            for row in rows
                .first()
                .filter(|row| is_head(row))
                .into_iter()
                .chain(body)
            {
                self.roff.control("TP", []);
                self.roff.text([bold(row[0].as_str())]);
                self.roff.text([roman(row[1].as_str())]);
            }
            return;
        }
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.roff.control("PP", []).control("nf", []);
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let line: Vec<String> = cells
                .map(|(cell, width)| format!("{cell:width$}"))
                .collect();
            self.roff.text([roman(line.join("  ").trim_end())]);
        }
        self.roff.control("fi", []);
    }
}

fn text_of(inline: &Inline) -> &str {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text,
        Inline::LineBreak => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_what_the_topic_has() {
        let topic = Topic {
            name: "x",
            also: &[],
            text: "# Of x\n\n\u{e9} Say **no** to `a.b`\nnow.\n\n## More\n\n- one\n- two\n\n```sh\n.x 'y' \\z\n```\n\n\
                   | a | b | c |\n|---|---|---|\n| `long` | 1 | 2 |\n",
        };
        let text = page(&topic);
        for part in [
            ".TH STILLAGE-X 7",
            "stillage\\-x \\- Of x",
            "\\[u00E9] Say \\fBno\\fR to \\fBa.b\\fR now.",
            ".SH More",
            ".IP \\(bu 3\none",
            ".nf\n\\&.x 'y' \\\\z\n.fi",
            "a     b  c\nlong  1  2",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
