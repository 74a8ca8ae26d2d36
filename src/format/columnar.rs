//! The columnar formats, Parquet and Arrow IPC: rows are collected in batches and
//! written column by column, in the types that readers compute with.
//!
//! A value goes straight from the driver's row into the array of its column, without
//! text in between.

use crate::error::{Error, ErrorKind};

#[cfg(feature = "arrow")]
mod arrow;
mod batch;
mod builder;
mod field;
mod geo;
#[cfg(feature = "parquet")]
mod parquet;
mod values;

#[cfg(feature = "arrow")]
pub use arrow::{Arrow, ArrowLayout};
#[cfg(feature = "arrow")]
pub(super) use arrow::{FILE, STREAM};
#[cfg(feature = "parquet")]
pub(super) use parquet::FORMAT;
#[cfg(feature = "parquet")]
pub use parquet::Parquet;

/// Returns the error of an encoder that refuses what it is given.
fn encoding_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("the rows cannot be encoded: {error}");
    Error::new(ErrorKind::Output, message).with_source(error)
}
