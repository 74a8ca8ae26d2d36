//! Replaces the `:name` parameters of a query by string literals.
//!
//! The markers of the protocol (`?`) would not do: servers give a marker the type of what
//! stands beside it, so that MySQL takes `COALESCE(?, 1)` for a number and MariaDB
//! compares `id = ?` as DOUBLE, where a literal in quotes is compared as an integer.

use super::{
    CHUNK, Dialect, Parameter, ParameterValue, Query, Statement, lexer::tokens, parse_statement,
    placeholder::Position,
};
use crate::error::{Error, Result};

/// A statement in the form that is sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BoundQuery {
    /// The text, with the values of the parameters.
    pub sql: String,
    /// The first keyword, in upper case; `(` for a parenthesized query.
    pub keyword: String,
    /// Whether the text is the same statement in every dialect.
    pub is_certain: bool,
    /// The dialect that it was bound in.
    pub dialect: Dialect,
    /// Where the text stands, if it has a [place](Query::with_place).
    pub place: Option<String>,
}

/// What dialects read differently: quotes, escapes, brackets and comments.
const READ_DIFFERENTLY: [&str; 4] = ["\"", "\\", "[", "/*"];

/// Returns the words, quoted names and symbols of `sql`, as
/// [`BoundQuery::without_strings`] does.
fn without_strings(sql: &str, dialect: Dialect, has_ansi_quotes: bool) -> String {
    let (mut words, mut end) = (String::new(), 0);
    for token in tokens(sql, dialect) {
        // A doubled quote within a name divides it into two tokens.
        if token.range.start > end {
            words.push(' ');
        }
        end = token.range.end;
        let word = &sql[token.range];
        match word.as_bytes() {
            [b'\'', ..] => words += "''",
            [b'"', ..] if !has_ansi_quotes => words += "''",
            [b'[', .., b']'] => {
                let name = word[1..word.len() - 1].replace("]]", "]");
                words += &format!("`{}`", name.replace('`', "``"));
            }
            _ => words += word,
        }
    }
    words
}

impl BoundQuery {
    /// Whether some server may read several statements: none does without a `;`.
    pub(crate) fn may_be_several(&self) -> bool {
        self.sql.contains(';')
    }

    /// Returns the words, quoted names and symbols of the statement, in the dialect that
    /// it was bound in. A string becomes `''`, and a name in brackets is enclosed by
    /// backticks. It ends where it cannot be read.
    pub(crate) fn without_strings(&self) -> String {
        without_strings(&self.sql, self.dialect, self.dialect.has_ansi_quotes())
    }

    /// Does the same for a session of this `version` and `sql_mode`.
    pub(crate) fn without_strings_for(&self, version: &str, sql_mode: &str) -> String {
        let has_ansi_quotes = sql_mode.split(',').any(|mode| mode == "ANSI_QUOTES");
        let dialect = Dialect::of_session(version, sql_mode);
        without_strings(&self.sql, dialect, has_ansi_quotes)
    }

    /// Returns the same with `"…"` as names, if they may be names.
    pub(crate) fn without_strings_but_names(&self) -> Option<String> {
        let is_possible = self.dialect.may_have_ansi_quotes() && self.sql.contains('"');
        is_possible.then(|| without_strings(&self.sql, self.dialect, true))
    }
}

