//! The history of a state file: the last success of each export, kept as JSON from
//! one run to the next. Guards compare new results with it.

use std::{collections::BTreeMap, fs, io, path::Path};

use serde::{Deserialize, Serialize};

use super::manifest;
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::ColumnDescription,
    sink::{self, TargetLock, folder},
    source::Mark,
};

/// The last success of each export.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct History {
    /// The last successes, by the names of the exports.
    pub exports: BTreeMap<String, LastSuccess>,
}

/// The result of the last export that was published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LastSuccess {
    /// The number of its rows.
    pub rows: u64,
    /// Its columns, in their order.
    pub columns: Vec<ColumnDescription>,
    /// When it ended, in UTC, as RFC 3339.
    pub finished: String,
    /// The last row, if only what is new is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<KeptMark>,
}

/// The last row that was read, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMark {
    /// The server's address or socket.
    pub server: String,
    /// The SHA-256 of the statement and its parameters, but for the bounds, in hexadecimal
    /// digits.
    pub statement: String,
    /// The key of the row.
    #[serde(flatten)]
    pub mark: Mark,
}

impl History {
    /// Reads the file at `path`. Returns an empty history if the file does not
    /// exist.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], if its folder is missing or it cannot be read.
    pub fn load(path: &Path) -> Result<Self> {
        if !folder(path).is_dir() {
            let message = format!(
                "cannot keep the state in {}: its folder is missing",
                path.display()
            );
            return Err(Error::config(message).with_hint("create the folder first"));
        }
        let failed = |problem: String| {
            let message = format!("cannot read the state file {}: {problem}", path.display());
            Error::config(message).with_hint("mend or remove it: without it, nothing is compared")
        };
        if let Err(error) = sink::check_origin(path) {
            return Err(failed(error.message().to_owned()).with_source(error));
        }
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| failed(error.to_string()).with_source(error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(failed(error.to_string()).with_source(error)),
        }
    }

    /// Keeps other runs from reading what is new for the export called `name`, whose last row
    /// the file at `path` has, until the lock is dropped. Returns `None` if there can be no
    /// lock.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if another run has the lock.
    pub fn lock_increment(path: &Path, name: &str) -> Result<Option<TargetLock>> {
        let mut file = sink::resolve(path).into_os_string();
        file.push(format!(".{}", &manifest::text_sha256(name)[..16]));
        sink::try_lock_target(Path::new(&file)).map_err(|_| {
            let what =
                format!("another run is reading what is new for {name}, and keeps its last row");
            Error::new(ErrorKind::Output, what).with_hint("run it again when that has ended")
        })
    }

    /// Sets the last success of the export called `name` in the file at `path`. Without a
    /// new last row, the one before stays. The file is read again first, because other runs
    /// may have changed it.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if the file cannot be read or written; it is then
    /// unchanged.
    pub fn record(path: &Path, name: &str, success: LastSuccess) -> Result<()> {
        // Other runs may change the file at the same time.
        let _locked = sink::lock_target(path);
        let failed = |error: Error| Error::new(ErrorKind::Output, error.message());
        let mut history = Self::load(path).map_err(failed)?;
        let earlier = history.exports.remove(name).and_then(|last| last.mark);
        let success = LastSuccess {
            mark: success.mark.or(earlier),
            ..success
        };
        history.exports.insert(name.to_owned(), success);
        let text = serde_json::to_string_pretty(&history);
        let text = text.map_err(|error| {
            Error::new(ErrorKind::Output, format!("cannot make the state: {error}"))
                .with_source(error)
        })?;
        let bytes = format!("{text}\n");
        sink::write_atomically(path, bytes.as_bytes(), &CancelToken::default())?.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_reads_an_increment() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.json");
        let lock = |name| History::lock_increment(&path, name);
        let held = lock("orders");
        assert!(matches!(held, Ok(Some(_))));
        let message = |name| lock(name).err().map(|error| error.message().to_owned());
        assert_eq!(
            message("orders").as_deref(),
            Some("another run is reading what is new for orders, and keeps its last row")
        );
        assert_eq!(message("customers"), None);
        drop(held);
        assert_eq!(message("orders"), None);
    }
}
