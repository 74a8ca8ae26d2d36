//! Resolves one export: its query, its target, and the guards of its result.
//! Settings that its table lacks come from the sections of the configuration file.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    format, increment,
    layers::Layers,
    origin::{Origin, WithOrigin},
    output::{self, Destination, LazyNow},
    preset, query,
    selection::{ExportOutput, command_line_query, command_line_target, if_applicable},
    settings::keys,
    split,
};
use crate::{
    artifacts::template::{self, OutputName},
    error::{Error, Result},
    jobs::{
        guard::{Guards, SchemaPolicy},
        plan::{
            EmptyResult, ExportPlan, OnError, PartPlan, RowsOf, SchemaFile, SplitPlan, WholeChunks,
        },
    },
    pipeline::FailureEnds,
    sink::{self, Existing, Partial, Target},
    source::Protocol,
    sql::{Parameter, Query},
    text::counted,
};

/// The parts of an export, before they are checked against each other.
/// `--dump-config` shows them.
pub(super) struct UnresolvedExport {
    pub destination: Destination,
    /// The file of the load statement.
    pub statement_file: Option<WithOrigin<PathBuf>>,
    /// The file of the statement that creates the table.
    pub schema_file: Option<WithOrigin<PathBuf>>,
    protocol: Protocol,
    pub query: Option<(Query, Vec<Parameter>)>,
}

impl UnresolvedExport {
    /// Reads the parts of the export called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a part that
    /// is missing or malformed.
    pub fn new(
        layers: &Layers,
        now: &LazyNow,
        database: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self> {
        let export = Self::destination(layers, now, database)?;
        Ok(Self {
            query: Some(query::query(layers, name)?),
            ..export
        })
    }

    /// Like [`new`](Self::new), but a missing query is no error.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_query(
        layers: &Layers,
        now: &LazyNow,
        database: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self> {
        if query::is_given(layers) {
            return Self::new(layers, now, database, name);
        }
        Self::destination(layers, now, database)
    }

    /// Reads all parts but the query.
    fn destination(layers: &Layers, now: &LazyNow, database: Option<&str>) -> Result<Self> {
        let destination = output::destination(layers, now, database)?;
        preset::check_format(layers, &destination)?;
        format::refuse_flags_of_other_formats(layers, &destination)?;
        Ok(Self {
            destination,
            statement_file: preset::statement_file(layers, now, database)?,
            schema_file: query::schema_file(layers, now, database)?,
            protocol: layers.value(keys::PROTOCOL).unwrap_or_default(),
            query: None,
        })
    }

    /// Checks the parts against each other and makes the plan of the export.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn resolve(
        self,
        name: Option<&str>,
        layers: &Layers,
        now: &LazyNow,
        database: Option<&str>,
    ) -> Result<ExportPlan> {
        let (query, parameters) = self.query.ok_or_else(|| query::missing(name))?;
        let guards = guards_of(name, layers)?;
        let manifest = output_name(layers, &self.destination, now, database)?;
        let tables = query::table_selection(layers, database, || {
            table_output(layers, &self.destination, now)
        })?;
        let format = format::format(
            layers,
            &self.destination,
            &preset::table(name, &self.destination, layers),
        )?;
        output::check_binary(layers, &self.destination)?;
        let split = split::plan(layers, &query)?;
        let increment = increment::plan(layers, &query, name, database)?;
        let parts = part_plan(layers, &self.destination, now, database)?;
        let compression = output::compression(layers, &self.destination)?;
        let load = preset::load_plan(
            name,
            &self.destination,
            &*format,
            self.statement_file,
            layers,
        )?;
        let mut plan = ExportPlan {
            load,
            split,
            increment,
            parts,
            // Where patterns choose the tables, each has its own.
            schema_file: query::table(layers)
                .zip(self.schema_file)
                .map(|(table, file)| SchemaFile {
                    table,
                    path: file.value,
                }),
            name: name.map(str::to_owned),
            rows_of: RowsOf::default(),
            failure: FailureEnds::default(),
            query,
            parameters,
            protocol: self.protocol,
            target: self.destination.target,
            flush: layers.value(keys::FLUSH).unwrap_or_default(),
            compression,
            format,
            // Among many tables, some are empty.
            empty_result: match layers.origin(keys::ALLOW_EMPTY) {
                Some(Origin::Default) | None if tables.is_some() && !increment::is_on(layers) => {
                    EmptyResult::Allow
                }
                _ if layers.is_on(keys::ALLOW_EMPTY) => EmptyResult::Allow,
                _ if increment::is_on(layers) => EmptyResult::Skip,
                _ => EmptyResult::Refuse,
            },
            guards,
            partial: if layers.is_on(keys::KEEP_PARTIAL) {
                Partial::Keep
            } else {
                Partial::Remove
            },
            create_dirs: output::create_dirs(layers),
            // The rows of an earlier increment are in no other file.
            existing: match layers.value(keys::IF_ABSENT) {
                Some(true) => Existing::Refuse,
                None if increment::is_on(layers) => Existing::Refuse,
                _ => Existing::Replace,
            },
            manifest,
            tables,
        };
        split::check_output(layers, &plan)?;
        suit_object(layers, &mut plan)?;
        if plan.existing == Existing::Refuse && plan.is_resumable() {
            let what = "leaves files as they are, and --resume goes on with those that are there";
            let refused = layers.refuse(keys::IF_ABSENT, what);
            return Err(refused.with_hint("leave one of them out"));
        }
        Ok(plan)
    }
}

