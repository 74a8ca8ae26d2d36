//! Resolves `--for TARGET`: the layer of settings that it stands for, and the plan
//! of the load.

use std::path::PathBuf;

use clap::builder::PossibleValue;

use super::{
    layers::{Layer, Layers},
    origin::{Origin, WithOrigin},
    output::{self, Destination, LazyNow},
    query,
    settings::{Setting, keys},
};
use crate::{
    error::{Error, Result},
    format::{BuiltIn, Format},
    jobs::plan::LoadPlan,
    load::{LOAD_TARGETS, LoadTarget, table_name},
};

/// Returns the choices of `--for` with their descriptions.
pub(super) fn possible_values() -> Vec<PossibleValue> {
    let value = |target: &&LoadTarget| PossibleValue::new(target.name).help(target.about);
    LOAD_TARGETS.iter().map(value).collect()
}

/// Calls `work` while the settings that the target of `--for` stands for are a
/// layer: right above the defaults, so that every other place wins over them.
///
/// # Errors
/// Those of `work`.
pub(super) fn with_preset<T>(
    layers: &mut Layers,
    work: impl FnOnce(&Layers) -> Result<T>,
) -> Result<T> {
    let mut targets = layers.all(keys::OUTPUT_FOR).map(|(_, found)| found);
    let Some(first) = targets.next() else {
        return work(layers);
    };
    // All exports share a session, so that an export's own target does not set it.
    let is_shared = |found: &WithOrigin<_>| match &found.origin {
        Origin::ConfigFile(place) => place.table.is_none(),
        _ => true,
    };
    let shared = Some(first.clone())
        .into_iter()
        .chain(targets)
        .find(is_shared);
    let chosen = layers.get(keys::OUTPUT_FORMAT);
    let init_sets_zone = init_sets_zone(layers);
    let mut layer = Layer::default();
    for (target, sets_session) in [(Some(first), false), (shared, true)] {
        let Some(WithOrigin { value: target, .. }) = target else {
            continue;
        };
        for (name, value) in target.preset {
            let setting = Setting::named(name)
                .ok_or_else(|| Error::config(format!("there is no setting {name}")))?;
            // What another format lacks is not chosen with it.
            let lacks =
                |format: &WithOrigin<&BuiltIn>| !setting.has_value(value, format.value.name);
            if chosen.as_ref().is_some_and(lacks) {
                continue;
            }
            // An init statement that sets the zone is the user's own choice.
            let is_set = setting.name == keys::TIME_ZONE.setting().name && init_sets_zone;
            if (setting.section() == keys::TIME_ZONE.setting().section()) == sets_session && !is_set
            {
                layer.parse(setting, value.as_ref(), Origin::Preset(target.name))?;
            }
        }
    }
    let above_defaults = layers.list.len() - 1;
    layers.with(above_defaults, Some(layer), |layers| work(layers))
}

/// Whether an init statement may set the session's time zone.
pub(super) fn init_sets_zone(layers: &Layers) -> bool {
    let sets_zone = |sql: &String| sql.to_ascii_lowercase().contains("time_zone");
    layers.list(keys::INIT).iter().any(sets_zone)
}

/// Refuses a target whose name says another format than that of `--for`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming both.
pub(super) fn check_format(layers: &Layers, chosen: &Destination) -> Result<()> {
    if let Some(target) = layers.get(keys::OUTPUT_FOR)
        && !target.value.has_statement()
    {
        let expected = target.value.preset_value("output.format");
        let format = chosen.format.name;
        return match expected.filter(|expected| *expected != format) {
            Some(expected) => {
                let what = format!(
                    "{} opens {expected}, and the format is {format}",
                    target.value.name
                );
                let refused = target.origin.refuse(keys::OUTPUT_FOR, &what);
                Err(refused.with_hint(format!("choose --format {expected}, or leave --for out")))
            }
            None => Ok(()),
        };
    }
    let (Some(target), Some(named)) = (
        layers.get(keys::OUTPUT_FOR),
        layers.get(keys::OUTPUT_FORMAT),
    ) else {
        return Ok(());
    };
    // Where a format is named above the preset, it is the chosen one.
    if !matches!(named.origin, Origin::Preset(_)) || named.value.name == chosen.format.name {
        return Ok(());
    }
    let (format, expected) = (chosen.format.name, named.value.name);
    let what = format!(
        "{} loads {expected}, and {} is {format} by its name",
        target.value.name, chosen.target
    );
    let hint = format!("name it .{expected}, or say --format {format}");
    Err(target
        .origin
        .refuse(keys::OUTPUT_FOR, &what)
        .with_hint(hint))
}

/// Returns the file of the load statement, if there is one.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose
/// placeholders are wrong.
pub(super) fn statement_file(
    layers: &Layers,
    now: &LazyNow,
    database: Option<&str>,
) -> Result<Option<WithOrigin<PathBuf>>> {
    let hint = "-v prints the statement on standard error";
    output::side_file(layers, keys::LOAD_STATEMENT, now, database, hint)
}

/// Returns what loads the output of the export called `name`. Its load statement
/// goes to `statement_file`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a file of the load
/// statement without a target that loads by one.
pub(super) fn load_plan(
    name: Option<&str>,
    destination: &Destination,
    format: &dyn Format,
    statement_file: Option<WithOrigin<PathBuf>>,
    layers: &Layers,
) -> Result<Option<LoadPlan>> {
    let refuse = |what: &str| Err(layers.refuse(keys::LOAD_STATEMENT, what));
    let Some(target) = layers.value(keys::OUTPUT_FOR) else {
        return match statement_file {
            Some(_) => refuse("needs to know what loads the rows: --for TARGET"),
            None => Ok(None),
        };
    };
    if !target.has_statement() && statement_file.is_some() {
        let what = format!(
            "needs a target that loads by a statement, and {} opens files itself",
            target.name
        );
        return refuse(&what);
    }
    if let Err(problem) = target.check_null_text(format) {
        let refused = layers.refuse(keys::CSV_NULL, problem);
        return Err(refused.with_hint("choose a text such as <NULL>"));
    }
    Ok(Some(LoadPlan {
        target,
        table: table(name, destination, layers),
        statement_file: statement_file.map(|file| file.value),
    }))
}

/// The name of the table that the rows are loaded into: that of the table that is
/// exported, of the export, or of its file.
pub(super) fn table(name: Option<&str>, destination: &Destination, layers: &Layers) -> String {
    let path = destination.target.path().map(|path| path.to_string_lossy());
    // The number of a part is not in the name of the table.
    let by_file = || {
        let path = path.as_deref().unwrap_or_default().replace("{part}", "");
        let name = table_name(&path);
        match name.trim_matches(['-', '_']) {
            "" => name,
            name => name.to_owned(),
        }
    };
    let table = query::table(layers).map(|table| table.table);
    table.or(name.map(str::to_owned)).unwrap_or_else(by_file)
}
