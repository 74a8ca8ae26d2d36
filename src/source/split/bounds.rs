//! Finds where the chunks of a table begin: at keys of rows that are there, so that no
//! chunk is empty for long gaps between keys, and none has most of the rows.
//!
//! Where the key begins with whole numbers, the range with the most rows by the server's
//! estimate is divided in the middle of its numbers again and again, and the next real key
//! is looked up there. What cannot be divided so (texts, dates, one number with many rows)
//! is walked through: the key of each n-th row is read, which reads the index once. Pieces
//! that are smaller than chunks are then joined to chunks of about one size.
//!
//! Each boundary is found by the condition that it is after the one before, so that the
//! server itself says that they ascend.

use std::collections::BTreeMap;

use mysql::{Conn, Row};

use super::{ChunkSize, SplitTable, facts::KeyPlan, failed};
use crate::{
    error::{Error, ErrorKind, Result},
    source::{
        driver::{ask, number, text},
        errors::is_parse_error,
        tables::by_name,
    },
    sql::{Key, KeyValue},
};

/// The pieces that make up a chunk, so that chunks become equal though estimates are not
/// exact.
const PIECES: u64 = 4;

/// The most chunks.
const MAX_CHUNKS: u64 = 10_000;

/// The number of rows up to which a table is walked through.
const FEW_ROWS: u64 = 50_000;

/// The most divisions beside those that the number of chunks needs: about two for each bit
/// of a number.
const EXTRA_DIVISIONS: u64 = 128;

/// A range of keys.
#[derive(Clone, Debug)]
struct Piece {
    /// The key at which it begins; `None` at the start of the table.
    lower: Option<KeyValue>,
    /// The number of its rows, as far as is known.
    rows: u64,
}

/// A range of the numbers that lead the key.
struct Numbers {
    lower: Option<KeyValue>,
    upper: Option<KeyValue>,
    /// The smallest and the greatest number in it.
    ends: (i128, i128),
    rows: u64,
}

/// Asks the server for keys of a table.
pub(super) struct Finder<'a> {
    conn: &'a mut Conn,
    /// The table in SQL, with the index that is used.
    table: String,
    /// The same for EXPLAIN: MySQL estimates nothing where an index is forced (MySQL manual,
    /// "Range Optimization", skipping index dives).
    explained: String,
    key: Key,
    /// Whether the server can estimate the rows of a range.
    has_estimates: bool,
}

impl<'a> Finder<'a> {
    pub(super) fn new(
        conn: &'a mut Conn,
        table: &SplitTable,
        plan: &KeyPlan,
        is_view: bool,
    ) -> Self {
        let with_hint = |hint: &str| match &plan.index {
            Some(index) => {
                let index = index.replace('`', "``");
                format!("{} {hint} INDEX (`{index}`)", table.name())
            }
            None => table.name().to_string(),
        };
        Self {
            conn,
            table: with_hint("FORCE"),
            explained: with_hint("USE"),
            key: plan.key.clone(),
            has_estimates: plan.index.is_some() && !is_view,
        }
    }

    /// Returns the keys at which the chunks begin, but for the first, which begins at the
    /// start.
    pub(super) fn bounds(&mut self, size: ChunkSize) -> Result<Vec<KeyValue>> {
        let rows = self.rows()?;
        let wanted = match size {
            ChunkSize::Count(count) => u64::from(count.get()),
            ChunkSize::Rows(size) => rows.div_ceil(size.get()),
        };
        let count = wanted.clamp(1, MAX_CHUNKS);
        if wanted > count {
            let what = format!("{wanted} chunks are too many: there may be {MAX_CHUNKS}");
            return Err(Error::new(ErrorKind::Query, what).with_hint("choose larger ones"));
        }
        if count == 1 {
            return Ok(Vec::new());
        }
        let pieces = self.pieces(rows, count)?;
        Ok(join(pieces, count))
    }

    /// Returns the number of rows of the table. Where the server expects few, they are
    /// counted, and the table is walked through: statistics may be older than the rows.
    fn rows(&mut self) -> Result<u64> {
        let estimate = match self.has_estimates {
            true => self.estimate("1 = 1")?,
            false => 0,
        };
        if estimate >= FEW_ROWS {
            return Ok(estimate);
        }
        self.has_estimates = false;
        self.count()
    }

    /// Divides the table into pieces that are smaller than `count` chunks of its `rows`.
    fn pieces(&mut self, rows: u64, count: u64) -> Result<Vec<Piece>> {
        if !self.has_estimates {
            return self.walk(None, None, rows.div_ceil(count).max(1), count);
        }
        let size = (rows / count / PIECES).max(1);
        let mut pieces = Vec::new();
        for range in self.divide(rows, size, count)? {
            // One number with many rows, or no number at all.
            if range.rows > 2 * size && range.ends.0 == range.ends.1 {
                let (lower, upper) = (range.lower.as_ref(), range.upper.as_ref());
                pieces.extend(self.walk(lower, upper, size, count)?);
            } else {
                pieces.push(Piece {
                    lower: range.lower,
                    rows: range.rows,
                });
            }
        }
        Ok(pieces)
    }

