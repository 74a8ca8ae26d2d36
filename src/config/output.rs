//! Resolves the target of the rows and their format.

use std::{
    cell::LazyCell,
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    num::NonZeroU16,
    path::{Path, PathBuf},
};

use super::{
    StandardOutput,
    extension::{self, FormatByName, SaidByName, said_by_name},
    format,
    layers::{Layer, Layers},
    origin::{Origin, WithOrigin},
    query,
    selection::{command_line_query, command_line_target, if_applicable},
    settings::{Key, keys},
    split,
};
use crate::{
    artifacts::{
        run_date::RunDate,
        template::{self, Names, Now},
    },
    error::{Error, Result},
    format::{BuiltIn, Codec, Compression},
    pipeline::PartLimit,
    sink::{self, CompressionOptions, CreateDirs, Target},
    sql::{Parameter, TableName},
};

/// The time that output paths are named for, which is found out only if a path has it.
pub(super) type LazyNow = LazyCell<Now, Box<dyn FnOnce() -> Now>>;

/// Returns the time that output paths are named for: that of `--date`, or the current
/// one.
pub(super) fn now(layers: &Layers) -> LazyNow {
    match run_date(layers) {
        Some(date) => LazyCell::new(Box::new(move || template::time_of(date.value))),
        None => LazyCell::new(Box::new(template::now)),
    }
}

/// The date that the run is for. The configuration file's does not apply to a query
/// of the command line.
fn run_date(layers: &Layers) -> Option<WithOrigin<RunDate>> {
    if_applicable(layers, keys::DATE, command_line_query(layers).is_some())
}

/// The format if nothing chooses one.
const DEFAULT_FORMAT: &str = "tsv";

/// The format if nothing chooses one and the rows go to a terminal.
const FORMAT_FOR_TERMINAL: &str = "table";

/// The terminal's columns that the variable COLUMNS says, as for psql and other programs.
pub(super) fn columns_of_environment() -> Option<NonZeroU16> {
    env::var("COLUMNS").ok()?.parse().ok()
}

/// A target and its format, and the origins of both.
pub(super) struct Destination {
    pub target: Target,
    pub target_origin: Origin,
    pub format: &'static BuiltIn,
    pub format_origin: Origin,
    /// How the bytes are compressed, and what says so; `None` if nothing does.
    pub compression: Option<WithOrigin<Option<Compression>>>,
    /// The values of the parameters in the target's path.
    pub parameters: BTreeMap<String, String>,
}

/// Returns the target of the highest layer that has one, and the format of the
/// highest layer that chooses one. The extension of a target also chooses a format:
/// `-o x.json` is JSON, whatever the configuration file's format is. In the same way,
/// `-o x.csv` is not compressed, and `-o x.csv.gz` is.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose
/// placeholders are wrong, and for one whose extension no format has, where
/// nothing else chooses the format.
pub(super) fn destination(
    layers: &Layers,
    now: &LazyNow,
    database: Option<&str>,
) -> Result<Destination> {
    let mut target = None;
    let mut chosen = Chosen::default();
    let mut parameters = BTreeMap::new();
    for layer in &layers.list {
        chosen.add_settings(layer);
        let Some(WithOrigin {
            value: template,
            origin,
        }) = layer.get(keys::OUTPUT_PATH)
        else {
            continue;
        };
        if target.is_some() {
            continue;
        }
        if template == "-" {
            target = Some((Target::Stdout, origin));
            continue;
        }
        parameters = parameters_of(&template, keys::OUTPUT_PATH, &origin, layers)?;
        check_run_date(&template, layers)?;
        let (database, table) = table_names(layers, database);
        let names = Names {
            database: database.as_deref(),
            table: table.as_deref(),
            part: part_name(layers),
            parameters: &parameters,
        };
        let (path, by_name) = named_path(&template, &origin, now, names)?;
        check_url(&path, keys::OUTPUT_PATH, &origin)?;
        chosen.add_name(&path, by_name, &origin);
        target = Some((Target::Path(path), origin));
    }
    if let (None, Some(refused)) = (&chosen.format, chosen.refused) {
        return Err(refused);
    }
    let (target, target_origin) = target.unwrap_or((Target::Stdout, Origin::Default));
    let is_chosen = chosen.format.is_some();
    let default = || BuiltIn::named(DEFAULT_FORMAT).map(|format| (format, Origin::Default));
    let no_format = || Error::config(format!("there is no format {DEFAULT_FORMAT}"));
    let (format, format_origin) = chosen.format.or_else(default).ok_or_else(no_format)?;
    let destination = Destination {
        target,
        target_origin,
        format,
        format_origin,
        compression: chosen.compression,
        parameters,
    };
    if is_chosen || !is_terminal(layers, &destination.target) {
        return Ok(destination);
    }
    Ok(for_terminal(layers, destination))
}

