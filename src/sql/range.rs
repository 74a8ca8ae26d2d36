//! Ranges of a key: conditions that divide the rows of a table, so that each row fulfils
//! exactly one of them.
//!
//! Rows are compared by the server alone, in the order of the key's own columns, with NULL
//! before all values. A row is in the range from one key to another if it is not before the
//! first, and before the second; as both conditions compare in one way, no row is in two
//! ranges that follow each other, and none is in neither. Composite keys are compared column
//! by column: servers do not use an index for `(a, b) < (1, 2)` in all versions.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::table::{names, quoted};

/// The parameter that stands for the condition of a chunk.
pub const CHUNK: &str = "chunk";

/// The columns by which rows are ordered and divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name or alias of the table in the statement, if columns are qualified by it.
    pub qualifier: Option<String>,
    /// The columns, in their order; at least one.
    pub columns: Vec<KeyColumn>,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyColumn {
    /// The name.
    pub name: String,
    /// How its values are written.
    pub literal: Literal,
    /// Whether it can be NULL.
    pub is_nullable: bool,
}

/// How the values of a column are written in SQL, so that the server reads back the same
/// value and compares it as the column's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// As a whole number, which can be divided.
    Integer,
    /// As a number with decimals.
    Decimal,
    /// As the bytes of a text in this character set. It is compared in the collation of the
    /// column, which is stronger than that of a literal.
    Text(String),
    /// As bytes.
    Bytes,
    /// As a text that the server converts to the type of the column: a date, a UUID.
    Quoted,
}

/// The values of a key's columns in one row, each as a literal; `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue(Vec<Option<String>>);

impl KeyValue {
    /// Returns the first value, if it is a whole number.
    #[must_use]
    pub fn leading_integer(&self) -> Option<i128> {
        self.0.first()?.as_ref()?.parse().ok()
    }

    /// Returns the first value in SQL, if it is not NULL.
    pub fn leading(&self) -> Option<&str> {
        self.0.first()?.as_deref()
    }

    /// Returns a key of one column, which holds `number`.
    #[must_use]
    pub fn of_integer(number: i128) -> Self {
        Self(vec![Some(number.to_string())])
    }
}

impl Literal {
    /// Returns the expression that reads a value of the column `name` as [`literal`] takes
    /// it.
    ///
    /// [`literal`]: Self::literal
    fn reading(&self, name: &str) -> String {
        match self {
            // A BIT is a number too.
            Self::Integer => format!("CAST({name} + 0 AS CHAR)"),
            Self::Decimal | Self::Quoted => format!("CAST({name} AS CHAR)"),
            Self::Text(_) | Self::Bytes => format!("HEX({name})"),
        }
    }

    /// Returns the value that was read as `text` in SQL; `None` if no value looks so.
    fn literal(&self, text: &str) -> Option<String> {
        let consists_of = |others: &[u8]| {
            let mut bytes = text.bytes();
            bytes.all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
        };
        match self {
            Self::Integer => text.parse::<i128>().ok().map(|number| number.to_string()),
            Self::Decimal => (consists_of(b"-.") && !text.is_empty()).then(|| text.to_owned()),
            Self::Quoted => consists_of(b"-.: ").then(|| format!("'{text}'")),
            Self::Text(charset) => consists_of(b"").then(|| format!("_{charset} X'{text}'")),
            Self::Bytes => consists_of(b"").then(|| format!("X'{text}'")),
        }
    }
}

impl KeyColumn {
    /// Whether `name`, this column, is equal to `value`.
    fn equal(&self, name: &str, value: Option<&str>) -> String {
        match value {
            Some(value) => format!("{name} = {value}"),
            None => self.is_null(name),
        }
    }

    /// Whether `name`, this column, is NULL. For dates that are NOT NULL, IS NULL is true of
    /// 0000-00-00 too (MySQL manual, "Comparison Functions and Operators").
    fn is_null(&self, name: &str) -> String {
        match self.literal {
            Literal::Quoted => format!("{name} <=> NULL"),
            _ => format!("{name} IS NULL"),
        }
    }

    /// Whether `name`, this column, is before `value`. `None`: no row is.
    fn before(&self, name: &str, value: Option<&str>) -> Option<String> {
        let value = value?;
        Some(match self.is_nullable {
            true => format!("({name} < {value} OR {})", self.is_null(name)),
            false => format!("{name} < {value}"),
        })
    }

    /// Whether `name`, this column, is after `value`.
    fn after(name: &str, value: Option<&str>) -> String {
        match value {
            Some(value) => format!("{name} > {value}"),
            None => format!("{name} IS NOT NULL"),
        }
    }
}

