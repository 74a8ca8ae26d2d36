//! The server's side: sessions that run statements, and their rows.
//!
//! Types of the driver stop here and in `row`.

mod builders;
mod codes;
#[doc(hidden)]
pub mod columns;
mod connect;
mod driver;
mod errors;
mod excerpt;
mod executor;
mod interrupt;
mod options;
mod prepare;
mod refusal;
mod result_set;
mod rows;
mod session;
pub mod snapshot;
mod tables;
mod tls;
pub mod tls_options;
mod type_name;

pub use driver::install_panic_hook;
pub use executor::QueryExecutor;
pub use interrupt::SessionUse;
pub use options::{
    Access, Compression, ConnectOptions, Endpoint, Protocol, SessionOptions, SnapshotMode,
};
pub use result_set::ResultSet;
pub use rows::RowStream;
pub use session::SessionFacts;
pub use snapshot::BinlogPosition;
pub use tables::SnapshotCoverage;
pub use tls::install_tls_provider;

use crate::{error::Result, row::Row, schema::Schema};

/// Rows that arrive one at a time: those of a statement on a server, or of
/// anything else.
pub trait RowSource {
    /// The columns, known before the first row.
    fn schema(&self) -> &Schema;

    /// Waits for the next row; `None` is the end of the rows, which only
    /// [`finish`](Self::finish) makes the end of the source.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) where the rows break
    /// off.
    fn next_row(&mut self) -> Result<Option<Row<'_>>>;

    /// Reads what follows the rows, up to the end of the source.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) where an error
    /// follows the rows, or more rows than one result set.
    fn finish(self: Box<Self>) -> Result<()>;

    /// The wire protocol of the rows.
    fn protocol(&self) -> &'static str {
        "none"
    }

    /// Why the rows do not come by the protocol that is usual for the statement.
    fn note(&self) -> Option<&str> {
        None
    }
}
