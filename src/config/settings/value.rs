//! Values of settings: parsed once, and typed for the code that uses them.

use std::{any::Any, ffi::OsString, fmt, path::PathBuf, sync::Arc};

use secrecy::SecretString;
use serde_json::{Value as Json, json};

use crate::sql::Parameter;

const HIDDEN: &str = "***";

/// A parsed value. The [`Key`](super::Key) of its setting knows its type.
#[derive(Clone, Debug)]
pub struct Value {
    parsed: Arc<dyn Any + Send + Sync>,
    /// The value as `--dump-config` shows it: never a secret.
    shown: Json,
}

impl Value {
    pub(in crate::config) fn new<T: Any + Send + Sync>(parsed: T, shown: Json) -> Self {
        Self {
            parsed: Arc::new(parsed),
            shown,
        }
    }

    /// The value as a `T`; `None` if it is of another type.
    pub(in crate::config) fn get<T: Any>(&self) -> Option<&T> {
        self.parsed.downcast_ref()
    }

    /// The value as `--dump-config` shows it.
    pub(in crate::config) fn shown(&self) -> &Json {
        &self.shown
    }

    /// The value with `shown` in the place of its text.
    pub(super) fn shown_as(self, shown: Json) -> Self {
        Self { shown, ..self }
    }
}

impl From<bool> for Value {
    fn from(is_on: bool) -> Self {
        Self::new(is_on, json!(is_on))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        let shown = json!(text);
        Self::new(text, shown)
    }
}

impl From<SecretString> for Value {
    fn from(secret: SecretString) -> Self {
        Self::new(secret, json!(HIDDEN))
    }
}

impl From<PathBuf> for Value {
    fn from(path: PathBuf) -> Self {
        let shown = json!(path.to_string_lossy());
        Self::new(path, shown)
    }
}

impl From<Vec<Parameter>> for Value {
    fn from(parameters: Vec<Parameter>) -> Self {
        // Their values may be personal.
        Self::new(parameters, Json::Null)
    }
}

impl From<OsString> for Value {
    fn from(text: OsString) -> Self {
        let shown = json!(text.to_string_lossy());
        Self::new(text, shown)
    }
}

/// Parses the text of a setting. Every function from `&str` to `Result<T, String>`
/// is one; the error is a sentence of its own.
pub trait Parser: Sync {
    /// Parses `text` as a value of type `T`.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn parse(&self, text: &str) -> Result<Value, String>;
}

impl<T, F> Parser for F
where
    T: Any + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    fn parse(&self, text: &str) -> Result<Value, String> {
        let parsed = Arc::new(self(text)?);
        Ok(shown_as_text(parsed, text))
    }
}

/// Not generic, as there are some fifty parsers.
fn shown_as_text(parsed: Arc<dyn Any + Send + Sync>, text: &str) -> Value {
    Value {
        parsed,
        shown: json!(text),
    }
}

/// Parses the texts of a setting that is a list. Every function from `&str` to
/// `Result<T, String>` is one.
pub trait ListParser: Sync {
    /// Parses `text` as a `Vec<T>` of one item.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn parse_item(&self, text: &str) -> Result<Value, String>;

    /// An empty `Vec<T>`.
    fn empty_list(&self) -> Value;

    /// The items of `list` and those of `more`, both a `Vec<T>`.
    fn concat(&self, list: &Value, more: &Value) -> Value;
}

impl<T, F> ListParser for F
where
    T: Any + Clone + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    fn parse_item(&self, text: &str) -> Result<Value, String> {
        Ok(Value::new(vec![self(text)?], json!([text])))
    }

    fn empty_list(&self) -> Value {
        Value::new(Vec::<T>::new(), json!([]))
    }

    fn concat(&self, list: &Value, more: &Value) -> Value {
        let items = |list: &Value| list.get::<Vec<T>>().cloned().unwrap_or_default();
        let shown = |list: &Value| list.shown.as_array().cloned().unwrap_or_default();
        Value::new(
            [items(list), items(more)].concat(),
            Json::Array([shown(list), shown(more)].concat()),
        )
    }
}

impl fmt::Debug for dyn Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parser")
    }
}

impl fmt::Debug for dyn ListParser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListParser")
    }
}
