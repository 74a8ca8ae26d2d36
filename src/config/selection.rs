//! Selects the exports of the configuration file that run, and checks that no two
//! of them write to one path.

use std::{
    any::Any,
    ffi::OsString,
    mem,
    path::{Path, PathBuf},
};

use glob::Pattern;

use super::{
    Rejected, SummaryPath,
    file::ExportTable,
    layers::{Layer, Layers},
    origin::{Origin, WithOrigin},
    settings::{Key, keys},
};
use crate::{
    artifacts::template,
    error::Result,
    jobs::{
        claims::{Claim, ReservedPaths, conflicts},
        plan::ExportPlan,
    },
    sql::Parameter,
};

/// Returns the tables of the exports that run, in the order of the file. The only
/// element is `None` for a query that is no export of the file.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if `--job` matches no
/// export, or if a query contradicts the exports.
pub(super) fn selected(
    layers: &Layers,
    tables: Vec<ExportTable>,
) -> Result<Vec<Option<ExportTable>>> {
    let asked = layers.get(keys::JOB);
    if let Some(query) = command_line_query(layers) {
        check_command_line_query(&query, asked.as_ref(), &tables)?;
        return Ok(vec![None]);
    }
    let Some(asked) = asked else {
        let all = tables.into_iter().map(Some);
        let all: Vec<_> = all.collect();
        return Ok(if all.is_empty() { vec![None] } else { all });
    };
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    for pattern in &asked.value {
        if !names.iter().any(|name| pattern.matches(name)) {
            let hint = match &names[..] {
                [] => WHERE_EXPORTS_ARE.to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let what = format!("finds no export that is called {pattern}");
            return Err(asked.origin.refuse(keys::JOB, &what).with_hint(hint));
        }
    }
    let is_wanted = |table: &ExportTable| {
        let mut patterns = asked.value.iter();
        patterns.any(|pattern| pattern.matches(&table.name))
    };
    Ok(tables.into_iter().filter(is_wanted).map(Some).collect())
}

/// One output of an export, and the layers that say what it is.
#[derive(Clone)]
pub(super) struct ExportOutput {
    /// The name of the export; `None` for a query that is no export of the file.
    pub export: Option<String>,
    /// The layer of the export's table, if it has one.
    layer: Option<Layer>,
    /// The layer of the flags, if these name several outputs.
    flags: Option<Layer>,
    /// Which one it is, of how many.
    pub index: usize,
    pub count: usize,
}

impl ExportOutput {
    /// Returns the outputs of the export with the table `table`.
    pub fn of(layers: &Layers, table: Option<ExportTable>) -> Vec<Self> {
        let (export, layer) = table.map(|table| (table.name, table.layer)).unzip();
        let by_flags = &layers.list[0].outputs;
        // One target of a flag or a variable stands for all of the file's.
        let is_replaced = command_line_target(layers).is_some();
        let by_table = layer.as_ref().filter(|_| !is_replaced);
        let by_table = by_table.map_or(&[][..], |layer| &layer.outputs);
        let count = [by_flags.len(), by_table.len(), 1];
        let count = count.into_iter().find(|count| *count > 0).unwrap_or(1);
        let output = |index| Self {
            export: export.clone(),
            layer: match (&layer, by_table.get(index)) {
                (Some(layer), Some(output)) if by_flags.is_empty() => {
                    Some(layer.with_values_of(output))
                }
                (layer, _) => layer.clone(),
            },
            flags: by_flags
                .get(index)
                .map(|output| layers.list[0].with_values_of(output)),
            index,
            count,
        };
        (0..count).map(output).collect()
    }

    /// Its name among the exports of the run.
    pub fn name(&self) -> Option<String> {
        match (&self.export, self.index) {
            (None, _) if self.count == 1 => None,
            (None, index) => Some(format!("output-{}", index + 1)),
            (Some(name), 0) => Some(name.clone()),
            // No export of a file has a name with a slash.
            (Some(name), index) => Some(format!("{name}/{}", index + 1)),
        }
    }

    /// Calls `work` while its layers apply.
    pub fn with<T>(self, layers: &mut Layers, work: impl FnOnce(&mut Layers) -> T) -> T {
        let flags = self
            .flags
            .map(|flags| mem::replace(&mut layers.list[0], flags));
        let result = layers.with(EXPORT_LAYER, self.layer, work);
        if let Some(flags) = flags {
            layers.list[0] = flags;
        }
        result
    }
}

/// Refuses a query of the command line that contradicts the exports.
fn check_command_line_query(
    query: &CommandLineQuery,
    asked: Option<&WithOrigin<Vec<Pattern>>>,
    tables: &[ExportTable],
) -> Result<()> {
    let subject = query.origin.subject(keys::QUERY_SQL);
    if let Some(asked) = asked {
        let what =
            format!("names exports of the configuration file, and {subject} is another query");
        let refused = asked.origin.refuse(keys::JOB, &what);
        return Err(refused.with_hint("leave one of them out"));
    }
    let refuse = |what: &str| query.origin.refuse(keys::QUERY_SQL, what);
    let text = &query.value;
    if tables.iter().any(|table| table.name == *text) {
        let refused = refuse("is the name of an export");
        return Err(refused.with_hint(format!("--job {text} runs it")));
    }
    if let (Origin::Variable(_), false) = (&query.origin, tables.is_empty()) {
        let what = "would run in the place of all exports that the configuration file lists";
        return Err(refuse(what).with_hint("unset it, or give the query as an argument"));
    }
    Ok(())
}

/// The SQL text of a query of the command line, or the path of its file, or what cannot
/// be the name of an export, for tables.
pub(super) type CommandLineQuery = WithOrigin<String>;

/// The query that flags or the environment give. It runs instead of the exports
/// of the configuration file.
pub(super) fn command_line_query(layers: &Layers) -> Option<CommandLineQuery> {
    let path = |path: PathBuf| path.into_os_string().into_string().unwrap_or_default();
    overriding_layers(layers).find_map(|layer| {
        let file = || Some(layer.get(keys::QUERY_FILE)?.map(path));
        let table = || Some(layer.get(keys::QUERY_TABLE)?.map(|table| table.to_string()));
        let tables = || {
            Some(
                layer
                    .get(keys::QUERY_TABLES)?
                    .map(|_| "`tables`".to_owned()),
            )
        };
        let sql = layer.get(keys::QUERY_SQL);
        sql.or_else(file).or_else(table).or_else(tables)
    })
}

/// The target that flags or the environment give.
pub(super) fn command_line_target(layers: &Layers) -> Option<WithOrigin<OsString>> {
    overriding_layers(layers).find_map(|layer| {
        let first = layer.outputs.first();
        first.unwrap_or(layer).get(keys::OUTPUT_PATH)
    })
}

/// The layers above those of single exports: flags and the environment.
fn overriding_layers(layers: &Layers) -> impl Iterator<Item = &Layer> {
    layers.list[..EXPORT_LAYER].iter()
}

/// The value of `key`, if it applies. A value of the configuration file for its
/// exports does not apply if the command line `is_typed` in their place.
pub(super) fn if_applicable<T: Any + Clone>(
    layers: &Layers,
    key: Key<T>,
    is_typed: bool,
) -> Option<WithOrigin<T>> {
    let found = layers.get(key);
    found.filter(|found| !is_typed || matches!(found.origin, Origin::Flag(_)))
}

/// A hint if the configuration file has no exports.
pub(super) const WHERE_EXPORTS_ARE: &str =
    "a configuration file (--config) lists exports as [[export]]";

/// The index of the layer of a single export: below flags and the environment.
pub(super) const EXPORT_LAYER: usize = 2;

/// Refuses a parameter of the command line that no export uses, in its query or in
/// its path, which is one of `paths`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the parameter.
pub(super) fn refuse_unused_parameters(
    layers: &Layers,
    exports: &[ExportPlan],
    paths: &[OsString],
) -> Result<()> {
    if exports.iter().all(|export| export.name.is_none()) {
        return Ok(());
    }
    for found in overriding_layers(layers).filter_map(|layer| layer.get(keys::QUERY_PARAMS)) {
        let is_unused = |one: &&Parameter| {
            let mut queries = exports.iter().map(|export| &export.query);
            let mut in_paths = paths
                .iter()
                .flat_map(|path| template::parameter_names(path));
            !queries.any(|query| query.has_parameter(&one.name))
                && !in_paths.any(|name| name == one.name)
        };
        if let Some(unused) = found.value.iter().find(is_unused) {
            let name = &unused.name;
            let what = format!("gives {name} a value, but no export that runs has :{name}");
            return Err(found.origin.refuse(keys::QUERY_PARAMS, &what));
        }
    }
    Ok(())
}

/// Refuses a target of the command line for several exports.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming its place.
pub(super) fn refuse_one_target_for_several(layers: &Layers, count: usize) -> Result<()> {
    match command_line_target(layers) {
        Some(found) if count > 1 => {
            let what = format!("names one target, and {count} exports would go there");
            let refused = found.origin.refuse(keys::OUTPUT_PATH, &what);
            Err(refused.with_hint("choose one export with --job, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// Returns the paths that the run uses besides those of its exports.
pub(super) fn reserved_paths(
    inputs: &[(&'static str, PathBuf)],
    state: Option<&Path>,
    summary: Option<&Path>,
) -> ReservedPaths {
    let claim = |name: &str, path: &Path| Claim {
        path: path.to_owned(),
        name: name.to_owned(),
    };
    let inputs = inputs.iter().map(|(name, path)| claim(name, path));
    let outputs = [(SUMMARY, summary), ("the state", state)].into_iter();
    let outputs = outputs.filter_map(|(name, path)| Some(claim(name, path?)));
    ReservedPaths {
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    }
}

/// Refuses two files of `plan` with one path: one would overwrite the other. The
/// rejection says whether the summary is one of the two.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming both.
pub fn refuse_common_targets(
    exports: &[ExportPlan],
    reserved: &ReservedPaths,
) -> Result<(), Rejected> {
    let conflicts = conflicts(exports, reserved);
    let mut names = conflicts.iter().flat_map(|conflict| &conflict.names);
    let summary = match names.any(|name| name == SUMMARY) {
        true => SummaryPath::Taken,
        false => SummaryPath::Free,
    };
    let first = conflicts.into_iter().next();
    first.map_or(Ok(()), |first| {
        Err(Rejected {
            error: first.error,
            summary,
        })
    })
}

const SUMMARY: &str = "the summary";
