//! What will run: the command line, the environment and the configuration file
//! made one, checked before anything is touched.
//!
//! The only reader of the environment and of the configuration file. Flags win
//! over the environment, the environment over the file.

use std::{
    collections::HashSet,
    env,
    ffi::OsStr,
    fs,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    cli::{Args, Tls},
    error::{Error, Result},
    format::{self, BinaryEncoding, Format, FormatOptions, Layout, TinyInt1},
    output::Flush,
    sql::{Parameter, Query},
};

mod db_url;
mod file;

use self::{
    db_url::parse_url,
    file::{ConfigFile, QuerySection},
};

/// One export, as it will run.
#[derive(Debug)]
pub struct Config {
    /// Where the server is and who logs in.
    pub connection: Connection,
    /// The statement.
    pub query: Query,
    /// The values of its parameters.
    pub parameters: Vec<Parameter>,
    /// The way that its rows travel.
    pub protocol: Protocol,
    /// What is set before it runs.
    pub session: Session,
    /// Where the bytes go.
    pub target: Target,
    /// When they do.
    pub flush: Flush,
    /// How rows become bytes.
    pub format: &'static Format,
    /// The formats' settings.
    pub format_options: FormatOptions,
    /// What a result without rows means.
    pub empty_result: EmptyResult,
    /// How much is said on standard error.
    pub verbosity: Verbosity,
}

/// Where the server is and who logs in. `Debug` does not show the password.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The server's address.
    pub endpoint: Endpoint,
    /// The account's name.
    pub user: String,
    /// The account's password, if it has one.
    pub password: Option<SecretString>,
    /// The default database.
    pub database: Option<String>,
    /// What is done to the bytes on the way.
    pub compression: Compression,
}

/// Compression of the protocol (MySQL manual, "Connection Compression Control").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Bytes travel as they are.
    #[default]
    None,
    /// zlib, where the server can.
    Zlib,
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address and a port.
    Tcp {
        /// Name, IPv4 or IPv6 address, the latter without brackets.
        host: String,
        /// Port number.
        port: u16,
    },
    /// The path of a Unix socket.
    Socket(String),
}

impl Endpoint {
    /// Whether the bytes stay on this machine: a socket, `localhost`, or a
    /// loopback address.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Socket(_) => true,
            Self::Tcp { host, .. } => {
                let address = host.parse::<IpAddr>();
                host.eq_ignore_ascii_case("localhost")
                    || address.is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// The wire protocol of a statement's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Binary for SELECT, WITH, VALUES and TABLE where the server can, else text
    #[default]
    Auto,
    /// The server formats every value
    Text,
    /// The statement is prepared, and this program formats; an error where that cannot be
    Binary,
}

/// What is set in a session before the statement runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What the session may do.
    pub access: Access,
    /// The time zone that TIMESTAMP values are shown in; none is the server's.
    pub time_zone: Option<String>,
}

/// What the session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The server refuses statements that write. A guard against accidents, not
    /// a sandbox.
    ReadOnly,
    /// Whatever the account may do.
    ReadWrite,
}

/// Where the bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, or what stands under that name: a FIFO, a device, a descriptor.
    Path(PathBuf),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a result without rows means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyResult {
    /// Exit 1 and leave the target as it was.
    Refuse,
    /// An ordinary success: an empty document.
    Allow,
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors.
    Quiet,
    /// Errors and warnings.
    Normal,
    /// Also what was done (`-v`).
    Verbose,
}

