//! The error type of the crate: a message and a hint for people, and a kind with
//! an exit code for scripts.
//!
//! The kind is set where the error occurs; it is never derived from a message.
//! This module does not print.

use std::{fmt, sync::Arc};

use crate::text::{escape, printable};

/// A result with the error type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of failure that ended a run. It determines the exit code.
///
/// ```
/// use gold_digger::error::ErrorKind;
///
/// assert_eq!(ErrorKind::Connect.exit_code(), 3);
/// assert_eq!(ErrorKind::Connect.name(), "connection");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query returned no rows, and an empty result is not allowed.
    NoRows,
    /// The configuration of the run is wrong: a flag, the configuration file, the
    /// SQL text, or the columns of the result for the chosen format.
    Config,
    /// The server could not be reached or refused the login.
    Connect,
    /// The query failed, or its result is incomplete.
    Query,
    /// The output could not be written.
    Output,
    /// The result violates a guard.
    Guard,
    /// A file does not match its manifest.
    Verification,
    /// The reader of standard output has closed the pipe.
    ReaderGone,
    /// A signal cancelled the run.
    Signal(Signal),
}

/// The signals that cancel a run cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal was closed.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the default signal of `kill`.
    Terminate,
}

impl Signal {
    /// The name, such as `SIGINT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hangup => "SIGHUP",
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl ErrorKind {
    /// The name in logs and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRows => "no rows",
            Self::Config => "configuration",
            Self::Connect => "connection",
            Self::Query => "query",
            Self::Output => "output",
            Self::Guard => "guard",
            Self::Verification => "verification",
            Self::ReaderGone => "reader gone",
            Self::Signal(_) => "signal",
        }
    }

    /// The exit code of the process for this kind of failure.
    ///
    /// Codes above 128 are 128 + the number of a signal, as shells report a
    /// process that a signal ended (POSIX, "Shell Command Language", exit status
    /// for commands). [`ReaderGone`](Self::ReaderGone) has the code for SIGPIPE.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NoRows => 1,
            Self::Config => 2,
            Self::Connect => 3,
            Self::Query => 4,
            Self::Output => 5,
            Self::Guard => 6,
            Self::Verification => 7,
            Self::ReaderGone => 141,
            Self::Signal(Signal::Hangup) => 129,
            Self::Signal(Signal::Interrupt) => 130,
            Self::Signal(Signal::Terminate) => 143,
        }
    }
}

/// A failure: its kind, a message about the attempted action and its problem, and
/// a hint that tells the user what to do next.
///
/// ```
/// use gold_digger::error::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Output, "cannot write /data/x.csv: disk full")
///     .with_hint("free some space");
/// assert_eq!(error.kind().exit_code(), 5);
/// assert_eq!(
///     error.to_string(),
///     "cannot write /data/x.csv: disk full\n  hint: free some space"
/// );
/// ```
///
/// It is one pointer, so that results stay small.
#[derive(Clone, Debug)]
pub struct Error(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    kind: ErrorKind,
    message: String,
    excerpt: Vec<String>,
    hint: Option<String>,
    retry: Retry,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// Whether another attempt may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The failure is permanent: another attempt fails in the same way.
    Never,
    /// The failure is transient: the connection was lost, or the server could
    /// not be reached.
    Later,
}

impl Error {
    /// Creates an error of `kind`. The `message` names the attempted action and
    /// the problem.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::with_message(kind, message.into())
    }

    /// Not inlined, as errors are made in hundreds of places.
    #[cold]
    #[inline(never)]
    fn with_message(kind: ErrorKind, message: String) -> Self {
        Self(Box::new(Details {
            kind,
            message,
            excerpt: Vec::new(),
            hint: None,
            retry: Retry::Never,
            source: None,
        }))
    }

    /// Creates an error of [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Prepends `location` and a colon to the message.
    #[must_use]
    pub fn with_location(mut self, location: &str) -> Self {
        self.0.message = format!("{location}: {}", self.0.message);
        self
    }

    /// Appends a semicolon and `context` to the message.
    #[must_use]
    pub fn with_context(mut self, context: &str) -> Self {
        self.0.message += &format!("; {context}");
        self
    }

    /// Sets whether another attempt may succeed.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Returns whether another attempt may succeed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Returns whether the failure is transient, so that another attempt may
    /// succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.retry == Retry::Later
    }

    /// Sets the error that caused this one. [`std::error::Error::source`] returns
    /// it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.set_source(source.into());
        self
    }

    /// Sets the excerpt: the line of the user's text that contains the problem,
    /// and a line that marks the place in it.
    #[must_use]
    pub fn with_excerpt(mut self, lines: Vec<String>) -> Self {
        self.0.excerpt = lines;
        self
    }

    /// Sets the hint, which tells the user what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.set_hint(hint.into());
        self
    }

    /// Sets the hint if the error has none.
    #[must_use]
    pub fn hint_or(mut self, hint: &str) -> Self {
        self.0.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    #[cold]
    #[inline(never)]
    fn set_hint(&mut self, hint: String) {
        self.0.hint = Some(hint);
    }

    #[cold]
    #[inline(never)]
    fn set_source(&mut self, source: Box<dyn std::error::Error + Send + Sync>) {
        self.0.source = Some(Arc::from(source));
    }

    /// The kind that was set where the error occurred.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The hint, which tells the user what to do next; `None` if there is none.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The message and the excerpt in a form that is safe to show: without
    /// passwords and with control characters escaped.
    #[must_use]
    pub fn printable_message(&self) -> String {
        let mut text = printable(&self.0.message);
        for line in &self.0.excerpt {
            text.extend(["\n    ", &escape(line)]);
        }
        text
    }

    /// The message as it was set, which may contain control characters.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// Writes the message, and the hint on a line of its own. Control characters,
/// which the text of a server or the name of a file may contain, are escaped so
/// that they cannot control a terminal.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.printable_message())?;
        match &self.0.hint {
            Some(hint) => write!(f, "\n  hint: {}", escape(hint)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.0.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let error = Error::new(ErrorKind::Query, "bad \u{1b}[2Jthing\nhere").with_hint("try\u{7}");
        assert_eq!(
            error.to_string(),
            "bad \\u{1b}[2Jthing here\n  hint: try\\u{7}"
        );
    }
}
