//! Every test of the built binary: against a real MariaDB and a real Oracle
//! MySQL that the support starts, or against a fake server that misbehaves on
//! purpose.

// A test that cannot go on ends with a panic.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod cli;
mod config;
mod format;
mod jobs;
mod pipeline;
mod sink;
mod source;
mod sql;
mod support;