impl Query {
    /// Returns the statement to send: without its terminator and the text after
    /// it, and with a string literal in place of each parameter, or one for each value
    /// of a list. Where the grammar takes no string, as in LIMIT, it is the number.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if the text is not
    /// one statement in `dialect`, a parameter has no value, a value has no
    /// parameter, a list stands elsewhere than in `IN (…)`, a value is no whole number
    /// where the grammar takes nothing else, or the statement has both `:name` and `?`.
    pub fn bind(&self, dialect: Dialect, parameters: &[Parameter]) -> Result<BoundQuery> {
        let statement = self.parses[dialect.index()].as_ref();
        let statement = statement.map_err(|reason| self.explain(*reason))?;
        if parameters.is_empty() && statement.parameters.is_empty() {
            return Ok(BoundQuery {
                sql: self.text[statement.range.clone()].to_owned(),
                ..self.bound(statement, dialect)
            });
        }
        if statement.has_question_mark {
            return Err(
                Error::config("the query has a ? beside its :name parameters")
                    .with_hint("write every parameter as :name"),
            );
        }
        let bound = self.replace_parameters(statement, dialect, parameters)?;
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

    /// Returns what binding makes of `statement`, without its text and values.
    fn bound(&self, statement: &Statement, dialect: Dialect) -> BoundQuery {
        BoundQuery {
            keyword: self.text[statement.keyword.clone()].to_uppercase(),
            is_certain: !self.depends_on_dialect(),
            dialect,
            place: self.place.clone(),
            ..BoundQuery::default()
        }
    }

    /// Replaces each parameter of `statement` by its values.
    fn replace_parameters(
        &self,
        statement: &Statement,
        dialect: Dialect,
        parameters: &[Parameter],
    ) -> Result<BoundQuery> {
        let mut bound = self.bound(statement, dialect);
        bound.is_certain &= !parameters.iter().any(has_backslash);
        let mut from = statement.range.start;
        for placeholder in &statement.parameters {
            let place = &placeholder.range;
            let name = &self.text[place.start + 1..place.end];
            let parameter = parameters.iter().find(|parameter| parameter.name == name);
            let parameter = parameter.ok_or_else(|| {
                let hint = match name {
                    CHUNK => "--split N has it be the condition of a chunk".to_owned(),
                    _ => format!("add --param {name}=VALUE, or {name} to [query] params"),
                };
                Error::config(format!("the query's parameter :{name} has no value")).with_hint(hint)
            })?;
            bound.sql.push_str(&self.text[from..place.start]);
            let values = parameter.value.texts();
            if values.len() != 1 && placeholder.position != Position::InList {
                let what = format!("the list {name} stands where the query takes one value");
                return Err(Error::config(what)
                    .with_hint(format!("a list is for IN (:{name}) and NOT IN (:{name})")));
            }
            let sql = match &parameter.value {
                ParameterValue::Expression { sql } => format!("({sql})"),
                _ => sql_of(name, values, placeholder.position, dialect)?,
            };
            // The literal must not become part of what stands beside it, such as x'41'.
            if self.text[..place.start].ends_with(joins_literal) {
                bound.sql.push(' ');
            }
            bound.sql.push_str(&sql);
            if self.text[place.end..].starts_with(joins_literal) {
                bound.sql.push(' ');
            }
            from = place.end;
        }
        bound.sql.push_str(&self.text[from..statement.range.end]);
        // A value may end an executable comment for a server that skips it.
        if bound.sql.contains("/*") && parse_statement(&bound.sql, dialect).is_err() {
            let what =
                "a parameter within /*! … */ has a value that ends the comment for some servers";
            return Err(
                Error::config(what).with_hint("write the statement without executable comments")
            );
        }
        Ok(bound)
    }

    /// Returns whether [`bind`](Self::bind) with `parameters` depends on the dialect.
    #[must_use]
    pub fn depends_on_dialect_with(&self, parameters: &[Parameter]) -> bool {
        self.depends_on_dialect() || parameters.iter().any(has_backslash) || !self.has_one_reading()
    }

    /// Whether the words and names of the text are the same in each dialect.
    fn has_one_reading(&self) -> bool {
        if !READ_DIFFERENTLY.iter().any(|sign| self.text.contains(sign)) {
            return true;
        }
        let read =
            |dialect: &Dialect| without_strings(&self.text, *dialect, dialect.has_ansi_quotes());
        let mut readings = Dialect::ALL.iter().map(read);
        let first = readings.next();
        readings.all(|reading| Some(reading) == first)
    }

    /// The names of the parameters of `statement`, without the colons.
    fn parameter_names<'a>(&'a self, statement: &'a Statement) -> impl Iterator<Item = &'a str> {
        let places = statement.parameters.iter().map(|found| &found.range);
        places.map(|place| &self.text[place.start + 1..place.end])
    }

    /// The result of [`bind`](Self::bind) in each dialect; one entry if all agree.
    fn bind_in_each_dialect(
        &self,
        parameters: &[Parameter],
    ) -> impl Iterator<Item = Result<BoundQuery>> {
        let dialects = if self.depends_on_dialect_with(parameters) {
            &Dialect::ALL[..]
        } else {
            &Dialect::ALL[..1]
        };
        let dialects = dialects.iter();
        dialects.map(|dialect| self.bind(*dialect, parameters))
    }

    /// Checks `parameters` against the text before the session's dialect is known.
    ///
    /// # Errors
    /// The error of [`bind`](Self::bind) in the first dialect, if it fails in
    /// every one.
    pub fn check_parameters(&self, parameters: &[Parameter]) -> Result<()> {
        let results = self.bind_in_each_dialect(parameters);
        let ok_or_first = results.reduce(|first, next| if next.is_ok() { next } else { first });
        ok_or_first.map_or(Ok(()), |result| result.map(drop))
    }

    /// Returns the parameters that may be meant as lists: one text with a comma, as
    /// an element of `IN (…)`.
    #[must_use]
    pub fn doubtful_lists<'a>(&self, parameters: &'a [Parameter]) -> Vec<&'a str> {
        let is_element = |name: &str| {
            let mut statements = self.parses.iter().flatten();
            statements.any(|statement| {
                let mut places = self.parameter_names(statement).zip(&statement.parameters);
                places.any(|(found, place)| found == name && place.position != Position::Other)
            })
        };
        let is_doubtful = |parameter: &&Parameter| match &parameter.value {
            ParameterValue::Text(text) => text.contains(',') && is_element(&parameter.name),
            ParameterValue::List(_) | ParameterValue::Expression { .. } => false,
        };
        let doubtful = parameters.iter().filter(is_doubtful);
        doubtful.map(|parameter| parameter.name.as_str()).collect()
    }

    /// Returns whether the text has the parameter `:name` in any dialect.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        let mut statements = self.parses.iter().flatten();
        statements.any(|statement| self.parameter_names(statement).any(|found| found == name))
    }
}

