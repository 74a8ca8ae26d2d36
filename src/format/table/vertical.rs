//! The vertical layout: a line for each value, below a line with the number of its row.
//! Where a text has several lines, so does its value, with `|` in the place of the colon.

use unicode_width::UnicodeWidthStr;

use super::{
    super::{EncodeBuffer, ValueError, column::Altered},
    aligned::Source,
    cell,
};
use crate::schema::Schema;

/// The width up to which names are aligned. A longer one shifts its value.
const WIDEST: usize = 40;

/// A vertical table.
pub(super) struct Vertical {
    /// What begins the line of each column: its name, to the right, and a colon.
    names: Vec<String>,
    /// A line end and what begins a further line of a text.
    line_end: String,
}

impl Vertical {
    pub fn new(schema: &Schema) -> Self {
        let columns = schema.columns.iter();
        let names: Vec<String> = columns.map(|column| cell::name(&column.name)).collect();
        let widths = names.iter().map(|name| name.width());
        let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        // The space at the beginning tells a value's line from that of a number.
        let spaces = |width: usize| " ".repeat(width + 1);
        let begin = |name: String| {
            let before = spaces(width.saturating_sub(name.width()));
            format!("{before}{name}: ")
        };
        Self {
            names: names.into_iter().map(begin).collect(),
            line_end: format!("\n{}| ", spaces(width)),
        }
    }

    /// Writes row number `number`.
    ///
    /// # Errors
    /// [`ValueError`] for a value that cannot be written.
    pub fn row(
        &self,
        Source { formatters, row }: Source<'_>,
        number: u64,
        altered: &mut Altered,
        out: &mut EncodeBuffer<'_>,
    ) -> Result<(), ValueError> {
        let stars = "*".repeat(27);
        out.extend(format!("{stars} {number}. row {stars}\n").as_bytes());
        for (column, (formatter, name)) in formatters.iter().zip(&self.names).enumerate() {
            out.extend(name.as_bytes());
            let rendered = formatter.render(row, out.bytes);
            let text = rendered.map_err(ValueError::at(column))?;
            altered.count(&text);
            cell::show(text, &self.line_end, &mut |piece| {
                out.extend(piece.as_bytes())
            });
            out.extend(b"\n");
        }
        Ok(())
    }
}
