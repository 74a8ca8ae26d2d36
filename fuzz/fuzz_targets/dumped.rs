//! Asserts that a configuration file is either rejected with exit code 2 or dumped
//! as JSON.

use std::io::Write;

use gold_digger::{cli::args::Args, config::Task};

use crate::resolve::resolve;

/// Dumps the configuration with `text` in the file that `flag` names, and with
/// further `flags`.
pub fn dump(text: &[u8], flag: &str, flags: &[&str]) {
    let mut file = tempfile::Builder::new()
        .prefix("fuzz")
        .tempfile_in("/dev/shm")
        .expect("a file");
    file.write_all(text).expect("it is written");
    let path = file.path().to_str().expect("a plain path");
    let arguments = ["gold_digger", "--dump-config", flag, path];
    let arguments = arguments.iter().chain(flags).map(Into::into);
    let args = Args::parse_arguments(arguments).expect("good arguments");
    match resolve(args) {
        Ok(Task::Print(shown)) => {
            serde_json::from_str::<serde_json::Value>(&shown).expect("JSON");
        }
        Ok(_) => panic!("the task is no dump"),
        Err(rejected) => {
            let error = rejected.error;
            assert_eq!(error.kind().exit_code(), 2, "{error}");
        }
    }
}
