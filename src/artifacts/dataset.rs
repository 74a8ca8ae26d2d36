//! The manifest of a dataset: the files among which the rows of one export are divided.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    manifest::{self, ManifestColumn},
    template::OutputName,
};
use crate::{
    cancel::CancelToken,
    error::Result,
    format::Codec,
    sink::{self, Staged, folder},
    source::BinlogPosition,
};

/// The end of the file name of a dataset's manifest.
pub const SUFFIX: &str = ".dataset.json";

/// What stands for the number of a part in the name of a dataset's manifest.
const ALL: &str = "all";

/// A description of a dataset and of its origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dataset {
    /// The name and the version of the program that wrote it.
    pub generator: String,
    /// The export's name in the configuration file; `None` for a single query.
    pub export: Option<String>,
    /// The files, in the order of their rows.
    pub files: Vec<DatasetFile>,
    /// The name of their format.
    pub format: String,
    /// The codec that their bytes are compressed by; `None` if they are not.
    pub compression: Option<Codec>,
    /// Whether the first record of each holds the columns' names (CSV, TSV).
    pub header: bool,
    /// The number of all rows.
    pub rows: u64,
    /// The size of all files in bytes, as they are stored.
    pub bytes: u64,
    /// The columns, in their order.
    pub columns: Vec<ManifestColumn>,
    /// The SHA-256 of the query's text, in hexadecimal digits.
    pub query_sha256: String,
    /// The server's address or socket.
    pub server: String,
    /// The server's version, as the server reports it.
    pub server_version: Option<String>,
    /// The default database.
    pub database: Option<String>,
    /// The snapshot's position in the binary log; `None` without a snapshot, or if
    /// its position is not known.
    pub snapshot: Option<BinlogPosition>,
    /// When the export started, in UTC, as RFC 3339.
    pub started: Option<String>,
    /// When the export finished, in UTC, as RFC 3339.
    pub finished: String,
}

/// A file of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFile {
    /// The file's name, in the folder of the dataset's manifest.
    pub file: String,
    /// The number of its rows.
    pub rows: u64,
    /// Its size in bytes, as it is stored.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl Dataset {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// What is wrong with the manifest, as the end of a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        let wrong = |error| format!("it is no manifest of a dataset: {error}");
        serde_json::from_slice(&bytes).map_err(wrong)
    }
}

/// Returns the path of part `number` of the files that `output` names. Numbers have five
/// digits or more.
///
/// # Errors
/// What is wrong with the path, as the end of a sentence.
pub fn part_path(output: &OutputName, number: u32) -> Result<PathBuf, String> {
    output.expand(&output.template, Some(&format!("{number:05}")))
}

/// Returns the path of the dataset's manifest: `orders-all.csv.dataset.json` for the files
/// `orders-{part}.csv`.
///
/// # Errors
/// What is wrong with the path, as the end of a sentence.
pub fn path(output: &OutputName) -> Result<PathBuf, String> {
    let mut path = output.expand(&output.template, Some(ALL))?.into_os_string();
    path.push(SUFFIX);
    Ok(path.into())
}

/// Writes the manifest of a dataset to `path`. The caller commits it after the files.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if it cannot be written.
pub fn write(dataset: &Dataset, path: &Path, first: &Path, cancel: &CancelToken) -> Result<Staged> {
    let text = manifest::to_text(dataset)?;
    let model = sink::resolve(first);
    sink::write_atomically_like(path, Some(&model), text.as_bytes(), cancel)
}

/// Removes the manifest of a dataset at `path`, whose files are about to be replaced. A
/// file that is no manifest of this program stays.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if it cannot be removed.
pub fn remove_outdated(path: &Path) -> Result<()> {
    let path = sink::resolve(path);
    let is_own =
        Dataset::read(&path).is_ok_and(|found| manifest::is_by_this_program(&found.generator));
    match is_own {
        true => sink::remove(&path, "remove the outdated manifest"),
        false => Ok(()),
    }
}

/// Returns the files that an earlier, longer dataset of the name `output` has left: those
/// whose numbers are above `count`.
#[must_use]
pub fn surplus_parts(output: &OutputName, count: u32) -> Vec<PathBuf> {
    let names = [1, 99_999].map(|number| part_path(output, number).ok());
    let [Some(first), Some(last)] = names else {
        return Vec::new();
    };
    let Some((before, after)) = around_number(&first, &last) else {
        return Vec::new();
    };
    let entries = fs::read_dir(folder(&first)).into_iter().flatten().flatten();
    let mut surplus: Vec<PathBuf> = entries
        .map(|entry| entry.file_name())
        .filter(|name| number_of(name, before, after).is_some_and(|number| number > count))
        .map(|name| first.with_file_name(name))
        .collect();
    surplus.sort();
    surplus
}

/// Returns what stands before and behind the number in the names of the parts 1 and
/// 99,999: it is where they differ.
fn around_number<'a>(first: &'a Path, last: &Path) -> Option<(&'a str, &'a str)> {
    let (first, last) = (first.file_name()?.to_str()?, last.file_name()?.to_str()?);
    let bytes = first.bytes().zip(last.bytes());
    let before = bytes.take_while(|(a, b)| a == b).count();
    Some((first.get(..before)?, first.get(before + 5..)?))
}

/// Returns the number of the part that is called `name`, if it is one.
fn number_of(name: &OsStr, before: &str, after: &str) -> Option<u32> {
    let digits = name.to_str()?.strip_prefix(before)?.strip_suffix(after)?;
    let number = digits.parse().ok()?;
    (format!("{number:05}") == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn parts_are_found_by_their_numbers() {
        let output = OutputName {
            template: "x/o00-{part}.csv".into(),
            time: None,
            database: None,
            table: None,
            parameters: BTreeMap::new(),
            keep: None,
        };
        assert_eq!(part_path(&output, 7), Ok("x/o00-00007.csv".into()));
        assert_eq!(part_path(&output, 123_456), Ok("x/o00-123456.csv".into()));
        assert_eq!(path(&output), Ok("x/o00-all.csv.dataset.json".into()));
        let [first, last] = [1, 99_999].map(|number| part_path(&output, number).expect("a path"));
        assert_eq!(around_number(&first, &last), Some(("o00-", ".csv")));
        for (name, number) in [
            ("o00-00007.csv", Some(7)),
            ("o00-123456.csv", Some(123_456)),
            ("o00-7.csv", None),
            ("o00-000007.csv", None),
            ("o00-+0007.csv", None),
            ("o00-all.csv", None),
            ("o00-00007.csv.manifest.json", None),
            ("p00-00007.csv", None),
            ("ä", None),
            ("", None),
        ] {
            let found = number_of(OsStr::new(name), "o00-", ".csv");
            assert_eq!(found, number, "{name}");
        }
    }
}
