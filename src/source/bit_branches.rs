//! Finds BIT columns in the branches of IF and CASE that make a DECIMAL. MySQL sends
//! the bits there, for every client: b'110001' looks like the number 1.

use std::collections::BTreeSet;

use mysql::{Column, consts::ColumnType as WireType, prelude::Queryable};

use super::{
    QueryExecutor, codes,
    driver::{ask, number, text},
    tables::{Names, after_string, all, literal, qualified_names, quoted_identifier},
};

impl QueryExecutor {
    /// Returns the warning that the statement with these result `columns` may have
    /// wrong numbers. It asks the server only if the statement has an IF or a CASE and
    /// computes a DECIMAL.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub(super) fn bit_branch_warning(
        &mut self,
        columns: &[Column],
    ) -> mysql::Result<Option<String>> {
        let is_computed_decimal = |column: &Column| {
            column.column_type() == WireType::MYSQL_TYPE_NEWDECIMAL
                && column.org_table_ref().is_empty()
        };
        let sql = self.bound.sql.to_ascii_uppercase();
        let may_branch = sql.contains("IF") || sql.contains("CASE");
        if !may_branch || !columns.iter().any(is_computed_decimal) {
            return Ok(None);
        }
        if self.stored_bits.is_mariadb(&mut self.conn)? {
            return Ok(None);
        }
        match self.bits_in_branches() {
            // The server does not explain the statement, or has no such table.
            Err(mysql::Error::MySqlError(_) | mysql::Error::DriverError(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(bits) if bits.is_empty() => Ok(None),
            Ok(bits) => Ok(Some(format!(
                "MySQL sends the bits of {} in IF or CASE as if they were digits of a DECIMAL; \
                 add 0 to it in the query, as in IF(x, {}+0, 0)",
                bits.join(", "),
                bits[0]
            ))),
        }
    }

    /// Returns the names of the BIT columns that a branch of IF or CASE returns.
    fn bits_in_branches(&mut self) -> mysql::Result<Vec<String>> {
        self.explain("EXPLAIN FORMAT=TRADITIONAL")?;
        let notes = all(self.conn.query_iter("SHOW WARNINGS")?)?;
        let mut notes = notes.iter();
        let rewritten = notes.find(|row| number(row, 1) == Some(codes::REWRITTEN_STATEMENT));
        let Some(rewritten) = rewritten.and_then(|row| text(row, 2)) else {
            return Ok(Vec::new());
        };
        let columns = columns_in_branches(&rewritten);
        let tables: Names = qualified_names(&rewritten, None);
        if columns.is_empty() || tables.is_empty() {
            return Ok(Vec::new());
        }
        let columns: Vec<String> = columns.iter().map(|name| literal(name)).collect();
        let tables: Vec<String> = tables
            .iter()
            .map(|(schema, table)| format!("({}, {})", literal(schema), literal(table)))
            .collect();
        let bits = format!(
            "SELECT DISTINCT COLUMN_NAME FROM information_schema.COLUMNS
             WHERE DATA_TYPE = 'bit' AND COLUMN_NAME IN ({})
             AND (TABLE_SCHEMA, TABLE_NAME) IN ({}) ORDER BY 1",
            columns.join(", "),
            tables.join(", ")
        );
        let rows = ask(&mut self.conn, &bits)?;
        Ok(rows.iter().filter_map(|row| text(row, 0)).collect())
    }
}

/// Returns the names of the columns in a rewritten statement that are a whole argument
/// of a function, after its first one, or what THEN or ELSE returns.
fn columns_in_branches(rewritten: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let (mut before, mut rest, mut depth) = ("", rewritten, 0_usize);
    while let Some(at) = rest.find(['(', ')', '\'', '`', '"']) {
        before = if at > 0 { &rest[..at] } else { before };
        let here = &rest[at..];
        match here.as_bytes()[0] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'\'' => {
                (before, rest) = ("", after_string(here));
                continue;
            }
            _ => {
                let Some((name, after)) = qualified_name(here) else {
                    break;
                };
                if depth > 0 && is_branch(before, after) {
                    found.insert(name);
                }
                (before, rest) = ("", after);
                continue;
            }
        }
        (before, rest) = (&here[..1], &here[1..]);
    }
    found
}

/// Returns the last part of the name at the beginning of `text`, and the text after it.
fn qualified_name(text: &str) -> Option<(String, &str)> {
    let (mut name, mut rest) = quoted_identifier(text)?;
    while let Some(part) = rest.strip_prefix('.') {
        (name, rest) = quoted_identifier(part)?;
    }
    Some((name, rest))
}

/// Whether an operand between `before` and `after` is all that a branch returns.
fn is_branch(before: &str, after: &str) -> bool {
    let (before, after) = (before.trim_end(), after.trim_start());
    let begins = [",", "then", "else"];
    let ends = [",", ")", "when", "else", "end"];
    begins.iter().any(|word| before.ends_with(word))
        && ends.iter().any(|word| after.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_in_branches_are_found() {
        for (rewritten, expected) in [
            (
                "select if(`d`.`t`.`id`,`d`.`t`.`b`,1) AS `x` from `d`.`t`",
                "b",
            ),
            (
                "select if(`d`.`t`.`id`,1,`d`.`t`.`b``)`) AS `x` from `d`.`t`",
                "b`)",
            ),
            (
                "select (case when `t`.`f` then `t`.`b` when ',' then 1 else `t`.`c` end) AS `x`",
                "b c",
            ),
            (
                "select if((`t`.`f` = 1),`t`.`p`,0) AS `x`,`t`.`b` AS `b` from `d`.`t`",
                "p",
            ),
            ("select 1 from `d`.`t` group by `t`.`a`,`t`.`b`", ""),
            (
                "select if(\"t\".\"id\",'\"',\"d\".\"t\".\"b\"\"`\") AS \"x\"",
                "b\"`",
            ),
            ("select if(1,',`b`)',(`t`.`b` + 0)) AS `x`", ""),
            ("select if(1,`t`.`b", ""),
            ("", ""),
        ] {
            let found: Vec<String> = columns_in_branches(rewritten).into_iter().collect();
            assert_eq!(found.join(" "), expected, "{rewritten}");
        }
    }
}
