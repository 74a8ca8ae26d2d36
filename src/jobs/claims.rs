//! The paths that exports write to, of which no two are the same.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::plan::ExportPlan;
use crate::{
    artifacts::{dataset, manifest},
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
    let mut conflicts = Vec::new();
    for Claim { path, name } in outputs.chain(exports.iter().flat_map(claims_of)) {
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

/// The paths that `export` writes to.
fn claims_of(export: &ExportPlan) -> Vec<Claim> {
    let rows = match &export.name {
        Some(name) => format!("the rows of {name}"),
        None => "the rows".to_owned(),
    };
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
    // The null device takes any number of outputs.
    if path != Path::new("/dev/null") {
        claims.push(Claim {
            path: path.clone(),
            name: rows,
        });
    }
    claims
}
