//! Resolves the query and its parameters, each from the highest layer that has it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    ops::RangeInclusive,
    path::Path,
};

use super::{layers::Layers, origin::Origin, query_text, settings::keys};
use crate::{
    artifacts::template,
    error::{Error, Result},
    sql::{Parameter, Query},
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
    let (number, text, place) = text(layers, name)?;
    let with_place = |error: Error| match &place {
        Place::CommandLine => error,
        Place::Setting(place) | Place::File(place) => error.with_location(place),
    };
    hide_passwords_of_sql(&text);
    query_text::refuse_address(&text).map_err(with_place)?;
    let query = Query::parse(text).map_err(with_place)?;
    query_text::refuse_no_query(&query).map_err(with_place)?;
    // The layers above the export's own may be for another export.
    let highest = if name.is_some() { number } else { 0 };
    let parameters = parameters(layers, highest..=number, &query)?;
    query.check_parameters(&parameters).map_err(with_place)?;
    let query = match place {
        Place::File(place) => query.with_place(place),
        // The export's name tells which of the settings it is.
        Place::Setting(place) if name.is_none() => query.with_place(place),
        _ => query,
    };
    Ok((query, parameters))
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
    layers.origin(keys::QUERY_SQL).is_some() || layers.origin(keys::QUERY_FILE).is_some()
}

/// Returns the error for a missing query.
pub(super) fn missing(name: Option<&str>) -> Error {
    match name {
        Some(_) => {
            Error::config("the export has no query").with_hint("add sql = \"…\" or file = \"…\"")
        }
        None => Error::config("no query is given").with_hint(
            "gold_digger \"SELECT …\", or `-` for standard input, or --query-file FILE, or \
             DATABASE_QUERY, or a configuration file (--config) with one",
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

/// The SQL text, the index of its layer, and its place.
fn text(layers: &Layers, name: Option<&str>) -> Result<(usize, String, Place)> {
    let sql = layers.all(keys::QUERY_SQL).next();
    let file = layers.all(keys::QUERY_FILE).next();
    match (sql, file) {
        (Some((first, sql)), Some((second, file))) if first == second => {
            let subject = sql.origin.subject(keys::QUERY_SQL);
            let what = format!("cannot stand beside {subject}");
            Err(file
                .origin
                .refuse(keys::QUERY_FILE, &what)
                .with_hint("keep one of them"))
        }
        (sql, Some((index, file))) if sql.as_ref().is_none_or(|(first, _)| index < *first) => {
            let name = if file.value == Path::new("-") {
                "standard input".to_owned()
            } else {
                file.value.to_string_lossy().into_owned()
            };
            let text = read(&file.value, &name, &file.origin)?;
            Ok((index, text, Place::File(name)))
        }
        (Some((index, sql)), _) => {
            let place = match &sql.origin {
                Origin::Flag(_) => Place::CommandLine,
                origin => Place::Setting(origin.subject(keys::QUERY_SQL)),
            };
            Ok((index, sql.value, place))
        }
        (None, _) => Err(missing(name)),
    }
}

/// The text of the file at `path`, which messages call `name` and which `origin`
/// names.
fn read(path: &Path, name: &str, origin: &Origin) -> Result<String> {
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
    let path = layers.value(keys::OUTPUT_PATH).unwrap_or_default();
    let mut parameters: Vec<Parameter> = Vec::new();
    for (index, found) in layers.all(keys::QUERY_PARAMS) {
        let refuse = |what: &str| found.origin.refuse(keys::QUERY_PARAMS, what);
        let mut names = BTreeSet::new();
        let mut given = found.value.iter();
        if let Some(again) = given.find(|parameter| !names.insert(&parameter.name)) {
            return Err(refuse(&format!("gives {} twice", again.name)));
        }
        let is_in_path = |name: &str| template::parameter_names(&path).any(|found| found == name);
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
