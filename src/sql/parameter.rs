//! The values of a query's `:name` parameters: texts and lists of texts.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::lexer::parameter_name_length;

/// The value for each `:name` of a statement.
///
/// ```
/// use gold_digger::sql::{Dialect, Parameter, Query};
///
/// let query = Query::parse("SELECT * FROM orders WHERE day = :day AND shop IN (:shops)")?;
/// let day: Parameter = "day=2026-11-21".parse()?;
/// let shops: Parameter = "shops=[7, 8]".parse()?;
/// let bound = query.bind(Dialect::default(), &[day, shops])?;
/// assert_eq!(
///     bound.sql,
///     "SELECT * FROM orders WHERE day = '2026-11-21' AND shop IN ('7', '8')"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name, without the colon: ASCII letters, digits and `_`, not beginning
    /// with a digit.
    pub name: String,
    /// The value. It may be personal data, so `Debug` hides it.
    pub value: ParameterValue,
}

/// The value of a parameter.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// One value, a text.
    Text(String),
    /// The values of an `IN (…)` list, each a text; never empty.
    List(Vec<String>),
    /// An expression, which is put between parentheses. No user gives one.
    Expression {
        /// Its text in SQL.
        sql: String,
    },
}

impl ParameterValue {
    /// The values, one for each literal.
    #[must_use]
    pub fn texts(&self) -> &[String] {
        match self {
            Self::Text(text) | Self::Expression { sql: text } => std::slice::from_ref(text),
            Self::List(texts) => texts,
        }
    }

    /// Creates a list of `texts`.
    ///
    /// # Errors
    /// If there is none: SQL has no empty `IN (…)` list.
    pub fn list(texts: Vec<String>) -> Result<Self, &'static str> {
        if texts.is_empty() {
            return Err("the list is empty, and SQL has no empty IN (…) list");
        }
        Ok(Self::List(texts))
    }
}

impl From<&str> for ParameterValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for ParameterValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Parameter {
    /// Creates the parameter called `name`.
    ///
    /// # Errors
    /// If that is no name.
    pub fn new(name: &str, value: ParameterValue) -> Result<Self, &'static str> {
        if name.is_empty() || parameter_name_length(name.as_bytes()) != name.len() {
            return Err("a name has letters, digits and underscores, and begins with no digit");
        }
        Ok(Self {
            name: name.to_owned(),
            value,
        })
    }
}

impl Parameter {
    /// Creates the parameter called `name`, one of this program's own, which stands for the
    /// expression `sql`.
    pub(crate) fn expression(name: &str, sql: impl Into<String>) -> Self {
        let sql = sql.into();
        Self {
            name: name.to_owned(),
            value: ParameterValue::Expression { sql },
        }
    }
}

/// Parses `NAME=VALUE`. A value that begins with `[` is a list, in the form of JSON.
impl FromStr for Parameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once('=')
            .ok_or("it has no '='; write NAME=VALUE")?;
        let value = match value.starts_with('[') {
            true => parse_list(value)?,
            false => value.into(),
        };
        Self::new(name, value)
    }
}

/// Parses a list of texts and whole numbers, which is written as JSON.
fn parse_list(text: &str) -> Result<ParameterValue, &'static str> {
    let items: Vec<Json> = serde_json::from_str(text).map_err(
        |_| "a list is written as [1, 2] or [\"a\", \"b\"], and a text that begins with [ as [\"[…\"]",
    )?;
    let text = |item| match item {
        Json::String(text) => Ok(text),
        Json::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(ITEMS),
    };
    ParameterValue::list(items.into_iter().map(text).collect::<Result<_, _>>()?)
}

/// What a list holds.
pub(crate) const ITEMS: &str = "a list holds texts in quotes and whole numbers";

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

impl fmt::Debug for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
