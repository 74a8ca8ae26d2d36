//! The widths of an aligned table's columns.

use unicode_width::UnicodeWidthStr;

use super::{
    super::column::ColumnFormatter,
    cell::{self, Cell, CellKind},
};
use crate::schema::{self, ColumnType};

/// What stands between two columns of a row.
pub(super) const SEPARATOR: &str = " | ";

/// The width of a column from which on a text may be cut.
const LEAST_TEXT: usize = 8;

/// The width up to which a column grows where the lines have no limit. A wider value
/// shifts the rest of its row.
const WIDEST: usize = 120;

/// One column.
pub(super) struct Column {
    /// Its name, escaped.
    pub name: String,
    pub alignment: Alignment,
    /// The width that it has.
    pub width: usize,
    /// The width of its widest value so far, or of its name.
    natural: usize,
    /// The width below which it cannot be.
    needed: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Alignment {
    Left,
    Right,
    /// Left, without spaces behind.
    Last,
}

impl Column {
    pub fn new(column: &schema::Column, formatter: &ColumnFormatter) -> Self {
        let is_number = column.column_type.is_number() && !formatter.writes_words();
        let name = cell::name(&column.name);
        // With its point.
        let digits = |fraction: usize| fraction + fraction.min(1);
        let needed = match column.column_type {
            ColumnType::Date => "2020-01-02".len(),
            ColumnType::DateTime { fraction } => "2020-01-02 03:04:05".len() + digits(fraction),
            ColumnType::Time { fraction } => "03:04:05".len() + digits(fraction),
            _ => 0,
        };
        Self {
            alignment: match is_number {
                true => Alignment::Right,
                false => Alignment::Left,
            },
            width: 0,
            natural: name.width().max(needed),
            needed,
            name,
        }
    }

    /// Takes the width of `cell` into account. Returns whether it needs more than the
    /// values before.
    fn measure(&mut self, cell: &Cell) -> bool {
        let needed = match cell.kind {
            CellKind::Whole => cell.width,
            _ => cell.width.min(LEAST_TEXT),
        };
        let needs_more = needed > self.needed || cell.width > self.natural;
        self.needed = self.needed.max(needed);
        self.natural = self.natural.max(cell.width);
        needs_more
    }

    /// The width that it has in a table where texts are cut to `width`.
    fn limited_to(&self, width: usize) -> usize {
        self.natural.min(width).max(self.needed)
    }
}

/// The columns, and the width of a line.
pub(super) struct Widths {
    pub columns: Vec<Column>,
    /// The number of the terminal's columns; `None` for no limit.
    pub limit: Option<usize>,
    /// Whether a value needs more than its column's width was made for.
    is_outdated: bool,
}

impl Widths {
    pub fn new(mut columns: Vec<Column>, limit: Option<usize>) -> Self {
        match columns.last_mut() {
            Some(last) if last.alignment == Alignment::Left => last.alignment = Alignment::Last,
            _ => {}
        }
        Self {
            columns,
            limit,
            is_outdated: true,
        }
    }

    /// Takes the cells of a row into account.
    pub fn measure(&mut self, row: &[Cell]) {
        for (column, cell) in self.columns.iter_mut().zip(row) {
            self.is_outdated |= column.measure(cell);
        }
    }

    /// Whether the columns fit into a line, with their texts cut.
    pub fn fits(&self) -> bool {
        self.limit
            .is_none_or(|limit| self.total(LEAST_TEXT) <= limit)
    }

    /// Gives each column the width that its values need. Where a line cannot hold them,
    /// the widest columns are made equally narrow. Returns whether a width has changed.
    pub fn fit(&mut self) -> bool {
        if !std::mem::take(&mut self.is_outdated) {
            return false;
        }
        let widest = match self.limit {
            None => WIDEST,
            // The total grows with the width.
            Some(limit) => {
                let (mut fits, mut exceeds) = (LEAST_TEXT, limit.max(LEAST_TEXT) + 1);
                while fits + 1 < exceeds {
                    let middle = fits.midpoint(exceeds);
                    match self.total(middle) <= limit {
                        true => fits = middle,
                        false => exceeds = middle,
                    }
                }
                fits
            }
        };
        let mut has_changed = false;
        for column in &mut self.columns {
            let width = column.limited_to(widest);
            has_changed |= width != column.width;
            column.width = width;
        }
        has_changed
    }

    /// The width of a line in a table where texts are cut to `width`.
    fn total(&self, width: usize) -> usize {
        let widths = self.columns.iter().map(|column| column.limited_to(width));
        widths.sum::<usize>() + self.separators()
    }

    fn separators(&self) -> usize {
        SEPARATOR.len() * self.columns.len().saturating_sub(1)
    }
}
