//! Reports errors, warnings and successes on standard error, and returns exit codes.
//! No other module writes there.
//!
//! Warnings, and at `-v` what was done, arrive as events of `tracing` from any
//! module.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::LazyLock,
};

use anstyle::{AnsiColor, Style};
use indicatif::MultiProgress;
use tracing::{Event, Level, Subscriber, field::Field, level_filters::LevelFilter};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

use super::args::UsageError;
use crate::{
    artifacts::verify::verify,
    config::{
        layers::Layer,
        reporting::{LogFormat, ReportOptions, Verbosity},
    },
    error::{Error, ErrorKind},
    jobs::{Event as RunEvent, ExportStatus, Observer, Outcome, RunReport},
    sink::standard_output,
    text::{counted, escape, printable, redact_json, without_misplaced},
};

/// The style of the label of an error.
const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The style of the label of a warning.
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The style of the label of a hint.
const HINT: Style = AnsiColor::Cyan.on_default();

/// The progress on the terminal, which is cleared before other text is written
/// there.
static TERMINAL: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Returns where progress is drawn.
pub(crate) fn terminal() -> &'static MultiProgress {
    &TERMINAL
}

/// Writes a line to standard error, with colours if that is a terminal.
pub(crate) fn line(text: &str) {
    LineWriter.write_line(format!("{text}\n").as_bytes());
}

/// Writes to standard error and redraws the progress after the text. A failed write
/// cannot be reported anywhere, so it is ignored and the run continues.
struct LineWriter;

