//! How the documents of a format are read, for manifests.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::TextOptions;

/// How a reader is set up for the documents of a format: members of a JSON object. Those
/// that Frictionless Data's Table Dialect has are called as there (`delimiter`,
/// `lineTerminator`, `quoteChar`, `nullSequence`, …). `docs/manifest.md` has them all.
///
/// ```
/// use gold_digger::format::{Csv, Format};
///
/// let dialect = serde_json::to_value(Csv::new().delimiter(b';')?.dialect())?;
/// assert_eq!((&dialect["delimiter"], &dialect["header"]), (&";".into(), &true.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dialect(Map<String, Value>);

impl Dialect {
    /// Creates the dialect of text in UTF-8 whose values are written as `text` says.
    #[must_use]
    pub fn of_text(text: &TextOptions) -> Self {
        Self::default()
            .with("encoding", "utf-8")
            .with("binary", text.binary)
            .with("booleans", text.booleans)
            .with("zeroDates", text.zero_dates)
            .with("invalidUtf8", text.invalid_utf8)
    }

    /// Adds the member called `name`. A value that JSON cannot hold is null.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        let value = serde_json::to_value(value).unwrap_or_default();
        self.0.insert(name.to_owned(), value);
        self
    }
}
