//! The program: parse, resolve, run, report, exit code.

use std::process::ExitCode;

use gold_digger::{
    cancel::Cancel,
    cli::allocator,
    cli::args::{Args, Request},
    cli::report,
    cli::signals,
    cli::summary,
    config::{Config, Task},
    jobs::check::check,
    jobs::runner::run,
    jobs::status::Journal,
};

fn main() -> ExitCode {
    allocator::share_one_arena();
    signals::take_file_size_limits_as_errors();
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    match &args.request {
        Request::Print(text) => return report::print(text),
        Request::Verify(paths, told) => return report::verified(paths, *told, &args.reporting),
        _ => {}
    }
    let reporting = args.reporting.clone();
    report::start(&reporting);
    let journal = Journal::default();
    let (entries, result) = match Config::resolve(args, &journal) {
        Ok(Task::Print(text)) => return report::print(text.as_bytes()),
        Ok(Task::Check(config)) => {
            match signals::run(&Cancel::default(), move |cancel| check(&config, cancel)) {
                Ok((text, result)) => match (report::print(text.as_bytes()), result) {
                    (printed, Ok(())) => return printed,
                    (_, result) => (Vec::new(), result),
                },
                Err(error) => (Vec::new(), Err(error)),
            }
        }
        Ok(Task::Export(config)) => run(*config, &journal),
        Err(error) => (Vec::new(), Err(error)),
    };
    let mut code = match &result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(error, &reporting),
    };
    if let Some(place) = &reporting.summary
        && let Err(error) = summary::write(place, &entries, &journal, &result)
    {
        let failed = report::failure(&error, &reporting);
        if result.is_ok() {
            code = failed;
        }
    }
    code
}
