//! The aligned layout: a line for each row.
//!
//! The first rows are kept, and drawn again where a row widens a column, as long as
//! their bytes still wait in the buffer. So rows that arrive back to back share their
//! widths, and none waits for its successor.

use unicode_width::UnicodeWidthStr;

use super::{
    super::{
        EncodeBuffer, ValueError,
        column::{Altered, ColumnFormatter},
    },
    FirstRows,
    cell::{self, CellKind, Cells, Room},
    widths::{Alignment, Column, SEPARATOR, Widths},
};
use crate::{row::Row, text::warning};

/// The number of bytes of cells that are kept.
const KEPT: usize = 256 << 10;

/// The number of bytes of a text from which on it is wider than any column.
const LONG: usize = 1 << 10;

/// An aligned table.
pub(super) struct Aligned {
    widths: Widths,
    first_rows: FirstRows,
    progress: Progress,
    /// The cells of the rows that are kept, and of the row that was read last.
    cells: Cells,
    cut: Cut,
}

/// How far the table is.
#[derive(Clone, Copy)]
enum Progress {
    /// No byte is written.
    Nothing,
    /// The table is written from `begin` to `end` of the buffer, and may change.
    Drawn { begin: usize, end: usize },
    /// What is written stays, and no row is kept.
    Settled,
}

/// The numbers of what is cut.
#[derive(Clone, Copy, Default)]
struct Cut {
    names: u64,
    values: u64,
}

/// A row with the formatters of its columns.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub formatters: &'a [ColumnFormatter],
    pub row: Row<'a>,
}

impl Aligned {
    pub fn new(widths: Widths, first_rows: FirstRows) -> Self {
        Self {
            widths,
            first_rows,
            progress: Progress::Nothing,
            cells: Cells::default(),
            cut: Cut::default(),
        }
    }

    /// The number of bytes of the rows that are kept.
    pub fn kept(&self) -> usize {
        self.cells.size()
    }

    /// Whether the columns fit into a line.
    pub fn fits(&self) -> bool {
        self.widths.fits()
    }

    /// Reads the cells of a row.
    ///
    /// # Errors
    /// [`ValueError`] for a value that cannot be written. Its row is forgotten.
    pub fn read(&mut self, source: Source<'_>, altered: &mut Altered) -> Result<(), ValueError> {
        let room = match (self.widths.limit, self.progress) {
            (Some(limit), _) => Room::Columns(limit),
            (None, Progress::Settled) => Room::Bytes(LONG),
            (None, _) => Room::Bytes(LONG.max(KEPT / source.formatters.len().max(1))),
        };
        let first = self.cells.list.len();
        for (column, formatter) in source.formatters.iter().enumerate() {
            let pushed = self.cells.push(formatter, source.row, room, altered);
            if let Err(problem) = pushed {
                self.cells.truncate(first);
                return Err(ValueError::at(column)(problem));
            }
        }
        self.widths.measure(&self.cells.list[first..]);
        Ok(())
    }

    /// Writes the row that was read last.
    pub fn write(&mut self, source: Source<'_>, out: &mut EncodeBuffer<'_>) {
        let mut first = self.cells.list.len() - source.formatters.len();
        if let Progress::Drawn { end, .. } = self.progress
            && out.bytes.len() != end
        {
            // The rows before have been written.
            self.progress = Progress::Settled;
            self.cells.forget(first);
            first = 0;
        }
        if let Progress::Settled = self.progress {
            self.widths.fit();
        } else {
            let is_long = |cell: &cell::Cell| cell.kind == CellKind::Long;
            let settles = self.kept() > KEPT || self.cells.list[first..].iter().any(is_long);
            if !settles && self.first_rows == FirstRows::Together {
                return;
            }
            let begin = self.draw(first, out);
            if !settles {
                self.line(first, None, out);
                let end = out.bytes.len();
                self.progress = Progress::Drawn { begin, end };
                return;
            }
            self.progress = Progress::Settled;
        }
        self.line(first, Some(source), out);
        self.cells.truncate(0);
    }

    /// Writes what was kept back.
    pub fn finish(&mut self, out: &mut EncodeBuffer<'_>) {
        if let Progress::Nothing = self.progress {
            self.draw(self.cells.list.len(), out);
        }
        self.progress = Progress::Settled;
        self.cells.truncate(0);
    }

