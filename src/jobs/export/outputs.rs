//! The outputs of an export: checks and opens their targets, and says how rows get there.

use std::path::Path;

use super::{ExportContext, Output};
use crate::{
    artifacts::manifest,
    error::{Error, ErrorKind, Result},
    format::Joining,
    jobs::{
        guard::GuardObserver,
        load::{self, LoadObserver},
        parts,
        plan::{ExportPlan, Publish, RunPlan},
        status::StatusDetails,
        text_file,
    },
    pipeline::{Extent, FailureEnds, Part, Parts, Pipeline, RowObserver},
    schema::ColumnDescription,
    sink::{self, Checksum, Existing, SeekTable, Sink, SinkOptions, StaleFiles, Target},
    sync::lock,
};

/// The sink of an output, and what is written of its document.
pub(super) type OpenedOutput = (Result<Box<dyn Sink>>, Extent);

/// Opens the sinks of all outputs, one after the other.
///
/// # Errors
/// That of an output whose failure ends all.
pub(super) fn open_outputs(contexts: &[ExportContext<'_>]) -> Result<Vec<OpenedOutput>> {
    let mut opened = Vec::new();
    for context in contexts {
        opened.push(match open_output(*context) {
            Ok((sink, extent)) => (Ok(sink), extent),
            Err(error) => {
                if context.export.failure == FailureEnds::All {
                    context.cancel.cancel(error.clone());
                    return Err(error);
                }
                (Err(error), Extent::Whole)
            }
        });
    }
    Ok(opened)
}

/// The observers of the rows of one output.
pub(super) struct Observers<'a> {
    guards: GuardObserver<'a>,
    load: Option<LoadObserver<'a>>,
}

impl<'a> Observers<'a> {
    pub(super) fn of(context: ExportContext<'a>) -> Self {
        let time_zone = context.plan.session.time_zone.as_deref();
        Self {
            guards: GuardObserver::new(&context.export.guards, context.last),
            load: LoadObserver::new(context.export, time_zone),
        }
    }

    /// Tells what they and the writers have found of the complete output.
    pub(super) fn tell(self, context: ExportContext<'_>, parts: &[Part]) {
        if let Output::Target = context.output {
            tell_of_parts(context, parts);
        }
        if let Some(load) = self.load {
            let status = &context.status.status;
            status.update(|details| details.load_statement = load.statement);
            let warnings = load.warnings.into_iter();
            warnings.for_each(|warning| context.warn(warning));
        }
    }
}

/// Returns the way of the rows to an output, of which `extent` is written.
pub(super) fn pipeline<'a>(
    context: ExportContext<'a>,
    observers: &'a mut Observers<'_>,
    extent: Extent,
) -> Pipeline<'a> {
    let export = context.export;
    let Observers { guards, load } = observers;
    let mut all: Vec<&mut dyn RowObserver> = vec![guards];
    all.extend(load.as_mut().map(|load| load as &mut dyn RowObserver));
    let limit = export.parts.as_ref().and_then(|plan| plan.limit);
    Pipeline {
        format: &*export.format,
        facts: facts(context),
        extent,
        parts: limit.map(|limit| Parts {
            limit,
            open: Box::new(move |number| open_sink(context, number)),
        }),
        flush: export.flush,
        cancel: context.cancel,
        observers: all,
        counters: context.status.status.counters(),
        failure: export.failure,
    }
}

/// Records the size of `parts`, all documents of the export, and reports the warnings of the
/// format about them.
pub(in crate::jobs) fn tell_of_parts(context: ExportContext<'_>, parts: &[Part]) {
    let sizes = parts.iter().map(|part| part.staged.stored_bytes());
    let stored_bytes = sizes.sum();
    let status = &context.status.status;
    status.update(|details| details.stored_bytes = stored_bytes);
    for (part, number) in parts.iter().zip(1..) {
        for warning in &part.warnings {
            context.warn(match parts.len() {
                1 => warning.clone(),
                _ => format!("part {number}: {warning}"),
            });
        }
    }
}

/// Returns what a document that keeps facts says of the origin of its rows, beside the
/// columns.
pub(in crate::jobs) fn facts(context: ExportContext<'_>) -> Vec<(&'static str, String)> {
    let (plan, export) = (context.plan, context.export);
    if !export.format.keeps_facts() {
        return Vec::new();
    }
    let StatusDetails {
        server_version,
        columns,
        ..
    } = context.status.status.details();
    let columns = ColumnDescription::of_all(&columns);
    let position = context.position.map(serde_json::to_string);
    let facts = [
        ("query_sha256", Some(manifest::query_sha256(&export.query))),
        ("server", Some(plan.connect.endpoint.to_string())),
        ("server_version", server_version),
        ("database", plan.connect.database.clone()),
        ("snapshot", position.and_then(Result::ok)),
        ("columns", serde_json::to_string(&columns).ok()),
    ];
    let known = facts.into_iter();
    known
        .filter_map(|(name, fact)| Some((name, fact?)))
        .collect()
}

