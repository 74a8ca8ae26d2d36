//! Recognizes texts that no server takes for SQL, and says what is meant: commands of
//! the `mysql` client, invisible characters, and a session's setting before the query.

use super::{
    dialect::Dialect,
    lexer::{Lexer, ParseError, Token, TokenKind, is_invisible_letter},
};
use crate::error::Error;

/// Returns the first word of `text`, or nothing.
fn first_word(text: &str) -> &str {
    let first = Lexer::new(text, Dialect::default()).next_token();
    first.ok().flatten().map_or("", |token| &text[token.range])
}

/// Returns the hint for a text of several statements.
pub(super) fn hint_for_several(text: &str) -> &'static str {
    match first_word(text).to_ascii_uppercase().as_str() {
        "SET" => {
            "--init \"SET …\" runs it before the query; a value may stand as :NAME in the query, \
             with --param NAME=VALUE"
        }
        "USE" => "--database NAME chooses the database",
        "CREATE" | "DROP" | "INSERT" | "UPDATE" | "DELETE" => {
            "--init SQL runs a statement before the query, and --read-write lets it write"
        }
        _ => {
            "give one statement; run gold_digger once for each query, or list them as [[export]] \
             in a configuration file (--config)"
        }
    }
}

/// The commands of the `mysql` client that are words of their own and begin no
/// statement (MySQL manual, "mysql Client Commands").
const CLIENT_COMMANDS: [&str; 22] = [
    "CHARSET",
    "CLEAR",
    "CONNECT",
    "DELIMITER",
    "EDIT",
    "EGO",
    "EXIT",
    "GO",
    "NOPAGER",
    "NOTEE",
    "NOWARNING",
    "PAGER",
    "PRINT",
    "PROMPT",
    "QUIT",
    "REHASH",
    "RESETCONNECTION",
    "SOURCE",
    "STATUS",
    "SYSTEM",
    "TEE",
    "WARNINGS",
];

/// Returns the error for a command of the `mysql` client, with which `text` begins,
/// on this line.
pub(super) fn client_command(text: &str, line: usize) -> Error {
    let command = match text.chars().nth(1) {
        Some(letter) if text.starts_with('\\') => format!("\\{letter}"),
        _ => first_word(text).to_uppercase(),
    };
    let hint = match command.as_str() {
        "DELIMITER" => "leave it out: the query is one statement, and needs no delimiter",
        "SOURCE" | "\\." => "--query-file FILE reads the query from a file",
        "EXIT" | "QUIT" | "\\q" => "leave it out: the program ends after the query",
        "STATUS" | "\\s" => "\"SHOW STATUS\" lists the server's counters",
        "CONNECT" | "\\r" => "--host, --user and --database name the server and the database",
        "TEE" | "\\T" => "-o FILE writes the rows to a file",
        "\\u" => "--database NAME chooses the database",
        "\\G" => "leave it out; --format json --pretty writes one value a line",
        _ => "leave it out",
    };
    let what = format!("{command} on line {line} is a command of the mysql client, not SQL");
    Error::config(what).with_hint(hint)
}

/// Returns the error for the character `c` outside quotes and comments, on this
/// line.
pub(super) fn invisible_character(c: char, line: usize) -> Error {
    let (name, hint) = match c {
        '\u{1a}' => ("Ctrl-Z", "remove it; some editors end a file with it"),
        '\u{a0}' => ("a no-break space", "write a plain space in its place"),
        '\u{feff}' => (
            "a byte order mark",
            "remove it; a file may begin with one, and have no other",
        ),
        c if c.is_control() => ("a control character", "remove it"),
        _ => ("an invisible character", "write a plain space in its place"),
    };
    let code = u32::from(c);
    let what = format!("the SQL text has {name} (U+{code:04X}) on line {line}");
    Error::config(what).with_hint(hint)
}

/// Checks that `token` of `text` is neither a command of the `mysql` client nor an
/// invisible character. `is_first` is whether it begins a statement.
pub(super) fn check_token(
    text: &str,
    token: &Token,
    is_first: bool,
) -> std::result::Result<(), ParseError> {
    let (start, shown) = (token.range.start, &text[token.range.clone()]);
    match token.kind {
        TokenKind::Word => {
            if let Some((at, c)) = shown.char_indices().find(|(_, c)| is_invisible_letter(*c)) {
                return Err(ParseError::Invisible(c, start + at));
            }
            let is_command = |command: &&str| command.eq_ignore_ascii_case(shown);
            match is_first && CLIENT_COMMANDS.iter().any(is_command) {
                true => Err(ParseError::ClientCommand(start)),
                false => Ok(()),
            }
        }
        // `\N` is NULL to older servers.
        TokenKind::Symbol if shown == "\\" => match text.as_bytes()[token.range.end..] {
            [b'N', ..] => Ok(()),
            [b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'!' | b'#', ..] => {
                Err(ParseError::ClientCommand(start))
            }
            _ => Ok(()),
        },
        TokenKind::Symbol => match shown.chars().next() {
            Some(c) if c.is_control() => Err(ParseError::Invisible(c, start)),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
