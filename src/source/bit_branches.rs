//! Finds BIT columns of which a server sends wrong values to every client: MySQL in the
//! branches of IF and CASE that make a DECIMAL, where b'110001' looks like the number 1,
//! and MariaDB in the totals of WITH ROLLUP.

use std::collections::BTreeSet;

use mysql::{
    Column,
    consts::{ColumnFlags, ColumnType as WireType},
};

use super::{
    QueryExecutor, codes,
    driver::{ask, text},
    executed::{Executed, literal_may_have},
    rewritten::{Names, Token, qualified_names, rewritten_statements, tokens},
    tables::{is_read_already, literal},
};

impl QueryExecutor {
    /// Returns the warning that the statement with these result `columns` may have
    /// wrong numbers. It asks the server only if the statement has an IF or a CASE and
    /// computes a DECIMAL.
    ///
    /// A DECIMAL without decimals is a rare type for an IF: any BIT column that the
    /// statement has as an argument may be the reason. One with decimals is the type of
    /// amounts, which many queries choose by a BIT: only whole branches count.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub(super) fn bit_branch_warning(
        &mut self,
        columns: &[Column],
    ) -> mysql::Result<Option<String>> {
        let decimals = columns.iter().filter(|column| is_computed_decimal(column));
        let mut decimals = decimals.peekable();
        let sql = self.bound.sql.to_ascii_uppercase();
        let may_branch = sql.contains("IF") || sql.contains("CASE");
        if !may_branch || decimals.peek().is_none() {
            return Ok(None);
        }
        let has_whole = decimals.any(|column| column.decimals() == 0);
        if self.stored_bits.is_mariadb(&mut self.conn)? {
            return Ok(None);
        }
        match self.bits_in_branches(has_whole) {
            Err(mysql::Error::MySqlError(error)) if error.code == codes::VIEW_NOT_EXPLAINED => {
                Ok(has_whole.then(|| {
                    "MySQL may have sent the bits of a BIT in IF or CASE as if they were digits \
                     of a DECIMAL, which the account may not see of a view; add 0 to it in the \
                     query, as in IF(x, bits+0, 0)"
                        .to_owned()
                }))
            }
            // The server does not explain the statement, or has no such table.
            Err(mysql::Error::MySqlError(_) | mysql::Error::DriverError(_)) => Ok(None),
            Err(error) => Err(error),
            Ok(bits) if bits.is_empty() => Ok(None),
            Ok(bits) => Ok(Some(format!(
                "MySQL may have sent the bits of {} in IF or CASE as if they were digits of a \
                 DECIMAL; add 0 to it in the query, as in IF(x, {}+0, 0)",
                bits.join(", "),
                bits[0]
            ))),
        }
    }

    /// Returns what may be wrong with the BITs of the result, as far as the statement's text
    /// tells. It asks the server which one it is only where the text has WITH ROLLUP, or is
    /// not known.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub(super) fn bit_doubt(&mut self) -> mysql::Result<Option<BitDoubt>> {
        let is_rollup =
            |token| matches!(token, Token::Name(name) if name.eq_ignore_ascii_case("rollup"));
        let may_have_totals = match Executed::of(&self.bound) {
            Executed::Nothing => tokens(&self.bound.without_strings()).any(is_rollup),
            Executed::Literal => literal_may_have(&self.bound, "rollup"),
            Executed::Unknown => {
                let is_mariadb = self.stored_bits.is_mariadb(&mut self.conn)?;
                return Ok(Some(match is_mariadb {
                    true => BitDoubt::Totals,
                    false => BitDoubt::Branches,
                }));
            }
        };
        let has_totals = may_have_totals && self.stored_bits.is_mariadb(&mut self.conn)?;
        Ok(has_totals.then_some(BitDoubt::Totals))
    }

    /// Returns the names of the BIT columns that a branch of IF or CASE returns, or,
    /// with `wherever`, that stand alone in any argument.
    fn bits_in_branches(&mut self, wherever: bool) -> mysql::Result<Vec<String>> {
        let explained = self.explain("EXPLAIN FORMAT=TRADITIONAL")?;
        let Some(rewritten) = rewritten_statements(&mut self.conn)?.into_iter().next() else {
            return Ok(Vec::new());
        };
        // The rewritten statement has values in the place of a table with one row.
        let (database, original) = self.original_words()?;
        let mut tables: Names = qualified_names(&rewritten, None);
        tables.extend(qualified_names(&original, database.as_deref()));
        let mut columns = lone_operands(&rewritten, wherever);
        if wherever || explained.iter().any(is_read_already) {
            columns.extend(lone_operands(&original, wherever));
        }
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

/// What may be wrong with the BITs of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitDoubt {
    /// MariaDB leaves the value of the last group in a BIT column that is a key of the
    /// groups, in the totals of WITH ROLLUP. An expression over it is right.
    Totals,
    /// MySQL sends bits for digits in IF and CASE, and what runs is not known.
    Branches,
}

