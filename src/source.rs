//! The server's side: sessions that run statements, and their rows.
//!
//! Types of the driver stop here and in `row`.

pub mod columns;
mod connect;
mod driver;
mod errors;
mod excerpt;
pub mod executor;
mod interrupt;
mod prepare;
mod refusal;
mod rows;
mod session;
pub mod snapshot;
mod tables;
mod tls;
mod type_name;

pub use executor::QueryExecutor;
pub(crate) use interrupt::LiveConnection;
pub use interrupt::Purpose;
pub use rows::RowStream;
pub use session::SessionFacts;
pub use tables::Tables;
