//! Runs statements on MySQL and MariaDB servers, and returns their rows.
//!
//! [`QueryExecutor`] is a session, which [`ConnectOptions`] and [`SessionOptions`]
//! describe, and [`RowStream`] is the rows of its statement. [`snapshot`] opens
//! several sessions that read one snapshot. Types of the driver do not leave this
//! module and `row`, but for the sources of errors.

mod bit_branches;
mod bits;
mod charset;
mod codes;
#[doc(hidden)]
pub mod columns;
mod connect;
mod correction;
mod driver;
mod errors;
mod excerpt;
mod executed;
mod executor;
mod interrupt;
mod lookup;
mod options;
mod overload;
mod owned_row;
mod prepare;
mod previous;
mod refusal;
mod result_set;
mod rewritten;
mod rows;
mod server_warnings;
mod session;
pub mod snapshot;
mod split;
mod tables;
mod time_zone;
mod tls;
pub mod tls_options;
mod type_name;

pub use crate::panics::install_panic_hook;
pub(crate) use errors::is_refused_write;
pub use executor::QueryExecutor;
pub use interrupt::SessionUse;
pub use options::{
    Access, Compression, ConnectOptions, Endpoint, Protocol, SessionOptions, SnapshotMode,
    WarningPolicy,
};
pub use overload::LoadLimits;
pub use owned_row::{ConversionError, FromValue, OwnedRow};
pub use result_set::ResultSet;
pub use rows::RowStream;
pub use session::SessionFacts;
pub use snapshot::BinlogPosition;
pub use split::{
    ChunkSize, Chunks, Increment, IncrementForm, IncrementOptions, IncrementStart, Lag, Mark,
    SplitOptions, WithoutKey,
};
pub use tables::SnapshotGap;
pub use tls::install_tls_provider;

use crate::{error::Result, row::Row, schema::Schema};

/// Rows that arrive one at a time: those of a statement on a server, or of any
/// other source.
///
/// The caller reads rows until [`next_row`](Self::next_row) returns `None`, and
/// then calls [`finish`](Self::finish). Only a source that was finished without an
/// error is complete.
pub trait RowSource {
    /// Returns the columns, which are known before the first row.
    fn schema(&self) -> &Schema;

    /// Waits for the next row. Returns `None` after the last row.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) if the rows end with an
    /// error or the connection is lost, and the cause if the run was cancelled.
    fn next_row(&mut self) -> Result<Option<Row<'_>>>;

    /// Reads what follows the rows, up to the end of the source.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) if an error or a second
    /// result set follows the rows, and the cause if the run was cancelled.
    fn finish(self: Box<Self>) -> Result<()>;

    /// Returns the wire protocol of the rows: `text`, `binary`, or `none` if the
    /// source has no wire protocol.
    fn protocol(&self) -> &'static str {
        "none"
    }

    /// Returns the reason why the rows do not use the protocol that is usual for the
    /// statement. `None`: they use it.
    fn note(&self) -> Option<&str> {
        None
    }
}
