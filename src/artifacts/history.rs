//! What each export's last success came to, kept from one run to the next in a
//! file of JSON: what guards compare with.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::ColumnDescription,
    sink::{self, folder},
};

/// The last successes, by the exports' names.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// By the exports' names.
    pub exports: BTreeMap<String, LastSuccess>,
}

/// What an export came to that was published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastSuccess {
    /// Its rows.
    pub rows: u64,
    /// Its columns, in their order.
    pub columns: Vec<ColumnDescription>,
    /// When that was, in UTC, as RFC 3339.
    pub finished: String,
}

impl History {
    /// What the file at `path` holds; nothing where there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        if !folder(path).is_dir() {
            let what = format!(
                "cannot keep the state in {}: its folder is missing",
                path.display()
            );
            return Err(Error::config(what).with_hint("create the folder first"));
        }
        let failed = |what: String| {
            let what = format!("cannot read the state file {}: {what}", path.display());
            Error::config(what).with_hint("mend or remove it: without it, nothing is compared")
        };
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// Adds the success of the export called `name` to the file at `path`, as it
    /// is by now.
    ///
    /// # Errors
    /// [`ErrorKind::Output`] where it cannot be written; it is then as it was.
    pub fn record(path: &Path, name: &str, success: LastSuccess) -> Result<()> {
        // Other runs may do the same.
        let _locked = sink::lock_folder(path);
        let lost = |error: Error| Error::new(ErrorKind::Output, error.message());
        let mut history = Self::load(path).map_err(lost)?;
        history.exports.insert(name.to_owned(), success);
        let text = serde_json::to_string_pretty(&history);
        let text = text.map_err(|error| {
            Error::new(ErrorKind::Output, format!("cannot make the state: {error}"))
        })?;
        let bytes = format!("{text}\n");
        sink::write_atomically(path, bytes.as_bytes(), &CancelToken::default())?.commit()
    }
}
