//! The rows of a query as an iterator of rows that own their values.

use std::sync::Arc;

use super::{OwnedRow, QueryExecutor, RowSource, RowStream, options::Protocol};
use crate::{error::Result, schema::Schema, sql::Query};

/// The rows of one result set. Dropped before its end, it closes the connection
/// and kills the query instead of reading on.
///
/// The iterator ends with an error where the server reports one, also after the
/// last row. Exports do not use it: it copies each row.
pub struct ResultSet<'conn> {
    /// `None` after the last row or an error.
    stream: Option<RowStream<'conn>>,
    schema: Arc<Schema>,
}

impl QueryExecutor {
    /// Runs `sql`, one statement, and returns its rows.
    ///
    /// After the last row, [`result_warnings`](Self::result_warnings) returns what the
    /// server's warnings say of them.
    ///
    /// ```no_run
    /// use gold_digger::{
    ///     cancel::CancelToken,
    ///     source::{ConnectOptions, QueryExecutor, SessionOptions, SessionUse},
    /// };
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = ConnectOptions::tcp("127.0.0.1", 3306).user("reader").database("shop");
    /// let (session, cancel) = (SessionOptions::default(), CancelToken::new());
    /// let mut executor = QueryExecutor::connect(&server, &session, SessionUse::Exclusive, &cancel)?;
    /// for row in executor.query("SELECT id, name FROM customers")? {
    ///     let row = row?;
    ///     let (id, name): (u32, Option<&str>) = (row.get("id")?, row.get("name")?);
    ///     println!("{id}: {}", name.unwrap_or("nobody"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where `sql` is not one
    /// statement; [`ErrorKind::Query`](crate::error::ErrorKind::Query) where the
    /// server refuses it, or where it has no result set.
    pub fn query(&mut self, sql: &str) -> Result<ResultSet<'_>> {
        self.bind(&Query::parse(sql)?, &[], Protocol::Auto)?;
        let stream = self.run()?;
        Ok(ResultSet {
            schema: Arc::new(stream.schema().clone()),
            stream: Some(stream),
        })
    }
}

impl ResultSet<'_> {
    /// The columns, known before the first row.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl Iterator for ResultSet<'_> {
    type Item = Result<OwnedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let stream = self.stream.as_mut()?;
        match stream.next_row() {
            Ok(Some(row)) => Some(Ok(OwnedRow::new(row.to_owned(), Arc::clone(&self.schema)))),
            Ok(None) => {
                let stream = self.stream.take()?;
                let doubtful = stream.doubtful_text();
                let ended = Box::new(stream).finish();
                ended.err().or(doubtful).map(Err)
            }
            Err(error) => {
                self.stream = None;
                Some(Err(error))
            }
        }
    }
}