/// Whether the key at which a range begins is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Included,
    Excluded,
}

/// The columns by which a statement is divided: `id`, `a,b`, or `o.id` for the table or
/// alias `o` of the statement.
///
/// ```
/// use gold_digger::sql::SplitColumns;
///
/// let columns: SplitColumns = "o.shop, o.id".parse()?;
/// assert_eq!(columns.qualifier.as_deref(), Some("o"));
/// assert_eq!(columns.names, ["shop", "id"]);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitColumns {
    /// The name or alias of the table; `None` if the statement has one only.
    pub qualifier: Option<String>,
    /// The columns' own names, at least one.
    pub names: Vec<String>,
}

impl FromStr for SplitColumns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (mut qualifiers, mut found) = (Vec::new(), Vec::new());
        for name in names(text, ',')? {
            match name.text.split_once('.') {
                Some((qualifier, name_)) if !name.is_quoted => {
                    qualifiers.push(Some(qualifier.to_owned()));
                    found.push(name_.to_owned());
                }
                _ => {
                    qualifiers.push(None);
                    found.push(name.text);
                }
            }
        }
        qualifiers.dedup();
        match (qualifiers.pop(), qualifiers.is_empty()) {
            (Some(qualifier), true) => Ok(Self {
                qualifier,
                names: found,
            }),
            _ => Err("its columns are of several tables, and a key is of one".to_owned()),
        }
    }
}

/// Returns the `columns` of the table or alias `qualifier` in SQL.
fn qualified<'a>(
    qualifier: Option<&str>,
    columns: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let qualifier = qualifier.map_or(String::new(), |name| format!("{}.", quoted(name)));
    columns
        .map(|column| format!("{qualifier}{}", quoted(column)))
        .collect()
}

/// Returns the `columns` of the table or alias `qualifier` for ORDER BY.
#[must_use]
pub fn order_of(qualifier: Option<&str>, columns: &[String]) -> String {
    qualified(qualifier, columns.iter()).join(", ")
}

impl Key {
    /// Returns the names of the columns in SQL.
    fn names(&self) -> Vec<String> {
        let columns = self.columns.iter().map(|column| &column.name);
        qualified(self.qualifier.as_deref(), columns)
    }

    /// Returns the columns for ORDER BY, each with the `direction` (`""` or `" DESC"`).
    #[must_use]
    pub fn order(&self, direction: &str) -> String {
        let names = self.names().into_iter();
        let names: Vec<_> = names.map(|name| name + direction).collect();
        names.join(", ")
    }

    /// Returns the expressions that read a row's key, see [`value`](Self::value).
    #[must_use]
    pub fn reading(&self) -> String {
        let names = self.names();
        let columns = self.columns.iter().zip(&names);
        let expressions: Vec<_> = columns
            .map(|(column, name)| column.literal.reading(name))
            .collect();
        expressions.join(", ")
    }

    /// Returns the key whose columns were [read](Self::reading) as `texts`; `None` if these
    /// are not texts of such columns.
    #[must_use]
    pub fn value(&self, texts: &[Option<String>]) -> Option<KeyValue> {
        let columns = self.columns.iter().zip(texts);
        let values = columns.map(|(column, text)| match text {
            Some(text) => column.literal.literal(text).map(Some),
            None => Some(None),
        });
        Some(KeyValue(values.collect::<Option<_>>()?))
    }

    /// Returns the key of the leading column that has the value which a user writes as
    /// `text`; `None` if no value looks so.
    #[must_use]
    pub fn value_of_user(&self, text: &str) -> Option<KeyValue> {
        let hex = || crate::text::hex(text.as_bytes());
        let literal = match &self.columns.first()?.literal {
            Literal::Text(_) => format!("_utf8mb4 X'{}'", hex()),
            Literal::Bytes => format!("X'{}'", hex()),
            literal @ Literal::Decimal => {
                text.parse::<f64>()
                    .ok()
                    .filter(|number| number.is_finite())?;
                literal.literal(text)?
            }
            literal => literal.literal(text)?,
        };
        Some(KeyValue(vec![Some(literal)]))
    }

    /// Returns the key of the leading column alone.
    #[must_use]
    pub fn leading(&self) -> Self {
        Self {
            qualifier: self.qualifier.clone(),
            columns: self.columns[..1].to_vec(),
        }
    }

