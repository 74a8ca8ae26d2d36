//! What was typed: the declarations of the command line, and nothing else.
//!
//! What will run is [`Config`](crate::config::Config), which also knows the
//! environment and the configuration file.

use std::{ffi::OsString, path::PathBuf};

use clap::{ArgAction, Parser, ValueEnum, builder::PossibleValuesParser};
use secrecy::SecretString;

use crate::format::{
    self, BinaryEncoding, CsvNull, DuplicateColumns, InvalidUtf8, LineEnding, NumberStyle,
    ZeroDates,
};
use crate::{config::Protocol, output::Flush, sql::Parameter};

/// Stream the rows of a MySQL or MariaDB query into CSV, TSV or JSON.
///
/// One statement runs in a read-only session; its rows are written as they
/// arrive, in flat memory. A regular file appears under its final name only
/// when it is complete.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES, after_long_help = EXAMPLES_AND_EXIT_CODES)]
#[command(max_term_width = 100)]
pub struct Args {
    /// The query: one statement that returns rows
    #[arg(value_name = "SQL", group = "sql_source")]
    pub sql: Option<String>,

    /// The query, as an option [env: DATABASE_QUERY]
    #[arg(short, long, value_name = "SQL", group = "sql_source")]
    pub query: Option<String>,

    /// Read the query from FILE; `-` is standard input
    #[arg(long, value_name = "FILE", group = "sql_source")]
    pub query_file: Option<PathBuf>,

    /// Bind VALUE, as text, to :NAME in the query; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub param: Vec<Parameter>,

    /// How rows travel
    #[arg(long, value_name = "PROTOCOL", value_enum)]
    pub protocol: Option<Protocol>,

    /// The session's time zone, in which TIMESTAMPs are shown [default: the server's]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,

    /// Have the server compress what it sends (zlib): for slow networks
    #[arg(long)]
    pub compress: bool,

    /// Read settings from a TOML file; flags and environment win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where the server is [env: DATABASE_URL]
    ///
    /// mysql://USER:PASSWORD@HOST:PORT/DATABASE, or for a Unix socket
    /// mysql://USER@localhost/DATABASE?socket=/PATH. Special characters are
    /// percent-encoded. Other users of the machine can read a command line:
    /// DATABASE_URL or a configuration file keeps the password to yourself.
    #[arg(long, value_name = "URL", value_parser = secret)]
    pub db_url: Option<SecretString>,

    /// Transport security; a server that is not local needs `disabled` said
    #[arg(long, value_name = "MODE", value_enum)]
    pub tls: Option<Tls>,

    /// Let the statement write (the session is read-only otherwise)
    #[arg(long)]
    pub read_write: bool,

