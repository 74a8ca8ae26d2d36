//! How far a run has come, on standard error: a line that is drawn anew ten
//! times a second on a terminal, and one every few seconds elsewhere.
//!
//! A thread of its own reads the journal; the run does nothing for it.

use std::{
    io::IsTerminal,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use clap::ValueEnum;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::{config::Target, journal::Journal, report};

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

/// Progress that is shown until this is dropped.
pub struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Shows the progress of `journal`'s run to `target`.
#[must_use]
pub fn show(when: When, target: &Target, journal: &Journal) -> Progress {
    let on_terminal = std::io::stderr().is_terminal();
    let rows_there = *target == Target::Stdout && std::io::stdout().is_terminal();
    let wanted = match when {
        When::Auto => on_terminal && !rows_there,
        When::Always => true,
        When::Never => false,
    };
    if !wanted {
        return Progress {
            stop: None,
            thread: None,
        };
    }
    let (stop, stopped) = mpsc::channel::<()>();
    let journal = journal.clone();
    let wait = move |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let thread = thread::spawn(move || {
        if on_terminal {
            if wait(FIRST) {
                let bar = report::terminal().add(bar());
                while {
                    bar.set_message(text(&journal));
                    wait(REDRAW)
                } {}
                bar.finish_and_clear();
            }
        } else {
            while wait(LINE) {
                report::line(&text(&journal));
            }
        }
    });
    Progress {
        stop: Some(stop),
        thread: Some(thread),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked shows nothing more, which is all there is
            // to it.
            let _ = thread.join();
        }
    }
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
