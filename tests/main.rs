//! Every test of the built binary: against a real MariaDB and a real Oracle
//! MySQL that the support starts, or against a fake server that misbehaves on
//! purpose.

// A test that cannot go on ends with a panic.
#![allow(clippy::expect_used, clippy::print_stdout)]

mod support;

mod command_line;
mod configuration;
mod connecting;
mod credentials;
mod documentation;
mod ending;
mod flushing;
mod formats;
mod guards;
mod hostile;
mod login;
mod manners;
mod memory;
mod million_rows;
mod mistakes;
mod nightly;
mod output;
mod protocols;
mod readers;
mod reliability;
mod statements;
mod tampering;
mod tls;
mod types;
