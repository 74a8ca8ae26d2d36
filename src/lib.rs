//! gold_digger streams the rows of a MySQL or MariaDB query into CSV, TSV or
//! JSON, with flat memory, exact values, and never a truncated file that looks
//! whole.

pub mod artifacts;
pub mod cancel;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
pub mod error;
pub mod format;
pub mod jobs;
pub mod pipeline;
pub mod row;
pub mod schema;
pub mod sink;
pub mod source;
pub mod sql;
pub mod text;
