//! Shows values as cells: escapes their texts, measures them, and cuts them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::super::{
    column::{Altered, ColumnFormatter, Rendered, ValueProblem},
    encode,
};
use crate::{row::Row, text::is_terminal_control};

/// What stands for NULL.
pub(super) const NULL: &str = "NULL";

/// What stands for a line feed in a cell.
pub(super) const LINE_FEED: &str = "\\n";

/// What stands for the rest of a text that is cut.
pub(super) const ELLIPSIS: &str = "…";

/// The number of bytes that a column of a terminal may have, with its combining marks.
const BYTES_PER_COLUMN: usize = 32;

/// What a cell keeps of a text.
#[derive(Clone, Copy)]
pub(super) enum Room {
    /// What this many columns of a terminal show.
    Columns(usize),
    /// A text of at most so many bytes, and nothing of a longer one.
    Bytes(usize),
}

/// One value in [`Cells`].
pub(super) struct Cell {
    /// Where its text begins.
    start: usize,
    /// The number of the terminal's columns that its text takes.
    pub width: usize,
    pub kind: CellKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    /// NULL, a number or a date: never cut.
    Whole,
    /// A text, which may be cut.
    Text,
    /// The beginning of a text, which is always cut.
    Beginning,
    /// A text that is too long to be kept.
    Long,
}

/// The cells of some rows, one after the other.
#[derive(Default)]
pub(super) struct Cells {
    text: String,
    pub list: Vec<Cell>,
    /// What a column's formatter writes, before it is added to `text`.
    plain: Vec<u8>,
}

impl Cells {
    /// The number of bytes that the cells hold.
    pub fn size(&self) -> usize {
        self.text.len() + size_of_val(&*self.list)
    }

    /// Removes the cells from number `index` on.
    pub fn truncate(&mut self, index: usize) {
        if let Some(cell) = self.list.get(index) {
            self.text.truncate(cell.start);
            self.list.truncate(index);
        }
    }

    /// Removes the cells before number `index`.
    pub fn forget(&mut self, index: usize) {
        let length = self.list.get(index).map_or(self.text.len(), |it| it.start);
        self.text.drain(..length);
        self.list.drain(..index);
        self.list.iter_mut().for_each(|cell| cell.start -= length);
    }

    /// The text of cell number `index`.
    pub fn text(&self, index: usize) -> &str {
        let end = self.list.get(index + 1).map(|next| next.start);
        &self.text[self.list[index].start..end.unwrap_or(self.text.len())]
    }

    /// Adds the value of `formatter`'s column in `row`.
    ///
    /// # Errors
    /// Those of the formatter.
    pub fn push(
        &mut self,
        formatter: &ColumnFormatter,
        row: Row<'_>,
        room: Room,
        altered: &mut Altered,
    ) -> Result<(), ValueProblem> {
        let start = self.text.len();
        self.plain.clear();
        let mut kind = CellKind::Whole;
        let rendered = formatter.render(row, &mut self.plain)?;
        altered.count(&rendered);
        match rendered {
            // It is ASCII.
            Rendered::Plain => self.text.extend(self.plain.iter().map(|b| char::from(*b))),
            Rendered::Null | Rendered::ZeroDate => self.text.push_str(NULL),
            text => kind = self.push_text(text, room),
        }
        let mut width = self.text[start..].width();
        match room {
            Room::Columns(room) if width > room && kind != CellKind::Whole => {
                let end = start + cut(&self.text[start..], room).len();
                self.text.truncate(end);
                (kind, width) = (CellKind::Beginning, room);
            }
            _ => {}
        }
        if kind == CellKind::Long {
            width = usize::MAX;
        }
        self.list.push(Cell { start, width, kind });
        Ok(())
    }

    /// Adds what `text` shows, as far as there can be room for it.
    fn push_text(&mut self, text: Rendered<'_>, room: Room) -> CellKind {
        let (length, kind) = match room {
            Room::Bytes(bytes) => (bytes, CellKind::Long),
            Room::Columns(columns) => (columns * BYTES_PER_COLUMN, CellKind::Beginning),
        };
        match shorten(text, length) {
            Shortened::Whole(text) => {
                show(text, LINE_FEED, &mut |piece| self.text.push_str(piece));
                CellKind::Text
            }
            Shortened::Beginning(text) => {
                if kind == CellKind::Beginning {
                    show(text, LINE_FEED, &mut |piece| self.text.push_str(piece));
                }
                kind
            }
        }
    }
}