    /// Divides the table by the numbers that lead its key into ranges of about `size` rows.
    /// Without such numbers, there is one range.
    fn divide(&mut self, rows: u64, size: u64, count: u64) -> Result<Vec<Numbers>> {
        let leading = self.key.leading();
        let values = format!("{} IS NOT NULL", leading.order(""));
        let ends = [
            self.first(&leading, &values)?,
            self.last(&leading, &values)?,
        ];
        let [first, last] = ends.map(|end| end.and_then(|end| end.leading_integer()));
        let whole = Numbers {
            lower: None,
            upper: None,
            ends: first.zip(last).unwrap_or_default(),
            rows,
        };
        // By the number of rows; the second number makes the keys unique.
        let mut open = BTreeMap::from([((rows, 0), whole)]);
        let (mut ranges, mut number) = (Vec::new(), 0);
        for _ in 0..count * 2 * PIECES + EXTRA_DIVISIONS {
            let Some((_, range)) = open.pop_last() else {
                break;
            };
            if range.rows <= size || range.ends.0 >= range.ends.1 {
                ranges.push(range);
                continue;
            }
            for half in self.halves(&leading, range)? {
                number += 1;
                open.insert((half.rows, number), half);
            }
        }
        ranges.extend(open.into_values());
        ranges.sort_by_key(|range| range.ends.0);
        Ok(ranges)
    }

    /// Divides `range` at the first key of the upper half of its numbers.
    fn halves(&mut self, leading: &Key, range: Numbers) -> Result<Vec<Numbers>> {
        let (min, max) = range.ends;
        let middle = KeyValue::of_integer(min + (max - min) / 2 + 1);
        let upper_half = leading.range(Some(&middle), range.upper.as_ref());
        let found = self.first(leading, &upper_half)?;
        let Some((bound, start)) =
            found.and_then(|key| Some((key.clone(), key.leading_integer()?)))
        else {
            // Without a snapshot, its rows may have gone meanwhile.
            return Ok(vec![Numbers {
                ends: (min, min),
                ..range
            }]);
        };
        let lower_part = leading.range(range.lower.as_ref(), Some(&bound));
        let upper_part = leading.range(Some(&bound), range.upper.as_ref());
        let values = format!("{lower_part} AND {} IS NOT NULL", leading.order(""));
        let end = self.last(leading, &values)?;
        let end = end.and_then(|end| end.leading_integer()).unwrap_or(min);
        let rows = [self.estimate(&lower_part)?, self.estimate(&upper_part)?];
        Ok(vec![
            Numbers {
                lower: range.lower,
                upper: Some(bound.clone()),
                ends: (min, end),
                rows: rows[0],
            },
            Numbers {
                lower: Some(bound),
                upper: range.upper,
                ends: (start, max),
                rows: rows[1],
            },
        ])
    }

    /// Divides the range from `lower` to `upper` at the key of each row that has `size` rows
    /// before it. If there are far more pieces than `count` chunks need, they become larger.
    fn walk(
        &mut self,
        lower: Option<&KeyValue>,
        upper: Option<&KeyValue>,
        mut size: u64,
        count: u64,
    ) -> Result<Vec<Piece>> {
        let key = self.key.clone();
        let whole = key.range(lower, upper);
        let mut pieces = vec![Piece {
            lower: lower.cloned(),
            rows: size,
        }];
        let most = usize::try_from(count * 4 * PIECES).unwrap_or(usize::MAX);
        let mut at = self.first(&key, &whole)?;
        while let Some(last) = at {
            at = self.nth(&key, &key.range_after(&last, upper), size - 1)?;
            pieces.extend(at.clone().map(|key| Piece {
                lower: Some(key),
                rows: size,
            }));
            if pieces.len() > most {
                size *= 2;
                pieces = pieces.into_iter().step_by(2).collect();
                pieces.iter_mut().for_each(|piece| piece.rows = size);
            }
        }
        Ok(pieces)
    }

    /// The connection.
    pub(super) fn conn(&mut self) -> &mut Conn {
        self.conn
    }

    /// Returns the first key in the order of `key` for which `condition` holds.
    pub(super) fn first(&mut self, key: &Key, condition: &str) -> Result<Option<KeyValue>> {
        self.nth(key, condition, 0)
    }

    /// Returns the first key that has `before` rows before it.
    fn nth(&mut self, key: &Key, condition: &str, before: u64) -> Result<Option<KeyValue>> {
        let limit = format!("{before}, 1");
        self.look_up(key, condition, &key.order(""), &limit)
    }

