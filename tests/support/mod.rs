//! What the tests share: servers, a runner for the binary, and a fake server.

/// Another host as far as the program knows, though it is this one.
pub const ANOTHER_HOST: &str = "127.1";

pub mod certificates;
pub mod fake;
mod program;
mod server;

pub use program::{GoldDigger, Outcome, Running, Signal, at_terminal, until};
pub use server::{
    Database, GlobalVariable, Server, changing_certificates, each_server, each_server_alone,
    on_a_server, on_new_mariadb,
};
