//! A single export, for programs that use the engine as a library.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use super::{
    event::Observer,
    guard::Guards,
    plan::{EmptyResult, ExportPlan, OnError, Publish, RunPlan},
    runner::Runner,
    session::{Server, SinkFactory},
    status::Status,
};
use crate::{
    cancel::CancelToken,
    error::Result,
    format::{Csv, Format},
    pipeline::Flush,
    schema::ColumnDescription,
    sink::{CompressionOptions, SharedBytes, Sink, Target, WriterSink},
    source::{ConnectOptions, SessionOptions, SnapshotMode},
    sql::{Parameter, ParameterValue, Query},
};

/// A builder of a single export: a server, a query, a format and a target.
///
/// By default it writes CSV to standard output, in a read-only session.
///
/// ```no_run
/// use gold_digger::{CancelToken, Export, format::Csv, sink::Target, source::ConnectOptions};
///
/// # fn main() -> gold_digger::error::Result<()> {
/// let server = ConnectOptions::tcp("127.0.0.1", 3306).user("reader").database("shop");
/// let report = Export::new(server, "SELECT * FROM orders")
///     .format(Csv::new().delimiter(b';')?)
///     .target(Target::file("orders.csv"))
///     .run(&CancelToken::new())?;
/// println!("{} rows, {} bytes", report.rows, report.bytes);
/// # Ok(())
/// # }
/// ```
pub struct Export {
    server: ConnectOptions,
    session: SessionOptions,
    query: String,
    parameters: Vec<Parameter>,
    format: Arc<dyn Format>,
    target: Target,
    open_sink: Option<SinkFactory>,
    flush: Flush,
    compression: Option<CompressionOptions>,
    guards: Guards,
    empty_result: EmptyResult,
    retries: u32,
    observer: Arc<dyn Observer>,
    status: Status,
}

/// The result of a single export.
#[derive(Clone, Debug)]
pub struct ExportReport {
    /// The number of rows.
    pub rows: u64,
    /// The number of bytes, including the header.
    pub bytes: u64,
    /// The columns, in their order.
    pub columns: Vec<ColumnDescription>,
    /// The warnings that were reported.
    pub warnings: Vec<String>,
    /// The time from the start to the published output.
    pub elapsed: Duration,
}

impl Export {
    /// Creates an export of all rows of `query`, which is one statement, from
    /// `server`.
    #[must_use]
    pub fn new(server: ConnectOptions, query: impl Into<String>) -> Self {
        Self {
            server,
            session: SessionOptions::default(),
            query: query.into(),
            parameters: Vec::new(),
            format: Arc::new(Csv::default()),
            target: Target::Stdout,
            open_sink: None,
            flush: Flush::default(),
            compression: None,
            guards: Guards::default(),
            empty_result: EmptyResult::default(),
            retries: 0,
            observer: Arc::new(()),
            status: Status::waiting(),
        }
    }

    /// Sets the options of the session, such as its time zone.
    #[must_use]
    pub fn session(mut self, session: SessionOptions) -> Self {
        self.session = session;
        self
    }

