//! The exports that a configuration file lists: which of them run, and that none
//! gets into another's way.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    Rejected, SummaryPath,
    file::ExportTable,
    layers::{Layer, Layers, Origin, Sourced, Value},
    run::refuse,
    settings::JOB,
};
use crate::{
    artifacts::manifest,
    error::{Error, Result},
    jobs::plan::ExportPlan,
    sink::{self, Partial, Target},
    sql::Parameter,
};

/// The tables of the exports that were asked for, in the file's order; one of
/// none where a query stands by itself.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where nothing has a
/// name that was asked for.
pub(super) fn selected(
    layers: &Layers,
    tables: Vec<ExportTable>,
) -> Result<Vec<Option<ExportTable>>> {
    let asked = layers.get(JOB);
    let own_query = own_query(layers);
    if let (Some(asked), Some(query)) = (asked, own_query) {
        let what = format!(
            "names exports of the configuration file, and {} is another query",
            query.origin.subject("query.sql")
        );
        let refused = asked.origin.refuse(JOB, &what);
        return Err(refused.with_hint("leave one of them out"));
    }
    if let Some(query) = own_query {
        let text = query.text().and_then(OsStr::to_str).unwrap_or_default();
        if tables.iter().any(|table| table.name == text) {
            let refused = query.origin.refuse("query.sql", "is the name of an export");
            return Err(refused.with_hint(format!("--job {text} runs it")));
        }
        if let (Origin::Variable(_), false) = (&query.origin, tables.is_empty()) {
            let what = "would run in the place of all exports that the configuration file lists";
            let refused = query.origin.refuse("query.sql", what);
            return Err(refused.with_hint("unset it, or give the query as an argument"));
        }
        return Ok(vec![None]);
    }
    if tables.is_empty() && asked.is_none() {
        return Ok(vec![None]);
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let mut patterns = Vec::new();
    for text in layers.list(JOB) {
        let refuse = |what: &str| refuse(layers, JOB, what);
        let pattern = glob::Pattern::new(&text);
        let pattern = pattern.map_err(|error| refuse(&format!("is no pattern: {error}")))?;
        if !names.iter().any(|name| pattern.matches(name)) {
            let hint = match &names[..] {
                [] => WHERE_EXPORTS_ARE.to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            return Err(refuse(&format!("finds no export that is called {text}")).with_hint(hint));
        }
        patterns.push(pattern);
    }
    let is_wanted = |table: &ExportTable| {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&table.name))
    };
    Ok(tables.into_iter().filter(is_wanted).map(Some).collect())
}

/// The query that stands by itself, whatever the configuration file has.
pub(super) fn own_query(layers: &Layers) -> Option<&Sourced> {
    above(layers).find_map(|layer| layer.get("query.sql").or_else(|| layer.get("query.file")))
}

/// The target that flags or the environment name.
pub(super) fn target_above(layers: &Layers) -> Option<&Sourced> {
    above(layers).find_map(|layer| layer.get("output.path"))
}

fn above(layers: &Layers) -> impl Iterator<Item = &Layer> {
    layers.0[..ABOVE_EXPORTS].iter()
}

/// What holds of the setting called `name`. Where something is typed in the place
/// of the file's exports, what the file says for these is not meant.
pub(super) fn meant<'a>(layers: &'a Layers, name: &str, is_typed: bool) -> Option<&'a Sourced> {
    let found = layers.get(name);
    found.filter(|found| !is_typed || matches!(found.origin, Origin::Flag(_)))
}

/// What to do where there are none.
pub(super) const WHERE_EXPORTS_ARE: &str =
    "a configuration file (--config) lists exports as [[export]]";

/// How many layers are above those of single exports: flags and environment.
pub(super) const ABOVE_EXPORTS: usize = 2;

/// Every parameter that a flag gives must be one of an export's: whatever is
/// above all exports belongs to some of them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for one that none has.
pub(super) fn refuse_unused_parameters(layers: &Layers, exports: &[ExportPlan]) -> Result<()> {
    if exports.iter().all(|export| export.name.is_none()) {
        return Ok(());
    }
    for found in above(layers).filter_map(|layer| layer.get("query.params")) {
        let Value::Parameters(given) = &found.value else {
            continue;
        };
        let is_unused = |one: &&Parameter| {
            let mut queries = exports.iter().map(|export| &export.query);
            !queries.any(|query| query.has_parameter(&one.name))
        };
        if let Some(unused) = given.iter().find(is_unused) {
            let name = &unused.name;
            let what = format!("gives {name} a value, but no export that runs has :{name}");
            return Err(found.origin.refuse("query.params", &what));
        }
    }
    Ok(())
}

/// A target above all exports is that of one of them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming its place.
pub(super) fn refuse_one_target_for_several(layers: &Layers, count: usize) -> Result<()> {
    match target_above(layers) {
        Some(found) if count > 1 => {
            let what = format!("names one target, and {count} exports would go there");
            let refused = found.origin.refuse("output.path", &what);
            Err(refused.with_hint("choose one export with --job, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// No two outputs may go to one place: the one would undo the other. The
/// rejection says whether the `summary` is one of them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming both.
pub(super) fn refuse_common_targets(
    exports: &[ExportPlan],
    inputs: &[(&'static str, PathBuf)],
    state: Option<&Path>,
    summary: Option<&Path>,
) -> Result<(), Rejected> {
    let mut claims: Vec<(&Path, String)> = Vec::new();
    claims.extend(summary.map(|path| (path, SUMMARY.to_owned())));
    claims.extend(state.map(|path| (path, "the state".to_owned())));
    let manifest_of = |export: &ExportPlan| match (&export.manifest, &export.target) {
        (Some(_), Target::Path(path)) => Some(manifest::path(path)),
        _ => None,
    };
    let partial_of = |export: &ExportPlan| match (export.partial, &export.target) {
        (Partial::Keep, Target::Path(path)) => Some(sink::partial(path)),
        _ => None,
    };
    let beside = |export: &ExportPlan| [manifest_of(export), partial_of(export)];
    let beside: Vec<[Option<PathBuf>; 2]> = exports.iter().map(beside).collect();
    for (export, [manifest, partial]) in exports.iter().zip(&beside) {
        let name = match &export.name {
            Some(name) => format!("the rows of {name}"),
            None => "the rows".to_owned(),
        };
        for (path, what) in [(manifest, "the manifest"), (partial, "what is kept")] {
            claims.extend(
                path.as_deref()
                    .map(|path| (path, format!("{what} of {name}"))),
            );
        }
        match &export.target {
            Target::Stdout => claims.push((Path::new("/dev/stdout"), name)),
            Target::Custom => {}
            // It takes any number.
            Target::Path(path) if path == "/dev/null" => {}
            Target::Path(path) => claims.push((path, name)),
        }
    }
    // Several may read one file.
    let input = |(what, path): &(&str, PathBuf)| (sink::resolve(path), (*what).to_owned());
    let mut taken: HashMap<PathBuf, String> = inputs.iter().map(input).collect();
    let (mut first, mut summary) = (None, SummaryPath::Free);
    for (path, name) in claims {
        let Some(other) = taken.insert(sink::resolve(path), name.clone()) else {
            continue;
        };
        if [&other, &name].into_iter().any(|one| one == SUMMARY) {
            summary = SummaryPath::Taken;
        }
        let what = format!(
            "{other} and {name} would go to the same place, {}",
            path.display()
        );
        let error = Error::config(what).with_hint("give each a path of its own");
        first.get_or_insert(error);
    }
    first.map_or(Ok(()), |error| Err(Rejected { error, summary }))
}

const SUMMARY: &str = "the summary";
