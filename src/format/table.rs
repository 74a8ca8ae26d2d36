//! The table formats, for people at a terminal: aligned columns with a row count below,
//! and a block of lines for each row.
//!
//! A text is shown with backslash escapes, so that no value controls a terminal and each
//! row of an aligned table is one line. NULL is `NULL`, and a text of these letters is
//! between quotes.

use std::{num::NonZeroU16, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, Dialect, DocumentEncoding, EncodeBuffer, Format, Framing, RowWriter, TextOptions,
    ValueError,
    column::{Altered, ColumnFormatter},
    delimited,
};
use crate::{error::Result, row::Row, schema::Schema, text::counted};

mod aligned;
mod cell;
mod vertical;
mod widths;

use self::{
    aligned::{Aligned, Source},
    vertical::Vertical,
    widths::{Column, Widths},
};

/// The entry of the aligned layout in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "table",
    about: "aligned columns for a terminal",
    extensions: &[],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Table {
            text,
            ..Table::default()
        })
    },
};

/// The entry of the vertical layout in the table of formats.
pub(super) static VERTICAL: BuiltIn = BuiltIn {
    name: "vertical",
    about: "a line for each value, as \\G of the mysql client",
    extensions: &[],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Table {
            text,
            layout: TableLayout::Vertical,
            ..Table::default()
        })
    },
};

/// The table format with its options.
///
/// ```
/// use gold_digger::format::{Format, Table, TableLayout};
///
/// let vertical = Table { layout: TableLayout::Vertical, ..Table::default() };
/// assert_eq!((Table::default().name(), vertical.name()), ("table", "vertical"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Table {
    /// The options for values.
    pub text: TextOptions,
    /// How a row is laid out.
    pub layout: TableLayout,
    /// The columns that a line of the terminal has: aligned texts are cut to fit into
    /// it, and where they cannot, the layout is vertical. `None` for no limit.
    pub terminal: Option<NonZeroU16>,
    /// When the first rows of an aligned table are written.
    pub first_rows: FirstRows,
}

/// How a row is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableLayout {
    /// A line for each row, in columns of one width.
    #[default]
    Aligned,
    /// A line for each value, below the number of its row.
    Vertical,
}

/// When the first rows of an aligned table are written. The widths of its columns come
/// from them; a later value that is wider changes them from its row on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstRows {
    /// At once. The rows that come before the first write share their widths, so that
    /// the widths depend on the server's pauses.
    #[default]
    AtOnce,
    /// After the first 256 KiB of them, so that the bytes depend on the rows alone.
    Together,
}

impl Format for Table {
    fn name(&self) -> &'static str {
        match self.layout {
            TableLayout::Aligned => FORMAT.name,
            TableLayout::Vertical => VERTICAL.name,
        }
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        let formatters = ColumnFormatter::for_columns(schema, self.text);
        let limit = self.terminal.map(|columns| usize::from(columns.get()));
        let columns = schema.columns.iter().zip(&formatters);
        let columns = columns.map(|(column, formatter)| Column::new(column, formatter));
        let widths = Widths::new(columns.collect(), limit);
        Ok(Box::new(TableWriter {
            shape: match self.layout {
                TableLayout::Aligned => Shape::Undecided,
                TableLayout::Vertical => Shape::Vertical,
            },
            vertical: Vertical::new(schema),
            aligned: Aligned::new(widths, self.first_rows),
            formatters,
            rows: 0,
            altered: Altered::default(),
        }))
    }

    fn framing(&self) -> Framing {
        match (self.layout, self.first_rows) {
            (TableLayout::Aligned, FirstRows::Together) => Framing::Batch,
            _ => Framing::Row,
        }
    }

    fn dialect(&self) -> Dialect {
        Dialect::of_text(&self.text)
    }

    fn text_options(&self) -> TextOptions {
        self.text
    }
}

/// Encodes one result set as a table.
struct TableWriter {
    shape: Shape,
    vertical: Vertical,
    aligned: Aligned,
    formatters: Vec<ColumnFormatter>,
    rows: u64,
    altered: Altered,
}

/// The layout of a document.
#[derive(Clone, Copy)]
enum Shape {
    /// Aligned, unless the first row does not fit into a line.
    Undecided,
    Aligned,
    Vertical,
}

impl RowWriter for TableWriter {
    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        let source = Source {
            formatters: &self.formatters,
            row,
        };
        if !matches!(self.shape, Shape::Vertical) {
            let altered = self.altered;
            self.aligned.read(source, &mut self.altered)?;
            if let Shape::Undecided = self.shape {
                self.shape = match self.aligned.fits() {
                    true => Shape::Aligned,
                    false => Shape::Vertical,
                };
            }
            match self.shape {
                // The row is read again.
                Shape::Vertical => self.altered = altered,
                _ => self.aligned.write(source, out),
            }
        }
        self.rows += 1;
        match self.shape {
            Shape::Vertical => self.vertical.row(source, self.rows, &mut self.altered, out),
            _ => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        let mut end = counted(self.rows, "row");
        if !matches!(self.shape, Shape::Vertical) {
            self.aligned.finish(out);
            end += &self.aligned.cut_note().unwrap_or_default();
        }
        out.extend(format!("({end})\n").as_bytes());
        Ok(())
    }

    fn buffered(&self) -> usize {
        self.aligned.kept()
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.formatters)
    }

    fn warnings(&self) -> Vec<String> {
        self.altered.warnings()
    }
}