impl BitDoubt {
    /// Returns the warning about a result with `columns`, if one of them has such values.
    pub fn warning(self, columns: &[Column]) -> Option<String> {
        match self {
            Self::Totals => {
                let bit = columns.iter().find(|column| is_stored_bit(column))?;
                let name = bit.org_name_str();
                Some(format!(
                    "MariaDB may have sent the bits of the last group for {name} where a total of \
                     WITH ROLLUP has NULL; add 0 to it in the query, as in SELECT {name}+0 … GROUP \
                     BY {name}"
                ))
            }
            Self::Branches => {
                let is_whole =
                    |column: &Column| is_computed_decimal(column) && column.decimals() == 0;
                let column = columns.iter().find(|column| is_whole(column))?;
                Some(format!(
                    "MySQL may have sent the bits of a BIT in IF or CASE as if they were digits of \
                     the DECIMAL {:?}, as the text that EXECUTE runs is not known; add 0 to it \
                     there, as in IF(x, bits+0, 0)",
                    column.name_str()
                ))
            }
        }
    }
}

fn is_stored_bit(column: &Column) -> bool {
    column.column_type() == WireType::MYSQL_TYPE_BIT
        && !column.flags().contains(ColumnFlags::BINARY_FLAG)
}

fn is_computed_decimal(column: &Column) -> bool {
    column.column_type() == WireType::MYSQL_TYPE_NEWDECIMAL && column.org_table_ref().is_empty()
}

/// Returns the tokens of a statement, with one for the parts of a qualified name: the
/// last of them.
fn operands(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for token in tokens(text) {
        if let (Token::Name(_), Some(Token::Sign('.'))) = (&token, found.last()) {
            found.truncate(found.len().saturating_sub(2));
        }
        found.push(token);
    }
    found
}

/// Returns the names in a statement that stand alone as an argument of a function or
/// after THEN or ELSE. With `first`, the first argument of a function counts too.
fn lone_operands(text: &str, first: bool) -> BTreeSet<String> {
    let is_word = |token: &Token, words: &[&str]| match token {
        Token::Name(name) => words.iter().any(|word| name.eq_ignore_ascii_case(word)),
        _ => false,
    };
    let begins = |token: &Token| {
        *token == Token::Sign(',')
            || first && *token == Token::Sign('(')
            || is_word(token, &["then", "else"])
    };
    let ends = |token: &Token| {
        matches!(token, Token::Sign(',' | ')')) || is_word(token, &["when", "else", "end"])
    };
    let (mut found, mut depth) = (BTreeSet::new(), 0_usize);
    for window in operands(text).windows(3) {
        match window[0] {
            Token::Sign('(') => depth += 1,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let Token::Name(name) = &window[1]
            && (depth > 0 || matches!(window[0], Token::Name(_)))
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && begins(&window[0])
            && ends(&window[2])
        {
            found.insert(name.to_lowercase());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_operands_are_found() {
        for (statement, branches, all) in [
            (
                "select if(`d`.`t`.`id`,`d`.`t`.`b`,1) AS `x` from `d`.`t`",
                "b",
                "b id",
            ),
            (
                "select if(`d`.`t`.`id`,1,`d`.`t`.`B``)`) AS `x` from `d`.`t`",
                "b`)",
                "b`) id",
            ),
            (
                "select (case when `t`.`f` then `t`.`b` when ',' then 1 else `t`.`c` end) AS `x`",
                "b c",
                // A keyword that no column is called by.
                "b c case",
            ),
            ("SELECT CASE WHEN a THEN b ELSE 0 END, c FROM t", "b", "b"),
            (
                "select if((`t`.`f` = 1),`t`.`p`,0) AS `x`,`t`.`b` AS `b` from `d`.`t`",
                "p",
                "p",
            ),
            (
                "SELECT IF(id, NULLIF(t . b, 0), MAX(c)) FROM t",
                "",
                "b c id",
            ),
            (
                "select 1 from `d`.`t` group by `t`.`a`,`t`.`b`,`t`.`c`",
                "",
                "",
            ),
            ("select if(1,',`b`)',(`t`.`b` + 0)) AS `x`", "", ""),
            ("select if(1,`t`.`b", "", ""),
            (
                "select if(\"t\".\"id\",'\"',\"d\".\"t\".\"b\"\"`\") AS \"x\"",
                "b\"`",
                "b\"` id",
            ),
            (".`a`", "", ""),
            ("", "", ""),
        ] {
            let names = |first| Vec::from_iter(lone_operands(statement, first)).join(" ");
            let found = (names(false), names(true));
            assert_eq!(found, (branches.to_owned(), all.to_owned()), "{statement}");
        }
    }
}
