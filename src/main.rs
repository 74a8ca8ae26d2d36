//! The program: parse, resolve, run, exit code.

use std::{process::ExitCode, sync::Arc};

use gold_digger::{
    cli::Args,
    config::{Config, Verbosity},
    export::export,
    report, signals,
};

fn main() -> ExitCode {
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let config = match Config::resolve(args) {
        Ok(config) => Arc::new(config),
        Err(error) => return report::failure(&error, Verbosity::Normal),
    };
    let exported = Arc::clone(&config);
    match signals::run(move |cancel| export(&exported, cancel)) {
        Ok(summary) => {
            report::success(&summary, &config);
            ExitCode::SUCCESS
        }
        Err(error) => report::failure(&error, config.verbosity),
    }
}
