//! The built-in formats as a stored plan has them: a name and options. They are
//! apart from the table of formats, so that a program that stores no plan does
//! not contain this code.

use std::{any::Any, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::Value;

#[cfg(feature = "arrow")]
use super::Arrow;
#[cfg(feature = "parquet")]
use super::Parquet;
#[cfg(feature = "xlsx")]
use super::Xlsx;
use super::{Csv, Format, Json, Markdown, Sql, Table, Tsv};

#[derive(Serialize, Deserialize)]
struct Stored {
    name: String,
    options: Value,
}

/// Stores a built-in format.
///
/// # Errors
/// Where the format is not a built-in one.
pub fn serialize<S: Serializer>(
    format: &Arc<dyn Format>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let any: &dyn Any = &**format;
    let options = options::<Csv>(any)
        .or_else(|| options::<Tsv>(any))
        .or_else(|| options::<Json>(any))
        .or_else(|| options::<Sql>(any))
        .or_else(|| options::<Markdown>(any))
        .or_else(|| options::<Table>(any));
    #[cfg(feature = "parquet")]
    let options = options.or_else(|| self::options::<Parquet>(any));
    #[cfg(feature = "arrow")]
    let options = options.or_else(|| self::options::<Arrow>(any));
    #[cfg(feature = "xlsx")]
    let options = options.or_else(|| self::options::<Xlsx>(any));
    let name = format.name().to_owned();
    let unknown = || S::Error::custom(format!("the format {name:?} is not built in"));
    let options = options.ok_or_else(unknown)?.map_err(S::Error::custom)?;
    Stored { name, options }.serialize(serializer)
}

fn options<F: Serialize + 'static>(format: &dyn Any) -> Option<serde_json::Result<Value>> {
    format.downcast_ref::<F>().map(serde_json::to_value)
}

/// Reads a stored format.
///
/// # Errors
/// Where there is no such format, or where its options are wrong.
pub fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Arc<dyn Format>, D::Error> {
    let Stored { name, options } = Stored::deserialize(deserializer)?;
    let format: serde_json::Result<Arc<dyn Format>> = match name.as_str() {
        "csv" => serde_json::from_value::<Csv>(options).map(|format| Arc::new(format) as _),
        "tsv" => serde_json::from_value::<Tsv>(options).map(|format| Arc::new(format) as _),
        "json" | "ndjson" => {
            serde_json::from_value::<Json>(options).map(|format| Arc::new(format) as _)
        }
        "sql" => serde_json::from_value::<Sql>(options).map(|format| Arc::new(format) as _),
        "markdown" => {
            serde_json::from_value::<Markdown>(options).map(|format| Arc::new(format) as _)
        }
        "table" | "vertical" => {
            serde_json::from_value::<Table>(options).map(|format| Arc::new(format) as _)
        }
        #[cfg(feature = "parquet")]
        "parquet" => serde_json::from_value::<Parquet>(options).map(|format| Arc::new(format) as _),
        #[cfg(feature = "arrow")]
        "arrow" | "arrow-stream" => {
            serde_json::from_value::<Arrow>(options).map(|format| Arc::new(format) as _)
        }
        #[cfg(feature = "xlsx")]
        "xlsx" => serde_json::from_value::<Xlsx>(options).map(|format| Arc::new(format) as _),
        name => {
            return Err(D::Error::custom(format!(
                "there is no built-in format {name:?}"
            )));
        }
    };
    format.map_err(D::Error::custom)
}