/// Returns `chosen`, whose format nothing chooses, with the format for a terminal. Where
/// a flag is for the usual format, it stays.
fn for_terminal(layers: &Layers, chosen: Destination) -> Destination {
    let usual = chosen.format;
    let mut chosen = Destination {
        format: BuiltIn::named(FORMAT_FOR_TERMINAL).unwrap_or(usual),
        ..chosen
    };
    if format::refuse_flags_of_other_formats(layers, &chosen).is_err() {
        chosen.format = usual;
    }
    chosen
}

/// Whether the rows for `target` go to a terminal as standard output.
fn is_terminal(layers: &Layers, target: &Target) -> bool {
    *target == Target::Stdout && matches!(layers.stdout, StandardOutput::Terminal(_))
}

/// What the layers so far choose, from the highest on.
#[derive(Default)]
struct Chosen {
    format: Option<(&'static BuiltIn, Origin)>,
    compression: Option<WithOrigin<Option<Compression>>>,
    /// The error of the target's name, if nothing chooses a format.
    refused: Option<Error>,
}

impl Chosen {
    /// Adds what the settings of `layer` choose.
    fn add_settings(&mut self, layer: &Layer) {
        let named = layer.get(keys::OUTPUT_FORMAT);
        let format = self.format.take();
        self.format = format.or(named.map(|named| (named.value, named.origin)));
        let compression = self.compression.take();
        self.compression = compression.or(layer.get(keys::COMPRESSION));
    }

    /// Adds what the name of the target at `path` says. The extension of a format alone
    /// says that nothing is compressed.
    fn add_name(&mut self, path: &Path, said: SaidByName, origin: &Origin) {
        let is_plain = matches!(said.format, FormatByName::Known(_));
        if self.compression.is_none() && (is_plain || said.codec.is_some()) {
            self.compression = Some(WithOrigin {
                value: said.codec.map(Codec::compression),
                origin: origin.clone(),
            });
        }
        match said.format {
            FormatByName::Known(format) => {
                self.format.get_or_insert((format, origin.clone()));
            }
            FormatByName::Unknown(extension) => {
                self.refused = Some(extension::refuse(path, &extension, origin));
            }
            FormatByName::None => {}
        }
    }
}

/// Returns the database and the table that paths are named for. Where patterns choose the
/// tables, both stay placeholders. `database` is the default one.
pub(super) fn table_names(
    layers: &Layers,
    database: Option<&str>,
) -> (Option<String>, Option<String>) {
    let default = || database.map(str::to_owned);
    if query::is_table_set(layers) {
        return (Some("{database}".to_owned()), Some("{table}".to_owned()));
    }
    match query::table(layers) {
        Some(TableName { database, table }) => (database.or_else(default), Some(table)),
        None => (default(), None),
    }
}

/// The placeholder of the part's number, which stays, if the rows are divided.
fn part_name(layers: &Layers) -> Option<&'static str> {
    let is_divided = part_limit(layers).is_some() || split::size(layers).is_some();
    is_divided.then_some("{part}")
}

