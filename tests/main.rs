//! The tests of the built binary, and of the engine as a library. They run against
//! a real MariaDB and a real Oracle MySQL, which `support` starts, or against a
//! fake server that misbehaves on purpose.

// A test that cannot continue ends with a panic.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod cli;
mod config;
mod format;
mod jobs;
mod library;
mod pipeline;
mod sink;
mod source;
mod sql;
mod support;
