//! What the tests share: servers, a runner for the binary, and a fake server.

use std::{fs, path::Path, time::Duration};

/// Another host as far as the program knows, though it is this one.
pub const ANOTHER_HOST: &str = "127.1";

/// What "at once" may take.
pub const PROMPT: Duration = Duration::from_secs(2);

/// The names in `folder`, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .collect();
    names.sort();
    names
}

pub mod certificates;
pub mod fake;
mod program;
mod server;

pub use program::{GoldDigger, Outcome, Running, Signal, at_terminal, until};
pub use server::{
    Database, GlobalVariable, Server, changing_certificates, each_logging_server, each_server,
    each_server_alone, on_a_server, on_new_mariadb,
};
