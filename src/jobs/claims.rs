//! The paths that exports write to, of which no two are the same.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{plan::ExportPlan, resume};
use crate::{
    artifacts::{
        dataset::{self, PartNames},
        manifest,
    },
    error::Error,
    sink::{self, Partial, Target},
};

/// A path that is read or written, and its name in messages.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The path.
    pub path: PathBuf,
    /// The name.
    pub name: String,
}

/// The paths that a run reads and writes besides the files of its exports.
#[derive(Clone, Debug, Default)]
pub struct ReservedPaths {
    /// What is read, such as the configuration file.
    pub inputs: Vec<Claim>,
    /// What is written, such as the state.
    pub outputs: Vec<Claim>,
}

/// Two files of a run with one path.
pub struct Conflict {
    /// What is wrong.
    pub error: Error,
    /// The names of both.
    pub names: [String; 2],
}

/// Returns the conflicts among the files of `exports` and the `reserved` ones. Several
/// exports may read one input, but none may write to it. The null device takes any number
/// of outputs.
#[must_use]
pub fn conflicts(exports: &[ExportPlan], reserved: &ReservedPaths) -> Vec<Conflict> {
    let inputs = reserved.inputs.iter();
    let mut taken: HashMap<PathBuf, String> = inputs
        .map(|claim| (sink::resolve(&claim.path), claim.name.clone()))
        .collect();
    let outputs = reserved.outputs.iter().cloned();
    let outputs: Vec<Claim> = outputs.chain(exports.iter().flat_map(claims_of)).collect();
    let mut conflicts = conflicts_of_parts(exports, &reserved.inputs, &outputs);
    for Claim { path, name } in outputs {
        if let Some(other) = taken.insert(sink::resolve(&path), name.clone()) {
            let shown = path.display();
            let what = format!("{other} and {name} would go to the same place, {shown}");
            conflicts.push(Conflict {
                error: Error::config(what).with_hint("give each a path of its own"),
                names: [other, name],
            });
        }
    }
    conflicts
}

/// Returns the conflicts of the parts of `exports`, whose number nobody knows, with each
/// other, with what is read and with what else is written.
fn conflicts_of_parts(
    exports: &[ExportPlan],
    inputs: &[Claim],
    outputs: &[Claim],
) -> Vec<Conflict> {
    let parts = exports.iter().filter(|export| export.tables.is_none());
    let parts: Vec<(PartNames, String)> = parts
        .filter_map(|export| {
            let names = PartNames::of(&export.parts.as_ref()?.output)?;
            Some((names, name_of_rows(export)))
        })
        .collect();
    let conflict = |name: &str, other: &str, place: &str| Conflict {
        error: Error::config(format!("a file of {name} may get the name of {place}"))
            .with_hint("put another sign before or behind {part}, or write to another folder"),
        names: [name.to_owned(), other.to_owned()],
    };
    let mut conflicts = Vec::new();
    for (index, (names, rows)) in parts.iter().enumerate() {
        for claim in inputs.iter().chain(outputs) {
            let path = sink::resolve(&claim.path);
            if names.may_have(&path) {
                let place = format!("{}, which is {}", path.display(), claim.name);
                conflicts.push(conflict(rows, &claim.name, &place));
            }
        }
        let others = parts[index + 1..].iter();
        for (_, other) in others.filter(|(other, _)| names.may_meet(other)) {
            conflicts.push(conflict(rows, other, &format!("one of {other}")));
        }
    }
    conflicts
}

fn name_of_rows(export: &ExportPlan) -> String {
    match &export.name {
        Some(name) => format!("the rows of {name}"),
        None => "the rows".to_owned(),
    }
}

/// The paths that `export` writes to. Those of tables are known once these are found.
fn claims_of(export: &ExportPlan) -> Vec<Claim> {
    if export.tables.is_some() {
        return Vec::new();
    }
    let rows = name_of_rows(export);
    let mut claims = Vec::new();
    let statement_file = export
        .load
        .as_ref()
        .and_then(|load| load.statement_file.clone());
    claims.extend(statement_file.map(|path| Claim {
        path,
        name: format!("the statement that loads {rows}"),
    }));
    claims.extend(export.schema_file.as_ref().map(|file| Claim {
        path: file.path.clone(),
        name: format!("the statement that creates the table of {rows}"),
    }));
    let Target::Path(path) = &export.target else {
        claims.push(Claim {
            path: "/dev/stdout".into(),
            name: rows,
        });
        return claims;
    };
    let parts = export.parts.as_ref();
    let dataset = parts.and_then(|parts| dataset::path(&parts.output).ok());
    claims.extend(dataset.map(|path| Claim {
        path,
        name: format!("the manifest of {rows}"),
    }));
    if export.manifest.is_some() {
        claims.push(Claim {
            path: manifest::path(path),
            name: format!("the manifest of {rows}"),
        });
    }
    if export.partial == Partial::Keep {
        claims.push(Claim {
            path: sink::partial(path),
            name: format!("what is kept of {rows}"),
        });
    }
    if export.is_resumable()
        && let Ok(path) = resume::path(export)
    {
        claims.push(Claim {
            path,
            name: format!("the folder of the chunks of {rows}"),
        });
    }
    // The null device takes any number of outputs.
    if path != Path::new("/dev/null") {
        claims.push(Claim {
            path: path.clone(),
            name: rows,
        });
    }
    claims
}
