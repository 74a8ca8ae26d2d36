//! The program: parse, resolve, run, exit code.

use std::{process::ExitCode, sync::Arc};

use gold_digger::{
    cli::Args,
    config::{Config, Task},
    export::export,
    report, signals,
};

fn main() -> ExitCode {
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let verbosity = args.verbosity;
    let config = match Config::resolve(args) {
        Ok(Task::Export(config)) => Arc::new(*config),
        Ok(Task::Print(text)) => return report::print(&text),
        Err(error) => return report::failure(&error, verbosity),
    };
    report::warnings(&config.warnings, verbosity);
    let exported = Arc::clone(&config);
    match signals::run(move |cancel| export(&exported, cancel)) {
        Ok(summary) => {
            report::success(&summary, &config);
            ExitCode::SUCCESS
        }
        Err(error) => report::failure(&error, verbosity),
    }
}