/// A text, or its beginning.
enum Shortened<'a> {
    Whole(Rendered<'a>),
    Beginning(Rendered<'a>),
}

/// Returns at most the first `length` bytes of `text`.
fn shorten(text: Rendered<'_>, length: usize) -> Shortened<'_> {
    let beginning = |bytes: &[u8]| bytes.len() > length;
    match text {
        Rendered::Text(text) if text.len() > length => {
            let end = text.floor_char_boundary(length);
            Shortened::Beginning(Rendered::Text(&text[..end]))
        }
        Rendered::Lossy(bytes) if beginning(bytes) => {
            Shortened::Beginning(Rendered::Lossy(&bytes[..length]))
        }
        Rendered::Bytes(bytes) if beginning(bytes) => {
            Shortened::Beginning(Rendered::Bytes(&bytes[..length]))
        }
        Rendered::Encoded(encoding, bytes) if beginning(bytes) => {
            Shortened::Beginning(Rendered::Encoded(encoding, &bytes[..length]))
        }
        text => Shortened::Whole(text),
    }
}

/// Passes what a text shows to `write`, in pieces: escaped, and between quotes where it
/// could be taken for NULL. `line_feed` stands for a line feed.
pub(super) fn show(text: Rendered<'_>, line_feed: &str, write: &mut dyn FnMut(&str)) {
    match text {
        Rendered::Text(text) if is_like_null(text) => {
            write("'");
            write(text);
            write("'");
        }
        Rendered::Text(text) => escape(text, line_feed, write),
        // Only TSV has `--binary raw`.
        Rendered::Lossy(bytes) | Rendered::Bytes(bytes) => {
            encode::write_lossy(bytes, |text| escape(text, line_feed, &mut *write));
        }
        Rendered::Encoded(encoding, bytes) => {
            // A multiple of three, so that base64 has padding only at the end.
            for piece in bytes.chunks(3 << 10) {
                let mut encoded = Vec::new();
                encoding.append(piece, &mut encoded);
                let text: String = encoded.into_iter().map(char::from).collect();
                // Three bytes may be NULL in base64.
                show(Rendered::Text(&text), line_feed, write);
            }
        }
        Rendered::Null | Rendered::ZeroDate => write(NULL),
        // The formatter has written it.
        Rendered::Plain => {}
    }
}

/// Whether `text` is NULL, also between quotes. One more pair of quotes tells such a
/// text from NULL and from every other text.
fn is_like_null(text: &str) -> bool {
    text.trim_matches('\'') == NULL
}

/// Passes `text` to `write` with an escape in the place of each backslash and of each
/// character that controls a terminal.
pub(super) fn escape(text: &str, line_feed: &str, mut write: impl FnMut(&str)) {
    let mut written = 0;
    for (index, c) in text.char_indices() {
        if c != '\\' && !is_terminal_control(c) {
            continue;
        }
        write(&text[written..index]);
        written = index + c.len_utf8();
        match c {
            '\\' => write("\\\\"),
            '\n' => write(line_feed),
            '\r' => write("\\r"),
            '\t' => write("\\t"),
            '\0' => write("\\0"),
            c => write(&c.escape_unicode().to_string()),
        }
    }
    write(&text[written..]);
}

/// Returns the name of a column, escaped.
pub(super) fn name(name: &str) -> String {
    let mut shown = String::new();
    escape(name, LINE_FEED, |piece| shown.push_str(piece));
    shown
}

/// Returns the beginning of `text` that leaves the last of `width` columns free.
pub(super) fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(_, c)| {
        // An emoji's variation selector makes the character before it wide.
        used += c.width().unwrap_or(0) + usize::from(*c == '\u{fe0f}');
        used >= width
    });
    let beginning = &text[..end.map_or(text.len(), |(index, _)| index)];
    beginning.trim_end_matches('\u{200d}')
}