/// Returns where a file ends and the next one begins, if the rows are divided. What a
/// configuration file says of its exports is not for a query of the command line.
pub(super) fn part_limit(layers: &Layers) -> Option<PartLimit> {
    let is_typed = command_line_query(layers).is_some() || command_line_target(layers).is_some();
    let limit = PartLimit {
        rows: if_applicable(layers, keys::ROWS_PER_FILE, is_typed).map(|found| found.value),
        bytes: if_applicable(layers, keys::BYTES_PER_FILE, is_typed).map(|found| found.value),
    };
    (limit != PartLimit::default()).then_some(limit)
}

/// Returns the path that `template` stands for, and the format that its name says.
fn named_path(
    template: &OsStr,
    origin: &Origin,
    now: &LazyNow,
    names: Names<'_>,
) -> Result<(PathBuf, SaidByName)> {
    let refuse = |problem: String| {
        origin
            .refuse(keys::OUTPUT_PATH, &problem)
            .with_hint(template::hint(&problem, now))
    };
    let path = PathBuf::from(template::expand(template, now, names).map_err(refuse)?);
    let outline = template::outline(template, now, names).map_err(refuse)?;
    let by_name = said_by_name(&path, &outline);
    Ok((path, by_name))
}

/// Returns the path of a file that is written beside the rows, the value of `key`, if
/// there is one. `hint` says what to do where it is standard output.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose
/// placeholders are wrong.
pub(super) fn side_file(
    layers: &Layers,
    key: Key<OsString>,
    now: &LazyNow,
    database: Option<&str>,
    hint: &str,
) -> Result<Option<WithOrigin<PathBuf>>> {
    let Some(WithOrigin { value, origin }) = layers.get(key) else {
        return Ok(None);
    };
    if value == "-" {
        let refused = origin.refuse(key, "names a file, and not standard output");
        return Err(refused.with_hint(hint));
    }
    let parameters = parameters_of(&value, key, &origin, layers)?;
    let (database, table) = table_names(layers, database);
    let names = Names {
        database: database.as_deref(),
        table: table.as_deref(),
        part: None,
        parameters: &parameters,
    };
    let path = template::expand(&value, now, names).map_err(|problem| {
        let refused = origin.refuse(key, &problem);
        refused.with_hint(template::hint(&problem, now))
    })?;
    check_url(path.as_ref(), key, &origin)?;
    Ok(Some(WithOrigin::new(path.into(), &origin)))
}

/// Checks the form of `path`, the value of `key`, if it is the URL of an object.
fn check_url(path: &Path, key: Key<OsString>, origin: &Origin) -> Result<()> {
    sink::check_url(path).map_err(|(problem, hint)| origin.refuse(key, &problem).with_hint(hint))
}

/// Returns the values of the parameters in `path`, the value of `key`, each from the
/// highest layer that has it. A name without a value is left out.
pub(super) fn parameters_of(
    path: &OsStr,
    key: Key<OsString>,
    origin: &Origin,
    layers: &Layers,
) -> Result<BTreeMap<String, String>> {
    let mut parameters = BTreeMap::new();
    for name in template::parameter_names(path) {
        let is_called = |parameter: &Parameter| parameter.name == name;
        let mut places = layers.all(keys::QUERY_PARAMS);
        let found = places.find_map(|(_, found)| found.value.into_iter().find(is_called));
        let Some(found) = found else {
            continue;
        };
        let [value] = found.value.texts() else {
            let what = format!("takes in {{{name}}} a list, and a name has one value");
            return Err(origin.refuse(key, &what));
        };
        parameters.insert(name.to_owned(), value.clone());
    }
    Ok(parameters)
}