    /// Returns the condition that a row is in the range from `lower`, included, up to
    /// `upper`, excluded. Without one of them, the range has no end there. Values may be
    /// those of the first columns only.
    ///
    /// ```
    /// use gold_digger::sql::{Key, KeyColumn, KeyValue, Literal};
    ///
    /// let column = |name: &str| KeyColumn { name: name.to_owned(), literal: Literal::Integer, is_nullable: false };
    /// let key = Key { qualifier: None, columns: vec![column("a"), column("b")] };
    /// let value = |a: &str, b: &str| key.value(&[Some(a.to_owned()), Some(b.to_owned())]);
    /// let (lower, upper) = (value("1", "5"), value("1", "9"));
    /// assert_eq!(key.range(lower.as_ref(), upper.as_ref()), "`a` = 1 AND `b` >= 5 AND `b` < 9");
    /// assert_eq!(key.range(lower.as_ref(), None), "(`a` > 1 OR (`a` = 1 AND `b` >= 5))");
    /// assert_eq!(key.range(None, Some(&KeyValue::of_integer(7))), "`a` < 7");
    /// ```
    #[must_use]
    pub fn range(&self, lower: Option<&KeyValue>, upper: Option<&KeyValue>) -> String {
        let names = self.names();
        let values = |key: Option<&KeyValue>| key.map_or(Vec::new(), |key| key.0.clone());
        let (lower, upper) = (values(lower), values(upper));
        // What both begin with is the same in all rows of the range.
        let both = lower.iter().zip(&upper);
        let shorter = lower.len().min(upper.len()).saturating_sub(1);
        let common = both.take_while(|(a, b)| a == b).count().min(shorter);
        let columns = self.columns.iter().zip(&names).zip(&lower);
        let mut conditions: Vec<String> = columns
            .take(common)
            .map(|((column, name), value)| column.equal(name, value.as_deref()))
            .collect();
        if lower.len() > common {
            conditions.push(self.not_before(&names, &lower, common, Start::Included));
        }
        if upper.len() > common {
            conditions.push(self.before(&names, &upper, common));
        }
        match conditions.is_empty() {
            true => "1 = 1".to_owned(),
            false => conditions.join(" AND "),
        }
    }

    /// Returns the condition that a row is before `last`, or has that key.
    #[must_use]
    pub fn range_up_to(&self, last: &KeyValue) -> String {
        let names = self.names();
        let columns = self.columns.iter().zip(&names).zip(&last.0);
        let equal = columns.map(|((column, name), value)| column.equal(name, value.as_deref()));
        let equal = equal.collect::<Vec<_>>().join(" AND ");
        format!("{} OR ({equal})", self.range(None, Some(last)))
    }

    /// Returns the condition that a row is after `lower`, and before `upper` if there is one.
    #[must_use]
    pub fn range_after(&self, lower: &KeyValue, upper: Option<&KeyValue>) -> String {
        let after = self.not_before(&self.names(), &lower.0, 0, Start::Excluded);
        match upper {
            Some(_) => format!("{after} AND {}", self.range(None, upper)),
            None => after,
        }
    }

    /// Whether the columns from `index` on are not before `values`.
    fn not_before(
        &self,
        names: &[String],
        values: &[Option<String>],
        index: usize,
        start: Start,
    ) -> String {
        let (name, value) = (&names[index], values[index].as_deref());
        let after = KeyColumn::after(name, value);
        if index + 1 < values.len() {
            let rest = self.not_before(names, values, index + 1, start);
            let equal = self.columns[index].equal(name, value);
            return format!("({after} OR ({equal} AND {rest}))");
        }
        match (value, start) {
            (_, Start::Excluded) => after,
            (Some(value), Start::Included) => format!("{name} >= {value}"),
            (None, Start::Included) => "1 = 1".to_owned(),
        }
    }

