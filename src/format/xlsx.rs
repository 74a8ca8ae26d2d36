//! The xlsx format (Office Open XML, ECMA-376): a workbook for Excel and other
//! spreadsheets, whose values are numbers, dates, truths and texts, and never formulas.
//!
//! The crate `rust_xlsxwriter` keeps the rows of each sheet in a temporary file, and
//! makes a ZIP of the sheets at the end.

use std::{
    env,
    io::{BufWriter, Read, Seek, Write},
    sync::Arc,
};

use rust_xlsxwriter::{DocProperties, ExcelDateTime, IgnoreError, Workbook, Worksheet, XlsxError};
use serde::{Deserialize, Serialize};

use self::cell::{Altered, Column, Content};
use super::{
    BuiltIn, CHUNK, DocumentEncoding, EncodeBuffer, Format, Framing, Header, RowWriter,
    TextOptions, ValueError, column::ValueProblem,
};
use crate::{
    error::{Error, ErrorKind, Result},
    panics::{Panic, catch_panic},
    row::Row,
    schema::Schema,
};

mod cell;

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "xlsx",
    about: "a workbook for Excel and other spreadsheets",
    extensions: &["xlsx"],
    encoding: DocumentEncoding::Binary,
    with_text: |text| {
        Arc::new(Xlsx {
            text,
            ..Xlsx::default()
        })
    },
};

/// The most rows and columns of a sheet (Microsoft, "Excel specifications and limits").
const MAX_ROWS: u32 = 1 << 20;
const MAX_COLUMNS: usize = 1 << 14;

/// The number of bytes from which on the parts of a ZIP need its 64-bit form. A sheet is
/// estimated from above.
const LARGE: u64 = u32::MAX as u64;

/// What a cell takes at most beside its text, and with its part of the row.
const CELL_BYTES: u64 = 128;

/// What a number takes at most that is far from 1, as all its zeros are written.
const LONG_NUMBER_BYTES: u64 = 350;

/// What a character takes at most: `_x0001_`.
const ESCAPED_BYTES: u64 = 7;

const TOO_LONG: ValueProblem = ValueProblem::new(
    "has more than the 32,767 characters that a cell holds",
    "shorten it in the query, for example LEFT(a, 32767), leave the column out, or choose another format",
);

/// The xlsx format with its options.
///
/// ```
/// use gold_digger::format::{Format, FullSheet, Xlsx};
///
/// let format = Xlsx { full_sheet: FullSheet::Split, ..Xlsx::default() };
/// assert_eq!(format.name(), "xlsx");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Xlsx {
    /// The options for values.
    pub text: TextOptions,
    /// What becomes of rows that a sheet has no place for.
    pub full_sheet: FullSheet,
}

/// What becomes of the rows after the first 1,048,575, which a sheet has no place for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullSheet {
    /// The first of them is an error.
    #[default]
    Error,
    /// They are in further sheets.
    Split,
}

impl Format for Xlsx {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(XlsxWriter::new(self, schema, MAX_ROWS)?))
    }

    fn framing(&self) -> Framing {
        Framing::Batch
    }

    fn header(&self) -> Header {
        Header::Names
    }

    fn text_options(&self) -> TextOptions {
        self.text
    }
}

/// Encodes one result set as a workbook.
struct XlsxWriter {
    book: Workbook,
    columns: Vec<Column>,
    full_sheet: FullSheet,
    /// The most rows of a sheet, with its header.
    max_rows: u32,
    /// The index of the open sheet.
    sheet: usize,
    /// The index of the next row in it.
    next_row: u32,
    /// The text of a value.
    scratch: Vec<u8>,
    altered: Altered,
    /// The size of the sheets in bytes, estimated from above.
    bytes: u64,
    /// What a row has failed by, beside its values.
    failed: Option<Error>,
}

impl XlsxWriter {
    fn new(format: &Xlsx, schema: &Schema, max_rows: u32) -> Result<Self> {
        let columns = schema.columns.len();
        if columns > MAX_COLUMNS {
            let what = format!("the result has {columns} columns, and a sheet {MAX_COLUMNS}");
            return Err(Error::config(what).with_hint("leave some out, or choose another format"));
        }
        let mut book = Workbook::new();
        // The same rows are the same bytes, whenever they are written.
        let created = ExcelDateTime::from_ymd(2000, 1, 1).map_err(|error| book_error(&error))?;
        book.set_properties(&DocProperties::new().set_creation_datetime(&created));
        check_names(schema)?;
        let columns = schema.columns.iter().zip(0..);
        let columns = columns.map(|(column, index)| Column::new(index, column, format.text));
        let mut writer = Self {
            book,
            columns: columns.collect(),
            full_sheet: format.full_sheet,
            max_rows,
            sheet: 0,
            next_row: 0,
            scratch: Vec::new(),
            altered: Altered::default(),
            bytes: 0,
            failed: None,
        };
        add_sheet(&mut writer.book, &writer.columns).map_err(|error| book_error(&error))?;
        writer.next_row = 1;
        Ok(writer)
    }