impl Config {
    /// Makes the configuration from what was typed, the environment, and the
    /// configuration file that was named.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for whatever is
    /// missing, malformed or contradictory.
    pub fn resolve(args: Args) -> Result<Self> {
        let file = args.config.as_deref().map(ConfigFile::load).transpose()?;
        let file = file.unwrap_or_default();
        let (target, format) = target_and_format(&args, &file)?;
        refuse_flags_of_other_formats(&args, format)?;
        let connection = connection(&args, &file)?;
        let query = Query::parse(sql_text(&args, &file)?)?;
        let protocol = args.protocol.unwrap_or_default();
        check_parameters(&query, &args.param, protocol)?;
        Ok(Self {
            connection,
            query,
            parameters: args.param.clone(),
            protocol,
            session: Session {
                access: if args.read_write {
                    Access::ReadWrite
                } else {
                    Access::ReadOnly
                },
                time_zone: args.time_zone.clone(),
            },
            target,
            flush: args.flush.unwrap_or_default(),
            format,
            format_options: format_options(&args),
            empty_result: if args.allow_empty || file.output.allow_empty {
                EmptyResult::Allow
            } else {
                EmptyResult::Refuse
            },
            verbosity: match (args.quiet, args.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, 0) => Verbosity::Normal,
                (false, _) => Verbosity::Verbose,
            },
        })
    }
}

fn connection(args: &Args, file: &ConfigFile) -> Result<Connection> {
    let environment = env_text("DATABASE_URL")?.map(SecretString::from);
    let from_file = || Some((file.connection.url.as_ref()?, "[connection] url"));
    let typed = args.db_url.as_ref().map(|url| (url, "--db-url"));
    let in_environment = environment.as_ref().map(|url| (url, "DATABASE_URL"));
    let (url, origin) = typed.or(in_environment).or_else(from_file).ok_or_else(|| {
        Error::config("no server is named")
            .hint("set DATABASE_URL or --db-url to mysql://USER:PASSWORD@HOST:PORT/DATABASE")
    })?;
    let mut connection = parse_url(url.expose_secret(), origin)?;
    if args.compress {
        connection.compression = Compression::Zlib;
    }
    if !connection.endpoint.is_local() && args.tls != Some(Tls::Disabled) {
        return Err(Error::config(format!(
            "{} is not on this machine, and this version cannot encrypt the connection",
            connection.endpoint
        ))
        .hint("--tls disabled sends the password's proof and all rows in plain text"));
    }
    Ok(connection)
}

fn check_parameters(query: &Query, parameters: &[Parameter], protocol: Protocol) -> Result<()> {
    let mut names = HashSet::new();
    if let Some(again) = parameters
        .iter()
        .find(|parameter| !names.insert(&parameter.name))
    {
        return Err(Error::config(format!(
            "--param {} is given twice",
            again.name
        )));
    }
    if protocol == Protocol::Text && !parameters.is_empty() {
        return Err(Error::config(
            "--param needs prepared statements, which --protocol text does without",
        )
        .hint("leave --protocol out"));
    }
    query.check_parameters(parameters)
}

/// The SQL text of the highest layer that has one. The command line has one at
/// most: clap sees to that.
fn sql_text(args: &Args, file: &ConfigFile) -> Result<String> {
    if let Some(text) = args.sql.as_ref().or(args.query.as_ref()) {
        return Ok(text.clone());
    }
    if let Some(path) = &args.query_file {
        return read_sql(path);
    }
    if let Some(text) = env_text("DATABASE_QUERY")? {
        return Ok(text);
    }
    match &file.query {
        QuerySection {
            sql: Some(text),
            file: None,
        } => Ok(text.clone()),
        QuerySection {
            sql: None,
            file: Some(path),
        } => read_sql(&file.relative(path)),
        QuerySection {
            sql: Some(_),
            file: Some(_),
        } => Err(Error::config(format!(
            "{}: [query] has both sql and file",
            file.path.display()
        ))
        .hint("keep one of them")),
        QuerySection {
            sql: None,
            file: None,
        } => Err(Error::config("no query is given")
            .hint("gold_digger \"SELECT …\", or --query-file FILE, or DATABASE_QUERY")),
    }
}

