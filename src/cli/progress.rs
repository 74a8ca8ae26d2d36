//! Shows the progress of a run on standard error: a line that is redrawn ten times
//! a second on a terminal, and a new line every five seconds elsewhere.
//!
//! A separate thread reads the status, so that the run does no work for it.

use std::{
    fs,
    io::IsTerminal,
    os::unix::fs::FileTypeExt,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use super::report;
use crate::{
    config::reporting::{LogFormat, ProgressMode, ReportOptions, Verbosity},
    jobs::{ExportStatus, Status, status::totals},
    sink::Target,
    text::{counted, size},
};

/// The delay before the first line on a terminal. A shorter run shows none.
const FIRST_DRAW: Duration = Duration::from_millis(300);

/// The time between two redraws on a terminal.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// The time between two lines if standard error is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// How long the end of the run waits for the last line to be cleared. A terminal may
/// accept no more output, for example after Ctrl-S.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Shows progress until it is dropped.
pub struct Progress(Option<ProgressThread>);

/// The channels to the thread that shows progress.
struct ProgressThread {
    /// Stops the thread when it is dropped.
    stop: Sender<()>,
    /// Receives a message when the thread has cleared its lines.
    stopped: Receiver<()>,
}

/// Shows the progress of the run with `status` and `exports`, if `reporting` wants
/// it.
#[must_use]
pub fn show(reporting: &ReportOptions, exports: &[ExportStatus], status: &Status) -> Progress {
    let (verbosity, log_format) = (reporting.verbosity, reporting.log_format);
    let on_terminal = std::io::stderr().is_terminal();
    let rows_on_terminal = exports.iter().any(|export| is_terminal(&export.target));
    let is_shown = match reporting.progress {
        ProgressMode::Auto => on_terminal && verbosity > Verbosity::Quiet && !rows_on_terminal,
        ProgressMode::Always => true,
        ProgressMode::Never => false,
    };
    if !is_shown {
        return Progress(None);
    }
    let (stop, stop_requests) = mpsc::channel::<()>();
    let (has_stopped, stopped) = mpsc::channel();
    let view = ProgressView {
        exports: exports.to_vec(),
        status: status.clone(),
    };
    // Without the thread, the run continues without progress.
    let _ = thread::Builder::new().spawn(move || {
        let wait = |time| stop_requests.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        if on_terminal {
            if wait(FIRST_DRAW) {
                let mut bars = Vec::new();
                view.draw(&mut bars);
                while wait(REDRAW_INTERVAL) {
                    view.draw(&mut bars);
                }
                bars.iter().for_each(ProgressBar::finish_and_clear);
            }
        } else {
            while wait(LINE_INTERVAL) {
                view.lines(log_format)
                    .iter()
                    .for_each(|line| report::line(line));
            }
        }
        // It fails if the terminal took too long and the run no longer waits.
        let _ = has_stopped.send(());
    });
    Progress(Some(ProgressThread { stop, stopped }))
}

/// The data that progress shows.
struct ProgressView {
    exports: Vec<ExportStatus>,
    status: Status,
}

impl ProgressView {
    /// Returns the running exports, and whether the run has named exports.
    fn running(&self) -> (Vec<&ExportStatus>, bool) {
        let running = self
            .exports
            .iter()
            .filter(|export| export.status.is_running());
        let are_several = self.exports.iter().any(|export| export.name.is_some());
        (running.collect(), are_several)
    }

    /// Returns a line for each running export, and one for the run if its exports
    /// have names.
    fn texts(&self) -> Vec<String> {
        let (running, are_several) = self.running();
        let line = |export: &&ExportStatus| {
            let name = export.name.as_deref();
            let name = name.map_or_else(String::new, |name| format!("{name}: "));
            name + &text(
                &export.status,
                (export.status.rows(), export.status.bytes()),
            )
        };
        let mut texts: Vec<String> = running.iter().map(line).collect();
        if are_several {
            let (ended, count) = (self.ended(), self.exports.len());
            let counts = totals(&self.exports);
            let total = format!(
                "total: {ended} of {}, {}",
                counted(count as u64, "export"),
                text(&self.status, counts)
            );
            texts.push(total);
        }
        texts
    }

    /// Returns the number of exports whose work is done.
    fn ended(&self) -> usize {
        let exports = self.exports.iter();
        exports.filter(|export| export.status.is_done()).count()
    }

    /// Redraws the lines on the terminal: `bars` has one bar for each line.
    fn draw(&self, bars: &mut Vec<ProgressBar>) {
        let texts = self.texts();
        while bars.len() < texts.len() {
            bars.push(report::terminal().add(bar()));
        }
        while bars.len() > texts.len()
            && let Some(bar) = bars.pop()
        {
            bar.finish_and_clear();
            report::terminal().remove(&bar);
        }
        for (bar, text) in bars.iter().zip(texts) {
            bar.set_message(text);
        }
    }

    /// Returns the lines for an output that is no terminal.
    fn lines(&self, log_format: LogFormat) -> Vec<String> {
        if log_format == LogFormat::Text {
            return self.texts();
        }
        let (running, are_several) = self.running();
        let line = |export: &&ExportStatus| {
            let counts = (export.status.rows(), export.status.bytes());
            let mut progress = json(&export.status, counts);
            if let Some(name) = &export.name {
                progress["export"] = json!(name);
            }
            json!({ "progress": progress }).to_string()
        };
        let mut lines: Vec<String> = running.iter().map(line).collect();
        if are_several {
            let mut total = json(&self.status, totals(&self.exports));
            total["exports"] = json!(self.exports.len());
            total["ended"] = json!(self.ended());
            lines.push(json!({ "total": total }).to_string());
        }
        lines
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(ProgressThread { stop, stopped }) = self.0.take() {
            drop(stop);
            let _ = stopped.recv_timeout(CLOSE_TIMEOUT);
        }
    }
}

/// Returns whether the rows go to a terminal, where progress would be mixed with
/// them.
fn is_terminal(target: &Target) -> bool {
    match target {
        Target::Stdout => std::io::stdout().is_terminal(),
        Target::Custom => false,
        Target::Path(path) => {
            let found = fs::metadata(path);
            found.is_ok_and(|found| found.file_type().is_char_device()) && path != "/dev/null"
        }
    }
}

/// Returns the progress as JSON. `rows` and `bytes` are the counts so far.
fn json(status: &Status, (rows, bytes): (u64, u64)) -> Json {
    let seconds = status.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds.max(f64::MIN_POSITIVE);
    let mut progress =
        json!({ "rows": rows, "bytes": bytes, "rows_per_second": rate, "seconds": seconds });
    if let Some(unsent) = status.unsent_bytes() {
        progress["unsent_bytes"] = json!(unsent);
    }
    progress
}

/// Creates a bar that shows only its message.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Returns the progress as text. `rows` and `bytes` are the counts so far.
fn text(status: &Status, (rows, bytes): (u64, u64)) -> String {
    let seconds = status.elapsed().as_secs_f64();
    let rate = HumanCount((rows as f64 / seconds.max(f64::MIN_POSITIVE)) as u64);
    let noun = if rows == 1 { "row" } else { "rows" };
    let (rows, bytes) = (HumanCount(rows), HumanBytes(bytes));
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    };
    let left = status
        .unsent_bytes()
        .map(|unsent| format!(", {} left to send", size(unsent)));
    format!(
        "{rows} {noun}, {bytes}, {rate} rows/s, {time}{}",
        left.unwrap_or_default()
    )
}
