//! The parts that CSV and TSV share: the header line, and the descriptions of
//! their columns.

use super::{EncodeBuffer, NulTexts, column::ColumnFormatter};
use crate::{schema::Schema, text::warning};

/// Whether a text holds NUL, which not every reader takes.
#[derive(PartialEq, Eq)]
pub(super) enum Nul {
    Absent,
    Present,
}

/// Appends the column names with `delimiter` between them. `write` appends one
/// name, quoted or escaped.
pub(super) fn write_names(
    schema: &Schema,
    delimiter: u8,
    out: &mut EncodeBuffer<'_>,
    mut write: impl FnMut(&[u8], &mut EncodeBuffer<'_>),
) {
    for (index, column) in schema.columns.iter().enumerate() {
        if index > 0 {
            out.bytes.push(delimiter);
        }
        write(column.name.as_bytes(), out);
    }
}

/// Returns the text form of each column's values in words.
pub(super) fn column_formats(columns: &[ColumnFormatter]) -> Vec<String> {
    let names = columns.iter().map(|column| column.format_name().to_owned());
    names.collect()
}

/// Returns the warning about `count` texts that hold NUL, unless `policy` keeps them
/// without one. `one` and `many` are its words for one text and for several.
pub(super) fn nul_warning(policy: NulTexts, count: u64, one: &str, many: &str) -> Option<String> {
    match policy {
        NulTexts::Warn => warning(count, one, many),
        NulTexts::Keep => None,
    }
}