impl LineWriter {
    fn write_line(&self, bytes: &[u8]) {
        let _ = TERMINAL.suspend(|| anstream::stderr().write_all(bytes));
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes lines of JSON to standard error, without secrets.
struct JsonWriter;

impl Write for JsonWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = redact_json(&String::from_utf8_lossy(bytes));
        LineWriter.write_line(text.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts to write the events that the verbosity of `reporting` selects.
pub fn start(reporting: &ReportOptions) {
    let level = match reporting.verbosity {
        Verbosity::Quiet => LevelFilter::ERROR,
        Verbosity::Normal => LevelFilter::WARN,
        Verbosity::Verbose => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(|| LineWriter);
    // It fails only if a subscriber is already set, which then stays.
    let _ = match reporting.log_format {
        LogFormat::Text => {
            tracing::subscriber::set_global_default(builder.event_format(TextFormatter).finish())
        }
        LogFormat::Json => tracing::subscriber::set_global_default(
            builder
                .with_writer(|| JsonWriter)
                .json()
                .flatten_event(true)
                .with_span_list(false)
                .with_target(false)
                .finish(),
        ),
    };
}

/// Formats events as `gold_digger: warning: text`.
struct TextFormatter;

impl<S, N> FormatEvent<S, N> for TextFormatter
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        // The name of the export, if the event is about one of several.
        if let Some(span) = context.lookup_current()
            && let Some(fields) = span.extensions().get::<FormattedFields<N>>()
            && let Some((_, name)) = fields.split_once('=')
        {
            text = format!("{}: ", name.trim_matches('"'));
        }
        event.record(&mut |field: &Field, value: &dyn fmt::Debug| {
            if field.name() == "message" {
                // Writing to a string does not fail.
                let _ = write!(text, "{value:?}");
            }
        });
        let label = match *event.metadata().level() {
            Level::WARN => format!("{WARNING}warning:{WARNING:#} "),
            _ => String::new(),
        };
        writeln!(writer, "gold_digger: {label}{}", printable(&text))
    }
}

/// Prints the help or the version, or reports a mistake in the arguments. Returns
/// the exit code.
#[must_use]
pub fn usage(error: &UsageError) -> ExitCode {
    let error = match error {
        UsageError::Clap(error) => error,
        UsageError::Mistake(error) => {
            let flags = Layer::default();
            return failure(error, &ReportOptions::from_flags(&flags, Verbosity::Normal));
        }
    };
    if !error.use_stderr() {
        // With colours on a terminal. It fails if standard output has no reader.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // Not with clap's colours: its coloured text would show the arguments unescaped.
    let text = error.to_string();
    // A password may have line ends of its own.
    let text = without_misplaced(&text);
    let lines: Vec<String> = text.trim_end().lines().map(printable).collect();
    let shown = lines.join("\n");
    match shown.strip_prefix("error:") {
        Some(rest) => line(&format!("{ERROR}error:{ERROR:#}{rest}")),
        None => line(&shown),
    }
    ExitCode::from(ErrorKind::Config.exit_code())
}

/// Prints `text` on standard output. Returns the exit code.
#[must_use]
pub fn print(text: &[u8]) -> ExitCode {
    let printed = standard_output().and_then(|mut stdout| {
        stdout.write_all(text)?;
        stdout.flush()
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::from(ErrorKind::ReaderGone.exit_code())
        }
        Err(error) => {
            line(&format!(
                "gold_digger: cannot write to standard output: {error}"
            ));
            ExitCode::from(ErrorKind::Output.exit_code())
        }
    }
}

/// Verifies files against their manifests, and prints one line for each on standard
/// output; when quiet, only for those that fail. Returns the exit code.
#[must_use]
pub fn verification(
    paths: &[PathBuf],
    verbosity: Verbosity,
    reporting: &ReportOptions,
) -> ExitCode {
    let mut printed = ExitCode::SUCCESS;
    let result = verify(paths, |text, is_intact| {
        let is_shown = !is_intact || verbosity > Verbosity::Quiet;
        if printed == ExitCode::SUCCESS && is_shown {
            printed = print(format!("{text}\n").as_bytes());
        }
    });
    match result {
        Ok(()) => printed,
        Err(error) => failure(&error, reporting),
    }
}

/// Reports `error`, unless its kind has no message. Returns the exit code.
#[must_use]
pub fn failure(error: &Error, reporting: &ReportOptions) -> ExitCode {
    let code = error.kind().exit_code();
    let is_silent = match error.kind() {
        // Like a filter that SIGPIPE has ended.
        ErrorKind::ReaderGone => true,
        ErrorKind::NoRows => reporting.verbosity == Verbosity::Quiet,
        _ => false,
    };
    match reporting.log_format {
        _ if is_silent => {}
        LogFormat::Json => tracing::error!(
            kind = error.kind().name(),
            exit_code = code,
            hint = error.hint(),
            "{}",
            error.message()
        ),
        LogFormat::Text => {
            let text = styled(error);
            line(&format!("{ERROR}gold_digger:{ERROR:#} {text}"));
        }
    }
    ExitCode::from(code)
}

/// Returns the message and the hint of `error`, with the word `hint` in colour.
fn styled(error: &Error) -> String {
    let mut text = error.printable_message();
    if let Some(hint) = error.hint() {
        text += &format!("\n  {HINT}hint:{HINT:#} {}", escape(hint));
    }
    text
}

/// Returns whether success is reported: at `-v`, and on a terminal unless quiet.
fn reports_success(reporting: &ReportOptions) -> bool {
    reporting.verbosity >= Verbosity::Verbose
        || reporting.verbosity == Verbosity::Normal && io::stderr().is_terminal()
}

/// Reports the events of a run on standard error.
pub struct Reporter(pub ReportOptions);

impl Observer for Reporter {
    fn event(&self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Warning { text, .. } => tracing::warn!("{text}"),
            // A single query is reported at the end of the run.
            RunEvent::Succeeded { export } if export.name.is_some() => {
                report_success(export, &self.0);
            }
            RunEvent::Failed { export, error } => {
                if let Some(name) = &export.name {
                    report_failure(name, error, &self.0);
                }
            }
            _ => {}
        }
    }
}

/// Reports the failure of the export called `name`, one of several.
fn report_failure(name: &str, error: &Error, reporting: &ReportOptions) {
    let error = match reporting.log_format {
        LogFormat::Text => error.clone().with_location(name),
        // The name is a field of its own.
        LogFormat::Json => error.clone(),
    };
    let _ = failure(&error, reporting);
}

/// Reports what a successful run did, at `-v` and on a terminal.
pub fn success(run: &RunReport, reporting: &ReportOptions) {
    match &run.exports[..] {
        [export] if export.name.is_none() => report_success(export, reporting),
        exports => {
            let (rows, bytes) = (run.rows(), run.bytes());
            let seconds = run.status.elapsed().as_secs_f64();
            let text = format!(
                "{}, {}, {} in {seconds:.3} s",
                counted(exports.len() as u64, "export"),
                counted(rows, "row"),
                counted(bytes, "byte")
            );
            write_success(&text, rows, bytes, seconds, reporting);
        }
    }
}

/// Reports what a successful export did, at `-v` and on a terminal.
fn report_success(export: &ExportStatus, reporting: &ReportOptions) {
    let status = &export.status;
    let (rows, bytes) = (status.rows(), status.bytes());
    let seconds = status.elapsed().as_secs_f64();
    let rate = status.rows_per_second();
    let (name, target) = (export.name.as_deref(), &export.target);
    let name = match reporting.log_format {
        LogFormat::Text => name.map_or_else(String::new, |name| format!("{name}: ")),
        LogFormat::Json => String::new(),
    };
    let stored = status.details().stored_bytes;
    let stored = stored.map_or_else(String::new, |bytes| format!(" ({bytes} stored)"));
    let text = match status.outcome() {
        Some(Outcome::NothingNew) => format!("{name}no new rows; {target} left as it was"),
        _ => format!(
            "{name}{}, {}{stored} to {target} in {seconds:.3} s ({rate:.0} rows/s)",
            counted(rows, "row"),
            counted(bytes, "byte")
        ),
    };
    write_success(&text, rows, bytes, seconds, reporting);
    let statement = status.details().load_statement;
    let is_shown = reporting.verbosity >= Verbosity::Verbose;
    if let Some(statement) = statement.filter(|_| is_shown) {
        write_load_statement(&statement, &name, reporting);
    }
}

/// Writes the statement that loads the rows, ready to paste, after `name`. A
/// character that controls a terminal is escaped; the manifest and
/// `--load-statement` have it as it is.
fn write_load_statement(statement: &str, name: &str, reporting: &ReportOptions) {
    match reporting.log_format {
        LogFormat::Text => {
            let lines: Vec<String> = statement.lines().map(escape).collect();
            let name = printable(name);
            line(&format!(
                "gold_digger: {name}this loads them:\n{}",
                lines.join("\n")
            ));
        }
        LogFormat::Json => tracing::info!(load_statement = statement, "this loads them"),
    }
}

/// Writes the report of a success, if it is wanted. `seconds` is the elapsed time.
fn write_success(text: &str, rows: u64, bytes: u64, seconds: f64, reporting: &ReportOptions) {
    if !reports_success(reporting) {
        return;
    }
    match reporting.log_format {
        LogFormat::Text => line(&format!("gold_digger: {}", printable(text))),
        LogFormat::Json => tracing::info!(rows, bytes, seconds, "{text}"),
    }
}
