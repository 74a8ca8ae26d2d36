//! Resolves flags, the environment, the configuration file and MySQL's option
//! files into a plan, and checks it before anything is touched.
//!
//! This is the only reader of the environment and of configuration files. Each
//! source is a layer: flags win over the environment, the environment over the
//! configuration file, that over option files, those over the variables of the
//! vendors' clients, and these over defaults.

use std::{env, ffi::OsString, num::NonZeroU16, time::Duration};

use secrecy::SecretString;

use crate::{
    error::{Error, Result},
    jobs::{
        claims::ReservedPaths,
        plan::{ExportPlan, RunPlan},
    },
    load::UTC,
    sink::Target,
    source::{
        Access, Compression, ConnectOptions, Endpoint, LoadLimits, SessionOptions, WarningPolicy,
        tls_options::CleartextPlugin,
    },
    text::printable,
};

mod certificates;
mod connection;
mod database_url;
mod dump;
mod export;
mod extension;
mod file;
mod format;
mod home;
mod increment;
pub mod layers;
#[cfg(feature = "parquet")]
mod memory;
mod option_file;
pub mod origin;
mod output;
mod preset;
mod query;
pub(crate) mod query_text;
pub mod reporting;
mod run;
pub(crate) mod secrets;
mod selection;
pub mod settings;
mod split;
mod timeout;
mod tls;

use self::{
    connection::ConnectionSettings,
    dump::Dump,
    export::UnresolvedExport,
    file::ExportTable,
    layers::{Layer, Layers},
    option_file::{OptionFiles, Presence},
    origin::Origin,
    output::LazyNow,
    reporting::{ReportOptions, Verbosity},
    run::RunSettings,
    selection::ExportOutput,
    settings::keys,
};
pub use self::{
    secrets::PromptError, selection::refuse_common_targets, timeout::Timeout, tls::TlsMode,
};

/// What the user asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Run the exports.
    Export,
    /// Check what the exports would do, without running their statements.
    Check,
    /// Print the settings that each export would use.
    DumpConfig,
    /// Print the exports of the configuration file.
    ListExports,
}

/// What the program does, as the configuration defines it.
#[derive(Debug)]
pub enum Task {
    /// Run the exports.
    Export(Box<RunPlan>),
    /// Check what the exports would do.
    Check(Box<RunPlan>),
    /// Print a text on standard output.
    Print(String),
}

/// How [`resolve`] asks and warns the user.
pub struct Interaction<'a> {
    /// Asks for a password with a prompt.
    pub ask: &'a dyn Fn(&str) -> Result<SecretString, PromptError>,
    /// Reports a warning.
    pub warn: &'a dyn Fn(String),
    /// What standard output is.
    pub stdout: StandardOutput,
}

/// What standard output is: it decides the format where nothing else does, and how wide
/// a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardOutput {
    /// A terminal with so many columns, if they are known.
    Terminal(Option<NonZeroU16>),
    /// A regular file.
    File,
    /// A pipe, or another stream.
    Stream,
}

/// The reason why there is no task.
#[derive(Debug)]
pub struct Rejected {
    /// The error.
    pub error: Error,
    /// Whether the summary may be written: not if another file of the run has
    /// its path.
    pub summary: SummaryPath,
}

/// Whether the summary's path is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryPath {
    /// No other file of the run has it.
    Free,
    /// Another file of the run has it.
    Taken,
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Self {
        Self {
            error,
            summary: SummaryPath::Free,
        }
    }
}

/// Resolves `flags` and all layers below them into a task.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for what is
/// missing, malformed or contradictory.
pub fn resolve(
    flags: Layer,
    request: Request,
    reporting: &ReportOptions,
    interaction: &Interaction<'_>,
) -> Result<Task, Rejected> {
    let (mut layers, tables) = layers(flags, interaction)?;
    let now = output::now(&layers);
    if request == Request::ListExports {
        return Ok(Task::Print(list_exports(&mut layers, tables, &now)?));
    }
    let mut shared = Shared::resolve(&mut layers)?;
    let tables = selection::selected(&layers, tables)?;
    shared.default_to_utc(&mut layers, &tables, &now);
    selection::refuse_one_target_for_several(&layers, tables.len())?;
    if request == Request::DumpConfig {
        return Ok(Task::Print(shared.dump(&mut layers, tables, &now)?));
    }
    let plan = Box::new(shared.plan(layers, tables, &now, reporting, interaction)?);
    Ok(match request {
        Request::Check => Task::Check(plan),
        _ => Task::Export(plan),
    })
}

