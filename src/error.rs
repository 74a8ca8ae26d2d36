//! The one error type: what failed, said for a person, and the exit code that
//! tells it to a script.
//!
//! The kind is set where the error arises, never by reading a message again.
//! Printing is left to `main`.

use std::{fmt, sync::Arc};

use crate::text::{escape, printable};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure ended the run; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The query returned no rows and an empty result was not allowed.
    NoRows,
    /// Something that configures the run is wrong: a flag, the configuration
    /// file, the SQL text, the shape of the result for the chosen format.
    Config,
    /// The server could not be reached or refused the login.
    Connect,
    /// The query failed, or its result broke off.
    Query,
    /// The output could not be written.
    Output,
    /// The result is not what a guard expects.
    Guard,
    /// A file is not what its manifest says.
    Verification,
    /// The reader of standard output has gone.
    ReaderGone,
    /// A signal asked the run to end.
    Signal(Signal),
}

/// The signals that end a run in an orderly way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP: the terminal has gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the polite `kill`.
    Terminate,
}

impl Signal {
    /// Its name, such as `SIGINT`.
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
    /// Its name in logs and summaries.
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

    /// The process's exit code for this kind of failure.
    ///
    /// Codes above 128 are 128 + the signal's number, as shells report a
    /// process that a signal ended (POSIX, "Shell Command Language", exit
    /// status for commands).
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

/// A failure: its kind, what was being done and what happened, and what to do
/// next.
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

/// Whether the same run may succeed if it is tried again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The failure is permanent: another attempt fails in the same way.
    Never,
    /// The failure is transient: the connection was lost, or the server could
    /// not be reached.
    Later,
}

impl Error {
    /// An error of `kind` whose `message` says what was being done and what
    /// happened.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Details {
            kind,
            message: message.into(),
            excerpt: Vec::new(),
            hint: None,
            retry: Retry::Never,
            source: None,
        }))
    }

    /// Shorthand for an error of [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Puts `location` in front of the message.
    #[must_use]
    pub fn with_location(mut self, location: &str) -> Self {
        self.0.message = format!("{location}: {}", self.0.message);
        self
    }

    /// Appends `context` to the message.
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

    /// Whether another attempt may succeed.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Whether the failure is transient, so that another attempt may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.0.retry == Retry::Later
    }

    /// Keeps the error that caused this one; [`std::error::Error::source`]
    /// returns it.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Adds the line of the user's text that the error is about, and a line
    /// that marks the place in it.
    #[must_use]
    pub fn with_excerpt(mut self, lines: Vec<String>) -> Self {
        self.0.excerpt = lines;
        self
    }

    /// Sets what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets what to do next, unless a hint is there already.
    #[must_use]
    pub fn hint_or(mut self, hint: &str) -> Self {
        self.0.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// The kind that was set where the error arose.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The message and the excerpt, as they may be shown to people.
    #[must_use]
    pub fn printable_message(&self) -> String {
        let mut text = printable(&self.0.message);
        for line in &self.0.excerpt {
            text.extend(["\n    ", &escape(line)]);
        }
        text
    }

    /// What was being done and what happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

/// The message, and on a second line what to do next. Control characters, which
/// a server's text or a file's name may hold, are made visible, so that they
/// cannot steer a terminal.
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
    fn control_characters_are_shown_not_sent() {
        let error = Error::new(ErrorKind::Query, "bad \u{1b}[2Jthing\nhere").with_hint("try\u{7}");
        assert_eq!(
            error.to_string(),
            "bad \\u{1b}[2Jthing here\n  hint: try\\u{7}"
        );
    }
}
