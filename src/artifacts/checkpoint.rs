//! The checkpoint of an export that is read in chunks: a folder beside its output, which
//! keeps the chunks that are whole, so that a later run reads only the others.
//!
//! The folder has a plan of all chunks, each chunk that is whole and a record of it, and
//! once the output is published only what it is. It is removed when the run succeeds.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    manifest::{self, ManifestColumn},
    verify,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    sink::{self, CreateDirs, WorkFolder},
    source::BinlogPosition,
};

/// What the name of the folder has behind that of the output.
const SUFFIX: &str = ".resume";

/// The file of the plan. A folder without it has nothing to go on with.
const PLAN: &str = "plan.json";

/// The file that says what has been published.
const PUBLISHED: &str = "published.json";

/// The file that lists what is left of an earlier, longer dataset, while that is replaced.
const SURPLUS: &str = "surplus.json";

/// What must be the same for a run that goes on with the chunks of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The SHA-256 of each thing that was asked for, by its name with an article.
    pub things: BTreeMap<String, String>,
    /// The columns that the rows are divided by, with their types and collations.
    pub key: Vec<String>,
    /// The SHA-256 of the session's variables that change rows.
    pub session: String,
    /// The columns of the rows.
    pub columns: Vec<ManifestColumn>,
}

/// How an export is divided into chunks, and what they are of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckpointPlan {
    /// The name and the version of the program that wrote it.
    pub generator: String,
    /// When the run that divided the rows started, in UTC, as RFC 3339.
    pub started: String,
    /// What was asked for.
    pub asked: Asked,
    /// The condition of the rows of each chunk.
    pub conditions: Vec<String>,
    /// The columns that rows are ordered by; `None` without a key.
    pub order: Option<String>,
    /// The moment of the session's clock, as seconds since 1970.
    pub moment: String,
    /// The SHA-256 of the conditions, the order and the moment.
    pub boundaries_sha256: String,
}

/// Where the rows of a chunk or of a file come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The snapshot's position in the binary log, if it is known.
    pub snapshot: Option<BinlogPosition>,
    /// When the export that read them started, in UTC, as RFC 3339.
    pub started: Option<String>,
}

/// A chunk that is whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WholeChunk {
    /// The number of its rows.
    pub rows: u64,
    /// The number of its bytes, before they are compressed.
    pub bytes: u64,
    /// The size of its file in bytes.
    pub stored_bytes: u64,
    /// The SHA-256 of its file, in hexadecimal digits.
    pub sha256: String,
    /// Where its rows come from.
    pub origin: Origin,
    /// The columns as they came.
    pub columns: Vec<ManifestColumn>,
    /// The warnings of the format about it.
    pub format_warnings: Vec<String>,
    /// The other warnings about it.
    pub warnings: Vec<String>,
    /// The server's version.
    pub server_version: Option<String>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// The statement that loads the output.
    pub load_statement: Option<String>,
    /// The statement that creates the table.
    pub create_statement: Option<String>,
}

/// What an export has published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Published {
    /// The number of rows.
    pub rows: u64,
    /// The number of bytes, before they are compressed.
    pub bytes: u64,
    /// When it started, in UTC, as RFC 3339.
    pub started: Option<String>,
    /// The files.
    pub files: Vec<PublishedFile>,
}

/// A file that an export has published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// The checkpoint of an export, which no other run has meanwhile.
#[derive(Debug)]
pub struct Checkpoint {
    folder: WorkFolder,
}

/// Returns the path of the checkpoint of the output at `path`.
#[must_use]
pub fn path(path: &Path) -> PathBuf {
    let mut path = sink::resolve(path).into_os_string();
    path.push(SUFFIX);
    path.into()
}

/// Removes the checkpoint at `path` of an earlier run, which another one has outdated. One
/// that a run is at work with stays, and so does a folder that is no checkpoint.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be removed.
pub fn remove_outdated(path: &Path) -> Result<()> {
    let Some(folder) = WorkFolder::find(path, is_own) else {
        return Ok(());
    };
    let outdated = Checkpoint { folder };
    match outdated.plan() {
        Ok(Some(_)) => outdated.remove(),
        _ => Ok(()),
    }
}

