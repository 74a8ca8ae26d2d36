//! Fuzzes the database URL, the output path with its placeholders, and other texts
//! of the command line. Asserts that no output shows a password.

#![no_main]

use arbitrary::Arbitrary;
use gold_digger::{cli::args::Args, text::printable};
use libfuzzer_sys::fuzz_target;

mod resolve;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    url: &'a str,
    output: &'a str,
    parameter: &'a str,
    delimiter: &'a str,
    timeout: &'a str,
    message: &'a str,
}

/// The password. No fuzzed text contains it.
const PASSWORD: &str = "s3cret-0f-mine";

fuzz_target!(|input: Input| {
    let Input {
        url,
        output,
        parameter,
        delimiter,
        timeout,
        message,
    } = input;
    let texts = [url, output, parameter, delimiter, timeout, message];
    if texts
        .iter()
        .any(|text| text.contains('\0') || text.contains("s3c"))
    {
        return;
    }
    let with_password = format!("mysql://me:{PASSWORD}@{url}");
    for url in [url, with_password.as_str()] {
        let arguments = [
            "gold_digger".to_owned(),
            "--no-defaults".to_owned(),
            "--dump-config".to_owned(),
            format!("--db-url={url}"),
            format!("--output={output}"),
            format!("--param={parameter}"),
            format!("--csv-delimiter={delimiter}"),
            format!("--connect-timeout={timeout}"),
            "SELECT 1".to_owned(),
        ];
        let parsed = Args::parse_arguments(arguments.into_iter().map(Into::into));
        let shown = match parsed {
            Ok(args) => match resolve::resolve(args) {
                Ok(task) => format!("{task:?}"),
                Err(rejected) => rejected.error.to_string(),
            },
            Err(error) => printable(&error.to_string()),
        };
        assert!(!shown.contains(PASSWORD), "{shown}");
    }
    let shown = printable(&format!("{message} mysql://me:{PASSWORD}@host/"));
    assert!(!shown.contains(PASSWORD), "{shown}");
    assert!(
        !shown.contains(['\u{1b}', '\n', '\u{9b}', '\u{202e}']),
        "{shown}"
    );
});
