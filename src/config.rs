//! What will run: the command line, the environment, the configuration file and
//! MySQL's option files made one, checked before anything is touched.
//!
//! The only reader of the environment and of files that configure. Each place
//! is a layer: flags win over the environment, the environment over the
//! configuration file, that over option files, and those over defaults.

use std::{cell::LazyCell, env, net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::ValueEnum;
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::{
    artifacts::history::State,
    artifacts::template::{self, Now},
    cli::args::{Args, Reporting, Request},
    cli::progress,
    error::{Error, Result},
    jobs::status::Journal,
    text::printable,
};

mod certificates;
mod connection;
mod database_url;
mod dump;
mod export;
mod file;
pub mod layers;
mod option_file;
mod output;
mod query;
mod run;
mod selection;
pub mod settings;
pub mod tls;

use self::{
    connection::Fields,
    dump::Dump,
    export::Draft,
    file::ExportTable,
    layers::{Layer, Layers, Origin, Sourced, Value},
    option_file::{OptionFiles, Presence},
    settings::{CONFIG, DEFAULTS_FILE, DEFAULTS_GROUP_SUFFIX, NO_DEFAULTS, Setting},
    tls::{CleartextPlugin, Tls, TlsMode},
};

pub use self::{
    export::{
        EmptyResult, Export, Guards, MissingFolders, Naming, Partial, PinnedSchema, Share, Target,
    },
    run::{OnError, Publish, Run, Snapshot},
};

/// What was asked for.
#[derive(Debug)]
pub enum Task {
    /// To run exports.
    Export(Box<Config>),
    /// To find out what they would do.
    Check(Box<Config>),
    /// A text for standard output.
    Print(String),
}

/// What will run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is and who logs in.
    pub connection: Connection,
    /// What is set before a statement runs.
    pub session: Session,
    /// How often an export begins anew after a connection that was lost or could
    /// not be had.
    pub retries: u32,
    /// What is exported, in this order; never nothing.
    pub exports: Vec<Export>,
    /// How these go together.
    pub run: Run,
    /// What is told of the run.
    pub reporting: Reporting,
    /// When progress is shown.
    pub progress: progress::When,
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
    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        usize::from(self.run.connections.get()).min(self.exports.len())
    }

    /// What the exports' last successes were, where that is kept.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where it cannot be
    /// read.
    pub fn state(&self) -> Result<State> {
        match &self.run.state {
            Some(path) if self.exports.iter().any(|export| export.name.is_some()) => {
                State::load(path)
            }
            _ => Ok(State::default()),
        }
    }

    /// Makes the configuration from what was typed, the environment, and the
    /// files that these name or that stand in their usual places; warns in
    /// `journal`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for whatever is
    /// missing, malformed or contradictory.
    pub fn resolve(args: Args, journal: &Journal) -> Result<Task> {
        let (mut layers, tables) = layers(args.layer, journal)?;
        let now = LazyCell::new(template::now as fn() -> _);
        if args.request == Request::ListJobs {
            return names_and_targets(&mut layers, tables, &now).map(Task::Print);
        }
        let mut fields = Fields::resolve(&mut layers)?;
        let database = fields
            .database
            .as_ref()
            .map(|database| database.value.as_str());
        let session = session(&layers)?;
        let run = run::run(&layers, &session)?;
        let endpoint = fields.endpoint();
        let socket = fields.socket.as_ref().map(|socket| &socket.origin);
        let tls_mode = tls::mode(&layers, &endpoint, socket)?;
        let cleartext_plugin = tls::cleartext_plugin(&layers, tls_mode.0)?;
        let timeout = |name| Ok(layers.parsed::<Timeout>(name)?.map(|Timeout(time)| time));
        let connect_timeout = timeout("connection.connect_timeout")?;
        let read_timeout = timeout("connection.read_timeout")?;
        let dumps = args.request == Request::DumpConfig;
        let (mut exports, mut printed) = (Vec::new(), Vec::new());
        let mut inputs = Vec::new();
        let mut note_input = |layers: &Layers, name, what| {
            let found = layers.get(name).and_then(Sourced::text);
            inputs.extend(found.map(|path| (what, PathBuf::from(path))));
        };
        note_input(&layers, CONFIG, "the configuration file");
        note_input(&layers, "connection.password_file", "the password file");
        let selected = selection::selected(&layers, tables)?;
        selection::refuse_one_target_for_several(&layers, selected.len())?;
        for table in selected {
            let (name, layer) = table.map(|table| (table.name, table.layer)).unzip();
            let name = name.as_deref();
            let made = layers.with(selection::ABOVE_EXPORTS, layer, |layers| {
                note_input(layers, "query.file", "the file of the query");
                // A file of settings can be shown without a query to go with it.
                let draft = Draft::new(layers, &now, database, !dumps, name)?;
                if !dumps {
                    return draft.finish(name, layers, &now, database).map(Some);
                }
                let dump = Dump {
                    layers,
                    fields: &fields,
                    draft: &draft,
                    tls_mode: &tls_mode,
                };
                printed.push((name.map(str::to_owned), dump.to_text()));
                Ok(None)
            });
            exports.extend(made.map_err(|error| match name {
                Some(name) => error.with_location(name),
                None => error,
            })?);
        }
        if dumps {
            return Ok(Task::Print(dump::together(printed)));
        }
        selection::refuse_unused_parameters(&layers, &exports)?;
        let summary = match &args.reporting.summary {
            Some(Target::Path(path, _)) => Some(path.as_path()),
            _ => None,
        };
        let state = run.state.as_deref();
        selection::refuse_common_targets(&exports, &inputs, state, summary, journal)?;
        run::refuse_late_streams(&layers, &run, &exports)?;
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
            session,
            retries: layers.parsed("connection.retry")?.unwrap_or_default(),
            exports,
            run,
            progress: layers.choice("progress")?.unwrap_or_default(),
            reporting: args.reporting,
        })))
    }
}

/// The exports' names and targets, for `--list-jobs`; no server needs to be named.
fn names_and_targets(
    layers: &mut Layers,
    tables: Vec<ExportTable>,
    now: &LazyCell<Now>,
) -> Result<String> {
    let fields = Fields::resolve(layers).ok();
    let database = fields.and_then(|fields| fields.database);
    let database = database.as_ref().map(|database| database.value.as_str());
    let mut lines = Vec::new();
    for ExportTable { name, layer } in selection::selected(layers, tables)?.into_iter().flatten() {
        let destination = layers.with(selection::ABOVE_EXPORTS, Some(layer), |layers| {
            output::destination(layers, now, database)
        });
        let destination = destination.map_err(|error| error.with_location(&name))?;
        lines.push((name, printable(&destination.target.to_string())));
    }
    let Some(width) = lines.iter().map(|(name, _)| name.len()).max() else {
        return Err(Error::config("--list-jobs has nothing to list")
            .with_hint(selection::WHERE_EXPORTS_ARE));
    };
    let lines = lines
        .iter()
        .map(|(name, target)| format!("{name:width$}  {target}\n"));
    Ok(lines.collect())
}

/// The flags, and all layers below them.
fn layers(flags: Layer, journal: &Journal) -> Result<(Layers, Vec<ExportTable>)> {
    let mut exports = Vec::new();
    let mut layers = Layers(vec![flags, Layer::of_environment()?]);
    let path = |layers: &Layers, name| layers.get(name)?.text().map(PathBuf::from);
    if let Some(path) = path(&layers, CONFIG) {
        let (of_file, tables) = file::load(&path)?;
        layers.0.push(of_file);
        exports = tables;
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
    Ok((layers, exports))
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