    /// Writes `row` into the open sheet, or into a further one where that is full.
    fn write(&mut self, row: Row<'_>) -> Result<(), Failure> {
        if self.next_row == self.max_rows {
            if self.full_sheet == FullSheet::Error {
                return Err(Failure::Book(full(self.max_rows)));
            }
            add_sheet(&mut self.book, &self.columns)?;
            self.sheet += 1;
            self.next_row = 1;
        }
        let sheet = self.book.worksheet_from_index(self.sheet)?;
        let mut is_empty = true;
        for (column, index) in self.columns.iter_mut().zip(0..) {
            let content = column.content(row, &mut self.scratch, &mut self.altered);
            let content = content.map_err(ValueError::at(usize::from(index)))?;
            let place = (self.next_row, index);
            self.bytes += CELL_BYTES;
            is_empty &= content == Content::Empty;
            write_cell(sheet, place, &content).map_err(|error| match error {
                XlsxError::MaxStringLengthExceeded => {
                    Failure::Value(ValueError::at(usize::from(index))(TOO_LONG))
                }
                error => error.into(),
            })?;
            self.bytes += match content {
                Content::Text(text) => ESCAPED_BYTES * text.len() as u64,
                Content::Number(number) if is_far_from_1(number) => LONG_NUMBER_BYTES,
                _ => 0,
            };
        }
        if is_empty {
            // A row without cells would not be there.
            sheet.write_blank(self.next_row, 0, &rust_xlsxwriter::Format::default())?;
        }
        self.next_row += 1;
        Ok(())
    }
}

impl RowWriter for XlsxWriter {
    fn row(&mut self, row: Row<'_>, _: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        // The crate panics where its temporary file cannot be written.
        match catch_panic(|| self.write(row)).unwrap_or_else(|panic| Err(panic.into())) {
            Ok(()) => Ok(()),
            Err(Failure::Value(error)) => Err(error),
            Err(Failure::Book(error)) => {
                self.failed = Some(error);
                Ok(())
            }
        }
    }

    fn is_batch_full(&self) -> bool {
        self.failed.is_some()
    }

    fn write_batch(&mut self, _: &mut EncodeBuffer<'_>) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        self.write_batch(out)?;
        let mut file = tempfile::tempfile().map_err(temporary_error)?;
        self.book.use_zip_large_file(self.bytes > LARGE);
        let saved = catch_panic(|| {
            let mut buffered = BufWriter::with_capacity(CHUNK, &file);
            self.book.save_to_writer(&mut buffered)?;
            buffered.flush().map_err(XlsxError::from)
        });
        let saved = saved.map_err(|panic| panic_error(&panic))?;
        saved.map_err(|error| book_error(&error))?;
        file.rewind().map_err(temporary_error)?;
        let mut piece = vec![0; CHUNK];
        loop {
            let length = file.read(&mut piece).map_err(temporary_error)?;
            if length == 0 {
                return Ok(());
            }
            out.extend(&piece[..length]);
        }
    }

    fn column_formats(&self) -> Vec<String> {
        let formats = self.columns.iter().map(|column| column.description());
        formats.map(str::to_owned).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.altered.warnings(&self.columns)
    }
}

/// Refuses a name that would be read as another one, as such a text is.
fn check_names(schema: &Schema) -> Result<()> {
    let mut columns = schema.columns.iter().zip(1..);
    match columns.find(|(column, _)| cell::is_ambiguous(&column.name)) {
        None => Ok(()),
        Some((column, number)) => {
            let what = format!(
                "the name of column {number} has a control character behind `_x` and four \
                 hexadecimal digits, which xlsx cannot tell from an escape: {:?}",
                column.name
            );
            Err(Error::config(what).with_hint("name it otherwise with AS"))
        }
    }
}

/// Adds a sheet with the names of `columns` in its first row, which stays where it is
/// when the others are scrolled.
fn add_sheet(book: &mut Workbook, columns: &[Column]) -> Result<(), XlsxError> {
    let sheet = book.add_worksheet_with_constant_memory()?;
    for (column, index) in columns.iter().zip(0..) {
        sheet.set_column_width(index, column.width())?;
        sheet.set_column_format(index, column.format())?;
        let header = rust_xlsxwriter::Format::new()
            .set_bold()
            .set_num_format("@");
        match column.name() {
            "" => sheet.write_blank(0, index, &header)?,
            name => sheet.write_string_with_format(0, index, name, &header)?,
        };
        // Texts of digits are meant.
        sheet.ignore_error_range(
            0,
            index,
            MAX_ROWS - 1,
            index,
            IgnoreError::NumberStoredAsText,
        )?;
    }
    sheet.set_freeze_panes(1, 0)?;
    Ok(())
}

/// Whether all digits of `number` with their zeros are many.
fn is_far_from_1(number: f64) -> bool {
    number != 0.0 && !(1e-15..1e15).contains(&number.abs())
}

