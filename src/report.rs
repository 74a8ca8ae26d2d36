//! What people are told on standard error, and the exit code beside it.

use std::{io::Write, process::ExitCode};

use crate::{
    config::{Config, Verbosity},
    error::{Error, ErrorKind, printable, redacted},
    export::Summary,
};

/// What clap has to say: help, the version, or a mistake in the arguments.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let shown = redacted(&text);
    if shown == text || !error.use_stderr() {
        // With colours, where it is a terminal. Nobody may be there to read it.
        let _ = error.print();
    } else {
        let _ = write!(std::io::stderr(), "{shown}");
    }
    let failed = ErrorKind::Config.exit_code();
    ExitCode::from(if error.use_stderr() { failed } else { 0 })
}

/// A failure's message, unless it is one that ends in silence.
#[must_use]
pub fn failure(error: &Error, verbosity: Verbosity) -> ExitCode {
    let silent = match error.kind() {
        // As a filter that SIGPIPE ended.
        ErrorKind::ReaderGone => true,
        ErrorKind::NoRows => verbosity == Verbosity::Quiet,
        _ => false,
    };
    if !silent {
        say(&error.to_string());
    }
    ExitCode::from(error.kind().exit_code())
}

/// What the user should know.
pub fn warnings(warnings: &[String], verbosity: Verbosity) {
    if verbosity >= Verbosity::Normal {
        for warning in warnings {
            say(&format!("warning: {}", printable(warning)));
        }
    }
}

/// Prints `text` on standard output.
#[must_use]
pub fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::from(ErrorKind::ReaderGone.exit_code())
        }
        Err(error) => {
            say(&format!("cannot write to standard output: {error}"));
            ExitCode::from(ErrorKind::Output.exit_code())
        }
    }
}

/// What a successful export did: warnings, and at `-v` the figures.
pub fn success(summary: &Summary, config: &Config) {
    warnings(&summary.warnings, config.verbosity);
    if config.verbosity >= Verbosity::Verbose {
        let Summary {
            rows,
            bytes,
            elapsed,
            ..
        } = summary;
        let target = printable(&config.target.to_string());
        let seconds = elapsed.as_secs_f64();
        let rate = *rows as f64 / seconds;
        say(&format!(
            "{rows} rows, {bytes} bytes to {target} in {seconds:.3} s ({rate:.0} rows/s)"
        ));
    }
}

/// Something that is told at `-v`, as it arises.
pub fn note(text: &str) {
    say(&printable(text));
}

fn say(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "gold_digger: {text}");
}
