//! Where an export's bytes go, and how a regular file is handled there.

use std::{
    ffi::OsStr,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Where the bytes go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, or what has that name: a FIFO, a device, a descriptor.
    Path(PathBuf),
    /// A sink of the caller's own, which has no name.
    Custom,
}

impl Target {
    /// The file at `path`; `-` is a name like others here.
    ///
    /// ```
    /// use gold_digger::sink::Target;
    /// assert_eq!(Target::file("orders.csv").to_string(), "orders.csv");
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::Path(path.into())
    }

    /// The path, if the bytes go to one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdout | Self::Custom => None,
            Self::Path(path) => Some(path),
        }
    }
}

/// Takes the text of a command line: `-` is standard output.
impl From<&OsStr> for Target {
    fn from(path: &OsStr) -> Self {
        if path == "-" {
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

/// How a sink handles a regular file. Streams ignore all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkOptions {
    /// Whether missing folders of the target are created.
    pub create_dirs: CreateDirs,
    /// What happens to the bytes of an export that fails.
    pub partial: Partial,
    /// Whether the bytes are hashed while they are written.
    pub checksum: Checksum,
}

/// What happens when the folder of the target does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CreateDirs {
    /// It is an error.
    #[default]
    Refuse,
    /// The folder and those above it are created.
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

/// Whether the bytes of a file are hashed while they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// They are not.
    #[default]
    None,
    /// By SHA-256 (FIPS 180-4).
    Sha256,
}
