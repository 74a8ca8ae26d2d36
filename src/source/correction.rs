//! Corrects values that a server sends in another form than their column's
//! metadata or the session says: BIT expressions in digits, and text in another
//! character set. Almost no result has such a column, and then nothing is done.

use std::sync::{Arc, OnceLock};

use mysql::{Column, Value};

use super::{
    bits::{self, Reading, StoredBits},
    charset::{CharacterSet, Decoder},
    columns::{BINARY, NotNullFlags, SET_NAMES_HINT},
};
use crate::{
    error::{Error, ErrorKind, Result},
    schema::{ColumnType, Schema},
};

const NUMBER_HINT: &str =
    "add 0 to it in the query, as in COALESCE(a, b)+0, so that the server sends a number";

/// The first text that may have lost characters, if there is one.
pub(super) type DoubtfulText = Arc<OnceLock<Doubt>>;

/// A text that the server may have converted to a character set that lacks some of its
/// characters, for which it then sends a `?`.
pub(super) struct Doubt {
    /// The error if it has.
    pub error: Error,
    /// Whether the text is right if the server converts to utf8mb4.
    pub allows_utf8mb4: bool,
}

/// What is known of a result's values before its rows.
#[derive(Clone, Copy)]
pub(super) struct ValueContext<'a> {
    pub stored_bits: &'a StoredBits,
    /// Receives the first doubtful text.
    pub doubtful: &'a DoubtfulText,
    /// Whether the statement runs others, as CALL does, which may have changed the
    /// session's character set.
    pub runs_others: bool,
    /// Whether the NOT NULL flags of its columns are true.
    pub not_null_flags: NotNullFlags,
}

/// The corrections of a result's rows.
#[derive(Default)]
pub(super) struct Corrections {
    columns: Vec<Correction>,
    /// The number of rows so far.
    rows: u64,
    doubtful: DoubtfulText,
}

/// The correction of one column.
struct Correction {
    index: usize,
    name: String,
    method: Method,
}

enum Method {
    /// Reads a BIT expression of this width in bits.
    Bits(u32),
    /// Decodes text.
    Text(Decoder),
    /// Looks whether a conversion may have changed MySQL's JSON: its metadata does not
    /// say so.
    Json,
}

impl Corrections {
    /// Chooses the corrections of a result with `columns`.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if a column's character set cannot be decoded.
    pub fn new(columns: &[Column], schema: &Schema, context: ValueContext<'_>) -> Result<Self> {
        let mut corrections = Self {
            doubtful: Arc::clone(context.doubtful),
            ..Self::default()
        };
        for (index, (column, described)) in columns.iter().zip(&schema.columns).enumerate() {
            let method = match described.column_type {
                ColumnType::Bit { .. } => {
                    let width = context.stored_bits.uncertain_width(column);
                    width.map(Method::Bits)
                }
                ColumnType::Json if column.character_set() == BINARY => {
                    context.runs_others.then_some(Method::Json)
                }
                ColumnType::Text | ColumnType::Json => {
                    decoder(column, &described.name)?.map(Method::Text)
                }
                _ => None,
            };
            corrections.columns.extend(method.map(|method| Correction {
                index,
                name: described.name.clone(),
                method,
            }));
        }
        corrections.check_names(schema)?;
        Ok(corrections)
    }

