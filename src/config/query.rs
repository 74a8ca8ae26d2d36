//! The query and its parameters, each of the highest layer that has it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read},
    path::Path,
};

use super::{
    Protocol,
    layers::{Layers, Sourced, Value},
};
use crate::{
    error::{Error, Result},
    sql::{Parameter, Query},
};

/// The query of the highest layer that has one, and the values of its
/// parameters.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a query that is
/// missing, unreadable, or not one statement, and for parameters that do not
/// fit it.
pub(super) fn query(layers: &Layers, protocol: Protocol) -> Result<(Query, Vec<Parameter>)> {
    let (number, text) = text(layers)?;
    let query = Query::parse(text)?;
    let parameters = parameters(layers, number, &query)?;
    if protocol == Protocol::Text && !parameters.is_empty() {
        return Err(Error::config(
            "parameters need prepared statements, which --protocol text does without",
        )
        .hint("leave --protocol out"));
    }
    query.check_parameters(&parameters)?;
    Ok((query, parameters))
}

/// The SQL text, and the number of its layer.
fn text(layers: &Layers) -> Result<(usize, String)> {
    let sql = layers.all("query.sql").next();
    let file = layers.all("query.file").next();
    let (number, found) = match (sql, file) {
        (Some((first, sql)), Some((second, file))) if first == second => {
            let what = format!("cannot stand beside {}", sql.origin.subject("query.sql"));
            return Err(file
                .origin
                .refuse("query.file", &what)
                .hint("keep one of them"));
        }
        (Some((first, _)), Some((second, file))) if second < first => (second, file),
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => {
            return Err(Error::config("no query is given")
                .hint("gold_digger \"SELECT …\", or --query-file FILE, or DATABASE_QUERY"));
        }
    };
    let Value::Text(text) = &found.value else {
        return Err(found.origin.refuse("query.sql", "is no text"));
    };
    let is_file = file.is_some_and(|(_, file)| std::ptr::eq(file, found));
    let text = if is_file {
        read(found, text.as_ref())?
    } else {
        text.to_string_lossy().into_owned()
    };
    Ok((number, text))
}

fn read(found: &Sourced, path: &Path) -> Result<String> {
    let refuse = |what: String| {
        let name = if path == Path::new("-") {
            "standard input".to_owned()
        } else {
            path.display().to_string()
        };
        found
            .origin
            .refuse("query.file", &format!("names {name}, {what}"))
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
        refuse(format!("which is not UTF-8 (byte {at})")).hint("save it as UTF-8")
    })?;
    // Editors on Windows put a byte order mark before the text.
    Ok(text
        .strip_prefix('\u{feff}')
        .map(str::to_owned)
        .unwrap_or(text))
}

/// The parameters of all layers, by their names. Those below the query's layer
/// belong to another query: of them, only the ones that this one uses.
fn parameters(layers: &Layers, query_layer: usize, query: &Query) -> Result<Vec<Parameter>> {
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
        let is_new = |name: &str| parameters.iter().all(|parameter| parameter.name != name);
        let mut wanted = given.clone();
        wanted.retain(|parameter| {
            is_new(&parameter.name)
                && (number <= query_layer || query.has_parameter(&parameter.name))
        });
        parameters.append(&mut wanted);
    }
    Ok(parameters)
}
