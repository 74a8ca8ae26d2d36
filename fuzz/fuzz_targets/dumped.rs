//! What a file that configures leads to: it is refused in order, or shown as
//! JSON.

use std::io::Write;

use gold_digger::{
    cli::args::Args,
    config::{Config, Task},
    jobs::status::Journal};

/// Has `text` read as the file that `flag` names, beside `flags`.
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
    match Config::resolve(args, &Journal::default()) {
        Ok(Task::Print(shown)) => {
            serde_json::from_str::<serde_json::Value>(&shown).expect("JSON");
        }
        Ok(_) => panic!("only a dump was asked for"),
        Err(error) => assert_eq!(error.kind().exit_code(), 2, "{error}"),
    }
}