    /// Returns the last key for which `condition` holds.
    pub(super) fn last(&mut self, key: &Key, condition: &str) -> Result<Option<KeyValue>> {
        self.look_up(key, condition, &key.order(" DESC"), "1")
    }

    /// Returns the texts of the last key for which `condition` holds.
    pub(super) fn last_texts(
        &mut self,
        key: &Key,
        condition: &str,
    ) -> Result<Option<Vec<Option<String>>>> {
        self.look_up_texts(key, condition, &key.order(" DESC"), "1")
    }

    fn look_up(
        &mut self,
        key: &Key,
        condition: &str,
        order: &str,
        limit: &str,
    ) -> Result<Option<KeyValue>> {
        let Some(texts) = self.look_up_texts(key, condition, order, limit)? else {
            return Ok(None);
        };
        let unreadable = || {
            let what = "the server sent a key that no column of its type has";
            Error::new(ErrorKind::Query, what)
        };
        key.value(&texts).ok_or_else(unreadable).map(Some)
    }

    fn look_up_texts(
        &mut self,
        key: &Key,
        condition: &str,
        order: &str,
        limit: &str,
    ) -> Result<Option<Vec<Option<String>>>> {
        let question = format!(
            "SELECT {} FROM {} WHERE {condition} ORDER BY {order} LIMIT {limit}",
            key.reading(),
            self.table
        );
        let rows = ask(self.conn, &question).map_err(failed)?;
        let texts = |row| {
            (0..key.columns.len())
                .map(|index| text(row, index))
                .collect()
        };
        Ok(rows.first().map(texts))
    }

    /// Returns how many rows the server expects where `condition` holds.
    fn estimate(&mut self, condition: &str) -> Result<u64> {
        let select = format!("SELECT 1 FROM {} WHERE {condition}", self.explained);
        // MySQL prints a tree by default; MariaDB does not know the word.
        let explained = match ask(self.conn, &format!("EXPLAIN FORMAT=TRADITIONAL {select}")) {
            Err(error) if is_parse_error(&error) => ask(self.conn, &format!("EXPLAIN {select}")),
            explained => explained,
        };
        let explained = explained.map_err(failed)?;
        let rows = |row: &Row| by_name(row, "rows")?.parse().ok();
        // There is no number where the server knows that there are none.
        Ok(explained.first().and_then(rows).unwrap_or(0))
    }

    /// Returns the number of all rows.
    fn count(&mut self) -> Result<u64> {
        let question = format!("SELECT COUNT(*) FROM {}", self.table);
        let rows = ask(self.conn, &question).map_err(failed)?;
        Ok(rows.first().and_then(|row| number(row, 0)).unwrap_or(0))
    }
}

/// Joins `pieces` to at most `count` chunks of about one size. Returns where all but the
/// first begin.
fn join(pieces: Vec<Piece>, count: u64) -> Vec<KeyValue> {
    let all: u128 = pieces.iter().map(|piece| u128::from(piece.rows)).sum();
    let (mut bounds, mut rows) = (Vec::new(), 0_u128);
    for piece in pieces {
        // The chunks before it have their share of the rows, or would have it with half of
        // this piece.
        let share = (bounds.len() as u128 + 1) * all;
        let is_due = (rows + u128::from(piece.rows) / 2) * u128::from(count) >= share;
        rows += u128::from(piece.rows);
        if let (Some(lower), true) = (piece.lower, is_due)
            && (bounds.len() as u64) < count - 1
        {
            bounds.push(lower);
        }
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the chunks to which pieces of `sizes` are joined.
    fn joined(sizes: &[u64], count: u64) -> Vec<u64> {
        let pieces = sizes.iter().enumerate().map(|(index, rows)| Piece {
            lower: (index > 0).then(|| KeyValue::of_integer(index as i128)),
            rows: *rows,
        });
        let bounds = join(pieces.collect(), count);
        let mut starts: Vec<usize> = bounds
            .iter()
            .map(|bound| bound.leading_integer().expect("an index") as usize)
            .collect();
        starts.insert(0, 0);
        starts.push(sizes.len());
        let chunks = starts.windows(2);
        chunks
            .map(|ends| sizes[ends[0]..ends[1]].iter().sum())
            .collect()
    }

    #[test]
    fn pieces_are_joined_to_chunks_of_one_size() {
        assert_eq!(joined(&[1; 8], 4), [2, 2, 2, 2]);
        assert_eq!(joined(&[1; 9], 4), [3, 2, 2, 2]);
        assert_eq!(joined(&[1; 3], 8), [1, 1, 1]);
        assert_eq!(joined(&[5], 8), [5]);
        assert_eq!(joined(&[100, 1, 1, 1], 2), [100, 3]);
        assert_eq!(joined(&[1, 1, 1, 100], 2), [3, 100]);
        assert_eq!(joined(&[0, 0, 0], 2), [0, 0]);
        assert_eq!(joined(&[], 2), [0]);
    }
}
