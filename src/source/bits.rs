//! Reads the values of BIT columns. Servers send a stored column as bits. They send
//! an expression as bits or as decimal digits, under the same metadata:
//! `COALESCE(a, b)` on both servers, `MAX(a)` only on MariaDB. MySQL also converts
//! the bits of `IF(x, a, b)` from latin1 to UTF-8.

use std::collections::HashSet;

use encoding_rs::WINDOWS_1252;
use mysql::{
    Column, Conn,
    consts::{ColumnFlags, ColumnType as WireType},
};

use super::{
    driver::{ask, text},
    errors::allow_refusal,
    rewritten::{quoted_identifier, rewritten_statements},
};
use crate::row::bits_of;

/// The widest BIT whose values have one meaning however the server sends them: the
/// code of the digit 0 needs six bits.
const MAX_CERTAIN_WIDTH: u32 = 5;

/// A stored column: its database, its table and its name.
type ColumnName = (String, String, String);

/// The knowledge about a server's BIT columns, from before the statement runs.
#[derive(Default)]
pub(super) struct StoredBits {
    /// Whether the server is MariaDB; `None` if that is not known.
    is_mariadb: Option<bool>,
    /// The columns of MySQL that are not expressions.
    stored: HashSet<ColumnName>,
}

impl StoredBits {
    /// Asks which server it is, and about those of `columns` whose metadata says too
    /// little. Asks nothing if `columns` has no BIT that is wide enough to matter.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub fn learn(&mut self, conn: &mut Conn, columns: &[Column]) -> mysql::Result<()> {
        let doubtful = columns.iter().filter(|column| is_doubtful(column));
        for column in doubtful {
            if self.is_mariadb(conn)? {
                break;
            }
            let name = column_name(column);
            if !name.1.is_empty() && !self.stored.contains(&name) && is_stored(conn, &name)? {
                self.stored.insert(name);
            }
        }
        Ok(())
    }

    /// Asks which server it is, once. A server that does not tell is not MariaDB.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub fn is_mariadb(&mut self, conn: &mut Conn) -> mysql::Result<bool> {
        if let Some(known) = self.is_mariadb {
            return Ok(known);
        }
        let Ok(rows) = allow_refusal(ask(conn, "SELECT VERSION()"))? else {
            return Ok(false);
        };
        let version = rows.first().and_then(|row| text(row, 0));
        let is_mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        self.is_mariadb = Some(is_mariadb);
        Ok(is_mariadb)
    }

    /// Returns the width of a BIT column that the server may send as digits; `None`
    /// for every other column.
    pub fn uncertain_width(&self, column: &Column) -> Option<u32> {
        if column.column_type() != WireType::MYSQL_TYPE_BIT {
            return None;
        }
        let is_stored = match self.is_mariadb {
            // MariaDB sets this flag for every expression, and never for a column.
            Some(true) => !column.flags().contains(ColumnFlags::BINARY_FLAG),
            _ => self.stored.contains(&column_name(column)),
        };
        (!is_stored).then_some(column.column_length())
    }
}

/// Whether a value of the column can have two meanings if it is an expression.
fn is_doubtful(column: &Column) -> bool {
    column.column_type() == WireType::MYSQL_TYPE_BIT && column.column_length() > MAX_CERTAIN_WIDTH
}

fn column_name(column: &Column) -> ColumnName {
    let owned = |name: std::borrow::Cow<'_, str>| name.into_owned();
    (
        owned(column.schema_str()),
        owned(column.org_table_str()),
        owned(column.org_name_str()),
    )
}

