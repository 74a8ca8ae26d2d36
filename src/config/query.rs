//! Resolves the query and its parameters, each from the highest layer that has it.

use std::{
    any::Any,
    collections::BTreeSet,
    fs,
    io::{self, Read},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use super::{
    increment,
    layers::Layers,
    origin::{Origin, WithOrigin},
    output::{self, LazyNow},
    query_text,
    settings::{Key, Setting, keys},
    split,
};
use crate::{
    artifacts::template::{self, OutputName},
    error::{Error, Result},
    jobs::plan::TableSelection,
    sql::{
        CHUNK, ColumnNames, INCREMENT, Parameter, Query, SINCE, TableName, TablePattern,
        TableQuery, UNTIL,
    },
    text::hide_passwords_of_sql,
};

/// Returns the query of the highest layer that has one, and the values of its
/// parameters.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a query that is
/// missing, unreadable, or not one statement, and for parameters that do not
/// fit it.
pub(super) fn query(layers: &Layers, name: Option<&str>) -> Result<(Query, Vec<Parameter>)> {
    let source = source(layers, name)?;
    let (number, place) = (source.layer, source.place());
    let with_place = |error: Error| match &place {
        Place::CommandLine => error,
        Place::Setting(place) | Place::File(place) => error.with_location(place),
    };
    refuse_settings_of_tables(layers, &source)?;
    let query = match source.kind {
        SourceKind::Table(table) => table_query(layers, table)?,
        SourceKind::Tables(_) => table_query(layers, any_table())?,
        SourceKind::File(path) => parse(read(&path, &source.origin)?).map_err(with_place)?,
        SourceKind::Sql(text) => parse(text).map_err(with_place)?,
    };
    // The layers above the export's own may be for another export.
    let highest = if name.is_some() { number } else { 0 };
    let mut parameters = parameters(layers, highest..=number, &query)?;
    if split::size(layers).is_some() && query.has_parameter(CHUNK) {
        if parameters.iter().any(|one| one.name == CHUNK) {
            let what = "gives chunk a value, which is the condition of a chunk here";
            return Err(layers.refuse(keys::QUERY_PARAMS, what));
        }
        // They stand for these until the run has its own.
        parameters.push(Parameter::expression(CHUNK, "1 = 1"));
    }
    if increment::is_on(layers) {
        for (name, sql) in [(INCREMENT, "1 = 1"), (SINCE, "NULL"), (UNTIL, "NULL")] {
            if parameters.iter().any(|one| one.name == name) {
                let what = format!("gives {name} a value, which is that of what is new here");
                return Err(layers.refuse(keys::QUERY_PARAMS, &what));
            }
            parameters.extend(
                query
                    .has_parameter(name)
                    .then(|| Parameter::expression(name, sql)),
            );
        }
    }
    query.check_parameters(&parameters).map_err(with_place)?;
    let query = match place {
        Place::File(place) => query.with_place(place),
        // The export's name tells which of the settings it is.
        Place::Setting(place) if name.is_none() => query.with_place(place),
        _ => query,
    };
    Ok((query, parameters))
}

/// Parses `text` as the query that a user gives.
fn parse(text: String) -> Result<Query> {
    hide_passwords_of_sql(&text);
    query_text::refuse_address(&text)?;
    let query = Query::parse(text)?;
    query_text::refuse_no_query(&query)?;
    Ok(query)
}

/// Returns a warning for each of `parameters` that may be meant as a list in `query`.
pub(super) fn warnings(query: &Query, parameters: &[Parameter]) -> Vec<String> {
    let warn = |name| {
        format!(
            "{name} holds a comma and is one value in IN (:{name}); a list is [1, 2] or [\"a\", \"b\"]"
        )
    };
    let doubtful = query.doubtful_lists(parameters).into_iter();
    doubtful.map(warn).collect()
}

/// Whether any layer has a query.
pub(super) fn is_given(layers: &Layers) -> bool {
    origin(layers).is_some()
}

/// The origin of the query, as far as a single setting gives it.
pub(super) fn origin(layers: &Layers) -> Option<&Origin> {
    let sql = layers.origin(keys::QUERY_SQL);
    let file = || layers.origin(keys::QUERY_FILE);
    let table = || layers.origin(keys::QUERY_TABLE);
    let tables = || layers.origin(keys::QUERY_TABLES);
    sql.or_else(file).or_else(table).or_else(tables)
}

/// Returns the error for a missing query.
pub(super) fn missing(name: Option<&str>) -> Error {
    match name {
        Some(_) => {
            Error::config("the export has no query").with_hint("add sql = \"…\", file = \"…\" or table = \"…\"")
        }
        None => Error::config("no query is given").with_hint(
            "gold_digger \"SELECT …\", or `-` for standard input, or --query-file FILE, or --table NAME, \
             or DATABASE_QUERY, or a configuration file (--config) with one",
        ),
    }
}

/// Where the SQL text stands, as messages name it.
enum Place {
    CommandLine,
    /// A variable, or a key of the configuration file.
    Setting(String),
    /// A file, or standard input.
    File(String),
}

/// The query's source: the setting that gives it in the highest layer that has one.
struct Source {
    /// The index of the layer.
    layer: usize,
    kind: SourceKind,
    origin: Origin,
}

enum SourceKind {
    Sql(String),
    File(PathBuf),
    Table(TableName),
    Tables(Vec<TablePattern>),
}

impl Source {
    fn setting(&self) -> &'static Setting {
        match self.kind {
            SourceKind::Sql(_) => keys::QUERY_SQL.setting(),
            SourceKind::File(_) => keys::QUERY_FILE.setting(),
            SourceKind::Table(_) => keys::QUERY_TABLE.setting(),
            SourceKind::Tables(_) => keys::QUERY_TABLES.setting(),
        }
    }

    fn place(&self) -> Place {
        match (&self.kind, &self.origin) {
            (SourceKind::File(path), _) => Place::File(file_name(path)),
            (_, Origin::Flag(_)) => Place::CommandLine,
            (_, origin) => Place::Setting(origin.subject(self.setting())),
        }
    }
}