    /// What is cut, as the end of the line with the number of rows.
    pub fn cut_note(&self) -> Option<String> {
        let names = warning(self.cut.names, "name", "names");
        let values = warning(self.cut.values, "value", "values");
        let what: Vec<String> = [names, values].into_iter().flatten().collect();
        let are = match self.cut.names + self.cut.values {
            0 => return None,
            1 => "is",
            _ => "are",
        };
        let what = what.join(" and ");
        Some(format!(
            "; {what} {are} cut: --vertical, or another format, shows all"
        ))
    }

    /// Draws the names and the cells before number `end`, unless they stand there as
    /// they should. Returns where they begin.
    fn draw(&mut self, end: usize, out: &mut EncodeBuffer<'_>) -> usize {
        let has_changed = self.widths.fit();
        let begin = match self.progress {
            Progress::Drawn { begin, .. } if !has_changed => return begin,
            Progress::Drawn { begin, .. } => begin,
            Progress::Nothing | Progress::Settled => out.bytes.len(),
        };
        out.bytes.truncate(begin);
        self.cut = Cut::default();
        self.head(out.bytes);
        for first in (0..end).step_by(self.widths.columns.len().max(1)) {
            self.line(first, None, out);
        }
        begin
    }

    /// Writes the names, and the line below them.
    fn head(&mut self, out: &mut Vec<u8>) {
        let mut rule = String::new();
        for (index, column) in self.widths.columns.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(SEPARATOR.as_bytes());
                rule.push_str("-+-");
            }
            let width = column.name.width();
            let fit = match width > column.width && self.widths.limit.is_some() {
                true => Fit::Cut,
                false => Fit::Whole(width),
            };
            self.cut.names += u64::from(fit == Fit::Cut);
            put(&column.name, fit, column, out);
            rule.extend(std::iter::repeat_n('-', column.width));
        }
        out.extend_from_slice(format!("\n{rule}\n").as_bytes());
    }

    /// Writes the row whose cells begin at number `first`. Its long texts are read from
    /// `source`; a row that is kept has none.
    fn line(&mut self, first: usize, source: Option<Source<'_>>, out: &mut EncodeBuffer<'_>) {
        for (index, column) in self.widths.columns.iter().enumerate() {
            if index > 0 {
                out.bytes.extend_from_slice(SEPARATOR.as_bytes());
            }
            let cell = &self.cells.list[first + index];
            let is_wider = cell.width > column.width && self.widths.limit.is_some();
            let fit = match cell.kind {
                CellKind::Beginning => Fit::Cut,
                CellKind::Text if is_wider => Fit::Cut,
                _ => Fit::Whole(cell.width),
            };
            self.cut.values += u64::from(fit == Fit::Cut);
            put(self.cells.text(first + index), fit, column, out.bytes);
            let Some(Source { formatters, row }) = source else {
                continue;
            };
            if cell.kind == CellKind::Long {
                // It could be read before, so there is no error.
                if let Ok(text) = formatters[index].render(row, &mut Vec::new()) {
                    cell::show(text, cell::LINE_FEED, &mut |piece| {
                        out.extend(piece.as_bytes())
                    });
                }
            }
            out.spill_if_large();
        }
        out.bytes.push(b'\n');
    }
}

/// How a text fits into its column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// With this width. A wider one shifts the rest of the line.
    Whole(usize),
    /// Its beginning does.
    Cut,
}

/// Appends `text` as a cell of `column`.
fn put(text: &str, fit: Fit, column: &Column, out: &mut Vec<u8>) {
    let (text, end, width) = match fit {
        Fit::Whole(width) => (text, "", width),
        Fit::Cut => {
            let beginning = cell::cut(text, column.width);
            (beginning, cell::ELLIPSIS, beginning.width() + 1)
        }
    };
    let spaces = column.width.saturating_sub(width);
    let (before, after) = match column.alignment {
        Alignment::Left => (0, spaces),
        Alignment::Right => (spaces, 0),
        Alignment::Last => (0, 0),
    };
    out.extend(std::iter::repeat_n(b' ', before));
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(end.as_bytes());
    out.extend(std::iter::repeat_n(b' ', after));
}