    /// Whether the columns from `index` on are before `values`.
    fn before(&self, names: &[String], values: &[Option<String>], index: usize) -> String {
        let (name, value) = (&names[index], values[index].as_deref());
        let before = self.columns[index].before(name, value);
        if index + 1 == values.len() {
            return before.unwrap_or_else(|| "1 = 0".to_owned());
        }
        let rest = self.before(names, values, index + 1);
        let equal = self.columns[index].equal(name, value);
        match before {
            Some(before) => format!("({before} OR ({equal} AND {rest}))"),
            None => format!("({equal} AND {rest})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(columns: &[(&str, Literal, bool)]) -> Key {
        let columns = columns
            .iter()
            .map(|(name, literal, is_nullable)| KeyColumn {
                name: (*name).to_owned(),
                literal: literal.clone(),
                is_nullable: *is_nullable,
            });
        Key {
            qualifier: None,
            columns: columns.collect(),
        }
    }

    /// Whether `condition` holds for a row, by a little interpreter of the SQL above.
    fn holds(condition: &str, row: &[Option<i128>]) -> bool {
        fn any(rest: &mut &str, row: &[Option<i128>]) -> bool {
            let mut found = all(rest, row);
            while let Some(next) = rest.strip_prefix(" OR ") {
                *rest = next;
                found |= all(rest, row);
            }
            found
        }
        fn all(rest: &mut &str, row: &[Option<i128>]) -> bool {
            let mut found = one(rest, row);
            while let Some(next) = rest.strip_prefix(" AND ") {
                *rest = next;
                found &= one(rest, row);
            }
            found
        }
        fn one(rest: &mut &str, row: &[Option<i128>]) -> bool {
            if let Some(inner) = rest.strip_prefix('(') {
                *rest = inner;
                let found = any(rest, row);
                *rest = rest.strip_prefix(')').expect("a parenthesis");
                return found;
            }
            let end = rest.find([')']).unwrap_or(rest.len());
            let end = [" AND ", " OR "]
                .iter()
                .fold(end, |end, word| rest[..end].find(word).unwrap_or(end));
            let (text, after) = rest.split_at(end);
            *rest = after;
            let (left, operator) = text.split_once(' ').expect("an operator");
            let column = |name: &str| row[usize::from(name.as_bytes()[1] - b'a')];
            let number = |text: &str| text.parse::<i128>().expect("a number");
            match operator {
                "IS NULL" => return column(left).is_none(),
                "IS NOT NULL" => return column(left).is_some(),
                _ => {}
            }
            let (operator, right) = operator.split_once(' ').expect("a value");
            if !left.starts_with('`') {
                return left == right;
            }
            // A comparison with NULL is not true.
            column(left).is_some_and(|left| match operator {
                "=" => left == number(right),
                "<" => left < number(right),
                ">" => left > number(right),
                ">=" => left >= number(right),
                other => panic!("{other}"),
            })
        }
        let mut rest = condition;
        let found = any(&mut rest, row);
        assert_eq!(rest, "", "{condition}");
        found
    }

    #[test]
    fn each_row_is_in_one_range() {
        let numbers = [None, Some(0), Some(1), Some(2)];
        let mut rows = Vec::new();
        for a in numbers {
            for b in numbers {
                rows.extend(numbers.map(|c| vec![a, b, c]));
            }
        }
        for length in 1..=3 {
            let nullable = ["a", "b", "c"].map(|name| (name, Literal::Integer, true));
            let key = key(&nullable[..length]);
            // In the order of the rows, NULL is the first: so it is for Option.
            let mut keys: Vec<_> = rows.iter().map(|row| row[..length].to_vec()).collect();
            keys.dedup();
            for (low, first) in keys.iter().enumerate() {
                for second in &keys[low + 1..] {
                    let value = |numbers: &Vec<Option<i128>>| {
                        let texts = numbers.iter().map(|one| one.map(|one| one.to_string()));
                        key.value(&texts.collect::<Vec<_>>()).expect("a key")
                    };
                    let (lower, upper) = (value(first), value(second));
                    let ranges = [
                        key.range(None, Some(&lower)),
                        key.range(Some(&lower), Some(&upper)),
                        key.range(Some(&upper), None),
                    ];
                    for row in &rows {
                        let found = ranges.each_ref().map(|range| holds(range, row));
                        let short = &row[..length];
                        let expected = [
                            short < &first[..],
                            short >= &first[..] && short < &second[..],
                            short >= &second[..],
                        ];
                        assert_eq!(found, expected, "{ranges:?} {row:?}");
                        let after = key.range_after(&lower, Some(&upper));
                        let expected = short > &first[..] && short < &second[..];
                        assert_eq!(holds(&after, row), expected, "{after} {row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn values_are_literals_of_their_columns() {
        for (literal, text, expected) in [
            (Literal::Integer, "-5", Some("-5")),
            (Literal::Integer, "", None),
            (Literal::Integer, "1 OR 1", None),
            (Literal::Decimal, "-1.50", Some("-1.50")),
            (Literal::Decimal, "1;2", None),
            (
                Literal::Quoted,
                "2026-01-01 00:00:00.5",
                Some("'2026-01-01 00:00:00.5'"),
            ),
            (Literal::Quoted, "a'b", None),
            (Literal::Bytes, "00FF", Some("X'00FF'")),
            (Literal::Bytes, "", Some("X''")),
            (
                Literal::Text("latin1".to_owned()),
                "E4",
                Some("_latin1 X'E4'"),
            ),
            (Literal::Text("latin1".to_owned()), "'", None),
        ] {
            let key = key(&[("a", literal.clone(), false)]);
            let found = key.value(&[Some(text.to_owned())]);
            let found = found.map(|KeyValue(values)| values[0].clone().expect("a value"));
            assert_eq!(found.as_deref(), expected, "{literal:?} {text}");
        }
    }
}