/// Whether the column of a table or of a view of MySQL is stored. A view's column can
/// be an expression, which the server's rewritten statement shows.
fn is_stored(conn: &mut Conn, (schema, table, column): &ColumnName) -> mysql::Result<bool> {
    let [schema, table, column] = [schema, table, column].map(|name| name.replace('`', "``"));
    let explain = format!("EXPLAIN FORMAT=TRADITIONAL SELECT `{column}` FROM `{schema}`.`{table}`");
    let rewritten = ask(conn, &explain).and_then(|_| rewritten_statements(conn));
    match rewritten {
        Ok(statements) => Ok(statements
            .first()
            .is_some_and(|text| selects_a_column(text))),
        // The account may not explain it, or there is no such table.
        Err(mysql::Error::MySqlError(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a rewritten statement selects a qualified column, as in
/// ``/* select#1 */ select `d`.`t`.`c` AS `c` from …``.
fn selects_a_column(rewritten: &str) -> bool {
    let Some((_, mut rest)) = rewritten.split_once("select ") else {
        return false;
    };
    let mut names = 0;
    while let Some((_, after)) = quoted_identifier(rest) {
        names += 1;
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => return names > 1 && after.starts_with(" AS "),
        }
    }
    false
}

/// The possible meanings of the bytes of a BIT expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The value is certain.
    One(u64),
    /// The bytes can mean these values, and perhaps others.
    Several(u64, u64),
    /// The bytes are no value of the type.
    None,
}

/// Returns the possible meanings of `bytes` as a value of BIT(`width`).
pub(super) fn read(bytes: &[u8], width: u32) -> Reading {
    let latin1 = from_utf8_to_latin1(bytes);
    let readings = [
        from_bits(bytes, width),
        latin1.and_then(|bits| from_bits(&bits, width)),
        from_digits(bytes).filter(|value| fits(*value, width)),
    ];
    let mut values = readings.into_iter().flatten();
    let Some(first) = values.next() else {
        return Reading::None;
    };
    match values.find(|value| *value != first) {
        Some(other) => Reading::Several(first, other),
        None => Reading::One(first),
    }
}

fn fits(value: u64, width: u32) -> bool {
    value.checked_shr(width).unwrap_or(0) == 0
}

/// Reads bits, the most significant first. An expression can be narrower than its
/// type says.
fn from_bits(bytes: &[u8], width: u32) -> Option<u64> {
    let is_short = !bytes.is_empty() && bytes.len() <= width.div_ceil(8).min(8) as usize;
    let value = is_short.then(|| bits_of(bytes))?;
    fits(value, width).then_some(value)
}

/// Reads decimal digits without leading zeros, as servers write them.
fn from_digits(bytes: &[u8]) -> Option<u64> {
    let is_number = match bytes {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let digits = is_number.then(|| str::from_utf8(bytes).ok())??;
    digits.parse().ok()
}

/// Undoes a conversion from the server's latin1, which is Windows-1252, to UTF-8.
/// Returns `None` if the bytes are the same in both.
fn from_utf8_to_latin1(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(bytes).ok().filter(|text| !text.is_ascii())?;
    let (latin1, _, has_errors) = WINDOWS_1252.encode(text);
    (!has_errors).then(|| latin1.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Reading::*, *};

    #[test]
    fn readings_are_certain_or_not() {
        for (bytes, width, expected) in [
            (&b"1"[..], 1, One(1)),
            (b"\x01", 1, One(1)),
            (b"\x00", 64, One(0)),
            (b"17", 5, One(17)),
            (b"49", 8, One(49)),
            (b"\x05", 8, One(5)),
            (b"5", 6, Several(53, 5)),
            (b"1", 8, Several(49, 1)),
            // A narrower argument of IF, or a digit.
            (b"1", 33, Several(49, 1)),
            (b"12", 13, One(12)),
            (b"12", 14, Several(0x3132, 12)),
            (b"01", 16, One(0x3031)),
            (b"10000013", 64, Several(0x3130_3030_3030_3133, 10_000_013)),
            (b"18446744073709551615", 64, One(u64::MAX)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", 64, One(u64::MAX)),
            // MySQL's IF: 200 from latin1 to UTF-8, and the same bytes as BIT(16).
            (b"\xc3\x88", 8, One(200)),
            (b"\xc3\x88", 16, Several(0xc388, 200)),
            // 0x80 is the euro sign in Windows-1252.
            (b"\x01\xe2\x82\xac", 9, One(0x180)),
            (b"18446744073709551616", 64, None),
            (b"256", 8, None),
            (b"", 8, None),
        ] {
            assert_eq!(read(bytes, width), expected, "{bytes:?} as BIT({width})");
        }
    }

    #[test]
    fn a_rewritten_statement_shows_a_column_or_an_expression() {
        for (text, expected) in [
            (
                "/* select#1 */ select `d`.`t`.`b` AS `b` from `d`.`t`",
                true,
            ),
            (
                "/* select#1 */ select \"d\".\"t\".\"b\" AS \"b\" from \"d\".\"t\"",
                true,
            ),
            ("select `v`.`b``.` AS `b` from `v`", true),
            ("/* select#1 */ select '1' AS `b` from dual", false),
            (
                "/* select#1 */ select coalesce(`d`.`t`.`b`) AS `b` from `d`.`t`",
                false,
            ),
            (
                "/* select#1 */ select (`d`.`t`.`b` & 1) AS `b` from `d`.`t`",
                false,
            ),
            ("/* select#1 */ select `d`.`t`.`b", false),
            ("", false),
        ] {
            assert_eq!(selects_a_column(text), expected, "{text}");
        }
    }
}