    /// Binds `value`, which is a text or a list of texts, to `:name` in the query.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<ParameterValue>) -> Self {
        self.parameters.push(Parameter {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// Sets the format, with its options.
    #[must_use]
    pub fn format(mut self, format: impl Format + 'static) -> Self {
        self.format = Arc::new(format);
        self
    }

    /// Sets the destination of the bytes. A regular file is written as a whole or not
    /// at all.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sends the bytes to a sink of your own. Each attempt calls `open` after it has
    /// connected and before it runs the query.
    #[must_use]
    pub fn sink(
        mut self,
        open: impl Fn() -> Result<Box<dyn Sink>> + Send + Sync + 'static,
    ) -> Self {
        self.target = Target::Custom;
        self.open_sink = Some(Box::new(open));
        self
    }

    /// Sets when rows are written.
    #[must_use]
    pub const fn flush(mut self, flush: Flush) -> Self {
        self.flush = flush;
        self
    }

    /// Compresses the bytes, also those of a sink of your own.
    #[must_use]
    pub const fn compression(mut self, compression: CompressionOptions) -> Self {
        self.compression = Some(compression);
        self
    }

    /// Sets the conditions under which the result is published.
    #[must_use]
    pub fn guards(mut self, guards: Guards) -> Self {
        self.guards = guards;
        self
    }

    /// Makes a result without rows a success with an empty document.
    #[must_use]
    pub const fn allow_empty(mut self) -> Self {
        self.empty_result = EmptyResult::Allow;
        self
    }

    /// Sets the most times that the export is retried after its connection failed or
    /// was lost.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the observer that receives the export's events.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Returns the export's status. Another thread can read its counts while the
    /// export runs.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Runs the export on this thread, up to its published output. Any thread can end
    /// it early through `cancel`.
    ///
    /// # Errors
    /// Of every kind; [`Error::kind`](crate::error::Error::kind) distinguishes them. A
    /// target that is a regular file is then unchanged.
    pub fn run(self, cancel: &CancelToken) -> Result<ExportReport> {
        let plan = RunPlan {
            connect: self.server,
            session: self.session,
            retries: self.retries,
            reads_server_facts: false,
            exports: vec![ExportPlan {
                name: None,
                rows_of: Default::default(),
                failure: Default::default(),
                query: Query::parse(self.query)?,
                parameters: self.parameters,
                target: self.target,
                flush: self.flush,
                compression: self.compression,
                format: self.format,
                empty_result: self.empty_result,
                guards: self.guards,
                protocol: Default::default(),
                create_dirs: Default::default(),
                existing: Default::default(),
                partial: Default::default(),
                manifest: None,
                load: None,
                split: None,
                increment: None,
                parts: None,
                schema_file: None,
                tables: None,
            }],
            on_error: OnError::default(),
            publish: Publish::default(),
            connections: NonZeroU16::MIN,
            snapshot: SnapshotMode::None,
            load_limits: Default::default(),
            rows_per_second: None,
            spool: None,
            state: None,
            found_tables: None,
            reserved: Default::default(),
        };
        if let Some(export) = plan.exports.first() {
            export.query.check_parameters(&export.parameters)?;
        }
        self.status.start();
        let mut server = Server::new(&plan);
        server.open_sink = self.open_sink;
        let status = self.status.clone();
        let runner = Runner::with_backend(plan, self.status, self.observer, Box::new(server));
        let result = runner.execute(cancel);
        runner.conclude(result, cancel).result?;
        let details = status.details();
        Ok(ExportReport {
            rows: status.rows(),
            bytes: status.bytes(),
            columns: ColumnDescription::of_all(&details.columns),
            warnings: details.warnings,
            elapsed: status.elapsed(),
        })
    }

    /// Runs the export, and returns the document.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// ```no_run
    /// use gold_digger::{CancelToken, Export, format::Json, source::ConnectOptions};
    ///
    /// # fn main() -> gold_digger::error::Result<()> {
    /// let server = ConnectOptions::socket("/run/mysqld/mysqld.sock").user("reader");
    /// let json = Export::new(server, "SELECT 1 AS one")
    ///     .format(Json::default())
    ///     .to_vec(&CancelToken::new())?;
    /// assert_eq!(json, b"[\n{\"one\":1}\n]\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_vec(self, cancel: &CancelToken) -> Result<Vec<u8>> {
        let bytes = SharedBytes::default();
        let sink = bytes.clone();
        let open = move || -> Result<Box<dyn Sink>> {
            // An earlier attempt may have left some bytes.
            let _ = sink.take();
            Ok(Box::new(WriterSink::new("memory", sink.clone())))
        };
        self.sink(open).run(cancel)?;
        Ok(bytes.take())
    }
}
