//! The program: parses the command line, resolves the configuration, runs the
//! exports, reports the result, and returns the exit code.

use std::{
    process::ExitCode,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use gold_digger::{
    cancel::CancelToken,
    cli::{
        allocator,
        args::{Args, Request},
        check::{self, CheckStyle},
        progress, prompt, report, signals, summary, terminal,
    },
    config::{self, Interaction, Rejected, SummaryPath, Task, reporting::ReportOptions},
    error::{Error, Result},
    jobs::{ExportStatus, RunPlan, Runner, Status, check::check as check_exports, find_tables},
    sink, source,
};

ctor::declarative::ctor! {
    // The attribute states that this function may run before Rust's runtime: it only
    // queries three descriptors and sets a number.
    #[ctor(unsafe)]
    fn before_main() {
        sink::record_closed_descriptors();
    }
}

fn main() -> ExitCode {
    allocator::configure();
    source::install_panic_hook();
    source::install_tls_provider();
    signals::take_file_size_limits_as_errors();
    let args = match Args::parse_arguments(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => return report::usage(&error),
    };
    let (request, style) = match args.request {
        Request::Print(text) => return report::print(&text),
        Request::Verify(paths, verbosity) => {
            return report::verification(&paths, verbosity, &args.reporting);
        }
        Request::Resolve(request) => (request, CheckStyle::Text),
        Request::Check(style) => (config::Request::Check, style),
    };
    let reporting = args.reporting;
    report::start(&reporting);
    let status = Status::default();
    let interaction = Interaction {
        ask: &prompt::ask,
        warn: &|text| {
            tracing::warn!("{text}");
            status.add_warning(text);
        },
        stdout: terminal::standard_output(),
    };
    match config::resolve(args.layer, request, &reporting, &interaction) {
        Ok(Task::Print(text)) => report::print(text.as_bytes()),
        Ok(Task::Check(plan)) => run_check(*plan, style, &reporting),
        Ok(Task::Export(plan)) => run(*plan, status, &reporting),
        Err(Rejected { error, summary }) => {
            let result = Err(error);
            match summary {
                SummaryPath::Free => end(&[], &status, &result, &reporting),
                SummaryPath::Taken => exit_code(&result, &reporting),
            }
        }
    }
}

/// Runs the exports of `plan`, and handles signals meanwhile.
fn run(plan: RunPlan, status: Status, reporting: &ReportOptions) -> ExitCode {
    if let Err(error) = check_summary(&plan, reporting) {
        return exit_code(&Err(error), reporting);
    }
    let observer = Arc::new(report::Reporter(reporting.clone()));
    let cancel = CancelToken::default();
    // What the worker makes once the exports are known.
    let running = Arc::new(OnceLock::new());
    let is_taken = Arc::new(AtomicBool::new(false));
    let result = {
        let (running, status, reporting) = (running.clone(), status.clone(), reporting.clone());
        let summary_is_taken = is_taken.clone();
        signals::watch(&cancel, move |cancel| {
            let plan = find_tables(&plan, &status, &*observer, cancel)?.unwrap_or(plan);
            if let Err(rejected) = config::refuse_common_targets(&plan.exports, &plan.reserved) {
                summary_is_taken.store(rejected.summary == SummaryPath::Taken, Relaxed);
                return Err(rejected.error);
            }
            let runner = Runner::new(plan, status.clone(), observer);
            let progress = progress::show(&reporting, runner.exports(), &status);
            let (runner, _) = running.get_or_init(|| (runner, Mutex::new(Some(progress))));
            runner.execute(cancel)
        })
    };
    let Some((runner, progress)) = running.get() else {
        return match is_taken.load(Relaxed) {
            true => exit_code(&result, reporting),
            false => end(&[], &status, &result, reporting),
        };
    };
    let report = runner.conclude(result, &cancel);
    drop(progress.lock().map(|mut progress| progress.take()));
    if report.result.is_ok() {
        report::success(&report, reporting);
    }
    end(&report.exports, &status, &report.result, reporting)
}

/// Checks what the exports of `plan` would do, and prints it.
fn run_check(plan: RunPlan, style: CheckStyle, reporting: &ReportOptions) -> ExitCode {
    let has_tables = match style {
        CheckStyle::Tables => check::check_targets(&plan),
        CheckStyle::Text | CheckStyle::Json => Ok(()),
    };
    if let Err(error) = has_tables.and_then(|()| check_summary(&plan, reporting)) {
        return exit_code(&Err(error), reporting);
    }
    let observer = report::Reporter(reporting.clone());
    let result = signals::watch(&CancelToken::default(), move |cancel| {
        let found = find_tables(&plan, &Status::default(), &observer, cancel)?;
        let plan = found.unwrap_or(plan);
        let report = check_exports(&plan, cancel)?;
        Ok((plan, report))
    });
    let result = match result {
        Ok((plan, report)) => {
            let (text, result) = match style {
                CheckStyle::Text => (check::to_text(&plan, &report), Ok(())),
                CheckStyle::Tables => check::to_tables(&plan, &report),
                CheckStyle::Json => match check::to_json(&plan, &report) {
                    Ok(text) => (text, Ok(())),
                    Err(error) => (String::new(), Err(error)),
                },
            };
            match (report::print(text.as_bytes()), report.result.and(result)) {
                (printed, Ok(())) => return printed,
                (_, result) => result,
            }
        }
        Err(error) => Err(error),
    };
    exit_code(&result, reporting)
}

/// Checks that the summary of `plan` can be written, if it has one.
fn check_summary(plan: &RunPlan, reporting: &ReportOptions) -> Result<()> {
    let target = reporting.summary.as_ref();
    target.map_or(Ok(()), |target| summary::check(target, plan))
}

/// Reports the result of a run, writes its summary, and returns the exit code.
fn end(
    exports: &[ExportStatus],
    status: &Status,
    result: &Result<()>,
    reporting: &ReportOptions,
) -> ExitCode {
    let code = exit_code(result, reporting);
    let Some(target) = &reporting.summary else {
        return code;
    };
    match summary::write(target, exports, status, result) {
        Ok(()) => code,
        Err(error) => {
            let failed: Result<()> = Err::<(), Error>(error);
            let failed = exit_code(&failed, reporting);
            if result.is_ok() { failed } else { code }
        }
    }
}

/// Reports an error, if there is one, and returns the exit code.
fn exit_code(result: &Result<()>, reporting: &ReportOptions) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(error, reporting),
    }
}
