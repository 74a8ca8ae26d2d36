//! The manifest of a dataset: the files among which the rows of one export are divided.

use std::{
    ffi::OsStr,
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
    /// The snapshot's position in the binary log; `None` without a snapshot, if its position
    /// is not known, or if the files are of several.
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
    /// The position in the binary log of the snapshot that its rows are of; `None` without a
    /// snapshot, or if its position is not known.
    #[serde(default)]
    pub snapshot: Option<BinlogPosition>,
    /// When the run that read its rows started the export, in UTC, as RFC 3339. Files of
    /// several runs are not of one moment.
    #[serde(default)]
    pub started: Option<String>,
}

impl Dataset {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// What is wrong with the manifest, as the end of a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = sink::read(path).map_err(|error| error.to_string())?;
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
    match read_own(&path) {
        Some(_) => sink::remove(&path, "remove the outdated manifest"),
        None => Ok(()),
    }
}

/// Returns the manifest of a dataset at `path` that this program has written, if there is
/// one.
fn read_own(path: &Path) -> Option<Dataset> {
    let found = Dataset::read(path).ok()?;
    manifest::is_by_this_program(&found.generator).then_some(found)
}

/// Returns the files of the dataset whose manifest is at `path` that have the names of parts
/// of `output` with numbers above `count`, and the size that the manifest says. Other files
/// of such names are not the dataset's.
#[must_use]
pub fn surplus_parts(path: &Path, output: &OutputName, count: u32) -> Vec<PathBuf> {
    let path = sink::resolve(path);
    let (Some(earlier), Some(names)) = (read_own(&path), PartNames::of(output)) else {
        return Vec::new();
    };
    let is_surplus = |file: &&DatasetFile| {
        let number = names.number_of_name(&file.file);
        number.is_some_and(|number| number > count)
    };
    let surplus = earlier.files.iter().filter(is_surplus);
    let surplus = surplus.map(|file| (file, names.folder.join(&file.file)));
    let is_own = |(file, path): &(&DatasetFile, PathBuf)| {
        sink::size(path).is_ok_and(|found| found == Some(file.bytes))
    };
    surplus.filter(is_own).map(|(_, path)| path).collect()
}

/// The most parts that a run can have: each is open until all are published.
const MAX_PARTS: u32 = 1_000_000;

/// The names of all parts of a dataset.
pub struct PartNames {
    folder: PathBuf,
    before: String,
    after: String,
}

impl PartNames {
    /// Returns the names that `output` gives; `None` if it gives none, or none in UTF-8.
    #[must_use]
    pub fn of(output: &OutputName) -> Option<Self> {
        let [first, last] = [1, 99_999].map(|number| part_path(output, number).ok());
        let (first, last) = (first?, last?);
        // The number is where the names of two parts differ.
        let (name, last) = (first.file_name()?.to_str()?, last.file_name()?.to_str()?);
        let same = name.bytes().zip(last.bytes()).take_while(|(a, b)| a == b);
        let before = same.count();
        Some(Self {
            // A part itself may be a link to elsewhere.
            folder: folder(&sink::resolve(&first.with_file_name("{part}"))).to_owned(),
            before: name.get(..before)?.to_owned(),
            after: name.get(before + 5..)?.to_owned(),
        })
    }

    /// Returns the number of the part that is called `name`, if it is one.
    fn number_of_name(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        let number = digits.parse().ok()?;
        (format!("{number:05}") == digits).then_some(number)
    }

    /// The folder of the parts.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a part, or its manifest, may be called `name`.
    #[must_use]
    pub fn is_part(&self, name: &str) -> bool {
        let name = name.strip_suffix(manifest::SUFFIX).unwrap_or(name);
        self.number_of_name(name).is_some()
    }

    /// Whether a part, or what is kept beside it, may have the path `path`, whose links are
    /// followed.
    #[must_use]
    pub fn may_have(&self, path: &Path) -> bool {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let of_manifest = name.strip_suffix(manifest::SUFFIX);
        let of_partial = name.strip_suffix(".partial");
        let name = of_manifest.or(of_partial).unwrap_or(name);
        let number = self.number_of_name(name);
        path.parent() == Some(&self.folder) && number.is_some_and(|number| number <= MAX_PARTS)
    }

    /// Whether a part may have the name of one of `other`, as for `t{part}.csv` and
    /// `t1{part}.csv`.
    #[must_use]
    pub fn may_meet(&self, other: &Self) -> bool {
        let stem = |names: &Self| {
            let is_digit = |c: char| c.is_ascii_digit();
            let before = names.before.trim_end_matches(is_digit).to_owned();
            let after = names.after.trim_start_matches(is_digit).to_owned();
            (names.folder.clone(), before, after)
        };
        stem(self) == stem(other)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn named(template: &str) -> OutputName {
        OutputName {
            template: template.into(),
            time: None,
            database: None,
            table: None,
            parameters: BTreeMap::new(),
            keep: None,
        }
    }

    #[test]
    fn names_that_two_datasets_may_have_are_known() {
        let of = |template| PartNames::of(&named(template)).expect("names");
        for (one, other, may_meet) in [
            ("x/t{part}.csv", "x/t1{part}.csv", true),
            ("x/t{part}.csv", "x/t{part}2.csv", true),
            ("x/t{part}.csv", "y/t{part}.csv", false),
            ("x/t-{part}.csv", "x/t1-{part}.csv", false),
            ("x/t{part}.csv", "x/t{part}.tsv", false),
        ] {
            assert_eq!(of(one).may_meet(&of(other)), may_meet, "{one} {other}");
        }
        let names = of("x/t{part}.csv");
        let at = |name: &str| names.may_have(&names.folder.join(name));
        assert!(at("t00007.csv") && at("t00007.csv.manifest.json") && at("t00007.csv.partial"));
        // No run has so many files as that has days.
        assert!(!at("t20261127.csv") && !at("t-all.csv.dataset.json") && !at("t7.csv"));
        assert!(!names.may_have(Path::new("t00007.csv")));
    }

    #[test]
    fn parts_are_found_by_their_numbers() {
        let output = named("x/o00-{part}.csv");
        assert_eq!(part_path(&output, 7), Ok("x/o00-00007.csv".into()));
        assert_eq!(part_path(&output, 123_456), Ok("x/o00-123456.csv".into()));
        assert_eq!(path(&output), Ok("x/o00-all.csv.dataset.json".into()));
        let names = PartNames::of(&output).expect("names");
        let parts = (names.before.as_str(), names.after.as_str());
        assert_eq!(parts, ("o00-", ".csv"));
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
            assert_eq!(names.number_of_name(name), number, "{name}");
        }
    }
}