/// Opens the sink of the first rows. Also returns what is written of the document.
fn open_output(context: ExportContext<'_>) -> Result<(Box<dyn Sink>, Extent)> {
    let export = context.export;
    let extent = match (&export.parts, export.format.joining()) {
        (Some(_), _) | (None, Joining::Documents) => Extent::Whole,
        (None, Joining::Rows | Joining::Impossible) => Extent::Rows,
    };
    match context.output {
        Output::Target => Ok((open_sink(context, 1)?, Extent::Whole)),
        Output::Part(number) => Ok((open_sink(context, number)?, Extent::Whole)),
        Output::Unnamed(slot) => {
            check_target(context.plan, export, &export.target)?;
            let (sink, file) = sink::unnamed(&export.target, export.create_dirs)?;
            *lock(slot) = Some(file);
            Ok((compressed(context, sink, SeekTable::Omit)?, extent))
        }
        Output::Kept(path, number) => {
            let seek_table = match export.parts {
                Some(_) => SeekTable::Write,
                None => SeekTable::Omit,
            };
            let sink = open_kept(context, path, number)?;
            Ok((compressed(context, sink, seek_table)?, extent))
        }
    }
}

/// Opens the sink of the chunk with the number `number`, which is kept at `path`.
fn open_kept(context: ExportContext<'_>, path: &Path, number: u32) -> Result<Box<dyn Sink>> {
    let target = parts::target(context, number)?;
    check_target(context.plan, context.export, &target)?;
    target.path().map_or(Ok(()), sink::check_replaceable)?;
    let options = SinkOptions {
        checksum: Checksum::Sha256,
        stale: StaleFiles::Leave,
        ..SinkOptions::default()
    };
    let kept = Target::file(path);
    context.backend.open_sink(&kept, options, context.cancel)
}

/// Opens the sink of part `number`.
fn open_sink(context: ExportContext<'_>, number: u32) -> Result<Box<dyn Sink>> {
    let mut sink = open_plain_sink(context, number)?;
    if let Some(spool) = context.spool {
        let name = context.export.target.to_string();
        let unsent = context.status.status.unsent();
        sink = spool.before(sink, &name, unsent, context.cancel)?;
    }
    compressed(context, sink, SeekTable::Write)
}

/// Returns `sink`, around which the rows are compressed if the export says so. Records
/// whether it allows a retry.
fn compressed(
    context: ExportContext<'_>,
    sink: Box<dyn Sink>,
    seek_table: SeekTable,
) -> Result<Box<dyn Sink>> {
    let ExportContext { export, cancel, .. } = context;
    let restart = sink.restart();
    let status = &context.status.status;
    status.update(|details| details.restart = Some(restart));
    let name = export.target.to_string();
    match export.compression {
        Some(options) => sink::compressed(sink, options, seek_table, &name, cancel),
        None => Ok(sink),
    }
}

/// Opens the sink of part `number`, without compression.
pub(in crate::jobs) fn open_plain_sink(
    context: ExportContext<'_>,
    number: u32,
) -> Result<Box<dyn Sink>> {
    let ExportContext { export, cancel, .. } = context;
    let target = parts::target(context, number)?;
    check_target(context.plan, export, &target)?;
    let options = SinkOptions {
        create_dirs: export.create_dirs,
        partial: export.partial,
        checksum: match (&export.manifest, &export.parts) {
            (None, None) if !export.is_resumable() => Checksum::None,
            _ => Checksum::Sha256,
        },
        stale: match &export.parts {
            // Looking for those of each of many parts would take long.
            Some(_) => StaleFiles::Leave,
            None => StaleFiles::Remove,
        },
        existing: export.existing,
    };
    if let (Some(parts), 1) = (&export.parts, number) {
        parts::remove_stale_files(parts);
    }
    context.backend.open_sink(&target, options, cancel)
}

/// Checks that the target suits the export, before it is opened, because opening a
/// FIFO blocks until it has a reader.
///
/// # Errors
/// [`ErrorKind::Output`], if the export needs a regular file, or if its manifest
/// cannot be replaced.
pub(in crate::jobs) fn check_target(
    plan: &RunPlan,
    export: &ExportPlan,
    target: &Target,
) -> Result<()> {
    let schema_file = export.schema_file.as_ref().map(|file| &*file.path);
    let mut files = [load::statement_file(export), schema_file]
        .into_iter()
        .flatten();
    files.try_for_each(|path| text_file::check(export, path))?;
    let path = match target {
        Target::Path(path) if !sink::is_stream(path) => path,
        target if export.manifest.is_some() => return Err(manifest::no_file(target)),
        target if plan.publish == Publish::AllOrNothing && export.name.is_some() => {
            let message = format!("what goes to {target} cannot wait for the other exports");
            return Err(Error::new(ErrorKind::Output, message)
                .with_hint("name a regular file, or leave publish = \"all-or-nothing\" out"));
        }
        _ => return Ok(()),
    };
    if export.existing == Existing::Refuse {
        sink::check_absent(path)?;
    }
    if let Some(parts) = &export.parts {
        let dataset = parts::dataset_path(parts)?;
        sink::check_replaceable(&dataset)?;
        // Its other files would be removed, if it has more.
        if export.existing == Existing::Refuse {
            sink::check_absent(&dataset)?;
        }
    }
    match export.manifest {
        Some(_) => sink::check_replaceable(&manifest::path(path)),
        None => Ok(()),
    }
}
