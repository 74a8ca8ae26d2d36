//! A borrowed view on one row's cells. It copies nothing and keeps nothing.

/// One row of a result set; it lives until the next one is read.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(&'a mysql::Row);

/// One cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// The server's text for the value, or the bytes of a binary one.
    Bytes(&'a [u8]),
}

impl<'a> Row<'a> {
    /// A view on the driver's `row`.
    #[must_use]
    pub const fn new(row: &'a mysql::Row) -> Self {
        Self(row)
    }

    /// The cells in the order of the columns.
    pub fn values(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.0.len()).map(move |index| match self.0.as_ref(index) {
            Some(mysql::Value::NULL) => Value::Null,
            Some(mysql::Value::Bytes(bytes)) => Value::Bytes(bytes),
            // The text protocol's deserializer makes only these two
            // (mysql_common, `TextValue`), and nothing takes cells out of rows.
            _ => unreachable!("a cell of the text protocol is NULL or bytes"),
        })
    }
}
