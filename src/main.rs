//! The program: parse, resolve, run, exit code.

use std::{io::Write, process::ExitCode};

use gold_digger::{
    cli::{Args, redacted},
    config::{Config, Verbosity},
    error::{Error, ErrorKind, printable},
    export::{Summary, export},
    signals,
};

fn main() -> ExitCode {
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let config = match Config::resolve(args) {
        Ok(config) => config,
        Err(error) => return fail(&error, Verbosity::Normal),
    };
    let (verbosity, target) = (config.verbosity, config.target.clone());
    match signals::run(move |cancel| export(&config, cancel)) {
        Ok(summary) => {
            report(&summary, &target.to_string(), verbosity);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, verbosity),
    }
}

/// What clap has to say: help, the version, or a mistake in the arguments.
fn usage(error: &clap::Error) -> ExitCode {
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

fn fail(error: &Error, verbosity: Verbosity) -> ExitCode {
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

fn report(summary: &Summary, target: &str, verbosity: Verbosity) {
    if let (Some(warning), true) = (&summary.warning, verbosity >= Verbosity::Normal) {
        say(&format!("warning: {}", printable(warning)));
    }
    if verbosity >= Verbosity::Verbose {
        let Summary {
            rows,
            bytes,
            elapsed,
            server_warnings,
            ..
        } = summary;
        let seconds = elapsed.as_secs_f64();
        let rate = *rows as f64 / seconds;
        say(&format!(
            "{rows} rows, {bytes} bytes to {} in {seconds:.3} s ({rate:.0} rows/s)",
            printable(target)
        ));
        say(&format!("the server counted {server_warnings} warnings"));
    }
}

fn say(text: &str) {
    // Where standard error is closed, there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "gold_digger: {text}");
}
