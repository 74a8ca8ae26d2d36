//! What the formats of one line a row share: the header line, and the formatters
//! of their columns.

use super::{
    EncodeBuffer,
    column::{ColumnFormatter, lossy_warning},
};
use crate::schema::Schema;

/// Appends the columns' names, with `delimiter` between them; `write` quotes or
/// escapes a name.
pub(super) fn write_names(
    schema: &Schema,
    delimiter: u8,
    out: &mut EncodeBuffer<'_>,
    write: impl Fn(&[u8], &mut EncodeBuffer<'_>),
) {
    for (index, column) in schema.columns.iter().enumerate() {
        if index > 0 {
            out.bytes.push(delimiter);
        }
        write(column.name.as_bytes(), out);
    }
}

/// How the values of each column are written, in words.
pub(super) fn column_formats(columns: &[ColumnFormatter]) -> Vec<String> {
    let names = columns.iter().map(|column| column.format_name().to_owned());
    names.collect()
}

/// The warnings of a document, `lossy_values` of which were not UTF-8.
pub(super) fn warnings(lossy_values: u64) -> Vec<String> {
    lossy_warning(lossy_values).into_iter().collect()
}
