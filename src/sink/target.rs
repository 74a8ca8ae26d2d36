//! The target of an export, and the options of a sink that writes to a regular
//! file.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The command line's name of standard output.
pub(crate) const STDOUT_ARGUMENT: &str = "-";

/// The destination of an export's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Standard output.
    Stdout,
    /// The path of a regular file, a FIFO, a device or a descriptor.
    Path(PathBuf),
    /// A sink that the caller opens, and that has no name.
    Custom,
}

impl Target {
    /// Creates the target at `path`; `-` is an ordinary name here.
    ///
    /// ```
    /// use gold_digger::sink::Target;
    /// assert_eq!(Target::file("orders.csv").to_string(), "orders.csv");
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into())
    }

    /// Returns the path, if the target has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout | Self::Custom => None,
            Self::Path(path) => Some(path),
        }
    }
}

/// Converts an argument of the command line: `-` is standard output.
impl From<&OsStr> for Target {
    fn from(path: &OsStr) -> Self {
        if path == STDOUT_ARGUMENT {
            Self::Stdout
        } else {
            Self::Path(path.into())
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Custom => f.write_str("the custom sink"),
        }
    }
}

/// How a sink handles a regular file. The sink of a stream ignores it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkOptions {
    /// Whether missing folders of the target are created.
    pub create_dirs: CreateDirs,
    /// What happens to the bytes of an export that fails.
    pub partial: Partial,
    /// Whether a checksum is computed while the bytes are written.
    pub checksum: Checksum,
    /// What happens to the temporary files of killed runs to the same target.
    pub stale: StaleFiles,
    /// What happens to a file that is there.
    pub existing: Existing,
}

/// What happens to a file that has the name of the output already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Existing {
    /// The output takes its place.
    #[default]
    Replace,
    /// It stays, and the export fails.
    Refuse,
}

/// What happens to the temporary files that killed runs have left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleFiles {
    /// The sink looks for them in the folder, and removes them.
    #[default]
    Remove,
    /// The sink leaves them: the caller has looked for those of all its targets.
    Leave,
}

/// What happens if the folder of the target does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateDirs {
    /// The export fails.
    #[default]
    Refuse,
    /// The folder and its missing parents are created.
    Create,
}

/// What happens to the bytes of an export that fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partial {
    /// They are removed.
    #[default]
    Remove,
    /// They are kept as `NAME.partial`.
    Keep,
}

/// The checksum that is computed while the bytes of a file are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// No checksum.
    #[default]
    None,
    /// SHA-256 (FIPS 180-4).
    Sha256,
}
