//! What will run: the command line, the environment, the configuration file and
//! MySQL's option files made one, checked before anything is touched.
//!
//! The only reader of the environment and of files that configure. Each place
//! is a layer: flags win over the environment, the environment over the
//! configuration file, that over option files, and those over defaults.

use std::{
    cell::LazyCell, env, ffi::OsStr, net::IpAddr, path::PathBuf, str::FromStr, time::Duration,
};

use clap::ValueEnum;
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::{
    cli::{Args, Request},
    error::Result,
    format::{Format, FormatOptions},
    journal::Journal,
    output::Flush,
    progress,
    report::LogFormat,
    sink,
    sql::{Parameter, Query},
};

mod certificates;
mod connection;
mod db_url;
mod dump;
mod file;
pub mod layers;
mod option_file;
mod output;
mod prompt;
mod query;
pub mod settings;
mod template;
pub mod tls;

use self::{
    connection::Fields,
    dump::Dump,
    layers::{Layer, Layers, Origin, Value},
    option_file::{OptionFiles, Presence},
    settings::{CONFIG, DEFAULTS_FILE, DEFAULTS_GROUP_SUFFIX, NO_DEFAULTS, Setting},
    tls::{CleartextPlugin, Tls, TlsMode},
};

/// What was asked for.
#[derive(Debug)]
pub enum Task {
    /// An export.
    Export(Box<Config>),
    /// Finding out what an export would do.
    Check(Box<Config>),
    /// The settings, as text for standard output.
    Print(String),
}

/// One export, as it will run.
#[derive(Clone, Debug)]
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
    /// What the result must be like.
    pub guards: Guards,
    /// What becomes of a file that gets no end.
    pub partial: Partial,
    /// How often the export begins anew after a connection that was lost or could
    /// not be had.
    pub retries: u32,
    /// How much is said on standard error.
    pub verbosity: Verbosity,
    /// How it is said.
    pub log_format: LogFormat,
    /// When progress is shown.
    pub progress: progress::When,
    /// Where the summary goes, if one is wanted.
    pub summary: Option<Target>,
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
    /// How the bytes are encrypted, if they are.
    pub tls: Option<Tls>,
    /// The server's RSA key (the DER form of its SubjectPublicKeyInfo), which
    /// encrypts the password where nothing else is encrypted.
    pub server_public_key: Option<Vec<u8>>,
    /// Whether the server may have the password itself.
    pub cleartext_plugin: CleartextPlugin,
    /// Whether the bytes are compressed.
    pub compression: Compression,
    /// How long connecting and logging in may take together.
    pub connect_timeout: Duration,
    /// How long the server may be silent.
    pub read_timeout: Option<Duration>,
}

/// A length of time, as people write it: `500ms`, `30s`, `1h 30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeout(pub Duration);

impl Timeout {
    /// MariaDB's longest `max_statement_time`, 365 days.
    const LONGEST: Duration = Duration::from_secs(31_536_000);
    /// The unit of MySQL's `max_execution_time`.
    const SHORTEST: Duration = Duration::from_millis(1);
}

impl FromStr for Timeout {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.parse::<SignedDuration>();
        let parsed =
            parsed.map_err(|_| "write a number and a unit, such as 500ms, 30s, 5m or 2h")?;
        match Duration::try_from(parsed) {
            Ok(time) if (Self::SHORTEST..=Self::LONGEST).contains(&time) => Ok(Self(time)),
            _ => Err("it is not between 1ms and 8760h"),
        }
    }
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
    /// Whether it is a host and a port.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

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
    /// Statements that run before it.
    pub init: Vec<String>,
    /// How long the server may work on it.
    pub statement_timeout: Option<Duration>,
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
    Path(PathBuf, MissingFolders),
}

/// What becomes of a target whose folder is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFolders {
    /// It cannot be written.
    Refuse,
    /// The folder is made.
    Create,
}

/// What becomes of a file that gets no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// It is removed.
    Remove,
    /// It is kept as `NAME.partial`.
    Keep,
}

/// As it is typed: `-` is standard output.
impl From<&OsStr> for Target {
    fn from(path: &OsStr) -> Self {
        if path == "-" {
            Self::Stdout
        } else {
            Self::Path(path.into(), MissingFolders::Refuse)
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Path(path, _) => write!(f, "{}", path.display()),
        }
    }
}

/// What a result must be like to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// It has no fewer rows.
    pub min_rows: Option<u64>,
    /// It has no more rows.
    pub max_rows: Option<u64>,
    /// It has these columns, in this order; or any, where there are none.
    pub columns: Vec<String>,
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
    /// Also how (`-vv`).
    Debug,
}