/// Makes `export` the one of `output`, of which there may be several that are read once.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for what only a lone output has.
pub(super) fn as_output(
    export: ExportPlan,
    layers: &Layers,
    output: &ExportOutput,
) -> Result<ExportPlan> {
    if output.count == 1 {
        return Ok(export);
    }
    let on_error = layers.get(keys::OUTPUT_ON_ERROR);
    if let (Some(_), Some((setting, _))) = (&export.split, split::size(layers)) {
        let what = "divides a table for one output, and there are several";
        let refused = layers.refuse(setting, what);
        return Err(refused.with_hint("leave it out, or write one output"));
    }
    if let (Some(_), Some(OnError::Continue)) = (
        &export.increment,
        on_error.as_ref().map(|found| found.value),
    ) {
        let what = "lets an output miss the rows, which --incremental reads once only";
        let refused = layers.refuse(keys::OUTPUT_ON_ERROR, what);
        return Err(refused.with_hint("leave one of them out"));
    }
    Ok(ExportPlan {
        name: output.name(),
        rows_of: match output.index {
            0 => RowsOf::Statement,
            _ => RowsOf::ExportBefore,
        },
        failure: match on_error.map(|found| found.value) {
            Some(OnError::Continue) => FailureEnds::Itself,
            Some(OnError::Stop) | None => FailureEnds::All,
        },
        ..export
    })
}

/// Has an object's whole chunks be kept in the folder of the spool, and refuses what an object
/// cannot have.
fn suit_object(layers: &Layers, plan: &mut ExportPlan) -> Result<()> {
    if !plan.target.path().is_some_and(sink::is_object) {
        return Ok(());
    }
    if plan.partial == Partial::Keep {
        let what = "keeps what had come beside a file, and an object appears as a whole";
        let refused = layers.refuse(keys::KEEP_PARTIAL, what);
        return Err(refused.with_hint("leave it out, or write to a file"));
    }
    let spool = layers.value(keys::SPOOL);
    let is_kept = |split: &&mut SplitPlan| split.whole != WholeChunks::Discard;
    let Some(split) = plan.split.as_mut().filter(is_kept) else {
        return Ok(());
    };
    let Some(folder) = spool else {
        let what = "keeps whole chunks in a folder, and an object has none";
        let refused = layers.refuse(keys::RESUME, what);
        return Err(refused.with_hint("name one on a local disk: --spool DIR, or [spool] path"));
    };
    split.whole = WholeChunks::KeepIn(folder);
    Ok(())
}

