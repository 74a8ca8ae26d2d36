//! How far a run has come, on standard error: a line that is drawn anew ten
//! times a second on a terminal, and one every few seconds elsewhere.
//!
//! A thread of its own reads the status; the run does nothing for it.

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
};

/// What is over sooner shows nothing.
const FIRST_DRAW: Duration = Duration::from_millis(300);
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// A terminal that takes nothing more, as after Ctrl-S, is not waited for longer.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Progress that is shown until this is dropped.
pub struct Progress(Option<ProgressThread>);

struct ProgressThread {
    stop: Sender<()>,
    stopped: Receiver<()>,
}

/// Shows the progress of the run of `status`, whose exports are `exports`.
#[must_use]
pub fn show(reporting: &ReportOptions, exports: &[ExportStatus], status: &Status) -> Progress {
    let (verbosity, log_format) = (reporting.verbosity, reporting.log_format);
    let on_terminal = std::io::stderr().is_terminal();
    let mixes = exports.iter().any(|export| is_terminal(&export.target));
    let wanted = match reporting.progress {
        ProgressMode::Auto => on_terminal && verbosity > Verbosity::Quiet && !mixes,
        ProgressMode::Always => true,
        ProgressMode::Never => false,
    };
    if !wanted {
        return Progress(None);
    }
    let (stop, asked_to_stop) = mpsc::channel::<()>();
    let (stopping, stopped) = mpsc::channel();
    let view = ProgressView {
        exports: exports.to_vec(),
        status: status.clone(),
    };
    // Where there is none, the run goes on unseen.
    let _ = thread::Builder::new().spawn(move || {
        let wait = |time| asked_to_stop.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
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
        // Nobody waits any more where the terminal took too long.
        let _ = stopping.send(());
    });
    Progress(Some(ProgressThread { stop, stopped }))
}

/// What is shown.
struct ProgressView {
    exports: Vec<ExportStatus>,
    status: Status,
}

impl ProgressView {
    /// The exports that run, and whether there are others.
    fn running(&self) -> (Vec<&ExportStatus>, bool) {
        let running = self
            .exports
            .iter()
            .filter(|export| export.status.is_running());
        let are_several = self.exports.iter().any(|export| export.name.is_some());
        (running.collect(), are_several)
    }

    /// A line for each export that runs, and one for all where there are several.
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
            let (ended, all) = (self.ended(), self.exports.len());
            let counts = totals(&self.exports);
            let all = format!(
                "total: {ended} of {all} exports, {}",
                text(&self.status, counts)
            );
            texts.push(all);
        }
        texts
    }

    fn ended(&self) -> usize {
        let exports = self.exports.iter();
        exports.filter(|export| export.status.is_done()).count()
    }

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

/// Whether the rows go to a terminal, with which progress must not be mixed.
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

fn json(status: &Status, (rows, bytes): (u64, u64)) -> Json {
    let seconds = status.elapsed().as_secs_f64();
    let rate = rows as f64 / seconds.max(f64::MIN_POSITIVE);
    json!({ "rows": rows, "bytes": bytes, "rows_per_second": rate, "seconds": seconds })
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text(status: &Status, (rows, bytes): (u64, u64)) -> String {
    let seconds = status.elapsed().as_secs_f64();
    let rate = HumanCount((rows as f64 / seconds.max(f64::MIN_POSITIVE)) as u64);
    let (rows, bytes) = (HumanCount(rows), HumanBytes(bytes));
    let seconds = seconds as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    };
    format!("{rows} rows, {bytes}, {rate} rows/s, {time}")
}
