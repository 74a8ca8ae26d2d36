//! Replaces the `:name` parameters of a query by the `?` of the protocol.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Query, QuotingMode, Statement, lexer::parameter_name_length};
use crate::error::{Error, Result};

/// The value for each `:name` of a statement.
///
/// ```
/// use gold_digger::sql::{Parameter, Query, QuotingMode};
///
/// let day: Parameter = "day=2026-11-21".parse()?;
/// let query = Query::parse("SELECT * FROM orders WHERE day = :day")?;
/// let bound = query.bind(QuotingMode::Default, &[day])?;
/// assert_eq!(bound.sql, "SELECT * FROM orders WHERE day = ?");
/// assert_eq!(bound.values, ["2026-11-21"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name, without the colon: ASCII letters, digits and `_`, not beginning
    /// with a digit.
    pub name: String,
    /// The value, bound as text. It may be personal data, so `Debug` hides it.
    pub value: String,
}

/// A statement in the form that the protocol takes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BoundQuery {
    /// The text, with `?` for each parameter.
    pub sql: String,
    /// The values, in the order of the question marks.
    pub values: Vec<String>,
    /// Where the text stands, if it has a [place](Query::with_place).
    pub place: Option<String>,
}

/// Parses `NAME=VALUE`.
impl FromStr for Parameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once('=')
            .ok_or("it has no '='; write NAME=VALUE")?;
        if name.is_empty() || parameter_name_length(name.as_bytes()) != name.len() {
            return Err("a name has letters, digits and underscores, and begins with no digit");
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

impl Query {
    /// Returns the statement to send: without its terminator and the text after
    /// it, and with a `?` in place of each parameter.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if the text is not
    /// one statement in `mode`, a parameter has no value, a value has no
    /// parameter, or the statement has both `:name` and `?`.
    pub fn bind(&self, mode: QuotingMode, parameters: &[Parameter]) -> Result<BoundQuery> {
        let statement = self.parses[mode as usize].as_ref();
        let statement = statement.map_err(|reason| self.explain(*reason))?;
        if parameters.is_empty() && statement.parameters.is_empty() {
            let sql = self.text[statement.range.clone()].to_owned();
            return Ok(BoundQuery {
                sql,
                values: Vec::new(),
                place: self.place.clone(),
            });
        }
        if statement.has_question_mark {
            return Err(
                Error::config("the query has a ? beside its :name parameters")
                    .with_hint("write every parameter as :name"),
            );
        }
        let bound = self.replace_parameters(statement, parameters)?;
        let is_used = |parameter: &&Parameter| {
            self.parameter_names(statement)
                .any(|name| name == parameter.name)
        };
        match parameters.iter().find(|parameter| !is_used(parameter)) {
            Some(unused) => Err(Error::config(format!(
                "the parameter {} has a value, but the query has no :{0}",
                unused.name
            ))
            .with_hint(
                "names are compared to the letter; in quotes and comments they do not count",
            )),
            None => Ok(bound),
        }
    }

    /// Replaces each parameter of `statement` by `?` and collects the values.
    fn replace_parameters(
        &self,
        statement: &Statement,
        parameters: &[Parameter],
    ) -> Result<BoundQuery> {
        let mut bound = BoundQuery {
            place: self.place.clone(),
            ..BoundQuery::default()
        };
        let mut from = statement.range.start;
        for place in &statement.parameters {
            let name = &self.text[place.start + 1..place.end];
            let parameter = parameters.iter().find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| {
                Error::config(format!("the query's parameter :{name} has no value")).with_hint(
                    format!("add --param {name}=VALUE, or {name} to [query] params"),
                )
            })?;
            bound.sql.push_str(&self.text[from..place.start]);
            bound.sql.push('?');
            bound.values.push(parameter.value.clone());
            from = place.end;
        }
        bound.sql.push_str(&self.text[from..statement.range.end]);
        Ok(bound)
    }

    /// The names of the parameters of `statement`, without the colons.
    fn parameter_names<'a>(&'a self, statement: &'a Statement) -> impl Iterator<Item = &'a str> {
        let places = statement.parameters.iter();
        places.map(|place| &self.text[place.start + 1..place.end])
    }

    /// The result of [`bind`](Self::bind) in each mode; one entry if the modes
    /// agree.
    fn bind_in_each_mode(
        &self,
        parameters: &[Parameter],
    ) -> impl Iterator<Item = Result<BoundQuery>> {
        let modes = if self.depends_on_mode() {
            &QuotingMode::ALL[..]
        } else {
            &[QuotingMode::Default]
        };
        modes.iter().map(|mode| self.bind(*mode, parameters))
    }

    /// Checks `parameters` against the text before the session's mode is known.
    ///
    /// # Errors
    /// The error of [`bind`](Self::bind) in the first mode, if it fails in every
    /// mode.
    pub fn check_parameters(&self, parameters: &[Parameter]) -> Result<()> {
        let results = self.bind_in_each_mode(parameters);
        let ok_or_first = results.reduce(|first, next| if next.is_ok() { next } else { first });
        ok_or_first.map_or(Ok(()), |result| result.map(drop))
    }

    /// Returns whether the text has the parameter `:name` in any mode.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        let mut statements = self.parses.iter().flatten();
        statements.any(|statement| self.parameter_names(statement).any(|found| found == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_question_marks() {
        let bind = |sql: &str, given: &[&str]| {
            let given: Vec<Parameter> = given
                .iter()
                .map(|text| text.parse().expect("a parameter"))
                .collect();
            let bound = Query::parse(sql)
                .expect("one statement")
                .bind(QuotingMode::Default, &given);
            bound
                .map(|bound| (bound.sql, bound.values))
                .map_err(|error| error.message().to_owned())
        };
        let values = |list: &[&str]| {
            list.iter()
                .map(|value| (*value).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            bind(
                "SELECT :a, ':a', \":a\", `:a`, :Ab_1, :a -- :a\n, @x:=1;",
                &["a=1=2", "Ab_1="]
            ),
            Ok((
                "SELECT ?, ':a', \":a\", `:a`, ?, ? -- :a\n, @x:=1".to_owned(),
                values(&["1=2", "", "1=2"])
            ))
        );
        assert_eq!(
            bind("SELECT ':a', ?", &[]),
            Ok(("SELECT ':a', ?".to_owned(), Vec::new()))
        );
        assert_eq!(
            bind("SELECT :a, :b", &["a=1"]),
            Err("the query's parameter :b has no value".to_owned())
        );
        assert_eq!(
            bind("SELECT :a", &[]),
            Err("the query's parameter :a has no value".to_owned())
        );
        assert_eq!(
            bind("SELECT :a, ':b'", &["a=1", "b=1"]),
            Err("the parameter b has a value, but the query has no :b".to_owned())
        );
        assert_eq!(
            bind("SELECT :a, ?", &["a=1"]),
            Err("the query has a ? beside its :name parameters".to_owned())
        );
        for bad in ["a", "=1", "1a=1", "a b=1", "ä=1"] {
            assert!(bad.parse::<Parameter>().is_err(), "{bad}");
        }
        assert_eq!(
            format!(
                "{:?}",
                "a=secret".parse::<Parameter>().expect("a parameter")
            ),
            "a=***"
        );
    }
}
