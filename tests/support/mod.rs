//! What the tests share: servers, a runner for the binary, and a fake server.

pub mod certificates;
pub mod fake;
mod program;
mod server;

pub use program::{GoldDigger, Outcome, Running, Signal, at_terminal, until};
pub use server::{
    Database, GlobalVariable, changing_certificates, each_server, each_server_alone, on_new_mariadb,
};