/// Returns the source of the query.
fn source(layers: &Layers, name: Option<&str>) -> Result<Source> {
    fn first<T: Any + Clone>(
        layers: &Layers,
        key: Key<T>,
        kind: impl FnOnce(T) -> SourceKind,
    ) -> Option<Source> {
        let (layer, WithOrigin { value, origin }) = layers.all(key).next()?;
        let kind = kind(value);
        Some(Source {
            layer,
            kind,
            origin,
        })
    }
    let sources = [
        first(layers, keys::QUERY_SQL, SourceKind::Sql),
        first(layers, keys::QUERY_FILE, SourceKind::File),
        first(layers, keys::QUERY_TABLE, SourceKind::Table),
        first(layers, keys::QUERY_TABLES, SourceKind::Tables),
    ];
    let mut sources: Vec<Source> = sources.into_iter().flatten().collect();
    sources.sort_by_key(|source| source.layer);
    let mut sources = sources.into_iter();
    let source = sources.next().ok_or_else(|| missing(name))?;
    if let Some(second) = sources.next().filter(|second| second.layer == source.layer) {
        let subject = source.origin.subject(source.setting());
        let what = format!("cannot stand beside {subject}");
        let refused = second.origin.refuse(second.setting(), &what);
        return Err(refused.with_hint("keep one of them"));
    }
    Ok(source)
}

/// Returns the table that is exported, if it is no other query.
pub(super) fn table(layers: &Layers) -> Option<TableName> {
    match source(layers, None).ok()?.kind {
        SourceKind::Table(table) => Some(table),
        _ => None,
    }
}

/// Whether patterns choose the tables that are exported.
pub(super) fn is_table_set(layers: &Layers) -> bool {
    source(layers, None).is_ok_and(|source| matches!(source.kind, SourceKind::Tables(_)))
}

/// The name in the query that stands for those of the tables that are found.
fn any_table() -> TableName {
    TableName {
        database: None,
        table: "{table}".to_owned(),
    }
}

/// Returns the tables that patterns choose, if they do. Their files are named as `output`
/// and `statement_file` say.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a pattern that names no
/// database if there is no default `database`, and for one name of several tables.
pub(super) fn table_selection(
    layers: &Layers,
    database: Option<&str>,
    output: impl FnOnce() -> Result<OutputName>,
) -> Result<Option<TableSelection>> {
    let Ok(Source {
        kind: SourceKind::Tables(include),
        origin,
        ..
    }) = source(layers, None)
    else {
        return Ok(None);
    };
    let exclude = layers.list(keys::QUERY_EXCLUDE);
    for (key, patterns) in [
        (keys::QUERY_TABLES, &include),
        (keys::QUERY_EXCLUDE, &exclude),
    ] {
        let unnamed = patterns.iter().find(|one| !one.has_database());
        if let (Some(pattern), None) = (unnamed, database) {
            let what = format!("names no database in {pattern}, and there is no default one");
            let hint = format!("write DATABASE.{pattern}, or --database NAME");
            let origin = layers.origin(key).unwrap_or(&origin);
            return Err(origin.refuse(key, &what).with_hint(hint));
        }
    }
    if layers.get(keys::SQL_TABLE).is_some() {
        let what = "is one name, and each table has its own";
        return Err(layers
            .refuse(keys::SQL_TABLE, what)
            .with_hint("leave it out"));
    }
    let TableQuery {
        columns,
        condition,
        limit,
        ..
    } = table_settings(layers, any_table());
    let statement_file = layers.value(keys::LOAD_STATEMENT);
    Ok(Some(TableSelection {
        include,
        exclude,
        columns,
        condition,
        limit,
        output: output()?,
        statement_file: statement_file.map(PathBuf::from),
        schema_file: layers.value(keys::SCHEMA_FILE).map(PathBuf::from),
    }))
}

/// Returns the file of the statement that creates the table, if there is one.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose placeholders
/// are wrong.
pub(super) fn schema_file(
    layers: &Layers,
    now: &LazyNow,
    database: Option<&str>,
) -> Result<Option<WithOrigin<PathBuf>>> {
    if table(layers).is_none() && !is_table_set(layers) {
        return Ok(None);
    }
    let hint = "SHOW CREATE TABLE prints it";
    output::side_file(layers, keys::SCHEMA_FILE, now, database, hint)
}