/// Returns the guards of the export called `name`. Guards that compare with the
/// last success need a name and a state file.
fn guards_of(name: Option<&str>, layers: &Layers) -> Result<Guards> {
    let mut guards = guards(layers)?;
    if name.is_none() && command_line_query(layers).is_some() {
        // The configuration file has these settings for its exports only.
        (guards.max_change, guards.schema) = (None, SchemaPolicy::Any);
    }
    if !guards.needs_history() {
        return Ok(guards);
    }
    let setting = match guards.max_change {
        Some(_) => keys::MAX_CHANGE.setting(),
        None => keys::SCHEMA_POLICY.setting(),
    };
    if name.is_none() {
        let what = "compares with the last success, which needs a name";
        return Err(layers
            .refuse(setting, what)
            .with_hint("write the query as an [[export]] with a name"));
    }
    if layers.value(keys::STATE).is_none() {
        let what = "compares with the last success, which nothing keeps";
        return Err(layers
            .refuse(setting, what)
            .with_hint("name a file: [run] state = \"FILE\""));
    }
    Ok(guards)
}

fn guards(layers: &Layers) -> Result<Guards> {
    let guards = Guards {
        min_rows: layers.value(keys::MIN_ROWS),
        max_rows: layers.value(keys::MAX_ROWS),
        columns: layers.list(keys::EXPECTED_COLUMNS),
        max_change: layers.value(keys::MAX_CHANGE),
        schema: layers.value(keys::SCHEMA_POLICY).unwrap_or_default(),
    };
    if let (Some(min), Some(max)) = (guards.min_rows, guards.max_rows)
        && min > max
    {
        let max = counted(max, "row");
        let what = format!("is more than the {max} that there may be at most");
        return Err(layers.refuse(keys::MIN_ROWS, &what));
    }
    Ok(guards)
}

/// Returns the name of the output file for its manifest; `None` if no manifest is
/// written.
fn output_name(
    layers: &Layers,
    destination: &Destination,
    now: &LazyNow,
    database: Option<&str>,
) -> Result<Option<OutputName>> {
    let target = &destination.target;
    // The configuration file's settings for its exports do not apply to a query
    // or a target of the command line, which they may not fit.
    let is_typed = command_line_query(layers).is_some() || command_line_target(layers).is_some();
    let keep = if_applicable(layers, keys::KEEP, is_typed).map(|found| found.value);
    let mut has_manifest = layers.is_on(keys::MANIFEST);
    if *target == Target::Stdout && if_applicable(layers, keys::MANIFEST, is_typed).is_none() {
        has_manifest = false;
    }
    let (Target::Path(_), Some(template)) = (target, layers.value(keys::OUTPUT_PATH)) else {
        let setting = match (has_manifest, keep) {
            (true, _) => keys::MANIFEST.setting(),
            (false, Some(_)) => keys::KEEP.setting(),
            (false, None) => return Ok(None),
        };
        let what = "needs a file, and the rows go to standard output";
        let hint = "name one: -o FILE, or path = \"FILE\"";
        return Err(layers.refuse(setting, what).with_hint(hint));
    };
    let is_dated = template::has_time(&template);
    if keep.is_some() {
        check_keep(layers, has_manifest, is_dated)?;
    }
    let (database, table) = output::table_names(layers, database);
    Ok(has_manifest.then(|| OutputName {
        database,
        table,
        keep,
        ..name_of(template, is_dated, destination, now)
    }))
}

/// Returns the name that `template` gives, with the run's time if it `is_dated`, and
/// without the names of a database and a table.
fn name_of(
    template: OsString,
    is_dated: bool,
    destination: &Destination,
    now: &LazyNow,
) -> OutputName {
    OutputName {
        template: template.into(),
        time: is_dated.then(|| now.as_ref().ok().cloned()).flatten(),
        database: None,
        table: None,
        parameters: destination.parameters.clone(),
        keep: None,
    }
}