/// The settings that all exports of a run share.
struct Shared {
    connection: ConnectionSettings,
    endpoint: Endpoint,
    /// The mode of encryption, and its origin.
    tls_mode: (TlsMode, Origin),
    cleartext_plugin: CleartextPlugin,
    connect_timeout: Duration,
    read_timeout: Option<Duration>,
    session: SessionOptions,
    run: RunSettings,
}

impl Shared {
    fn resolve(layers: &mut Layers) -> Result<Self> {
        let connection = ConnectionSettings::resolve(layers)?;
        let session = preset::with_preset(layers, |layers| Ok(session(layers)))?;
        let run = run::run(layers, &session)?;
        let endpoint = connection.endpoint();
        let socket = connection.socket.as_ref().map(|socket| &socket.origin);
        let tls_mode = tls::mode(layers, &endpoint, socket)?;
        let timeout = |key| layers.value(key).map(|Timeout(time)| time);
        Ok(Self {
            cleartext_plugin: tls::cleartext_plugin(layers, tls_mode.0)?,
            connect_timeout: timeout(keys::CONNECT_TIMEOUT).unwrap_or(Timeout::MAX),
            read_timeout: timeout(keys::READ_TIMEOUT),
            connection,
            endpoint,
            tls_mode,
            session,
            run,
        })
    }

    /// Has the sessions be in UTC if nothing chooses another zone and all exports are
    /// written in columnar formats, which have TIMESTAMPs as moments.
    fn default_to_utc(
        &mut self,
        layers: &mut Layers,
        tables: &[Option<ExportTable>],
        now: &LazyNow,
    ) {
        if self.session.time_zone.is_some() || preset::init_sets_zone(layers) {
            return;
        }
        let outputs = tables.iter();
        let outputs = outputs.flat_map(|table| ExportOutput::of(layers, table.clone()));
        let outputs: Vec<ExportOutput> = outputs.collect();
        let is_columnar = |output: ExportOutput| {
            let destination = output.with(layers, |layers| {
                preset::with_preset(layers, |layers| {
                    output::destination(layers, now, self.database())
                })
            });
            // One that is wrong is refused later.
            destination.is_ok_and(|destination| destination.format.is_columnar())
        };
        if !tables.is_empty() && outputs.into_iter().all(is_columnar) {
            self.session.time_zone = Some(UTC.to_owned());
            if let Some(defaults) = layers.list.last_mut() {
                defaults.set(keys::TIME_ZONE, UTC.to_owned(), Origin::Default);
            }
        }
    }

    fn database(&self) -> Option<&str> {
        let database = self.connection.database.as_ref()?;
        Some(&database.value)
    }

    /// Returns the text of `--dump-config`. The query may be missing: a file of
    /// settings can be shown without one.
    fn dump(
        &self,
        layers: &mut Layers,
        tables: Vec<Option<ExportTable>>,
        now: &LazyNow,
    ) -> Result<String> {
        let exports = each_export(layers, tables, |layers, output| {
            let name = output.export.as_deref();
            let export = UnresolvedExport::without_query(layers, now, self.database(), name)?;
            let dump = Dump {
                layers,
                connection: &self.connection,
                export: &export,
                tls_mode: &self.tls_mode,
            };
            Ok((output.name(), dump.to_text()))
        })?;
        Ok(dump::combine(exports))
    }

