//! The parts that CSV and TSV share: the header line, and the descriptions and
//! warnings for their columns.

use super::{
    EncodeBuffer,
    column::{ColumnFormatter, lossy_warning},
};
use crate::schema::Schema;

/// Appends the column names with `delimiter` between them. `write` appends one
/// name, quoted or escaped.
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

/// Returns the text form of each column's values in words.
pub(super) fn column_formats(columns: &[ColumnFormatter]) -> Vec<String> {
    let names = columns.iter().map(|column| column.format_name().to_owned());
    names.collect()
}

/// Returns the warnings for a document with `lossy_values` values that were not
/// UTF-8.
pub(super) fn warnings(lossy_values: u64) -> Vec<String> {
    lossy_warning(lossy_values).into_iter().collect()
}