impl CheckpointPlan {
    /// Creates the plan of chunks with `conditions`.
    #[must_use]
    pub fn new(
        started: String,
        asked: Asked,
        conditions: Vec<String>,
        order: Option<String>,
        moment: String,
    ) -> Self {
        Self {
            generator: manifest::GENERATOR.to_owned(),
            started,
            asked,
            boundaries_sha256: boundaries_sha256(&conditions, order.as_deref(), &moment),
            conditions,
            order,
            moment,
        }
    }

    /// Returns which of the `things` that are asked for now is another one than before;
    /// `None` if all are the same.
    #[must_use]
    pub fn other_thing(&self, things: &BTreeMap<String, String>) -> Option<String> {
        if self.generator != manifest::GENERATOR {
            let (then, now) = (&self.generator, manifest::GENERATOR);
            return Some(format!("they were written by {then}, and this is {now}"));
        }
        let mut names = self.asked.things.keys().chain(things.keys());
        let other = names.find(|name| self.asked.things.get(*name) != things.get(*name))?;
        Some(format!("{other} is another one"))
    }

    /// Returns what of the plan is another thing than what is `asked` now; `None` if
    /// everything is the same.
    #[must_use]
    pub fn difference(&self, asked: &Asked) -> Option<String> {
        if let Some(difference) = self.other_thing(&asked.things) {
            return Some(difference);
        }
        if self.asked.key != asked.key {
            let (then, now) = (self.asked.key.join(", "), asked.key.join(", "));
            return Some(format!("the key was {then}, and is {now}"));
        }
        if self.asked.session != asked.session {
            return Some("the session's time zone or SQL mode is another one".to_owned());
        }
        let boundaries = boundaries_sha256(&self.conditions, self.order.as_deref(), &self.moment);
        if boundaries != self.boundaries_sha256 {
            return Some("the boundaries of its chunks have been altered".to_owned());
        }
        column_difference(&self.asked.columns, &asked.columns)
    }
}

fn boundaries_sha256(conditions: &[String], order: Option<&str>, moment: &str) -> String {
    let texts = [&conditions.join("\n"), order.unwrap_or_default(), moment];
    manifest::text_sha256(&texts.join("\n\n"))
}