    /// Write to FILE; `-` or nothing is standard output [env: OUTPUT_FILE]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Output format [default: by the file's extension, else tsv]
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(format::possible_values()))]
    pub format: Option<String>,

    /// When rows are written
    #[arg(long, value_name = "WHEN", value_enum)]
    pub flush: Option<Flush>,

    /// Accept a result without rows: write an empty document and exit 0
    #[arg(long)]
    pub allow_empty: bool,

    /// How bytes without a character set are written (BLOB, BINARY, GEOMETRY, …)
    #[arg(long, value_name = "ENCODING", value_enum)]
    pub binary: Option<BinaryEncoding>,

    /// What becomes of text that is not UTF-8
    #[arg(long, value_name = "WHAT", value_enum)]
    pub invalid_utf8: Option<InvalidUtf8>,

    /// What to do where two columns have one name (JSON; CSV and TSV keep both)
    #[arg(long, value_name = "WHAT", value_enum)]
    pub duplicate_columns: Option<DuplicateColumns>,

    /// CSV: how lines end
    #[arg(long, value_name = "ENDING", value_enum)]
    pub line_ending: Option<LineEnding>,

    /// CSV: write NULL as TEXT instead of nothing
    #[arg(long, value_name = "TEXT")]
    pub csv_null: Option<CsvNull>,

    /// JSON: indent
    #[arg(long)]
    pub pretty: bool,

    /// JSON: wrap the array as {"NAME": […]}
    #[arg(long, value_name = "NAME")]
    pub json_root: Option<String>,

    /// JSON: how to write integers beyond ±(2^53 − 1)
    #[arg(long, value_name = "STYLE", value_enum)]
    pub json_bigint: Option<NumberStyle>,

    /// JSON: how to write DECIMAL
    #[arg(long, value_name = "STYLE", value_enum)]
    pub json_decimal: Option<NumberStyle>,

    /// JSON: embed the text column NAME, which holds JSON; may be repeated
    #[arg(long, value_name = "NAME")]
    pub json_column: Vec<String>,

    /// JSON: write TINYINT(1) as true and false
    #[arg(long)]
    pub tinyint1_as_bool: bool,

    /// JSON: what becomes of dates whose month or day is zero
    #[arg(long, value_name = "WHAT", value_enum)]
    pub zero_dates: Option<ZeroDates>,

    /// Say on standard error what was done
    #[arg(short, long, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Say nothing but errors on standard error
    #[arg(long)]
    pub quiet: bool,
}

/// The choices of `--tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// Plain text, readable by everyone on the way
    Disabled,
}

impl Args {
    /// Takes the program's arguments apart.
    ///
    /// # Errors
    /// clap's, which also stands for `--help` and `--version`.
    pub fn parse_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        // SQL may begin with a comment, `-- …`; no flag has white space there.
        let is_comment = |argument: &OsString| {
            let bytes = argument.as_encoded_bytes();
            bytes.starts_with(b"--") && bytes.get(2).is_some_and(u8::is_ascii_whitespace)
        };
        Self::try_parse_from(arguments.map(|argument| {
            let lead = if is_comment(&argument) { " " } else { "" };
            let mut lead = OsString::from(lead);
            lead.push(argument);
            lead
        }))
    }
}

/// `text` with the password of every URL in it made `***`.
#[must_use]
pub fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.extend([before, "://"]);
        rest = after;
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        if let (Some(colon), Some(at)) = (after[..end].find(':'), after[..end].rfind('@'))
            && colon < at
        {
            shown.extend([&after[..colon], ":***"]);
            rest = &after[at..];
        }
    }
    shown + rest
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

macro_rules! examples {
    () => {
        "\
Examples:
  export DATABASE_URL='mysql://reader:secret@localhost/shop'
  gold_digger 'SELECT * FROM orders' > orders.tsv
  gold_digger -o orders.csv 'SELECT * FROM orders WHERE day = CURDATE()'
  gold_digger --config nightly.toml --query-file orders.sql -o orders.json
  gold_digger --format json 'SELECT id, name FROM customers' | jq '.[].name'"
    };
}

const EXAMPLES: &str = examples!();

const EXAMPLES_AND_EXIT_CODES: &str = concat!(
    examples!(),
    "

Exit codes:
  0    rows were written (or none, with --allow-empty)
  1    the query returned no rows; the target was left as it was
  2    a flag, the configuration, the SQL text or a combination of them is wrong
  3    no connection: unreachable, refused, timed out, or the login failed
  4    the query failed, or its result broke off; nothing was published
  5    the output could not be written
  129, 130, 143
       ended by SIGHUP, SIGINT or SIGTERM
  141  the reader of standard output has gone"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_redacted() {
        for (text, shown) in [
            (
                "error: unexpected 'mysql://me:s3:c@ret@h/db' found",
                "error: unexpected 'mysql://me:***@h/db' found",
            ),
            (
                "mysql://me@h:3306/ x://a:b@c",
                "mysql://me@h:3306/ x://a:***@c",
            ),
            ("no URL: here", "no URL: here"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
