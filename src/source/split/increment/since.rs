//! The value at which an increment begins: as a user wrote it, and as a statement compares
//! with it.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{From, Search, is_not_null, literal_of};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::{KeyValue, Literal},
};

impl Search<'_> {
    /// Returns the key at which an increment starts that begins at the value that a user wrote
    /// as `text`.
    pub(super) fn start_of_user(&mut self, text: &str) -> Result<From> {
        let key = &self.plan.key;
        let value = key.value_of_user(text).filter(|_| self.is_readable(text));
        let column = &key.columns[0];
        let hint = self.form_of_values();
        let what = format!(
            "the value of since, {text:?}, is none of {}",
            self.facts.describe(column)
        );
        let wrong = || Error::config(what.clone()).with_hint(hint);
        let value = value.ok_or_else(wrong)?;
        if !self.is_on_calendar(&value)? {
            return Err(wrong());
        }
        Ok(From::Value(value))
    }

    /// How a value of the first column is written, as a hint.
    fn form_of_values(&self) -> &'static str {
        match self.data_type() {
            "date" | "datetime" | "timestamp" => "write 2026-11-28 or 2026-11-28 09:30:00",
            "time" => "write 09:30:00, up to 838:59:59",
            "year" => "write a year from 1901 to 2155, or 0000",
            "uuid" => "write it with its hyphens, in hexadecimal digits",
            "inet4" | "inet6" => "write an address",
            _ => "write a number",
        }
    }

    /// Whether `text` has the form of the first column's values, if the server would read
    /// another text as some value of its own.
    fn is_readable(&self, text: &str) -> bool {
        let is_like = |text: &str, pattern: &str| {
            let same = text.bytes().zip(pattern.bytes());
            let mut same = same.map(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_hexdigit(),
                _ => byte == form,
            });
            text.len() == pattern.len() && same.all(|is_same| is_same)
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_fraction =
            (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
        match self.data_type() {
            "date" | "datetime" | "timestamp" => {
                is_like(text, "0000-00-00") || is_like(whole, "0000-00-00 00:00:00") && is_fraction
            }
            "time" => {
                let time = whole.strip_prefix('-').unwrap_or(whole);
                let forms = ["00:00:00", "000:00:00"];
                let hours = time.split(':').next().and_then(|hours| hours.parse().ok());
                let is_short = hours.is_some_and(|hours: u32| hours <= 838);
                is_short && is_fraction && forms.iter().any(|form| is_like(time, form))
            }
            "year" => {
                let year = text.parse().unwrap_or(0);
                text == "0000" || is_like(text, "0000") && (1901..=2155).contains(&year)
            }
            "uuid" => is_like(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
            "inet4" => text.parse::<Ipv4Addr>().is_ok(),
            "inet6" => text.parse::<Ipv6Addr>().is_ok(),
            _ => true,
        }
    }

    /// Whether a date or a time is one that the server knows.
    fn is_on_calendar(&mut self, value: &KeyValue) -> Result<bool> {
        let as_type = match self.data_type() {
            "date" | "datetime" | "timestamp" => "DATETIME(6)",
            "time" => "TIME(6)",
            _ => return Ok(true),
        };
        let literal = literal_of(Some(value));
        let question = format!("SELECT CAST({literal} AS {as_type})");
        Ok(self.ask(&question)?.is_some())
    }

    /// Returns the value in SQL that the rows are after.
    pub(super) fn since(&mut self, from: &From) -> Result<String> {
        let key = &self.plan.key;
        match from {
            From::Mark(value) => return Ok(literal_of(Some(value))),
            From::Value(value) => {
                let before = format!("{} AND {}", key.range(None, Some(value)), is_not_null(key));
                if let Some(last) = self.finder.last(key, &before)? {
                    return Ok(literal_of(Some(&last)));
                }
            }
            From::Everything | From::Values => {}
        }
        self.below_all()
    }

    /// Returns a value in SQL that is less than those of all rows.
    fn below_all(&mut self) -> Result<String> {
        let (key, has_value) = (&self.plan.key, is_not_null(&self.plan.key));
        let first = self.finder.first(key, &has_value)?;
        let first = literal_of(first.as_ref());
        let column = &key.columns[0];
        let below = match column.literal {
            Literal::Integer | Literal::Decimal => {
                self.ask(&format!("SELECT CAST(({first}) - 1 AS CHAR)"))?
            }
            Literal::Quoted if self.has_dates() => {
                let before = format!("SELECT CAST({first} - INTERVAL 1 SECOND AS CHAR)");
                self.ask(&before)?.map(|text| format!("'{text}'"))
            }
            Literal::Text(_) | Literal::Bytes => Some("''".to_owned()),
            Literal::Quoted => None,
        };
        let is_below = match &below {
            // As the statement asks: an index may answer otherwise than the comparison.
            Some(below) => {
                let name = key.order("");
                let is_above = format!("{name} > {below} AND {name} <= {first}");
                self.finder.first(key, &is_above)?.is_some()
            }
            None => false,
        };
        let unknown = || {
            let what = format!(
                "no value of {} is less than that of the first row, which :since would leave out",
                self.facts.describe(column)
            );
            Error::new(ErrorKind::Query, what)
                .with_hint("write :increment in the place of COLUMN > :since AND COLUMN <= :until")
        };
        below.filter(|_| is_below).ok_or_else(unknown)
    }
}
