//! Counts the rows of binary files, whose bytes are already known to be those that
//! were written.

use std::fs::File;

/// Returns the number of rows in `file`; `None` if the format is none of these.
///
/// # Errors
/// What is wrong with the file, as the end of a sentence.
#[cfg_attr(
    not(any(feature = "arrow", feature = "parquet", feature = "xlsx")),
    expect(unused_variables, reason = "there is no binary format")
)]
pub(super) fn count_rows(file: &File, format: &str) -> Option<Result<u64, String>> {
    match format {
        #[cfg(feature = "parquet")]
        "parquet" => Some(parquet_rows(file)),
        #[cfg(feature = "arrow")]
        "arrow" => Some(
            arrow_ipc::reader::FileReader::try_new(buffered(file), None)
                .map_err(|error| error.to_string())
                .and_then(sum_of_batches),
        ),
        #[cfg(feature = "arrow")]
        "arrow-stream" => Some(
            arrow_ipc::reader::StreamReader::try_new(buffered(file), None)
                .map_err(|error| error.to_string())
                .and_then(sum_of_batches),
        ),
        #[cfg(feature = "xlsx")]
        "xlsx" => Some(super::xlsx::count_rows(buffered(file))),
        _ => None,
    }
}

#[cfg(any(feature = "arrow", feature = "xlsx"))]
fn buffered(file: &File) -> std::io::BufReader<&File> {
    std::io::BufReader::with_capacity(crate::format::CHUNK, file)
}

/// Reads the number of rows in the footer.
#[cfg(feature = "parquet")]
fn parquet_rows(file: &File) -> Result<u64, String> {
    use parquet::file::metadata::ParquetMetaDataReader;

    let metadata = ParquetMetaDataReader::new().parse_and_finish(file);
    let rows = metadata
        .map_err(|error| error.to_string())?
        .file_metadata()
        .num_rows();
    u64::try_from(rows).map_err(|_| "its footer has a negative number of rows".to_owned())
}

#[cfg(feature = "arrow")]
fn sum_of_batches(
    batches: impl Iterator<Item = Result<arrow_array::RecordBatch, arrow_schema::ArrowError>>,
) -> Result<u64, String> {
    let rows = batches.map(|batch| Ok(batch?.num_rows() as u64));
    let sum: Result<u64, arrow_schema::ArrowError> = rows.sum();
    sum.map_err(|error| error.to_string())
}
