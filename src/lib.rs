//! gold_digger streams the rows of a MySQL or MariaDB query into CSV, TSV,
//! JSON or NDJSON, with flat memory, exact values, and never a truncated file that looks
//! whole.
//!
//! This crate is the engine of the program `gold_digger`, and the program itself
//! behind the feature `cli`. The engine neither prints nor asks: it sends
//! [events](jobs::Observer) and returns a report.
//!
//! # One export
//!
//! ```no_run
//! use gold_digger::{CancelToken, Export, format::Csv, sink::Target, source::ConnectOptions};
//!
//! # fn main() -> gold_digger::error::Result<()> {
//! let server = ConnectOptions::tcp("127.0.0.1", 3306)
//!     .user("reader")
//!     .password(std::env::var("DB_PASSWORD").unwrap_or_default())
//!     .database("shop");
//! let report = Export::new(server, "SELECT * FROM orders")
//!     .format(Csv::new().delimiter(b';')?)
//!     .target(Target::file("orders.csv"))
//!     .run(&CancelToken::new())?;
//! println!("{} rows, {} bytes", report.rows, report.bytes);
//! # Ok(())
//! # }
//! ```
//!
//! `orders.csv` appears when the last row is in it and synced, or stays as it was.
//! [`Export::to_vec`] returns the document instead, [`Export::sink`] sends it to a
//! [`Sink`](sink::Sink) of your own, and [`Export::format`] takes a
//! [`Format`](format::Format) of your own. Another thread ends the export by
//! [`CancelToken::cancel_all`], and reads its progress from [`Export::status`].
//! TLS needs one call at the start of the process:
//! [`source::install_tls_provider`]. An export without rows fails, unless
//! [`Export::allow_empty`] says otherwise. An [`Error`](error::Error) has a kind, a
//! message and a hint, which may name a flag of the program. `examples/` has four
//! short programs.
//!
//! # Rows
//!
//! [`QueryExecutor::query`](source::QueryExecutor::query) gives the rows of a
//! query as an iterator, with typed access to their values.
//!
//! # Many exports
//!
//! [`jobs::run`] runs a [`RunPlan`](jobs::RunPlan): exports in one snapshot, over
//! several connections, with retries, guards and manifests, published each or all
//! together.
//!
//! # Layers
//!
//! A module uses only those of the lines before its own:
//!
//! - [`text`], [`schema`], [`row`]: what every module uses
//! - [`error`]: the one error type, with its exit code
//! - [`cancel`], [`sql`], [`format`](mod@format): ending early; SQL text; rows as
//!   bytes
//! - [`source`], [`sink`], [`load`]: where rows come from, where bytes go, what
//!   loads them
//! - [`pipeline`], [`artifacts`]: the loop over rows; manifests and histories
//! - [`jobs`]: exports, retried, guarded and published
//! - `config`, `cli` (feature `cli`): the program on top

pub mod artifacts;
pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod error;
pub mod format;
pub mod jobs;
pub mod load;
mod panics;
pub mod pipeline;
pub mod row;
pub mod schema;
pub mod sink;
pub mod source;
pub mod sql;
mod sync;
pub mod text;

pub use cancel::CancelToken;
pub use jobs::{Export, ExportReport};
