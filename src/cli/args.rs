//! Parses the command line, whose grammar is made from the table of settings.
//!
//! [`config`] resolves what will run, which also depends on the environment and on
//! files.

use std::{collections::HashSet, ffi::OsString, fmt, path::PathBuf};

use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Command, ValueHint,
    builder::{
        OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser, ValueParser,
    },
    parser::ValueSource,
    value_parser,
};
use clap_complete::Shell;

use super::{
    check::CheckStyle,
    usage::{self, misplaced},
};
use crate::{
    config::{
        self,
        layers::Layer,
        origin::Origin,
        reporting::{ReportOptions, Verbosity},
        settings::{Kind, SETTINGS, Setting, Value, keys},
    },
    error::Error,
};

/// The parsed command line.
#[derive(Debug)]
pub struct Args {
    /// The settings of the command line.
    pub layer: Layer,
    /// How the run is reported.
    pub reporting: ReportOptions,
    /// The task of the program.
    pub request: Request,
}

/// The task of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A task that needs the resolved configuration.
    Resolve(config::Request),
    /// Check the exports, and print this of them.
    Check(CheckStyle),
    /// Verify these files against their manifests.
    Verify(Vec<PathBuf>, Verbosity),
    /// Print this text: a completion script or the manual page.
    Print(Vec<u8>),
}

/// The name of the positional argument.
pub(super) const SQL: &str = "SQL";

/// The flags that say what is exported, in its place.
pub(super) const QUERY_FLAGS: [&str; 4] = ["query", "query-file", "table", "tables"];

/// The subcommand that prints a completion script.
pub(super) const COMPLETION: &str = "completion";

/// The subcommand that prints the manual page.
pub(super) const MAN: &str = "man";

/// The subcommand that verifies files.
pub(super) const VERIFY: &str = "verify";

/// The subcommand that prints the table for the columns of a query.
pub(super) const SCHEMA: &str = "schema";

/// The format of `--check` that none was given for.
const UNSAID: &str = "unsaid";

/// The headings of the settings that the help of [`SCHEMA`] lists.
const SCHEMA_HEADINGS: [&str; 5] = [
    "Query",
    "Connection",
    "Encryption and login",
    "Session",
    "Settings",
];

/// The program's version and its build.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("GOLD_DIGGER_BUILD"),
    ")"
);