/// Returns the SQL of the `values` of the parameter `name`, which stands at `position`.
fn sql_of(name: &str, values: &[String], position: Position, dialect: Dialect) -> Result<String> {
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |text: &String| match (position, text.split_once('.')) {
        (Position::Number, Some((whole, part))) => is_whole(whole) && is_whole(part),
        _ => is_whole(text),
    };
    match position {
        Position::WholeNumber | Position::Number if values.iter().all(is_number) => {
            Ok(values.concat())
        }
        Position::WholeNumber => {
            let what = format!("the query takes a whole number for :{name}, without a sign");
            Err(Error::config(what))
        }
        Position::Number => {
            let what = format!("the query takes a number for :{name}, without a sign");
            Err(Error::config(what))
        }
        Position::InList | Position::Nested | Position::Other => {
            let literals = values.iter().map(|value| literal(value, dialect));
            Ok(literals.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Returns `value` as a string literal of `dialect`.
fn literal(value: &str, dialect: Dialect) -> String {
    let mut value = value.replace('\'', "''");
    if dialect.escapes_within(b'\'') {
        value = value.replace('\\', "\\\\");
    }
    format!("'{value}'")
}

/// Whether a literal of the parameter depends on the dialect.
fn has_backslash(parameter: &Parameter) -> bool {
    let mut texts = parameter.value.texts().iter();
    texts.any(|text| text.contains('\\'))
}

/// Whether `c` would become a part of a literal beside it.
fn joins_literal(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '\'' | '"' | '`' | ']') || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_strings_and_no_comments() {
        let sql = "SELECT `a``b`, 'it''s', \"x\" /* it's */ FROM d.t -- end";
        let query = Query::parse(sql).expect("one statement");
        let bound = query.bind(Dialect::default(), &[]).expect("a statement");
        assert_eq!(bound.without_strings(), "SELECT `a``b`, '''', '' FROM d.t");
        let query = Query::parse("SELECT [a]]`b], 'c' FROM [d].t").expect("one statement");
        let mssql = Dialect::of_session("11.8.9-MariaDB", "MSSQL");
        let bound = query.bind(mssql, &[]).expect("a statement");
        assert_eq!(
            bound.without_strings_for("11.8.9-MariaDB", "MSSQL"),
            "SELECT `a]``b`, '' FROM `d`.t"
        );
    }

    #[test]
    fn parameters_become_literals() {
        let bind = |sql: &str, given: &[&str]| {
            let given: Vec<Parameter> = given
                .iter()
                .map(|text| text.parse().expect("a parameter"))
                .collect();
            let bound = Query::parse(sql)
                .expect("one statement")
                .bind(Dialect::default(), &given);
            bound
                .map(|bound| bound.sql)
                .map_err(|error| error.message().to_owned())
        };
        let is = |sql: &str, given: &[&str], expected: &str| {
            assert_eq!(bind(sql, given), Ok(expected.to_owned()), "{sql}");
        };
        is(
            "SELECT :a, ':a', \":a\", `:a`, :Ab_1, :a -- :a\n, @x:=1;",
            &["a=1=2", "Ab_1="],
            "SELECT '1=2', ':a', \":a\", `:a`, '', '1=2' -- :a\n, @x:=1",
        );
        is("SELECT ':a', ?", &[], "SELECT ':a', ?");
        is("SELECT :a", &["a=it's \\ ;"], "SELECT 'it''s \\\\ ;'");
        is("SELECT x:a, 'b':a:a", &["a=1"], "SELECT x '1', 'b' '1' '1'");
        is("SELECT :a'b', N:a", &["a=1"], "SELECT '1' 'b', N '1'");
        for (sql, expected) in [
            ("LIMIT :a", "LIMIT 5"),
            ("LIMIT :a, :a", "LIMIT 5, 5"),
            ("LIMIT 1,:a", "LIMIT 1,5"),
            ("LIMIT :a OFFSET :a", "LIMIT 5 OFFSET 5"),
            ("LIMIT ROWS EXAMINED :a", "LIMIT ROWS EXAMINED 5"),
            ("FETCH FIRST :a ROWS ONLY", "FETCH FIRST 5 ROWS ONLY"),
            ("(ROWS :a PRECEDING)", "(ROWS 5 PRECEDING)"),
            (
                "(RANGE BETWEEN :a PRECEDING AND :a FOLLOWING)",
                "(RANGE BETWEEN 5 PRECEDING AND 5 FOLLOWING)",
            ),
            (
                "(RANGE INTERVAL :a DAY PRECEDING)",
                "(RANGE INTERVAL '5' DAY PRECEDING)",
            ),
            (":a following", "'5' following"),
            ("first n, :a", "first n, '5'"),
            (
                "1 FROM t WHERE offset IN (:a)",
                "1 FROM t WHERE offset IN ('5')",
            ),
            ("NEXT LIMIT :a", "NEXT LIMIT 5"),
            ("d.ntile(:a), d.lag(1, :a)", "d.ntile('5'), d.lag(1, '5')"),
            ("NTILE(:a)", "NTILE(5)"),
            ("LAG(:a, :a, :a)", "LAG('5', 5, '5')"),
            ("lead(f(b, c), :a)", "lead(f(b, c), 5)"),
            ("f(:a, :a)", "f('5', '5')"),
        ] {
            is(
                &format!("SELECT {sql}"),
                &["a=5"],
                &format!("SELECT {expected}"),
            );
        }
        for value in ["a=", "a=-1", "a=1.5", "a=abc"] {
            assert_eq!(
                bind("SELECT 1 LIMIT :a", &[value]),
                Err("the query takes a whole number for :a, without a sign".to_owned())
            );
        }
        is(
            "SELECT SUM(b) OVER (ORDER BY b RANGE :a PRECEDING)",
            &["a=0.5"],
            "SELECT SUM(b) OVER (ORDER BY b RANGE 0.5 PRECEDING)",
        );
        let ended =
            "a parameter within /*! … */ has a value that ends the comment for some servers";
        for value in ["a=*/ OR 1=1 -- ", "a=/*"] {
            let sql = "SELECT 1 FROM t WHERE b = 1 /*!80000 AND c = :a */ AND d = 2 /* */";
            assert_eq!(bind(sql, &[value]), Err(ended.to_owned()), "{value}");
        }
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
        let lists = ["a=[1, \"x\"]", "b=[\"[\"]"];
        is(
            "SELECT :b, 1 in(0,:a ), 1 NOT IN (:a,:b)",
            &lists,
            "SELECT '[', 1 in(0,'1', 'x' ), 1 NOT IN ('1', 'x','[')",
        );
        for (sql, given) in [
            ("SELECT 1 = :a", "a=[1,2]"),
            ("SELECT :a", "a=[1,2]"),
            ("SELECT 1 IN :a", "a=[1,2]"),
            ("SELECT 1 IN (:a + 1)", "a=[1,2]"),
            ("SELECT 1 IN (1 + :a)", "a=[1,2]"),
            ("SELECT 1 IN (ABS(:a))", "a=[1,2]"),
            ("SELECT 1 IN (SELECT 1, :a)", "a=[1,2]"),
            ("SELECT 1 IN (2), F(:a)", "a=[1,2]"),
            ("SELECT (1, 2) IN ((:a))", "a=[1,2]"),
        ] {
            let refused = "the list a stands where the query takes one value";
            assert_eq!(bind(sql, &[given]), Err(refused.to_owned()), "{sql}");
        }
    }

    #[test]
    fn a_text_with_a_comma_in_a_list_is_doubtful() {
        for (sql, doubtful) in [
            ("SELECT 1 IN (:a)", true),
            ("SELECT 1 IN ((:a))", true),
            ("SELECT 1 IN (2, (((:a))))", true),
            ("SELECT (1, 2) IN ((:a, 2))", false),
            ("SELECT (1, 2) IN ((2, :a))", false),
            ("SELECT 1 IN ((:a + 1))", false),
            ("SELECT 1 IN (ABS(:a))", false),
            ("SELECT 1 IN ((SELECT :a))", false),
        ] {
            let query = Query::parse(sql).expect("one statement");
            let given = ["a=1,2".parse().expect("a parameter")];
            assert_eq!(!query.doubtful_lists(&given).is_empty(), doubtful, "{sql}");
        }
    }

    #[test]
    fn texts_that_are_no_parameters_are_refused() {
        for bad in [
            "a", "=1", "1a=1", "a b=1", "ä=1", "a=[]", "a=[", "a=[x]", "a=[1.5]", "a=[null]",
            "a=[1],", "a=[[1]]",
        ] {
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