/// Returns how the rows are divided among several files, if they are.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path that does not name
/// them, and for what is for one file.
fn part_plan(
    layers: &Layers,
    destination: &Destination,
    now: &LazyNow,
    database: Option<&str>,
) -> Result<Option<PartPlan>> {
    let template = layers.value(keys::OUTPUT_PATH);
    let template = template
        .filter(|_| destination.target != Target::Stdout)
        .unwrap_or_default();
    let limit = output::part_limit(layers);
    let setting = match limit {
        Some(limit) if limit.rows.is_some() => keys::ROWS_PER_FILE.setting(),
        Some(_) => keys::BYTES_PER_FILE.setting(),
        None => match split::size(layers) {
            Some((setting, _)) if template::count_parts(&template) > 0 => setting,
            _ => return Ok(None),
        },
    };
    let name = Path::new(&template).file_name().unwrap_or_default();
    if (
        template::count_parts(name),
        template::count_parts(&template),
    ) != (1, 1)
    {
        let what = "makes several files, and the output path does not have {part} once, in the file's name";
        let refused = layers.refuse(setting, what);
        return Err(refused.with_hint("name the files: -o 'orders-{part}.csv'"));
    }
    if name.to_str().is_none() {
        let what = "makes several files, and a dataset's manifest cannot name them: their name is not UTF-8";
        return Err(layers.refuse(setting, what));
    }
    for one_file in [keys::KEEP.setting(), keys::LOAD_STATEMENT.setting()] {
        if layers.origin(one_file).is_some() {
            let what = format!("makes several files, and {} is for one", one_file.key());
            return Err(layers.refuse(setting, &what));
        }
    }
    let (database, table) = output::table_names(layers, database);
    let is_dated = template::has_time(&template);
    Ok(Some(PartPlan {
        limit,
        output: OutputName {
            database,
            table,
            ..name_of(template, is_dated, destination, now)
        },
    }))
}

/// Returns how the files of tables that patterns choose are named.
fn table_output(layers: &Layers, destination: &Destination, now: &LazyNow) -> Result<OutputName> {
    let template = layers.value(keys::OUTPUT_PATH);
    let (Target::Path(_), Some(template)) = (&destination.target, template) else {
        return Err(no_table_in_path(layers));
    };
    if !template::has_table(&template) {
        return Err(no_table_in_path(layers));
    }
    let mut parameters = destination.parameters.clone();
    let mut is_dated = template::has_time(&template);
    for key in [keys::LOAD_STATEMENT, keys::SCHEMA_FILE] {
        if let Some(WithOrigin { value, origin }) = layers.get(key) {
            if !template::has_table(&value) {
                let what = "is a file for each table, and has no {table}";
                return Err(origin.refuse(key, what));
            }
            is_dated |= template::has_time(&value);
            parameters.extend(output::parameters_of(&value, key, &origin, layers)?);
        }
    }
    Ok(OutputName {
        parameters,
        ..name_of(template, is_dated, destination, now)
    })
}

fn no_table_in_path(layers: &Layers) -> Error {
    let what = "have a file each, and the output path has no {table}";
    let refused = layers.refuse(keys::QUERY_TABLES, what);
    refused.with_hint("name the files: -o 'FOLDER/{table}.csv'")
}

/// Old files are found by their manifests and by the dates in their names.
fn check_keep(layers: &Layers, has_manifest: bool, is_dated: bool) -> Result<()> {
    let (what, hint) = match (has_manifest, is_dated) {
        (false, _) => (
            "knows its files by their manifests, and there are none",
            "add manifest = true, or --manifest",
        ),
        (true, false) => (
            "keeps files of several dates, and the path has none",
            "put {date} into the path",
        ),
        (true, true) => return Ok(()),
    };
    Err(layers.refuse(keys::KEEP, what).with_hint(hint))
}