/// Returns how the columns `now` differ from those `then`; `None` if they are the same.
fn column_difference(then: &[ManifestColumn], now: &[ManifestColumn]) -> Option<String> {
    let named = |column: &ManifestColumn| format!("{:?} {}", column.name, column.r#type);
    let different = then.iter().zip(now).find(|(then, now)| then != now);
    if let Some((then, now)) = different {
        let (then, now) = (named(then), named(now));
        return Some(match then == now {
            true => format!("the column {now} has other attributes"),
            false => format!("the column {then} is {now} now"),
        });
    }
    let new = now.get(then.len()).map(|column| (column, "new"));
    let gone = then.get(now.len()).map(|column| (column, "gone"));
    let (column, what) = new.or(gone)?;
    Some(format!("the column {} is {what}", named(column)))
}

impl Checkpoint {
    /// Opens the checkpoint at `path`, which may be new. The folder that it is in is
    /// created if `create_dirs` says so.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], also if another run has it.
    pub fn open(path: &Path, create_dirs: CreateDirs) -> Result<Self> {
        let folder = WorkFolder::open(path, create_dirs, is_own)?;
        Ok(Self { folder })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the plan of the chunks; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], if it cannot be read.
    pub fn plan(&self) -> Result<Option<CheckpointPlan>> {
        self.read(PLAN).map_err(|problem| {
            let path = self.path().join(PLAN);
            Error::config(format!("cannot read {}: {problem}", path.display()))
                .with_hint("remove its folder to begin anew")
        })
    }

    /// Begins with `plan`, without any chunk.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if it cannot be written.
    pub fn begin(&self, plan: &CheckpointPlan, cancel: &CancelToken) -> Result<()> {
        self.folder.clear(PLAN)?;
        self.write(PLAN, plan, cancel)
    }

    /// Returns the path of the chunk with the index `number`.
    #[must_use]
    pub fn chunk_path(&self, number: usize) -> PathBuf {
        self.path().join(chunk_name(number))
    }

    /// Returns the record of the chunk with the index `number`; `None` if it is not whole.
    ///
    /// # Errors
    /// What is wrong with the record, as the end of a sentence.
    pub fn chunk(&self, number: usize) -> Result<Option<WholeChunk>, String> {
        self.read(&record(number))
    }

    /// Records that the chunk with the index `number` is whole. Its file has its name.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if the record cannot be written.
    pub fn add_chunk(&self, number: usize, chunk: &WholeChunk, cancel: &CancelToken) -> Result<()> {
        self.write(&record(number), chunk, cancel)
    }

    /// Whether the output has been published.
    #[must_use]
    pub fn has_published(&self) -> bool {
        self.path().join(PUBLISHED).exists()
    }

    /// Returns what was published; `None` if nothing was, or if a file is no longer there as
    /// it was.
    #[must_use]
    pub fn published(&self) -> Option<Published> {
        let found: Published = self.read(PUBLISHED).ok().flatten()?;
        let mut files = found.files.iter();
        let are_whole = files.all(|file| verify::is_whole(&file.path, file.bytes, &file.sha256));
        are_whole.then_some(found)
    }

    /// Records what was published. The chunks are not needed any more.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if the record cannot be written.
    pub fn publish(&self, published: &Published, chunks: usize) -> Result<()> {
        self.write(PUBLISHED, published, &CancelToken::new())?;
        for number in 0..chunks {
            for path in [self.chunk_path(number), self.path().join(record(number))] {
                // What cannot be removed is removed with the folder.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Keeps the paths of what an earlier, longer dataset has besides the parts of this one,
    /// and adds those that a run has kept which was killed while it published.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if they cannot be kept.
    pub fn keep_surplus(&self, paths: &mut Vec<PathBuf>) -> Result<()> {
        let earlier: Option<Vec<PathBuf>> = self.read(SURPLUS).unwrap_or_default();
        paths.extend(earlier.into_iter().flatten());
        paths.sort();
        paths.dedup();
        match paths.is_empty() {
            true => Ok(()),
            false => self.write(SURPLUS, paths, &CancelToken::new()),
        }
    }

    /// Removes the checkpoint: the next run begins anew.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if it cannot be removed.
    pub fn remove(&self) -> Result<()> {
        self.folder.remove(PLAN)
    }

    /// Returns the error of a run that cannot go on with its chunks, as `difference` says.
    #[must_use]
    pub fn refused(&self, difference: &str) -> Error {
        let folder = self.path().display();
        let what = format!("cannot resume from the chunks in {folder}: {difference}");
        Error::new(ErrorKind::Config, what)
            .with_hint("ask for the same as before, or remove that folder to begin anew")
    }

    /// Reads the file called `name`, if there is one.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        let bytes = match fs::read(self.path().join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| error.to_string())?,
        };
        let found = serde_json::from_slice(&bytes);
        found.map(Some).map_err(|error| error.to_string())
    }

    fn write(&self, name: &str, content: &impl Serialize, cancel: &CancelToken) -> Result<()> {
        let text = manifest::to_text(content)?;
        let path = self.path().join(name);
        let own = cancel.child()?;
        sink::write_atomically(&path, text.as_bytes(), &own)?.commit()
    }
}

/// Whether a checkpoint may have a file called `name`.
fn is_own(name: &str) -> bool {
    let of_chunk = name
        .strip_prefix("chunk-")
        .map(|rest| rest.strip_suffix(".json").unwrap_or(rest));
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    [PLAN, PUBLISHED, SURPLUS].contains(&name) || of_chunk.is_some_and(is_number)
}

/// The name of the file of the chunk with the index `number`.
fn chunk_name(number: usize) -> String {
    format!("chunk-{:05}", number + 1)
}

/// The name of the record of the chunk with the index `number`.
fn record(number: usize) -> String {
    chunk_name(number) + ".json"
}
