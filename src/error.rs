//! The one error type: what failed, said for a person, and the exit code that
//! tells it to a script.
//!
//! The kind is set where the error arises, never by reading a message again.
//! Printing is left to `main`.

use std::fmt;

use anstyle::Style;

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
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    excerpt: Vec<String>,
    hint: Option<String>,
    outlook: Outlook,
}

/// Whether the same run may fare better a little later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It would fail again.
    Lasting,
    /// The connection was lost, or the server could not be reached.
    Passing,
}

impl Error {
    /// An error of `kind` whose `message` says what was being done and what
    /// happened.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            excerpt: Vec::new(),
            hint: None,
            outlook: Outlook::Lasting,
        }
    }

    /// Shorthand for an error of [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Names the place, in front of the message.
    #[must_use]
    pub fn in_place(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Adds what else is known, behind the message.
    #[must_use]
    pub fn and(mut self, what: &str) -> Self {
        self.message += &format!("; {what}");
        self
    }

    /// Says whether the same run may fare better a little later.
    #[must_use]
    pub const fn with_outlook(mut self, outlook: Outlook) -> Self {
        self.outlook = outlook;
        self
    }

    /// Whether the same run may fare better a little later.
    #[must_use]
    pub const fn outlook(&self) -> Outlook {
        self.outlook
    }

    /// Adds the line of the user's text that it is about, and marks in it.
    #[must_use]
    pub fn with_excerpt(mut self, lines: Vec<String>) -> Self {
        self.excerpt = lines;
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do next, where nothing better has been said.
    #[must_use]
    pub fn or_hint(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// The kind that was set where the error arose.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next.
    #[must_use]
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The whole text, with the word before the hint in the given style.
    #[must_use]
    pub fn styled(&self, hint_style: Style) -> String {
        let mut text = printable(&self.message);
        for line in &self.excerpt {
            text.extend(["\n    ", &escaped(line)]);
        }
        if let Some(hint) = &self.hint {
            text += &format!("\n  {hint_style}hint:{hint_style:#} {}", escaped(hint));
        }
        text
    }

    /// What was being done and what happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// The message, and on a second line what to do next. Control characters, which
/// a server's text or a file's name may hold, are made visible, so that they
/// cannot steer a terminal.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.styled(Style::new()))
    }
}

impl std::error::Error for Error {}

/// `text` as it may be shown to people: without passwords, with line ends as
/// spaces, and with every other control character escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    escaped(&redacted(text))
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(' '),
            '\r' => {}
            c if steers_terminals(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a terminal takes `c` for more than a sign: control characters, and
/// the marks that re-order or break a line.
pub(crate) fn steers_terminals(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark
}

/// `text` with `***` for what may be a password: in `USER:PASSWORD@HOST`, with
/// or without the rest of a URL, wherever somebody has put that.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let begin = |of: &[char]| before.rfind(of).map_or(0, |end| end + 1);
        let (spaces, quotes) = ([' ', '\n', '\t'], ['"', '\'', '`', '\n']);
        let url = |begin: usize| before[begin..].find("://").map(|place| begin + place + 3);
        // A URL's password may hold quotes, or between quotes spaces; elsewhere
        // it is part of a word.
        let word = begin(&spaces).max(begin(&quotes));
        let start = url(begin(&spaces))
            .or_else(|| url(begin(&quotes)))
            .unwrap_or(word);
        match before[start..].find(':') {
            // A further @ belongs to the password too, up to the word's end.
            Some(colon) => {
                let word = after
                    .find([' ', '\n', '\t', '"', '\'', '`'])
                    .unwrap_or(after.len());
                let last = after[..word].rfind('@').unwrap_or(0);
                shown.extend([&before[..start + colon], ":***@"]);
                rest = &after[last + 1..];
            }
            None => {
                shown.extend([before, "@"]);
                rest = &after[1..];
            }
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        let error = Error::new(ErrorKind::Query, "bad \u{1b}[2Jthing\nhere").hint("try\u{7}");
        assert_eq!(
            error.to_string(),
            "bad \\u{1b}[2Jthing here\n  hint: try\\u{7}"
        );
    }

    #[test]
    fn passwords_are_redacted() {
        for (text, shown) in [
            (
                "error: unexpected 'mysql://me:s3:c@ret@h/db' found",
                "error: unexpected 'mysql://me:***@h/db' found",
            ),
            (
                "mysql://me@h:3306/ x://a:b@c",
                "mysql://me@h:3306/ x://a:***@c",
            ),
            ("'mysql://me:hun ter2@h/'", "'mysql://me:***@h/'"),
            ("host me:hunter2@db is no name", "host me:***@db is no name"),
            ("me@h: no password, no URL", "me@h: no password, no URL"),
            ("no URL: here", "no URL: here"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shown_has_no_password(user in "[a-zä]{1,5}", password in "[a-z0-9:/?#ü'\"]{4,9}", before in "[ \"'@:/a-z]{0,9}", after in "[ \"'@:/a-z]{0,9}") {
            let password = format!("{password}\u{fe}");
            let text = format!("{before} mysql://{user}:{password}@host/{after}");
            proptest::prop_assert!(!printable(&text).contains(&password), "{}", printable(&text));
        }
    }
}
