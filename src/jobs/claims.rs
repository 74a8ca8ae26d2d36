//! The paths that exports write to, of which no two are the same.

use std::path::{Path, PathBuf};

use super::plan::ExportPlan;
use crate::{
    artifacts::{dataset, manifest},
    error::Error,
    sink::{self, Partial, Target},
};

/// A path that is written to, and its name in messages.
pub(crate) struct Claim {
    pub path: PathBuf,
    pub name: String,
}

impl Claim {
    /// Returns the error that what is called `other` has the same path.
    pub(crate) fn refuse(&self, other: &str) -> Error {
        let (name, path) = (&self.name, self.path.display());
        let what = format!("{other} and {name} would go to the same place, {path}");
        Error::config(what).with_hint("give each a path of its own")
    }
}

/// The paths that `export` writes to.
pub(crate) fn claims_of(export: &ExportPlan) -> Vec<Claim> {
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
