//! The Parquet format: rows in groups, column by column, with statistics and an index
//! of pages.
//!
//! A row group is encoded in memory and passed on column by column when it is full.

use std::{
    fs::File,
    io,
    sync::{Arc, Mutex},
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, SchemaRef};
use parquet::{
    arrow::{
        ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata,
        arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves},
    },
    basic::{self, ZstdLevel},
    column::writer::ColumnCloseResult,
    file::{
        metadata::KeyValue,
        properties::{ReaderProperties, WriterProperties, WriterPropertiesBuilder},
        reader::FileReader,
        serialized_reader::{ReadOptionsBuilder, SerializedFileReader},
        writer::SerializedFileWriter,
    },
    schema::types::ColumnPath,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        BuiltIn, DocumentEncoding, DuplicateColumns, EncodeBuffer, Format, Framing, Joining,
        ParquetCompression, RowWriter, TextOptions, ValueError, WideDecimals,
    },
    batch::Batch,
    encoding_error,
    field::{self, Enums, FieldOptions},
    geo,
};
use crate::{
    error::{Error, Result},
    row::Row,
    schema::Schema,
    sync::lock,
};

/// The entry in the table of formats.
pub(in crate::format) static FORMAT: BuiltIn = BuiltIn {
    name: "parquet",
    about: "Apache Parquet: typed columns, compressed, for analysis",
    extensions: &["parquet"],
    encoding: DocumentEncoding::Columnar,
    with_text: |text| {
        Arc::new(Parquet {
            text,
            ..Parquet::default()
        })
    },
};

/// The default size of row groups in bytes.
const ROW_GROUP_SIZE: u64 = 64 << 20;

/// The most rows of a row group (the default of Apache's writers).
const MAX_GROUP_ROWS: usize = 1 << 20;

/// The key of the metadata of geometries (GeoParquet 1.1.0, "File metadata").
const GEO: &str = "geo";

/// The most columns that have dictionaries: each takes memory before its first value.
const MAX_DICTIONARIES: usize = 200;

/// The Parquet format with its options.
///
/// ```
/// use gold_digger::format::{Format, Parquet, ParquetCompression};
///
/// let format = Parquet { compression: ParquetCompression::Snappy, ..Parquet::default() };
/// assert_eq!(format.name(), "parquet");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parquet {
    /// The options for values: what is not UTF-8, zero dates, booleans.
    pub text: TextOptions,
    /// The session's time zone if it is an offset from UTC, such as `+00:00`.
    /// TIMESTAMP columns need it.
    pub time_zone: Option<String>,
    /// The policy for columns with equal names.
    pub duplicate_columns: DuplicateColumns,
    /// What becomes of DECIMALs of more than 38 digits.
    pub wide_decimals: WideDecimals,
    /// How pages are compressed.
    pub compression: ParquetCompression,
    /// The size in bytes that an encoded row group has at most in memory, unless a
    /// single batch of rows is larger.
    pub row_group_size: u64,
    /// The names of columns with a bloom filter.
    pub bloom_filters: Vec<String>,
}

impl Default for Parquet {
    fn default() -> Self {
        Self {
            text: TextOptions::default(),
            time_zone: None,
            duplicate_columns: DuplicateColumns::default(),
            wide_decimals: WideDecimals::default(),
            compression: ParquetCompression::default(),
            row_group_size: ROW_GROUP_SIZE,
            bloom_filters: Vec::new(),
        }
    }
}

impl Format for Parquet {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(ParquetWriter::new(self, schema)?))
    }

    fn framing(&self) -> Framing {
        Framing::Batch
    }

    fn joining(&self) -> Joining {
        Joining::Documents
    }

    fn text_options(&self) -> TextOptions {
        self.text.without_zero_dates()
    }

    fn keeps_facts(&self) -> bool {
        true
    }
}

/// Encodes one result set as Parquet.
struct ParquetWriter {
    batch: Batch,
    file: SerializedFileWriter<Encoded>,
    /// What `file` has written.
    encoded: Encoded,
    groups: ArrowRowGroupWriterFactory,
    /// The columns of the open row group; empty if none is open.
    open: Vec<ArrowColumnWriter>,
    /// The rows of the open row group.
    rows: usize,
    /// The bytes that its columns took before the first row.
    fixed_bytes: usize,
    max_bytes: u64,
    /// What the documents that are joined say of their geometries.
    joined_geo: Vec<String>,
}

