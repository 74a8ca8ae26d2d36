//! Shared by all tests: real servers, a fake server and a runner for the binary.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};

/// An address of this machine that the program takes for another host.
pub const ANOTHER_HOST: &str = "127.1";

/// Returns the longest time that an immediate reaction may take: two seconds, as many
/// times as there are threads for each processor that want to run now, or wanted to in
/// the last minute (proc_loadavg(5)).
pub fn short_timeout() -> Duration {
    let load = fs::read_to_string("/proc/loadavg").expect("the load");
    let mut fields = load.split([' ', '/']);
    let mut number = |skipped| -> f64 {
        let field = fields.nth(skipped).and_then(|field| field.parse().ok());
        field.expect("a number")
    };
    let (of_last_minute, now) = (number(0), number(2));
    let processors = thread::available_parallelism().expect("their number").get();
    let share = of_last_minute.max(now) / processors as f64;
    Duration::from_secs(2).mul_f64(share.max(1.0))
}

/// Returns the names of the entries of `folder`, sorted.
pub fn file_names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .collect();
    names.sort();
    names
}

/// Returns the path of a program: the one that `variable` names, or the last one
/// that matches `pattern`, in the cache of scripts/test if it is relative.
pub fn installed(variable: &str, pattern: &str) -> PathBuf {
    if let Some(program) = env::var_os(variable) {
        return program.into();
    }
    let home = PathBuf::from(env::var_os("HOME").unwrap_or_default());
    let cache = env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from);
    let pattern = cache.join("gold_digger").join(pattern);
    let found = glob::glob(pattern.to_str().expect("UTF-8")).expect("a pattern");
    found.flatten().last().unwrap_or_else(|| {
        let pattern = pattern.display();
        panic!("no {pattern}: run scripts/test, which installs it, or set {variable}")
    })
}

/// Makes a named pipe.
pub fn make_fifo(path: &Path) {
    mkfifo(path, Mode::S_IRWXU).expect("a FIFO");
}

pub mod certificates;
pub mod fake;
mod json_schema;
mod postgres;
mod program;
mod s3;
mod server;

pub use json_schema::{assert_as_schema, json_schema, members, schema_violation};
pub use postgres::Postgres;
pub use program::{
    GoldDigger, Outcome, Running, Signal, at_terminal, poll_until, wait_for, wait_until,
};
pub use s3::{Fault, S3};
pub use server::{
    Database, GlobalVariable, Server, changing_certificates, each_logging_server, each_server,
    each_server_alone, make_zone_with_summer_time, on_a_server, on_new_mariadb,
};