/// Returns what the settings say of the rows of `table`.
fn table_settings(layers: &Layers, table: TableName) -> TableQuery {
    let columns = layers.list(keys::QUERY_SELECT).into_iter();
    TableQuery {
        table,
        columns: columns.flat_map(|ColumnNames(names)| names).collect(),
        condition: layers.value(keys::QUERY_WHERE),
        limit: layers.value(keys::QUERY_LIMIT),
        conditions: [
            split::size(layers).map(|_| CHUNK),
            increment::is_on(layers).then_some(INCREMENT),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// Returns the query of `table`, from the settings that are for it.
fn table_query(layers: &Layers, table: TableName) -> Result<Query> {
    let place = layers.origin(keys::QUERY_WHERE);
    let place = place.map(|origin| origin.subject(keys::QUERY_WHERE));
    let query = table_settings(layers, table).to_query();
    query.map_err(|error| match place {
        Some(place) => error.with_location(&place),
        None => error,
    })
}

/// Refuses what only tables have beside another `source`, from its layer or one above it.
fn refuse_settings_of_tables(layers: &Layers, source: &Source) -> Result<()> {
    let of_tables = [
        keys::QUERY_SELECT.setting(),
        keys::QUERY_WHERE.setting(),
        keys::QUERY_LIMIT.setting(),
        keys::SCHEMA_FILE.setting(),
    ];
    let exclude = keys::QUERY_EXCLUDE.setting();
    let subject = source.origin.subject(source.setting());
    let (settings, what, hint) = match source.kind {
        SourceKind::Tables(_) => return Ok(()),
        SourceKind::Table(_) => (
            vec![exclude],
            format!("is for --tables, and {subject} is one table"),
            "leave it out",
        ),
        _ => (
            [&of_tables[..], &[exclude]].concat(),
            format!("is for the rows of a --table, and {subject} is a query"),
            "write it into the query",
        ),
    };
    for setting in settings {
        let mut layers = layers.list[..=source.layer].iter();
        if let Some(found) = layers.find_map(|layer| layer.entry(setting)) {
            return Err(found.origin.refuse(setting, &what).with_hint(hint));
        }
    }
    Ok(())
}

/// The file's name in messages.
fn file_name(path: &Path) -> String {
    match path == Path::new("-") {
        true => "standard input".to_owned(),
        false => path.to_string_lossy().into_owned(),
    }
}

/// The text of the file at `path`, which `origin` names.
fn read(path: &Path, origin: &Origin) -> Result<String> {
    let name = file_name(path);
    let refuse = |what: String| {
        let what = format!("names {name}, {what}");
        origin.refuse(keys::QUERY_FILE, &what)
    };
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes
        .map_err(|error| refuse(format!("which cannot be read: {error}")).with_source(error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        refuse(format!("which is not UTF-8 (byte {at})")).with_hint("save it as UTF-8")
    })?;
    // Editors on Windows put a byte order mark before the text.
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// The parameters of all layers. The highest layer that has a name wins. The
/// layers outside `own` may be for another query: only those of their parameters
/// that this query uses are taken.
fn parameters(
    layers: &Layers,
    own: RangeInclusive<usize>,
    query: &Query,
) -> Result<Vec<Parameter>> {
    // Those of the other outputs of the rows, too.
    let others = layers.list.iter().flat_map(|layer| &layer.outputs);
    let others = others.filter_map(|layer| layer.value(keys::OUTPUT_PATH));
    let paths = layers.value(keys::OUTPUT_PATH).into_iter().chain(others);
    let paths: Vec<_> = paths.collect();
    let mut parameters: Vec<Parameter> = Vec::new();
    for (index, found) in layers.all(keys::QUERY_PARAMS) {
        let refuse = |what: &str| found.origin.refuse(keys::QUERY_PARAMS, what);
        let mut names = BTreeSet::new();
        let mut given = found.value.iter();
        if let Some(again) = given.find(|parameter| !names.insert(&parameter.name)) {
            return Err(refuse(&format!("gives {} twice", again.name)));
        }
        let is_in_path = |name: &str| {
            let mut names = paths
                .iter()
                .flat_map(|path| template::parameter_names(path));
            names.any(|found| found == name)
        };
        let is_unused = |parameter: &&Parameter| {
            !query.has_parameter(&parameter.name) && !is_in_path(&parameter.name)
        };
        let unused = found.value.iter().find(is_unused);
        if let (Some(unused), true) = (unused, own.contains(&index)) {
            let name = &unused.name;
            let what = format!("gives {name} a value, but the query has no :{name}");
            let hint = "names are compared to the letter; in quotes and comments they do not count";
            return Err(refuse(&what).with_hint(hint));
        }
        for parameter in found.value {
            let is_new = parameters.iter().all(|other| other.name != parameter.name);
            if is_new && query.has_parameter(&parameter.name) {
                parameters.push(parameter);
            }
        }
    }
    Ok(parameters)
}
