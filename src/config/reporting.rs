//! The options of the reports about a run. They come from flags alone, so that they
//! are known before anything can fail.

use clap::ValueEnum;

use super::{layers::Layer, settings::keys};
use crate::sink::Target;

/// The options of the reports about a run.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// How much is written to standard error.
    pub verbosity: Verbosity,
    /// The form of messages.
    pub log_format: LogFormat,
    /// When progress is shown.
    pub progress: ProgressMode,
    /// Where the summary is written; `None` for no summary.
    pub summary: Option<Target>,
}

impl ReportOptions {
    /// The options that the command line's `flags` give.
    #[must_use]
    pub fn from_flags(flags: &Layer, verbosity: Verbosity) -> Self {
        Self {
            verbosity,
            log_format: flags.value(keys::LOG_FORMAT).unwrap_or_default(),
            progress: flags.value(keys::PROGRESS).unwrap_or_default(),
            summary: flags
                .value(keys::SUMMARY)
                .map(|path| Target::from(path.as_os_str())),
        }
    }
}

/// How much is written to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Errors and warnings.
    Normal,
    /// Also what the run does (`-v`).
    Verbose,
    /// Also details (`-vv`).
    Debug,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// An object a line
    Json,
}

/// When progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressMode {
    /// On a terminal, unless the rows go there too
    #[default]
    Auto,
    /// Always; where standard error is no terminal, as a line every five seconds
    Always,
    /// Never
    Never,
}