    /// Refuses a name that is not ASCII beside text in another character set: the
    /// server may have sent the name in that one, too.
    fn check_names(&self, schema: &Schema) -> Result<()> {
        let recodes = self
            .columns
            .iter()
            .any(|column| matches!(column.method, Method::Text(_)));
        let mut names = schema.columns.iter().map(|column| &column.name);
        match names.find(|name| recodes && !name.is_ascii()) {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorKind::Query,
                format!("the character set of the column name {name:?} is not known"),
            )
            .with_hint(SET_NAMES_HINT)),
        }
    }

    /// Returns the error for the first doubtful text so far, if there is one.
    pub fn doubtful_text(&self) -> Option<Error> {
        let doubt = self.doubtful.get().filter(|doubt| !doubt.allows_utf8mb4);
        doubt.map(|doubt| doubt.error.clone())
    }

    /// Corrects the values of the next row.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] for a value that can mean several values, or none.
    #[inline]
    pub fn apply(&mut self, row: &mut mysql::Row) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        self.rows += 1;
        for column in &self.columns {
            let Some(Value::Bytes(bytes)) = row.as_ref(column.index) else {
                continue;
            };
            let value = match column.method {
                Method::Bits(width) => column.bits(bytes, width, self.rows)?,
                Method::Text(decoder) => column.text(bytes, decoder, self.rows, &self.doubtful)?,
                Method::Json => {
                    column.check_json(bytes, self.rows, &self.doubtful);
                    continue;
                }
            };
            row.place(column.index, Value::Bytes(value));
        }
        Ok(())
    }
}

/// Returns the decoder of a text column; `None` if its text is UTF-8 already.
fn decoder(column: &Column, name: &str) -> Result<Option<Decoder>> {
    // A collation that is not known may be a new one of utf8mb4. The formats check
    // that the text is UTF-8.
    let Some(set) = CharacterSet::of_collation(column.character_set()) else {
        return Ok(None);
    };
    if set.name == "utf8mb4" || set.name == "binary" {
        return Ok(None);
    }
    match Decoder::of(set.name) {
        Some(decoder) => Ok(Some(decoder)),
        None => Err(Error::new(
            ErrorKind::Query,
            format!(
                "column {name:?} comes in the character set {}, which this version does not decode",
                set.name
            ),
        )
        .with_hint(SET_NAMES_HINT)),
    }
}

impl Correction {
    /// Returns the error that something is wrong with the value in `row`.
    #[cold]
    fn error(&self, row: u64, problem: &str) -> Error {
        let what = format!("row {row}, column {:?}: {problem}", self.name);
        Error::new(ErrorKind::Query, what)
    }

    /// Returns the bits of a BIT expression in eight bytes.
    fn bits(&self, bytes: &[u8], width: u32, row: u64) -> Result<Vec<u8>> {
        match bits::read(bytes, width) {
            Reading::One(value) => Ok(value.to_be_bytes().to_vec()),
            Reading::Several(bits, digits) => {
                let problem = format!(
                    "the server's bytes for this BIT expression can mean {bits} or {digits}"
                );
                Err(self.error(row, &problem).with_hint(NUMBER_HINT))
            }
            Reading::None => {
                let problem = format!("the server's bytes are no value of BIT({width})");
                Err(self.error(row, &problem).with_hint(NUMBER_HINT))
            }
        }
    }

    /// Returns text as UTF-8, and reports it to `doubtful` if it has a `?`.
    fn text(
        &self,
        bytes: &[u8],
        decoder: Decoder,
        row: u64,
        doubtful: &DoubtfulText,
    ) -> Result<Vec<u8>> {
        let Some(text) = decoder.decode(bytes) else {
            let problem = format!("the value cannot be decoded from {}", decoder.name);
            return Err(self.error(row, &problem).with_hint(SET_NAMES_HINT));
        };
        if text.contains('?') {
            let problem = format!(
                "the value came in {}, and its `?` may be a character that {0} lacks",
                decoder.name
            );
            doubtful.get_or_init(|| Doubt {
                error: self.error(row, &problem).with_hint(SET_NAMES_HINT),
                allows_utf8mb4: false,
            });
        }
        Ok(text.into_owned().into_bytes())
    }

    /// Reports JSON to `doubtful` if a conversion may have changed it.
    fn check_json(&self, bytes: &[u8], row: u64, doubtful: &DoubtfulText) {
        if bytes.is_ascii() && !bytes.contains(&b'?') {
            return;
        }
        let problem = "the procedure has chosen a character set in which the JSON may have lost \
             characters";
        doubtful.get_or_init(|| Doubt {
            error: self.error(row, problem).with_hint(SET_NAMES_HINT),
            allows_utf8mb4: true,
        });
    }
}
