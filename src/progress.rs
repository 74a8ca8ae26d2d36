//! How far a run has come, on standard error: a line that is drawn anew ten
//! times a second on a terminal, and one every few seconds elsewhere.
//!
//! A thread of its own reads the journal; the run does nothing for it.

use std::{
    fs,
    io::IsTerminal,
    os::unix::fs::FileTypeExt,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::{
    config::{Config, Target, Verbosity},
    journal::Journal,
    report::{self, LogFormat},
};

/// When progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless the rows go there too
    #[default]
    Auto,
    /// Always; where standard error is no terminal, as a line every five seconds
    Always,
    /// Never
    Never,
}

/// What is over sooner shows nothing.
const FIRST: Duration = Duration::from_millis(300);
const REDRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(5);

/// A terminal that takes nothing more, as after Ctrl-S, is not waited for longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Progress that is shown until this is dropped.
pub struct Progress(Option<Shown>);

struct Shown {
    stop: Sender<()>,
    stopped: Receiver<()>,
}

/// Shows the progress of `journal`'s run.
#[must_use]
pub fn show(config: &Config, journal: &Journal) -> Progress {
    let Config {
        progress: when,
        ref target,
        verbosity,
        log_format,
        ..
    } = *config;
    let on_terminal = std::io::stderr().is_terminal();
    let wanted = match when {
        When::Auto => on_terminal && verbosity > Verbosity::Quiet && !is_terminal(target),
        When::Always => true,
        When::Never => false,
    };
    if !wanted {
        return Progress(None);
    }
    let (stop, asked_to_stop) = mpsc::channel::<()>();
    let (stopping, stopped) = mpsc::channel();
    let journal = journal.clone();
    // Where there is none, the run goes on unseen.
    let _ = thread::Builder::new().spawn(move || {
        let wait = |time| asked_to_stop.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        if on_terminal {
            if wait(FIRST) {
                let bar = report::terminal().add(bar());
                bar.set_message(text(&journal));
                while wait(REDRAW) {
                    bar.set_message(text(&journal));
                }
                bar.finish_and_clear();
            }
        } else {
            while wait(LINE) {
                match log_format {
                    LogFormat::Text => report::line(&text(&journal)),
                    LogFormat::Json => report::line(&json(&journal)),
                }
            }
        }
        // Nobody waits any more where the terminal took too long.
        let _ = stopping.send(());
    });
    Progress(Some(Shown { stop, stopped }))
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Shown { stop, stopped }) = self.0.take() {
            drop(stop);
            let _ = stopped.recv_timeout(PATIENCE);
        }
    }
}

/// Whether the rows go to a terminal, with which progress must not be mixed.
fn is_terminal(target: &Target) -> bool {
    match target {
        Target::Stdout => std::io::stdout().is_terminal(),
        Target::Path(path, _) => {
            let found = fs::metadata(path);
            found.is_ok_and(|found| found.file_type().is_char_device()) && path != "/dev/null"
        }
    }
}

fn json(journal: &Journal) -> String {
    let seconds = journal.elapsed().as_secs_f64();
    let (rows, bytes, rate) = (journal.rows(), journal.bytes(), journal.rows_per_second());
    json!({ "progress": { "rows": rows, "bytes": bytes, "rows_per_second": rate, "seconds": seconds } }).to_string()
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}");
    let bar = ProgressBar::no_length();
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn text(journal: &Journal) -> String {
    let rows = HumanCount(journal.rows());
    let rate = HumanCount(journal.rows_per_second() as u64);
    let bytes = HumanBytes(journal.bytes());
    let seconds = journal.elapsed().as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let time = match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    };
    format!("{rows} rows, {bytes}, {rate} rows/s, {time}")
}