/// Why the arguments are not a command.
#[derive(Debug)]
pub enum UsageError {
    /// clap's error, which is also how `--help` and `--version` are returned.
    Clap(Box<clap::Error>),
    /// A mistake that clap does not explain.
    Mistake(Error),
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clap(error) => error.fmt(f),
            Self::Mistake(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UsageError {}

impl From<Error> for UsageError {
    fn from(error: Error) -> Self {
        Self::Mistake(error)
    }
}

impl Args {
    /// Parses the program's arguments.
    ///
    /// # Errors
    /// See [`UsageError`].
    pub fn parse_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let arguments: Vec<OsString> = arguments.collect();
        misplaced::hide_passwords(&arguments);
        let arguments = usage::prepare(arguments)?;
        let matches = command()
            .args(usage::hidden_arguments())
            .try_get_matches_from(&arguments)
            .map_err(|error| usage::explain(error, &arguments))?;
        let settings = match matches.subcommand() {
            Some((SCHEMA, matches)) => matches,
            _ => &matches,
        };
        usage::check_query_sources(settings)?;
        let layer = layer(settings);
        let verbosity = match (settings.get_flag("quiet"), settings.get_count("verbose")) {
            (true, _) => Verbosity::Quiet,
            (false, 0) => Verbosity::Normal,
            (false, 1) => Verbosity::Verbose,
            (false, _) => Verbosity::Debug,
        };
        Ok(Self {
            reporting: ReportOptions::from_flags(&layer, verbosity),
            request: request(&matches, &layer),
            layer,
        })
    }
}

/// Returns the task of the command line, whose settings are `settings`.
fn request(matches: &ArgMatches, settings: &Layer) -> Request {
    let mut text = Vec::new();
    match matches.subcommand() {
        Some((COMPLETION, matches)) => {
            if let Some(shell) = matches.get_one::<Shell>("shell") {
                let program = env!("CARGO_PKG_NAME");
                clap_complete::generate(*shell, &mut command(), program, &mut text);
            }
            Request::Print(text)
        }
        Some((VERIFY, matches)) => {
            let paths = matches.get_many::<PathBuf>("path").into_iter().flatten();
            let verbosity = match matches.get_flag("quiet") {
                true => Verbosity::Quiet,
                false => Verbosity::Normal,
            };
            Request::Verify(paths.cloned().collect(), verbosity)
        }
        Some((SCHEMA, _)) => Request::Check(CheckStyle::Tables),
        Some(_) => {
            let page = clap_mangen::Man::new(command());
            // Writing to memory does not fail.
            let _ = page.render(&mut text);
            Request::Print(text)
        }
        None if matches.get_flag("dump-config") => Request::Resolve(config::Request::DumpConfig),
        None if matches.get_flag("list-jobs") => Request::Resolve(config::Request::ListExports),
        None => match matches.get_one::<String>("check") {
            Some(format) => Request::Check(check_style(format, settings)),
            None => Request::Resolve(config::Request::Export),
        },
    }
}

/// Returns what is printed of a check with `format`. Where that is not said, it is the
/// format that `--format` asks for, if a check has it.
fn check_style(format: &str, settings: &Layer) -> CheckStyle {
    let output = settings.get(keys::OUTPUT_FORMAT);
    match (format, output.map(|found| found.value.name)) {
        ("json", _) | (UNSAID, Some("json")) => CheckStyle::Json,
        _ => CheckStyle::Text,
    }
}

/// Returns the settings of the command line, each with its flag as its origin.
fn layer(matches: &ArgMatches) -> Layer {
    let mut layer = Layer::default();
    for setting in SETTINGS {
        let Some(flag) = setting.flag else {
            continue;
        };
        for (alias, _) in setting.aliases {
            if let Some(value) = matches.get_one::<Value>(alias) {
                let origin = Origin::Flag(format!("--{alias}"));
                layer.insert(setting, value.clone(), origin);
            }
        }
        if matches.value_source(flag) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = matches.get_many::<Value>(flag);
        if setting.is(keys::OUTPUT_PATH) && values.as_ref().is_some_and(|values| values.len() > 1) {
            layer.outputs = outputs(setting, values.into_iter().flatten());
            continue;
        }
        // A flag that can be repeated gives all its values.
        let concat = |first, again| setting.kind.concat(&first, again);
        let value = values.and_then(|values| values.cloned().reduce(concat));
        if let Some(value) = value {
            layer.insert(setting, value, Origin::Flag(format!("--{flag}")));
        }
    }
    if let Some(text) = matches.get_one::<String>(SQL) {
        let origin = Origin::Flag(SQL.to_owned());
        layer.set(keys::QUERY_SQL, text.clone(), origin);
    }
    if let Some(sql) = layer.get(keys::QUERY_SQL).filter(|sql| sql.value == "-") {
        layer.unset(keys::QUERY_SQL);
        layer.set(keys::QUERY_FILE, PathBuf::from("-"), sql.origin);
    }
    layer
}

/// Returns a layer for each of the `targets` that `setting` names.
fn outputs<'a>(setting: &'static Setting, targets: impl Iterator<Item = &'a Value>) -> Vec<Layer> {
    let flag = setting.flag.unwrap_or_default();
    targets
        .map(|target| {
            let mut layer = Layer::default();
            layer.insert(setting, target.clone(), Origin::Flag(format!("--{flag}")));
            layer
        })
        .collect()
}

/// The command line's grammar. `-h` alone, which asks for help, is not part of it:
/// the module `usage` handles it.
#[must_use]
pub fn command() -> Command {
    with_settings(Command::new(env!("CARGO_PKG_NAME")))
        .version(VERSION)
        .about(ABOUT)
        .long_about(LONG_ABOUT)
        .after_help(EXAMPLES)
        .after_long_help(EXAMPLES_AND_EXIT_CODES)
        .max_term_width(100)
        .args(other_flags())
        .disable_help_subcommand(true)
        .args_conflicts_with_subcommands(true)
        .subcommands(subcommands())
        .subcommand(schema())
}

