//! The query and its parameters, each of the highest layer that has it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    ops::RangeInclusive,
    path::Path,
};

use super::layers::{Layers, Origin, Sourced, Value};
use crate::{
    error::{Error, Result},
    source::Protocol,
    sql::{Parameter, Query},
};

/// The query of the highest layer that has one, and the values of its
/// parameters.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a query that is
/// missing, unreadable, or not one statement, and for parameters that do not
/// fit it.
pub(super) fn query(
    layers: &Layers,
    protocol: Protocol,
    name: Option<&str>,
) -> Result<(Query, Vec<Parameter>)> {
    let (number, text, place) = text(layers, name)?;
    let in_place = |error: Error| match &place {
        Some(place) => error.with_location(place),
        None => error,
    };
    let query = Query::parse(text).map_err(in_place)?;
    // What is above an export of a list may belong to another one.
    let highest = if name.is_some() { number } else { 0 };
    let parameters = parameters(layers, highest..=number, &query)?;
    if protocol == Protocol::Text && !parameters.is_empty() {
        return Err(Error::config(
            "parameters need prepared statements, which --protocol text does without",
        )
        .with_hint("leave --protocol out"));
    }
    query.check_parameters(&parameters).map_err(in_place)?;
    Ok((query, parameters))
}

/// Whether any layer has a query.
pub(super) fn is_given(layers: &Layers) -> bool {
    layers
        .get("query.sql")
        .or_else(|| layers.get("query.file"))
        .is_some()
}

/// The error where none has.
pub(super) fn missing(name: Option<&str>) -> Error {
    match name {
        Some(_) => {
            Error::config("the export has no query").with_hint("add sql = \"…\" or file = \"…\"")
        }
        None => Error::config("no query is given").with_hint(
            "gold_digger \"SELECT …\", or --query-file FILE, or DATABASE_QUERY, or a configuration \
             file with one",
        ),
    }
}

/// The SQL text, the number of its layer, and where it stands, unless it was
/// typed.
fn text(layers: &Layers, name: Option<&str>) -> Result<(usize, String, Option<String>)> {
    let sql = layers.all("query.sql").next();
    let file = layers.all("query.file").next();
    let (number, found) = match (sql, file) {
        (Some((first, sql)), Some((second, file))) if first == second => {
            let what = format!("cannot stand beside {}", sql.origin.subject("query.sql"));
            return Err(file
                .origin
                .refuse("query.file", &what)
                .with_hint("keep one of them"));
        }
        (Some((first, _)), Some((second, file))) if second < first => (second, file),
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => return Err(missing(name)),
    };
    let Value::Text(text) = &found.value else {
        return Err(found.origin.refuse("query.sql", "is no text"));
    };
    if file.is_some_and(|(_, file)| std::ptr::eq(file, found)) {
        let name = if text == "-" {
            "standard input".into()
        } else {
            text.to_string_lossy()
        };
        let read = read(found, text.as_ref(), &name)?;
        return Ok((number, read, Some(name.into_owned())));
    }
    let place = match &found.origin {
        Origin::Flag(_) => None,
        origin => Some(origin.subject("query.sql")),
    };
    Ok((number, text.to_string_lossy().into_owned(), place))
}

/// The text of the file at `path`, which messages call `name`.
fn read(found: &Sourced, path: &Path, name: &str) -> Result<String> {
    let refuse = |what: String| {
        let what = format!("names {name}, {what}");
        found.origin.refuse("query.file", &what)
    };
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let bytes = bytes.map_err(|error| refuse(format!("which cannot be read: {error}")))?;
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

/// The parameters of all layers, by their names. Those of other layers than its
/// `own` may belong to another query: of them, only the ones that this one uses.
fn parameters(
    layers: &Layers,
    own: RangeInclusive<usize>,
    query: &Query,
) -> Result<Vec<Parameter>> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for (number, found) in layers.all("query.params") {
        let Value::Parameters(given) = &found.value else {
            continue;
        };
        let mut names = BTreeSet::new();
        if let Some(again) = given
            .iter()
            .find(|parameter| !names.insert(&parameter.name))
        {
            let what = format!("gives {} twice", again.name);
            return Err(found.origin.refuse("query.params", &what));
        }
        let is_unused = |parameter: &&Parameter| !query.has_parameter(&parameter.name);
        if let (Some(unused), true) = (given.iter().find(is_unused), own.contains(&number)) {
            let name = &unused.name;
            let what = format!("gives {name} a value, but the query has no :{name}");
            return Err(found.origin.refuse("query.params", &what).with_hint(
                "names are compared to the letter; in quotes and comments they do not count",
            ));
        }
        let is_new = |name: &str| parameters.iter().all(|parameter| parameter.name != name);
        let mut wanted = given.clone();
        wanted.retain(|parameter| is_new(&parameter.name) && query.has_parameter(&parameter.name));
        parameters.append(&mut wanted);
    }
    Ok(parameters)
}
