//! Explains mistakes in the arguments that the grammar alone does not explain, and
//! reads a few habits of the `mysql` client's users: `-h HOST`, `-pPASSWORD`, `-BNe`.

use std::{ffi::OsString, str};

use clap::{
    Arg, ArgAction, ArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use self::foreign_flags::hint_for_flag;
use super::args::{COMPLETION, MAN, QUERY_FLAGS, SCHEMA, SQL, UsageError, VERIFY};
use crate::{
    config::query_text::{begins_a_statement, hint_for_word, may_be_sql},
    error::{Error, Result},
};

mod dashed_values;
mod foreign_flags;
pub(super) mod misplaced;

/// Further positional arguments, which are always a mistake.
const MORE: &str = "more";

/// The flag that `-h` alone becomes.
const SHORT_HELP: &str = "-?";

/// The arguments that the grammar has only while it parses.
pub(super) fn hidden_arguments() -> [Arg; 2] {
    [
        Arg::new(MORE).num_args(1..).hide(true),
        Arg::new("short help")
            .short('?')
            .action(ArgAction::HelpShort)
            .hide(true),
    ]
}

/// Prepares the arguments for clap. The first is the program's name.
///
/// SQL may begin with a comment, `-- …`. No flag has white space there, so a space
/// before it makes the argument a positional one. A value such as `-05:00` becomes one
/// argument with its flag. `-h` as the only argument asks for help; beside others it
/// names the host.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a password among the
/// arguments, which is not shown, and for `-h` without a host beside others: a shell
/// makes it of `-h $HOST` whose variable is empty.
pub(super) fn prepare(mut arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    let mut start = 0;
    match &arguments[..] {
        [_, only] if only == "-h" => arguments[1] = SHORT_HELP.into(),
        [_, first, only] if first == SCHEMA && only == "-h" => arguments[2] = SHORT_HELP.into(),
        [_, first, ..] if first == SCHEMA => start = 1,
        [_, first, others @ ..] => {
            let is_subcommand = |name: &&&str| first == **name;
            if let Some(name) = [COMPLETION, MAN, VERIFY].iter().find(is_subcommand) {
                refuse_help_beside(others, name)?;
                return Ok(arguments);
            }
        }
        _ => {}
    }
    let mut index = start;
    while index + 1 < arguments.len() {
        index += 1;
        let argument = arguments[index].as_encoded_bytes();
        let next = arguments.get(index + 1).map(|next| next.as_encoded_bytes());
        if argument == b"--" {
            break;
        }
        if is_comment(argument) {
            let mut prefixed = OsString::from(" ");
            prefixed.push(&arguments[index]);
            arguments[index] = prefixed;
        } else if names_host(argument) && next.is_none_or(|next| next.starts_with(b"-")) {
            let hint = "write -h HOST; --help prints help, and so does -h as the only argument";
            return Err(Error::config("-h is the host here, and has no value").with_hint(hint));
        } else {
            refuse_password(argument, next)?;
            dashed_values::join_value(&mut arguments, index);
        }
    }
    Ok(arguments)
}

/// Whether `argument` is `-h`, or ends with it as in `-vh`, and its value is the next
/// argument.
fn names_host(argument: &[u8]) -> bool {
    let cluster = argument.strip_prefix(b"-").unwrap_or_default();
    let before = cluster.strip_suffix(b"h");
    before.is_some_and(|before| before.iter().all(|byte| *byte == b'v'))
}

/// Refuses `-h` among several arguments of the subcommand `name`, which would print
/// help in the place of its task.
fn refuse_help_beside(arguments: &[OsString], name: &str) -> Result<()> {
    let mut flags = arguments.iter().take_while(|argument| *argument != "--");
    let has_help = flags.any(|argument| argument.as_encoded_bytes().starts_with(b"-h"));
    if !has_help || matches!(arguments, [only] if only == "-h") {
        return Ok(());
    }
    let hint = format!("{name} --help prints help, and so does {name} -h");
    Err(Error::config("-h beside other arguments is no help").with_hint(hint))
}

fn is_comment(argument: &[u8]) -> bool {
    argument.starts_with(b"--") && argument.get(2).is_some_and(u8::is_ascii_whitespace)
}

/// Refuses a password as a value of `-p` or `--ask-password`, or as the word after
/// it.
fn refuse_password(argument: &[u8], next: Option<&[u8]>) -> Result<()> {
    let hint = "leave the value out, and it asks; --password-file FILE and --password-env NAME \
                need no terminal";
    if argument.starts_with(b"--ask-password=") {
        let what = "--ask-password takes no password: others can read a command line";
        return Err(Error::config(what).with_hint(hint));
    }
    let cluster = argument.strip_prefix(b"-").unwrap_or_default();
    // Only these flags without a value may stand before it in one argument.
    let place = cluster.iter().position(|byte| !matches!(byte, b'v' | b'V'));
    let after = place.and_then(|place| cluster[place..].strip_prefix(b"p"));
    let flag = match after {
        Some(b"") => "-p",
        Some(_) => {
            let what = "-p takes no password: others can read a command line";
            return Err(Error::config(what).with_hint(hint));
        }
        None if argument == b"--ask-password" => "--ask-password",
        None => return Ok(()),
    };
    if next.is_some_and(is_no_query) {
        let what = format!("the word after {flag} is no query, and no password can stand there");
        let hint = "leave it out, and it asks; a database is named by --database NAME";
        return Err(Error::config(what).with_hint(hint));
    }
    Ok(())
}

/// Whether `word` is neither a flag, nor `-`, nor anything that may be SQL.
fn is_no_query(word: &[u8]) -> bool {
    let is_flag = word.starts_with(b"-");
    let has_space = word.iter().any(u8::is_ascii_whitespace);
    let is_sql = if has_space {
        may_be_sql
    } else {
        begins_a_statement
    };
    !is_flag && !str::from_utf8(word).is_ok_and(is_sql)
}

/// Refuses several queries, and arguments beside the query.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config).
pub(super) fn check_query_sources(matches: &ArgMatches) -> Result<()> {
    if matches.subcommand().is_some() {
        return Ok(());
    }
    let is_given = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let flags: Vec<&str> = QUERY_FLAGS.into_iter().filter(is_given).collect();
    let first = matches.get_one::<String>(SQL);
    let more = matches.get_many::<String>(MORE).into_iter().flatten();
    let words: Vec<&str> = first.into_iter().chain(more).map(String::as_str).collect();
    match (&flags[..], &words[..]) {
        ([], [] | [_]) | ([_], []) => Ok(()),
        ([], words) => Err(several_words(words)),
        ([flag, ..], [word, ..]) if !is_sql(word) => {
            Err(stray(word).with_context(&format!("--{flag} gives the query")))
        }
        ([flag, ..], [_, ..]) => Err(twice(&format!("an argument and --{flag}"))),
        ([first, second, ..], _) => Err(twice(&format!("--{first} and --{second}"))),
    }
}

fn twice(places: &str) -> Error {
    Error::config(format!("{places} both give the query")).with_hint("keep one of them")
}

/// Whether `word` looks like a whole statement, or is standard input.
fn is_sql(word: &str) -> bool {
    word == "-" || word.contains(char::is_whitespace) && !word.contains("://")
}

/// Returns the error for a query that comes as several arguments.
fn several_words(words: &[&str]) -> Error {
    let strays: Vec<&&str> = words.iter().filter(|word| !is_sql(word)).collect();
    let is_unquoted = |word: &&&str| begins_a_statement(word);
    match &strays[..] {
        [] => Error::config(format!(
            "{} queries are given, and a run has one",
            words.len()
        ))
        .with_hint(
            "run gold_digger once for each, or list them as [[export]] in a configuration \
                 file (--config)",
        ),
        strays if strays.iter().any(is_unquoted) => {
            Error::config(format!("the query came as {} arguments", words.len()))
                .with_hint("put it in quotes: gold_digger \"SELECT …\"")
        }
        [stray, ..] => self::stray(stray),
    }
}

/// Returns the error for `word`, which stands beside the query.
fn stray(word: &str) -> Error {
    let hint = match [COMPLETION, MAN, VERIFY, SCHEMA].contains(&word) {
        true => format!("{word} comes first, before every flag: gold_digger {word} …"),
        false => hint_for_word(word),
    };
    Error::config(format!("'{word}' is an argument too many")).with_hint(hint)
}

/// Returns what to say about clap's `error`: what a flag of another program is here,
/// or clap's own text without suggestions that are far from what was typed.
pub(super) fn explain(mut error: clap::Error, arguments: &[OsString]) -> UsageError {
    let shown = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let (typed, suggested) = (
        shown(ContextKind::InvalidArg),
        shown(ContextKind::SuggestedArg),
    );
    let lacks_value = error.kind() == ErrorKind::InvalidValue
        && shown(ContextKind::InvalidValue).is_empty()
        && typed.starts_with("--query ")
        && arguments.iter().any(|argument| argument == "-q");
    let flag = match error.kind() {
        ErrorKind::UnknownArgument => typed.as_str(),
        _ if lacks_value => "-q",
        ErrorKind::InvalidValue if shown(ContextKind::InvalidValue).is_empty() => {
            return match dashed_values::explain(arguments, "") {
                Some(explained) => explained.into(),
                None => UsageError::Clap(Box::new(error)),
            };
        }
        _ => return UsageError::Clap(Box::new(error)),
    };
    if let Some(hint) = hint_for_flag(flag) {
        let what = match lacks_value {
            true => format!("{flag} needs the query as its value"),
            false => format!("there is no flag {flag}"),
        };
        return Error::config(what).with_hint(hint).into();
    }
    if let Some(explained) = dashed_values::explain(arguments, flag) {
        return explained.into();
    }
    let (flag, near) = (
        flag.trim_start_matches('-'),
        suggested.trim_start_matches('-'),
    );
    // A third of the letters may differ.
    if strsim::damerau_levenshtein(flag, near) * 3 > flag.chars().count() {
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::Usage);
    }
    error.remove(ContextKind::Suggested);
    UsageError::Clap(Box::new(error))
}