/// Bytes that wait to be passed on, in pieces so that they are not moved when they
/// become many.
#[derive(Clone, Default)]
struct Encoded(Arc<Mutex<Vec<Vec<u8>>>>);

/// The capacity of a piece in bytes.
const PIECE: usize = 64 << 10;

impl io::Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut pieces = lock(&self.0);
        match pieces.last_mut() {
            Some(piece) if piece.len() + bytes.len() <= piece.capacity() => {
                piece.extend_from_slice(bytes);
            }
            _ => {
                let mut piece = Vec::with_capacity(bytes.len().max(PIECE));
                piece.extend_from_slice(bytes);
                pieces.push(piece);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoded {
    /// Passes on what waits.
    fn pass_on(&self, out: &mut EncodeBuffer<'_>) {
        let pieces = std::mem::take(&mut *lock(&self.0));
        for piece in pieces {
            out.extend(&piece);
        }
    }
}

impl ParquetWriter {
    fn new(format: &Parquet, schema: &Schema) -> Result<Self> {
        let options = FieldOptions {
            format: FORMAT.name,
            text: format.text_options(),
            time_zone: format.time_zone.as_deref(),
            duplicate_columns: format.duplicate_columns,
            wide_decimals: format.wide_decimals,
            enums: Enums::Dictionary,
        };
        let batch = field::batch(schema, options)?;
        let arrow = batch.schema();
        let mut properties = properties(format, arrow)?.build();
        add_encoded_arrow_schema_to_metadata(arrow, &mut properties);
        let converter = ArrowSchemaConverter::new();
        let described = converter.convert(arrow).map_err(encoding_error)?;
        let encoded = Encoded::default();
        let file = SerializedFileWriter::new(
            encoded.clone(),
            described.root_schema_ptr(),
            Arc::new(properties),
        );
        let file = file.map_err(encoding_error)?;
        Ok(Self {
            groups: ArrowRowGroupWriterFactory::new(&file, Arc::clone(arrow)),
            batch,
            file,
            encoded,
            open: Vec::new(),
            rows: 0,
            fixed_bytes: 0,
            joined_geo: Vec::new(),
            max_bytes: format.row_group_size,
        })
    }

    /// Adds a batch to the open row group, and closes that once it is large enough.
    fn add(&mut self, batch: &RecordBatch, out: &mut EncodeBuffer<'_>) -> Result<()> {
        if self.open.is_empty() {
            let index = self.file.flushed_row_groups().len();
            let columns = self.groups.create_column_writers(index);
            self.open = columns.map_err(encoding_error)?;
            self.fixed_bytes = self.group_bytes();
        }
        let mut writers = self.open.iter_mut();
        for (field, column) in self.batch.schema().fields().iter().zip(batch.columns()) {
            let leaves = compute_leaves(field, column).map_err(encoding_error)?;
            for (leaf, writer) in leaves.iter().zip(&mut writers) {
                writer.write(leaf).map_err(encoding_error)?;
            }
        }
        self.rows += batch.num_rows();
        let bytes = self.group_bytes().saturating_sub(self.fixed_bytes);
        if bytes as u64 >= self.max_bytes || self.rows >= MAX_GROUP_ROWS {
            self.close_group(out)?;
        }
        Ok(())
    }

    /// The bytes of the open row group in memory.
    fn group_bytes(&self) -> usize {
        self.open.iter().map(ArrowColumnWriter::memory_size).sum()
    }

    /// Writes the open row group, and passes on each column by itself: no second copy of
    /// the group is in memory.
    fn close_group(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        let mut group = self.file.next_row_group().map_err(encoding_error)?;
        for writer in self.open.drain(..) {
            let chunk = writer.close().map_err(encoding_error)?;
            chunk
                .append_to_row_group(&mut group)
                .map_err(encoding_error)?;
            self.encoded.pass_on(out);
        }
        group.close().map_err(encoding_error)?;
        self.encoded.pass_on(out);
        self.rows = 0;
        Ok(())
    }
}

impl RowWriter for ParquetWriter {
    fn describe(&mut self, facts: &[(&'static str, String)]) {
        for (name, value) in facts {
            let entry = KeyValue::new(format!("gold_digger.{name}"), value.clone());
            self.file.append_key_value_metadata(entry);
        }
    }

    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        self.encoded.pass_on(out);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, _: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        self.batch.push(row)
    }

    fn is_batch_full(&self) -> bool {
        self.batch.is_full()
    }

    fn write_batch(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        match self.batch.take()? {
            Some(batch) => self.add(&batch, out),
            None => Ok(()),
        }
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        self.write_batch(out)?;
        if !self.open.is_empty() {
            self.close_group(out)?;
        }
        let geo = match &self.joined_geo[..] {
            [] => geo::parquet_metadata(self.batch.srids()),
            joined => geo::joined(joined).0,
        };
        if let Some(geo) = geo {
            let entry = KeyValue::new(GEO.to_owned(), geo);
            self.file.append_key_value_metadata(entry);
        }
        self.file.finish().map_err(encoding_error)?;
        self.encoded.pass_on(out);
        Ok(())
    }

    /// Takes over the row groups of the document as they are, with their statistics, page
    /// indexes and bloom filters, column by column.
    fn append_document(&mut self, file: &File, out: &mut EncodeBuffer<'_>) -> Result<()> {
        let with_filters = ReaderProperties::builder().set_read_bloom_filter(true);
        let options = ReadOptionsBuilder::new()
            .with_page_index()
            .with_reader_properties(with_filters.build());
        let copy = file.try_clone().map_err(encoding_error)?;
        let reader = SerializedFileReader::new_with_options(copy, options.build());
        let reader = reader.map_err(encoding_error)?;
        let metadata = reader.metadata();
        let facts = metadata.file_metadata().key_value_metadata();
        let geo = facts.into_iter().flatten().find(|fact| fact.key == GEO);
        self.joined_geo
            .extend(geo.and_then(|fact| fact.value.clone()));
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let columns = reader.get_row_group(index).map_err(encoding_error)?;
            let pages = metadata.page_index();
            let mut writer = self.file.next_row_group().map_err(encoding_error)?;
            for (column, facts) in group.columns().iter().enumerate() {
                let chunk = ColumnCloseResult {
                    bytes_written: facts.compressed_size().cast_unsigned(),
                    rows_written: group.num_rows().cast_unsigned(),
                    metadata: facts.clone(),
                    bloom_filter: columns.get_column_bloom_filter(column).cloned(),
                    column_index: pages
                        .and_then(|pages| pages.column_index(index, column))
                        .cloned(),
                    offset_index: pages
                        .and_then(|pages| pages.offset_index(index, column))
                        .cloned(),
                };
                writer.append_column(file, chunk).map_err(encoding_error)?;
                self.encoded.pass_on(out);
            }
            writer.close().map_err(encoding_error)?;
            self.encoded.pass_on(out);
        }
        Ok(())
    }

    fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    fn buffered(&self) -> usize {
        self.batch.bytes() + self.group_bytes()
    }

    fn column_formats(&self) -> Vec<String> {
        field::descriptions(&self.batch)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.batch.warnings();
        warnings.extend(geo::mixed_srids(self.batch.srids()));
        warnings.extend(geo::joined(&self.joined_geo).1);
        warnings
    }
}

/// The settings of Apache's writer.
fn properties(format: &Parquet, schema: &SchemaRef) -> Result<WriterPropertiesBuilder> {
    let compression = match format.compression {
        ParquetCompression::None => basic::Compression::UNCOMPRESSED,
        ParquetCompression::Snappy => basic::Compression::SNAPPY,
        ParquetCompression::Lz4 => basic::Compression::LZ4_RAW,
        ParquetCompression::Zstd(level) => {
            let level = ZstdLevel::try_new(level.into()).map_err(encoding_error)?;
            basic::Compression::ZSTD(level)
        }
    };
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(None)
        .set_created_by(
            concat!(
                env!("CARGO_PKG_NAME"),
                " version ",
                env!("CARGO_PKG_VERSION")
            )
            .to_owned(),
        );
    if schema.fields().len() > MAX_DICTIONARIES {
        properties = properties.set_dictionary_enabled(false);
    }
    for field in schema.fields() {
        // Long values are rarely equal, and would be kept twice.
        if matches!(field.data_type(), DataType::Binary) {
            properties = properties.set_column_dictionary_enabled(path(field.name()), false);
        }
    }
    for name in &format.bloom_filters {
        let mut fields = schema.fields().iter();
        let field = fields.find(|field| field.name() == name);
        let problem = match field.map(|field| field.data_type().is_nested()) {
            Some(false) => None,
            Some(true) => Some("names a column of lists, which have none"),
            None => Some("names no column of the result"),
        };
        if let Some(problem) = problem {
            let what = format!("--parquet-bloom {name:?} {problem}");
            return Err(Error::config(what).with_hint("names are compared to the letter"));
        }
        properties = properties.set_column_bloom_filter_enabled(path(name), true);
    }
    Ok(properties)
}

fn path(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}