/// Adds the query, the flags of all settings, and those of the program's words.
fn with_settings(command: Command) -> Command {
    let mut seen = HashSet::new();
    let flags = SETTINGS
        .iter()
        .copied()
        .filter_map(|setting| Some((setting, setting.flag?)));
    let flags = flags.filter(|(_, flag)| seen.insert(*flag));
    command
        .arg(
            Arg::new(SQL)
                .value_name(SQL)
                .help("The query: one statement that returns rows; `-` is standard input"),
        )
        .args(flags.flat_map(|(setting, flag)| {
            [vec![arg(setting, flag)], aliases(setting, flag)].concat()
        }))
        .args(common_flags())
        .group(
            ArgGroup::new("query source")
                .arg(SQL)
                .args(QUERY_FLAGS)
                .multiple(true),
        )
        .mut_arg("no-defaults", |arg| arg.conflicts_with("defaults-file"))
        .mut_arg("query", |arg| arg.visible_short_alias('e').alias("execute"))
        .disable_help_flag(true)
}

/// Returns the subcommand that prints tables. It takes all settings, and its help lists
/// those that matter.
fn schema() -> Command {
    let is_listed = |arg: &Arg| {
        let heading = arg.get_help_heading();
        let id = arg.get_id().as_str();
        heading.is_none_or(|heading| SCHEMA_HEADINGS.contains(&heading))
            || ["for", "output", "job", "booleans", "zero-dates"].contains(&id)
    };
    with_settings(Command::new(SCHEMA))
        .about("Print the CREATE TABLE for the query's columns, without running the query")
        .override_usage("gold_digger schema --for TARGET [OPTIONS] [SQL]")
        .max_term_width(100)
        .mut_args(|arg| {
            let hidden = !is_listed(&arg);
            arg.hide(hidden)
        })
        .args(usage::hidden_arguments())
}

/// Returns the flags that choose another task than an export.
fn other_flags() -> [Arg; 3] {
    let unsaid = PossibleValue::new(UNSAID).hide(true);
    [
        Arg::new("check")
            .long("check")
            .visible_alias("dry-run")
            .value_name("FORMAT")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value(UNSAID)
            .value_parser(["text".into(), "json".into(), unsaid])
            .hide_possible_values(true)
            .conflicts_with_all(["dump-config", "summary"])
            .help_heading("Settings")
            .help(
                "Connect, run the --init statements, and say what the query would give; as JSON \
                 with =json or --format json",
            ),
        Arg::new("list-jobs")
            .long("list-jobs")
            .action(ArgAction::SetTrue)
            .conflicts_with_all(["check", "dump-config", "summary", "query source"])
            .help_heading(keys::JOB.setting().heading)
            .help("Print the names of these exports and where each goes, and end"),
        Arg::new("dump-config")
            .long("dump-config")
            .action(ArgAction::SetTrue)
            .conflicts_with("summary")
            .help_heading("Settings")
            .help("Print what would run, as JSON, each value with its origin, and end"),
    ]
}

/// Returns the flags that are no settings and choose no task.
fn common_flags() -> [Arg; 3] {
    [
        Arg::new("help")
            .long("help")
            .action(ArgAction::HelpLong)
            .help("Print help; `-h` alone prints a summary"),
        Arg::new("verbose")
            .short('v')
            .long("verbose")
            .help_heading("Reporting")
            .action(ArgAction::Count)
            .conflicts_with("quiet")
            .help("Say on standard error what was done"),
        Arg::new("quiet")
            .long("quiet")
            .help_heading("Reporting")
            .action(ArgAction::SetTrue)
            .help("Say nothing but errors on standard error"),
    ]
}

/// Returns the subcommands.
fn subcommands() -> [Command; 3] {
    // The flag that the program has instead does not reach them.
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::Help)
        .help("Print help");
    let commands = [
        Command::new(COMPLETION)
            .about("Print a script that teaches a shell to complete the arguments")
            .arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(value_parser!(Shell)),
            ),
        Command::new(MAN).about("Print the manual page"),
        Command::new(VERIFY)
            .about("Check files against their manifests: size, rows and SHA-256")
            .arg(
                Arg::new("quiet")
                    .long("quiet")
                    .action(ArgAction::SetTrue)
                    .help("Name only the files that failed"),
            )
            .arg(
                Arg::new("path")
                    .value_name("PATH")
                    .required(true)
                    .num_args(1..)
                    .value_parser(value_parser!(PathBuf))
                    .value_hint(ValueHint::FilePath)
                    .help("A file that has a manifest beside it, or the manifest"),
            ),
    ];
    commands.map(|command| command.arg(&help))
}

