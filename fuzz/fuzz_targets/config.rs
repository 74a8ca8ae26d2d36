//! The configuration file: whatever it holds is refused in order, or shown as
//! JSON without the password that it may hold.

#![no_main]

use std::io::Write;

use gold_digger::{
    cli::Args,
    config::{Config, Task},
    journal::Journal,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let mut file = tempfile::Builder::new()
        .prefix("fuzz")
        .tempfile_in("/dev/shm")
        .expect("a file");
    file.write_all(text).expect("it is written");
    let path = file.path().to_str().expect("a plain path");
    let arguments = [
        "gold_digger",
        "--no-defaults",
        "--dump-config",
        "--config",
        path,
        "--user",
        "me",
    ];
    let arguments = arguments.into_iter().map(Into::into);
    let args = Args::parse_arguments(arguments).expect("good arguments");
    match Config::resolve(args, &Journal::default()) {
        Ok(Task::Print(shown)) => {
            serde_json::from_str::<serde_json::Value>(&shown).expect("JSON");
        }
        Ok(_) => panic!("only a dump was asked for"),
        Err(error) => assert_eq!(error.kind().exit_code(), 2, "{error}"),
    }
});
