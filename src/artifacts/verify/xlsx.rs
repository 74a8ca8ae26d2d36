//! Counts the rows of workbooks, whose bytes are already known to be those that were
//! written.

use std::io::{Read, Seek};

use zip::ZipArchive;

use super::each_chunk;

/// What a row of a sheet begins with. Texts have no `<` of their own.
const ROW: &[u8] = b"<row ";

/// Returns the number of rows in all sheets of `file`, each of which has a header.
///
/// # Errors
/// What is wrong with the file, as the end of a sentence.
pub(super) fn count_rows(file: impl Read + Seek) -> Result<u64, String> {
    let mut archive = ZipArchive::new(file).map_err(|error| error.to_string())?;
    let mut rows = 0;
    for index in 0..archive.len() {
        let part = archive.by_index(index);
        let mut part = part.map_err(|error| error.to_string())?;
        let is_sheet = match part.name() {
            Ok(name) => name.starts_with("xl/worksheets/sheet"),
            Err(error) => return Err(error.to_string()),
        };
        if !is_sheet {
            continue;
        }
        let mut matched = 0;
        let mut of_sheet = 0_u64;
        let counted = each_chunk(&mut part, |bytes| {
            for byte in bytes {
                matched = match *byte == ROW[matched] {
                    true => matched + 1,
                    false => usize::from(*byte == ROW[0]),
                };
                if matched == ROW.len() {
                    (matched, of_sheet) = (0, of_sheet + 1);
                }
            }
        });
        counted.map_err(|error| error.to_string())?;
        let without_header = of_sheet.checked_sub(1);
        rows += without_header.ok_or_else(|| "a sheet has no header".to_owned())?;
    }
    Ok(rows)
}