    fn plan(
        self,
        mut layers: Layers,
        tables: Vec<Option<ExportTable>>,
        now: &LazyNow,
        reporting: &ReportOptions,
        interaction: &Interaction<'_>,
    ) -> Result<RunPlan, Rejected> {
        let option_files = layers.option_files.iter();
        let mut inputs: Vec<_> = option_files
            .map(|path| ("the option file", path.clone()))
            .collect();
        let mut add_input =
            |layers: &Layers, key, what| inputs.extend(layers.value(key).map(|path| (what, path)));
        add_input(&layers, keys::CONFIG, "the configuration file");
        add_input(&layers, keys::PASSWORD_FILE, "the password file");
        add_input(&layers, keys::SERVER_PUBLIC_KEY, "the server's public key");
        add_input(&layers, keys::TLS_CA_FILE, "the file of CAs");
        add_input(&layers, keys::TLS_CERT, "the certificate");
        add_input(&layers, keys::TLS_KEY, "the private key");
        let (mut paths, mut warnings) = (Vec::<OsString>::new(), Vec::new());
        let exports = each_export(&mut layers, tables, |layers, output| {
            let name = output.export.as_deref();
            add_input(layers, keys::QUERY_FILE, "the file of the query");
            let database = self.database();
            let export = UnresolvedExport::new(layers, now, database, name)?;
            let export = export.resolve(name, layers, now, database)?;
            paths.extend(layers.value(keys::OUTPUT_PATH));
            let found = output::warnings(layers, &export.parameters).into_iter();
            let found = found.chain(query::warnings(&export.query, &export.parameters));
            warnings.extend(found.map(|text| match name {
                Some(name) => format!("{name}: {text}"),
                None => text,
            }));
            export::as_output(export, layers, output)
        })?;
        output::refuse_unused_date(&layers, &paths)?;
        selection::refuse_unused_parameters(&layers, &exports, &paths)?;
        warnings.into_iter().for_each(interaction.warn);
        let summary = reporting.summary.as_ref().and_then(Target::path);
        let reserved = selection::reserved_paths(&inputs, self.run.state.as_deref(), summary);
        selection::refuse_common_targets(&exports, &reserved)?;
        run::refuse_streams_if_all_or_nothing(&layers, &self.run, &exports)?;
        let plan = self.with_exports(exports, &layers, reporting, interaction)?;
        Ok(RunPlan { reserved, ..plan })
    }

    /// Reads the certificates and the password, and makes the plan. The password
    /// comes last, so that the user is asked for it only if the rest is valid.
    fn with_exports(
        mut self,
        exports: Vec<ExportPlan>,
        layers: &Layers,
        reporting: &ReportOptions,
        interaction: &Interaction<'_>,
    ) -> Result<RunPlan> {
        self.run.suit_increments(layers, &self.session, &exports)?;
        self.run.suit_chunks(layers, &self.session, &exports)?;
        let (tls_mode, tls_origin) = self.tls_mode;
        let tls = certificates::load(layers, tls_mode, &tls_origin)?;
        let server_public_key = certificates::server_public_key(layers)?;
        let password = self.connection.password(interaction.ask)?;
        let warnings = tls::warnings(layers, &self.endpoint, tls_mode, &tls_origin);
        let warnings = warnings.into_iter().chain(self.connection.warnings());
        warnings.for_each(interaction.warn);
        Ok(RunPlan {
            connect: ConnectOptions {
                endpoint: self.endpoint,
                user: self
                    .connection
                    .user
                    .map(|user| user.value)
                    .unwrap_or_default(),
                password,
                database: self.connection.database.map(|database| database.value),
                tls,
                server_public_key,
                cleartext_plugin: self.cleartext_plugin,
                compression: if layers.is_on(keys::COMPRESS) {
                    Compression::Zlib
                } else {
                    Compression::None
                },
                connect_timeout: self.connect_timeout,
                read_timeout: self.read_timeout,
            },
            session: self.session,
            retries: layers.value(keys::RETRY).unwrap_or_default(),
            reads_server_facts: reporting.summary.is_some()
                || reporting.verbosity >= Verbosity::Verbose,
            exports,
            on_error: self.run.on_error,
            publish: self.run.publish,
            connections: self.run.connections,
            snapshot: self.run.snapshot,
            load_limits: LoadLimits {
                max_threads_running: layers.value(keys::MAX_THREADS_RUNNING),
                max_replica_lag: layers
                    .value(keys::MAX_REPLICA_LAG)
                    .map(|Timeout(time)| time),
            },
            rows_per_second: layers.value(keys::THROTTLE),
            spool: run::spool(layers)?,
            state: self.run.state,
            found_tables: None,
            reserved: ReservedPaths::default(),
        })
    }
}

