//! Checks what exports would do, without running their statements.

use super::{
    export::check_target,
    guard, increment,
    load::LoadObserver,
    plan::{ExportPlan, RunPlan},
    session::{is_refusal, not_run},
};
use crate::{
    artifacts::{history::LastSuccess, manifest::ManifestColumn},
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    pipeline::RowObserver,
    sink::{self, CreateDirs, Spool},
    source::{
        Access, QueryExecutor, SessionFacts, SessionOptions, SessionUse, SnapshotMode,
        is_refused_write, snapshot,
    },
    text::counted,
};

/// The result of a check.
pub struct CheckReport {
    /// The snapshot of the run.
    pub snapshot: CheckedSnapshot,
    /// The exports, in the order of the plan.
    pub exports: Vec<CheckedExport>,
    /// An error that names the exports that would fail, if there are any. Its kind
    /// is that of the first one.
    pub result: Result<()>,
}

/// The snapshot of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckedSnapshot {
    /// The run has none.
    None,
    /// The run would take a lock for its snapshot, which a check does not do.
    ByLock,
    /// The number of connections that have opened a common snapshot.
    Shared(usize),
}

/// An export that was checked.
pub struct CheckedExport {
    /// Its name; `None` for a single query.
    pub name: Option<String>,
    /// The facts of the export, or the error with which it would fail.
    pub result: Result<ExportFacts>,
}

/// The facts of an export that would run.
pub struct ExportFacts {
    /// The server and the session.
    pub session: SessionFacts,
    /// The columns and the protocol of the rows, or the reason why they are not known
    /// before the statement runs.
    pub result_set: Result<ResultSetFacts, String>,
}

/// The facts of the result set of an export.
pub struct ResultSetFacts {
    /// The wire protocol of the rows.
    pub protocol: &'static str,
    /// The columns.
    pub columns: Vec<ManifestColumn>,
    /// The statement that loads the output, if there is one.
    pub load_statement: Option<String>,
    /// The statement that creates the table that the output is loaded into, or the reason
    /// why there is none; `None` without a target that loads it.
    pub table: Option<Result<String, String>>,
}

/// Checks each export of `plan`: connects, sets the session up, and lets the server
/// prepare the statement.
///
/// # Errors
/// Those that fail a run before its first export, and the error of a single query.
/// The errors of several exports are in the report.
pub fn check(plan: &RunPlan, cancel: &CancelToken) -> Result<CheckReport> {
    let history = plan.history()?;
    plan.spool.as_ref().map_or(Ok(()), Spool::check)?;
    let count = plan.connection_count();
    let snapshot = match plan.snapshot {
        SnapshotMode::None => CheckedSnapshot::None,
        SnapshotMode::Locked if count > 1 => CheckedSnapshot::ByLock,
        mode => {
            let opened = snapshot::open(&plan.connect, &plan.session, mode, count, cancel);
            cancel.prefer_cause(opened)?;
            CheckedSnapshot::Shared(count)
        }
    };
    let mut exports = Vec::new();
    // All exports log in alike, so that one refusal is enough.
    let mut refusal: Option<Error> = None;
    for export in &plan.exports {
        let name = export.name.as_ref();
        let last = export.state_name();
        let last = last.and_then(|name| history.exports.get(name));
        let result = match &refusal {
            Some(refusal) => Err(not_run(refusal)),
            None => cancel.prefer_cause(check_export(plan, export, last, cancel)),
        };
        if let (None, Err(error)) = (&refusal, &result)
            && is_refusal(error)
        {
            refusal = Some(error.clone());
        }
        cancel.wait_for_abort();
        if name.is_some()
            && result.is_err()
            && let Some(cause) = cancel.cause()
        {
            return Err(cause);
        }
        let result = match name {
            Some(_) => result,
            None => Ok(result?),
        };
        exports.push(CheckedExport {
            name: export.name.clone(),
            result,
        });
    }
    Ok(CheckReport {
        snapshot,
        result: summarize(&exports),
        exports,
    })
}

/// Returns an error that names the exports that would fail, if there are any.
fn summarize(exports: &[CheckedExport]) -> Result<()> {
    let failed = exports.iter().filter_map(|export| {
        let error = export.result.as_ref().err()?;
        Some((export.name.as_deref().unwrap_or_default(), error))
    });
    let (names, errors): (Vec<&str>, Vec<&Error>) = failed.unzip();
    let Some(first) = errors.first() else {
        return Ok(());
    };
    let (count, all) = (names.len(), exports.len());
    let all = counted(all as u64, "export");
    let message = format!("{count} of {all} would fail: {}", names.join(", "));
    Err(Error::new(first.kind(), message))
}

/// Checks one export over a connection of its own. `last` is its last success.
///
/// # Errors
/// The reason why the export would fail.
fn check_export(
    plan: &RunPlan,
    export: &ExportPlan,
    last: Option<&LastSuccess>,
    cancel: &CancelToken,
) -> Result<ExportFacts> {
    if let Some(path) = export.target.path() {
        if export.create_dirs == CreateDirs::Refuse && !sink::has_folder(path) {
            let message = format!("cannot create {}: its folder is missing", path.display());
            return Err(Error::new(ErrorKind::Output, message)
                .with_hint("create the folder first, or let --create-dirs do it"));
        }
        sink::check_replaceable(path)?;
    }
    check_target(plan, export, &export.target)?;
    // A check must not change data, also if an init statement would.
    let read_only = SessionOptions {
        access: Access::ReadOnly,
        ..plan.session.clone()
    };
    let mut executor =
        QueryExecutor::connect(&plan.connect, &read_only, SessionUse::Exclusive, cancel)?;
    executor.bind(&export.query, &export.parameters, export.protocol)?;
    if let Some(split) = &export.split {
        executor.chunk_key(&split.options)?;
    }
    if let Some(plan) = &export.increment {
        executor.increment(&plan.options, &increment::start(plan, last))?;
    }
    let session = executor.facts()?;
    let described = match executor.describe() {
        // The run's session lets it.
        Err(error) if plan.session.access == Access::ReadWrite && is_refused_write(&error) => {
            Err("not checked: the statement writes or locks, and a check may not".to_owned())
        }
        described => described?,
    };
    let (schema, protocol) = match described {
        Ok(described) => described,
        Err(reason) => {
            let result_set = Err(reason);
            return Ok(ExportFacts {
                session,
                result_set,
            });
        }
    };
    guard::check_columns(&export.guards, &schema, last)?;
    let mut load = LoadObserver::new(export, plan.session.time_zone.as_deref());
    if let Some(load) = &mut load {
        load.columns(&schema)?;
    }
    Ok(ExportFacts {
        session,
        result_set: Ok(ResultSetFacts {
            protocol,
            columns: ManifestColumn::describe(&schema, &*export.format)?,
            table: load.as_ref().map(|load| load.create_table(&schema)),
            load_statement: load.and_then(|load| load.statement),
        }),
    })
}