/// Writes a value. Texts are written as strings, whatever they look like.
fn write_cell(
    sheet: &mut Worksheet,
    (row, column): (u32, u16),
    content: &Content<'_>,
) -> Result<(), XlsxError> {
    match content {
        Content::Empty => {}
        Content::Number(number) => {
            sheet.write_number(row, column, *number)?;
        }
        Content::Truth(truth) => {
            sheet.write_boolean(row, column, *truth)?;
        }
        Content::Text(text) => {
            sheet.write_string(row, column, &**text)?;
        }
    }
    Ok(())
}

/// What a row fails by.
enum Failure {
    Value(ValueError),
    Book(Error),
}

impl From<ValueError> for Failure {
    fn from(error: ValueError) -> Self {
        Self::Value(error)
    }
}

impl From<XlsxError> for Failure {
    fn from(error: XlsxError) -> Self {
        Self::Book(book_error(&error))
    }
}

impl From<Panic> for Failure {
    fn from(panic: Panic) -> Self {
        Self::Book(panic_error(&panic))
    }
}

/// Returns the error of a sheet that has `rows` rows.
fn full(rows: u32) -> Error {
    let message = format!(
        "the result has more than {} rows, which is all that a sheet holds below its header",
        rows - 1
    );
    Error::new(ErrorKind::Query, message)
        .with_hint("--xlsx-split goes on in a further sheet; other formats have no such limit")
}

/// Returns the error of the crate.
fn book_error(error: &XlsxError) -> Error {
    match error {
        XlsxError::TempFileError(_, error) | XlsxError::IoError(error) => temporary_error(error),
        error => Error::new(
            ErrorKind::Output,
            format!("the workbook cannot be written: {error}"),
        ),
    }
}

/// Returns the error of the crate where it panics: its temporary file could not be
/// written.
fn panic_error(panic: &Panic) -> Error {
    temporary_error(panic.0.as_deref().unwrap_or("the reason is not known"))
}

fn temporary_error(problem: impl std::fmt::Display) -> Error {
    let folder = env::temp_dir();
    let message = format!(
        "the workbook's temporary file in {} cannot be written: {problem}",
        folder.display()
    );
    Error::new(ErrorKind::Output, message)
        .with_hint("make room there, or name another folder by the variable TMPDIR")
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{
        row::{MemoryRow, Value},
        schema::{self, ColumnType},
    };

    /// The sheets of a workbook with `rows` texts, where a sheet has at most three rows.
    fn sheets(full_sheet: FullSheet, rows: usize) -> Result<Vec<String>> {
        let schema = Schema {
            columns: vec![schema::Column::new("a", "TEXT", ColumnType::Text)],
        };
        let format = Xlsx {
            full_sheet,
            ..Xlsx::default()
        };
        let mut writer = XlsxWriter::new(&format, &schema, 3)?;
        let mut bytes = Vec::new();
        let mut out = EncodeBuffer::unbounded(&mut bytes);
        writer.start(&mut out)?;
        for number in 0..rows {
            let text = format!("<{number}");
            let row = MemoryRow::new(&[Value::Bytes(text.as_bytes())]);
            assert_eq!(writer.row(row.view(), &mut out), Ok(()));
            if writer.is_batch_full() {
                writer.write_batch(&mut out)?;
            }
        }
        writer.finish(&mut out)?;
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).expect("a ZIP");
        let names = archive.file_names().map(|name| name.expect("a name"));
        let names: Vec<_> = names.map(|name| name.into_owned()).collect();
        let sheets = names.iter().filter(|name| name.contains("worksheets/"));
        let sheets = sheets.map(|name| {
            let mut text = String::new();
            let mut part = archive.by_name(name).expect("a part");
            part.read_to_string(&mut text).expect("a text");
            text
        });
        Ok(sheets.collect())
    }

    #[test]
    fn a_sheet_that_is_full_is_followed_or_an_error() {
        let count = |sheets: Vec<String>| {
            let rows = |sheet: &String| sheet.matches("<row ").count();
            sheets.iter().map(rows).collect::<Vec<_>>()
        };
        for full_sheet in [FullSheet::Error, FullSheet::Split] {
            assert_eq!(count(sheets(full_sheet, 0).expect("a workbook")), [1]);
            assert_eq!(count(sheets(full_sheet, 2).expect("a workbook")), [3]);
        }
        let split = sheets(FullSheet::Split, 5).expect("a workbook");
        assert!(split[2].contains("&lt;4</t>"), "{}", split[2]);
        assert_eq!(count(split), [3, 3, 2]);
        let error = sheets(FullSheet::Error, 3).expect_err("too many rows");
        assert_eq!(error.kind(), ErrorKind::Query);
        assert!(error.message().contains("more than 2 rows"), "{error}");
    }

    #[test]
    fn a_result_with_more_columns_than_a_sheet_is_refused() {
        let column = schema::Column::new("a", "TEXT", ColumnType::Text);
        let open = |count| {
            let columns = vec![column.clone(); count];
            XlsxWriter::new(&Xlsx::default(), &Schema { columns }, MAX_ROWS).map(drop)
        };
        assert!(open(MAX_COLUMNS).is_ok());
        let error = open(MAX_COLUMNS + 1).expect_err("too many columns");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}