/// Calls `work` for each output of each export while its layers apply, and returns the
/// results. An error names the export.
fn each_export<T>(
    layers: &mut Layers,
    tables: Vec<Option<ExportTable>>,
    mut work: impl FnMut(&Layers, &ExportOutput) -> Result<T>,
) -> Result<Vec<T>> {
    let mut results = Vec::new();
    for table in tables {
        for output in ExportOutput::of(layers, table) {
            let result = output.clone().with(layers, |layers| {
                preset::with_preset(layers, |layers| work(layers, &output))
            });
            results.push(result.map_err(|error| match output.name() {
                Some(name) => error.with_location(&name),
                None => error,
            })?);
        }
    }
    Ok(results)
}

/// Returns the names and targets of the exports, for `--list-jobs`. The settings
/// of the connection may be missing.
fn list_exports(layers: &mut Layers, tables: Vec<ExportTable>, now: &LazyNow) -> Result<String> {
    let connection = ConnectionSettings::resolve(layers).ok();
    let database = connection.and_then(|connection| connection.database);
    let database = database.as_ref().map(|database| database.value.as_str());
    let mut lines = Vec::new();
    for table in selection::selected(layers, tables)?.into_iter().flatten() {
        for output in ExportOutput::of(layers, Some(table)) {
            let name = output.name().unwrap_or_default();
            let destination =
                output.with(layers, |layers| output::destination(layers, now, database));
            let destination = destination.map_err(|error| error.with_location(&name))?;
            lines.push((name, printable(&destination.target.to_string())));
        }
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

/// Returns all layers, the flags first, and the exports of the configuration file.
fn layers(flags: Layer, interaction: &Interaction<'_>) -> Result<(Layers, Vec<ExportTable>)> {
    let mut exports = Vec::new();
    let mut layers = Layers {
        list: vec![flags, Layer::of_environment()?],
        option_files: Vec::new(),
        stdout: match interaction.stdout {
            StandardOutput::Terminal(columns) => {
                StandardOutput::Terminal(output::columns_of_environment().or(columns))
            }
            other => other,
        },
    };
    if let Some(path) = layers.value(keys::CONFIG) {
        let (file, tables) = file::load(&path)?;
        layers.list.push(file);
        exports = tables;
        tracing::debug!("read the configuration file {}", path.display());
    }
    let suffix = layers.value(keys::DEFAULTS_GROUP_SUFFIX);
    let mut option_files = OptionFiles::new(suffix.as_deref(), interaction.warn);
    let mut defaults = Layer::of_defaults()?;
    if let Some(path) = layers.value(keys::DEFAULTS_FILE) {
        option_files.read(&path, Presence::Required)?;
    } else if let (Some(home), false) = (env::home_dir(), layers.is_on(keys::NO_DEFAULTS)) {
        let path = home.join(".my.cnf");
        option_files.read(&path, Presence::Optional)?;
        if path.exists() {
            defaults.set(keys::DEFAULTS_FILE, path, Origin::Default);
        }
    }
    layers.option_files = option_files.files;
    layers.list.extend([
        option_files.layer,
        Layer::of_client_environment()?,
        defaults,
    ]);
    Ok((layers, exports))
}

fn session(layers: &Layers) -> SessionOptions {
    let timeout = layers.value(keys::STATEMENT_TIMEOUT);
    SessionOptions {
        access: if layers.is_on(keys::READ_WRITE) {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        },
        time_zone: layers.value(keys::TIME_ZONE),
        init: layers.list(keys::INIT),
        statement_timeout: timeout.map(|Timeout(time)| time),
        warnings: if layers.is_on(keys::STRICT_WARNINGS) {
            WarningPolicy::Fail
        } else {
            WarningPolicy::Report
        },
    }
}