fn read_sql(path: &Path) -> Result<String> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        ("standard input".to_owned(), read.map(|_| bytes))
    } else {
        (path.display().to_string(), fs::read(path))
    };
    let bytes = bytes
        .map_err(|error| Error::config(format!("cannot read the query from {name}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::config(format!("the query in {name} is not UTF-8 (byte {at})"))
            .hint("save it as UTF-8")
    })?;
    // Editors on Windows put a byte order mark before the text.
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// The target of the highest layer that names one, and the format of the
/// highest layer that says one. A target says its format by its extension: `-o
/// x.json` is JSON, whatever the configuration file's format is.
fn target_and_format(args: &Args, file: &ConfigFile) -> Result<(Target, &'static Format)> {
    let in_environment = env::var_os("OUTPUT_FILE").filter(|path| !path.is_empty());
    let typed_format = args.format.as_deref().and_then(format::by_name);
    let files_format = file.output.format.as_deref();
    let files_format = files_format
        .map(|name| file::known_format(name, &file.path))
        .transpose()?;
    let mut target = None;
    let mut format = None;
    for (named, path) in [
        (typed_format, args.output.clone()),
        (None, in_environment.map(PathBuf::from)),
        (
            files_format,
            file.output.path.as_deref().map(|path| file.relative(path)),
        ),
    ] {
        format = format.or(named);
        if let (None, Some(path)) = (&target, path) {
            let extension = path.extension().and_then(OsStr::to_str);
            format = format.or_else(|| format::by_extension(extension?));
            target = Some(if path == Path::new("-") {
                Target::Stdout
            } else {
                Target::Path(path)
            });
        }
    }
    Ok((
        target.unwrap_or(Target::Stdout),
        format.unwrap_or(&format::tsv::FORMAT),
    ))
}

/// A flag that the format would ignore is a mistake: `--pretty` with CSV.
fn refuse_flags_of_other_formats(args: &Args, format: &Format) -> Result<()> {
    let typed = [
        ("line-ending", args.line_ending.is_some()),
        ("csv-null", args.csv_null.is_some()),
        ("pretty", args.pretty),
        ("json-root", args.json_root.is_some()),
        ("json-bigint", args.json_bigint.is_some()),
        ("json-decimal", args.json_decimal.is_some()),
        ("json-column", !args.json_column.is_empty()),
        ("tinyint1-as-bool", args.tinyint1_as_bool),
        ("zero-dates", args.zero_dates.is_some()),
        ("binary raw", args.binary == Some(BinaryEncoding::Raw)),
    ];
    let stray = typed
        .iter()
        .find(|(flag, given)| *given && !format.flags.contains(flag));
    let Some((flag, _)) = stray else {
        return Ok(());
    };
    let owners = format::FORMATS
        .iter()
        .filter(|other| other.flags.contains(flag));
    let owners: Vec<&str> = owners.map(|other| other.name).collect();
    Err(
        Error::config(format!("--{flag} has no meaning for {}", format.name)).hint(format!(
            "leave it out, or choose --format {}",
            owners.join(" or ")
        )),
    )
}

fn format_options(args: &Args) -> FormatOptions {
    FormatOptions {
        binary: args.binary.unwrap_or_default(),
        invalid_utf8: args.invalid_utf8.unwrap_or_default(),
        line_ending: args.line_ending.unwrap_or_default(),
        csv_null: args.csv_null.clone().unwrap_or_default(),
        layout: if args.pretty {
            Layout::Pretty
        } else {
            Layout::Compact
        },
        json_root: args.json_root.clone(),
        json_bigint: args.json_bigint.unwrap_or_default(),
        json_decimal: args.json_decimal.unwrap_or_default(),
        json_columns: args.json_column.clone(),
        tinyint1: if args.tinyint1_as_bool {
            TinyInt1::Bool
        } else {
            TinyInt1::Number
        },
        zero_dates: args.zero_dates.unwrap_or_default(),
        duplicate_columns: args.duplicate_columns.unwrap_or_default(),
    }
}

/// An environment variable's text; an empty one counts as not set.
fn env_text(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Error::config(format!(
            "the environment variable {name} is not UTF-8"
        ))),
    }
}