/// Refuses a date that `path` has no place for, and one without the time of day that
/// `path` has.
fn check_run_date(path: &OsStr, layers: &Layers) -> Result<()> {
    let Some(WithOrigin { value, origin }) = run_date(layers) else {
        return Ok(());
    };
    match template::placeholder_with_time_of_day(path) {
        Some(placeholder) if !value.has_time => {
            let what = format!("has no time of day, and the output path has {placeholder}");
            let hint = "add it: 2020-01-03T04:05:06, or leave the placeholder out";
            Err(origin.refuse(keys::DATE, &what).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// Refuses a date for a run without a path that has it.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming its place.
pub(super) fn refuse_unused_date(layers: &Layers, paths: &[OsString]) -> Result<()> {
    match run_date(layers) {
        Some(date) if !paths.iter().any(|path| template::has_time(path)) => {
            let what = "is for the output path, which has no {date}";
            let hint = "the query takes values by --param";
            Err(date.origin.refuse(keys::DATE, what).with_hint(hint))
        }
        _ => Ok(()),
    }
}

/// Returns a warning for each parameter of `parameters` whose name in the output path
/// is a placeholder of its own.
pub(super) fn warnings(layers: &Layers, parameters: &[Parameter]) -> Vec<String> {
    let path = layers.value(keys::OUTPUT_PATH).unwrap_or_default();
    let is_parameter = |name: &&str| parameters.iter().any(|one| one.name == *name);
    let shadowed = template::reserved_names(&path).filter(is_parameter);
    let warn =
        |name| format!("{{{name}}} in the output path is not the parameter {name}: rename one");
    shadowed.map(warn).collect()
}

/// Refuses bytes that are no text on a terminal, and their compression.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming what chooses them.
pub(super) fn check_binary(layers: &Layers, chosen: &Destination) -> Result<()> {
    if chosen.format.is_text() {
        return Ok(());
    }
    let name = chosen.format.name;
    if let Some(WithOrigin {
        value: Some(_),
        origin,
    }) = &chosen.compression
    {
        let setting = match *origin == chosen.target_origin {
            true => keys::OUTPUT_PATH.setting(),
            false => keys::COMPRESSION.setting(),
        };
        let what = match chosen.format.is_columnar() {
            true => format!("compresses {name}, which does so with its columns"),
            false => format!("compresses {name}, which is compressed within"),
        };
        let hint = match name {
            "parquet" => "choose --parquet-compression",
            _ if chosen.format.is_columnar() => "choose --arrow-compression",
            _ => "leave it out",
        };
        return Err(origin.refuse(setting, &what).with_hint(hint));
    }
    if is_terminal(layers, &chosen.target) {
        let what = format!("{name} is bytes that a terminal cannot show");
        let refused = chosen.format_origin.refuse(keys::OUTPUT_FORMAT, &what);
        return Err(refused.with_hint("name a file: -o FILE, or redirect standard output"));
    }
    Ok(())
}

/// How the bytes for `chosen` are compressed.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a terminal, and for
/// threads that have nothing to compress.
pub(super) fn compression(
    layers: &Layers,
    chosen: &Destination,
) -> Result<Option<CompressionOptions>> {
    let found = chosen.compression.as_ref();
    let threads = layers.get(keys::COMPRESSION_THREADS);
    let Some((compression, origin)) = found.and_then(|it| Some((it.value?, &it.origin))) else {
        return match threads {
            Some(threads) if matches!(threads.origin, Origin::Flag(_)) => {
                let what = "has no meaning, as nothing is compressed";
                Err(threads.origin.refuse(keys::COMPRESSION_THREADS, what))
            }
            _ => Ok(None),
        };
    };
    if is_terminal(layers, &chosen.target) {
        let what = "makes bytes that a terminal cannot show";
        let refused = origin.refuse(keys::COMPRESSION, what);
        return Err(refused.with_hint("name a file: -o FILE, or redirect standard output"));
    }
    let threads = threads.map_or(NonZeroU16::MIN, |threads| threads.value);
    Ok(Some(CompressionOptions {
        compression,
        threads,
    }))
}

/// Whether missing folders of the target are created.
pub(super) fn create_dirs(layers: &Layers) -> CreateDirs {
    if layers.is_on(keys::CREATE_DIRS) {
        CreateDirs::Create
    } else {
        CreateDirs::Refuse
    }
}