/// Returns the argument of `setting`, whose flag is `flag`.
fn arg(setting: &'static Setting, flag: &'static str) -> Arg {
    let kind = setting.kind;
    let parser = match kind {
        Kind::Choice(choices, parser) => PossibleValuesParser::new(choices())
            .try_map(|text| parser.parse(&text))
            .into(),
        Kind::Path | Kind::Template => OsStringValueParser::new()
            .try_map(move |path| kind.parse(&path))
            .into(),
        _ => ValueParser::from(move |text: &str| kind.parse(text.as_ref())),
    };
    let help = help(setting);
    let more = setting.more.map(|more| format!("{help}\n\n{more}"));
    let arg = Arg::new(flag)
        .long(flag)
        .short(setting.short)
        .value_name(setting.placeholder)
        .value_parser(parser)
        .help_heading(setting.heading)
        .help(help);
    // Listed last, after the TLS modes that most users look for.
    let arg = match setting.is_listed_last {
        true => arg.display_order(LAST),
        false => arg,
    };
    let arg = match kind {
        Kind::Path | Kind::Template => arg.value_hint(ValueHint::FilePath),
        Kind::Switch => arg,
        _ => arg.value_hint(ValueHint::Other),
    };
    let arg = match more {
        Some(more) => arg.long_help(more),
        None => arg,
    };
    match kind {
        // A switch that no file can turn on needs no value to turn it off.
        Kind::Switch if setting.section().is_none() => {
            arg.num_args(0).default_missing_value("true")
        }
        Kind::Switch => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        Kind::List(_) | Kind::Parameters => arg.action(ArgAction::Append),
        _ if setting.is(keys::OUTPUT_PATH) => arg.action(ArgAction::Append),
        _ => arg,
    }
}

/// Returns the help of `setting`, with its default and its environment variable.
fn help(setting: &Setting) -> String {
    let mut help = setting.help.to_owned();
    if let Some(default) = setting
        .default
        .filter(|text| !matches!(*text, "" | "false"))
    {
        help += &format!(" [default: {default}]");
    }
    if let Some(variable) = setting.variable {
        help += &format!(" [env: {variable}]");
    }
    help
}

/// The flags that each give one value of `flag`. They exclude each other.
fn aliases(setting: &'static Setting, flag: &'static str) -> Vec<Arg> {
    let names = setting.aliases.iter().map(|(name, _)| *name);
    let names: Vec<&str> = names.chain([flag]).collect();
    let kind = setting.kind;
    let alias = |(name, value): &(&'static str, &'static str)| {
        let others = names.iter().filter(|other| *other != name);
        Arg::new(*name)
            .long(*name)
            .action(ArgAction::Set)
            .num_args(0)
            .default_missing_value(*value)
            .value_parser(move |text: &str| kind.parse(text.as_ref()))
            .conflicts_with_all(others)
            .help_heading(setting.heading)
            .help(format!("The same as --{flag} {value}"))
    };
    setting.aliases.iter().map(alias).collect()
}

/// A display order after those that clap gives arguments as they are added.
const LAST: usize = 999;

const ABOUT: &str = "Stream the rows of a MySQL or MariaDB query into CSV, TSV or JSON";

const LONG_ABOUT: &str = "\
Stream the rows of a MySQL or MariaDB query into CSV, TSV or JSON.

One statement, or each of a configuration file's, runs in a read-only session; its rows are written \
as they arrive, in flat memory. A regular file appears under its final name only when it is complete.";

macro_rules! examples {
    () => {
        "\
Examples:
  export DATABASE_URL='mysql://reader:secret@localhost/shop'
  gold_digger 'SELECT * FROM orders' > orders.tsv
  gold_digger -o orders.csv 'SELECT * FROM orders WHERE day = CURDATE()'
  gold_digger --config nightly.toml
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
  4    the query failed, or its result broke off; its file was not published
  5    the output could not be written
  6    the result is not what a guard expects (--min-rows, --max-rows, --expect-column, …)
  7    a file is not what its manifest says (verify)
  129, 130, 143
       ended by SIGHUP, SIGINT or SIGTERM
  141  the reader of standard output has gone"
);