impl Config {
    /// Makes the configuration from what was typed, the environment, and the
    /// files that these name or that stand in their usual places; warns in
    /// `journal`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for whatever is
    /// missing, malformed or contradictory.
    pub fn resolve(args: Args, journal: &Journal) -> Result<Task> {
        let mut layers = layers(args.layer, journal)?;
        let mut fields = Fields::resolve(&mut layers)?;
        let database = fields
            .database
            .as_ref()
            .map(|database| database.value.as_str());
        let destination = output::destination(&layers, &LazyCell::new(template::now), database)?;
        let format_options = output::format_options(&layers)?;
        output::refuse_flags_of_other_formats(&layers, destination.format)?;
        let protocol = layers.choice("query.protocol")?.unwrap_or_default();
        let query = match query::query(&layers, protocol) {
            // A file of settings can be shown without a query to go with it.
            Err(_) if args.request == Request::DumpConfig && !query::is_given(&layers) => None,
            query => Some(query?),
        };
        let session = session(&layers)?;
        let endpoint = fields.endpoint();
        let socket = fields.socket.as_ref().map(|socket| &socket.origin);
        let tls_mode = tls::mode(&layers, &endpoint, socket)?;
        let cleartext_plugin = tls::cleartext_plugin(&layers, tls_mode.0)?;
        let timeout = |name| Ok(layers.parsed::<Timeout>(name)?.map(|Timeout(time)| time));
        let connect_timeout = timeout("connection.connect_timeout")?;
        let read_timeout = timeout("connection.read_timeout")?;
        if args.request == Request::DumpConfig {
            let dump = Dump {
                layers: &layers,
                fields: &fields,
                destination: &destination,
                query: query.as_ref(),
                tls_mode: &tls_mode,
            };
            return Ok(Task::Print(dump.to_text()));
        }
        let (query, parameters) = query.ok_or_else(query::missing)?;
        if let Some(Target::Path(summary, _)) = &args.reporting.summary
            && let Target::Path(output, _) = &destination.target
            && sink::is_same_file(summary, output)
        {
            let what = "names the file that the rows go to";
            return Err(Origin::Flag("--summary".to_owned())
                .refuse("summary", what)
                .hint("name another one"));
        }
        let (tls_mode, tls_origin) = tls_mode;
        let tls = certificates::load(&layers, tls_mode, &tls_origin)?;
        let server_public_key = certificates::server_public_key(&layers)?;
        // Last: whoever is asked for a password has a configuration that is good.
        let password = fields.password()?;
        let warnings = tls::warnings(&layers, &endpoint, tls_mode, &tls_origin);
        for warning in warnings.into_iter().chain(fields.warnings()) {
            journal.warn(warning);
        }
        let task = if args.request == Request::Check {
            Task::Check
        } else {
            Task::Export
        };
        Ok(task(Box::new(Self {
            connection: Connection {
                endpoint,
                user: fields.user.map(|user| user.value).unwrap_or_default(),
                password,
                database: fields.database.map(|database| database.value),
                tls,
                server_public_key,
                cleartext_plugin,
                compression: if layers.is_on("connection.compress") {
                    Compression::Zlib
                } else {
                    Compression::None
                },
                connect_timeout: connect_timeout.unwrap_or(Timeout::LONGEST),
                read_timeout,
            },
            query,
            parameters,
            protocol,
            session,
            target: destination.target,
            flush: layers.choice("output.flush")?.unwrap_or_default(),
            format: destination.format,
            format_options,
            empty_result: if layers.is_on("output.allow_empty") {
                EmptyResult::Allow
            } else {
                EmptyResult::Refuse
            },
            guards: guards(&layers)?,
            partial: if layers.is_on("output.keep_partial") {
                Partial::Keep
            } else {
                Partial::Remove
            },
            retries: layers.parsed("connection.retry")?.unwrap_or_default(),
            verbosity: args.reporting.verbosity,
            log_format: args.reporting.log_format,
            progress: layers.choice("progress")?.unwrap_or_default(),
            summary: args.reporting.summary,
        })))
    }
}

/// The flags, and all layers below them.
fn layers(flags: Layer, journal: &Journal) -> Result<Layers> {
    let mut layers = Layers(vec![flags, Layer::of_environment()?]);
    let path = |layers: &Layers, name| layers.get(name)?.text().map(PathBuf::from);
    if let Some(path) = path(&layers, CONFIG) {
        layers.0.push(file::load(&path)?);
        tracing::debug!("read the configuration file {}", path.display());
    }
    let mut option_files = OptionFiles::new(layers.text(DEFAULTS_GROUP_SUFFIX), journal);
    let mut defaults = Layer::of_defaults()?;
    if let Some(path) = path(&layers, DEFAULTS_FILE) {
        option_files.read(&path, Presence::Required)?;
    } else if let (Some(home), false) = (env::home_dir(), layers.is_on(NO_DEFAULTS)) {
        let path = home.join(".my.cnf");
        option_files.read(&path, Presence::Optional)?;
        if let (Some(setting), true) = (Setting::named(DEFAULTS_FILE), path.exists()) {
            defaults.set(setting, Value::Text(path.into()), Origin::Default);
        }
    }
    layers.0.extend([option_files.layer, defaults]);
    Ok(layers)
}

fn guards(layers: &Layers) -> Result<Guards> {
    let guards = Guards {
        min_rows: layers.parsed("guards.min_rows")?,
        max_rows: layers.parsed("guards.max_rows")?,
        columns: layers.list("guards.columns"),
    };
    if let (Some(min), Some(max)) = (guards.min_rows, guards.max_rows)
        && min > max
        && let Some(found) = layers.get("guards.min_rows")
    {
        let what = format!("is more than the {max} rows that there may be at most");
        return Err(found.origin.refuse("guards.min_rows", &what));
    }
    Ok(guards)
}

fn session(layers: &Layers) -> Result<Session> {
    let timeout = layers.parsed::<Timeout>("session.statement_timeout")?;
    Ok(Session {
        access: if layers.is_on("session.read_write") {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        },
        time_zone: layers.text("session.time_zone").map(str::to_owned),
        init: layers.list("session.init"),
        statement_timeout: timeout.map(|Timeout(time)| time),
    })
}
