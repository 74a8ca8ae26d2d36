//! The program: parse, resolve, run, report, exit code.

use std::{process::ExitCode, sync::Arc};

use gold_digger::{
    allocator,
    cancel::Cancel,
    check::check,
    cli::{Args, Request},
    config::{Config, Task},
    error::Result,
    export::{aftermath, export},
    journal::Journal,
    progress, report, signals, summary,
};

fn main() -> ExitCode {
    allocator::share_one_arena();
    signals::take_file_size_limits_as_errors();
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    if let Request::Print(text) = args.request {
        return report::print(&text);
    }
    let reporting = args.reporting.clone();
    report::start(&reporting);
    let journal = Journal::default();
    let (target, result) = match Config::resolve(args, &journal) {
        Ok(Task::Print(text)) => return report::print(text.as_bytes()),
        Ok(Task::Check(config)) => {
            match signals::run(&Cancel::default(), move |cancel| check(&config, cancel)) {
                Ok(text) => return report::print(text.as_bytes()),
                Err(error) => (None, Err(error)),
            }
        }
        Ok(Task::Export(config)) => {
            let config = Arc::new(*config);
            (Some(config.target.clone()), run(&config, &journal))
        }
        Err(error) => (None, Err(error)),
    };
    let mut code = match &result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(error, &reporting),
    };
    if let Some(place) = &reporting.summary
        && let Err(error) = summary::write(place, target.as_ref(), &journal, &result)
    {
        let failed = report::failure(&error, &reporting);
        if result.is_ok() {
            code = failed;
        }
    }
    code
}

fn run(config: &Arc<Config>, journal: &Journal) -> Result<()> {
    let progress = progress::show(config, journal);
    let (exported, written) = (Arc::clone(config), journal.clone());
    let cancel = Cancel::default();
    let result = signals::run(&cancel, move |cancel| export(&exported, &written, cancel));
    let result = result.map_err(|error| aftermath(error, &config.target, journal, &cancel));
    drop(progress);
    if result.is_ok() {
        report::success(journal, config);
    }
    result
}
