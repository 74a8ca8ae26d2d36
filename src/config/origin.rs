//! Where a value comes from, and how messages name that place.

use std::{fmt, path::PathBuf, rc::Rc};

use super::settings::{Setting, keys};
use crate::error::Error;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line: the flag or argument, as the command line names it.
    Flag(String),
    /// An environment variable.
    Variable(&'static str),
    /// An environment variable of the vendors' clients, which is below option files.
    ClientVariable(&'static str),
    /// A configuration file.
    ConfigFile(Rc<Place>),
    /// A MySQL option file.
    OptionFile(Rc<Place>),
    /// The parameter of this name in a URL, and the origin of the URL.
    Parameter(&'static str, Rc<Origin>),
    /// The preset of the target of `--for` that has this name.
    Preset(&'static str),
    /// No layer but that of the defaults.
    Default,
}

/// A place in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The table, if it is not the setting's section.
    pub table: Option<&'static str>,
    /// The line itself, without what may be secret; in an option file, the
    /// option as it is written there.
    pub shown: String,
}

/// The origin as `--dump-config` names it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) | Self::ClientVariable(name) => write!(f, "environment {name}"),
            Self::ConfigFile(place) | Self::OptionFile(place) => {
                write!(f, "{}:{}", place.path.display(), place.line)
            }
            Self::Parameter(_, url) => url.fmt(f),
            Self::Preset(target) => write!(f, "preset {target}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// The rank of the origin's layer: of two values, that of the lower rank
    /// applies.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Variable(_) => 1,
            Self::ConfigFile(_) => 2,
            Self::OptionFile(_) => 3,
            Self::ClientVariable(_) => 4,
            Self::Parameter(_, url) => url.rank(),
            Self::Preset(_) => 5,
            Self::Default => 6,
        }
    }

    /// The error for the value that this origin gives `setting`. `what` ends a
    /// sentence that begins with the setting.
    pub fn refuse(&self, setting: impl Into<&'static Setting>, what: &str) -> Error {
        let subject = self.subject(setting);
        Error::config(match self {
            Self::ConfigFile(place) => format!("{subject} {what}: {}", place.shown),
            _ => format!("{subject} {what}"),
        })
    }

    /// `setting` as a message about this origin names it.
    pub fn subject(&self, setting: impl Into<&'static Setting>) -> String {
        let setting = setting.into();
        match self {
            Self::Flag(flag) => flag.clone(),
            Self::Variable(variable) | Self::ClientVariable(variable) => (*variable).to_owned(),
            Self::ConfigFile(place) => {
                let Place {
                    path, line, column, ..
                } = &**place;
                let table = place.table.or(setting.section()).unwrap_or_default();
                let key = setting.key();
                format!("{}:{line}:{column}: [{table}] {key}", path.display())
            }
            Self::OptionFile(place) => {
                format!("{}:{}: {}", place.path.display(), place.line, place.shown)
            }
            Self::Parameter(parameter, url) => {
                format!("{parameter} in {}", url.subject(keys::DATABASE_URL))
            }
            Self::Preset(target) => format!("{} of --for {target}", setting.key()),
            Self::Default => setting.key().to_owned(),
        }
    }
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub struct WithOrigin<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> WithOrigin<T> {
    /// A value that comes from `origin`.
    pub(super) fn new(value: T, origin: &Origin) -> Self {
        Self {
            value,
            origin: origin.clone(),
        }
    }

    /// The result of `convert` for the value, with the same origin.
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> WithOrigin<U> {
        WithOrigin {
            value: convert(self.value),
            origin: self.origin,
        }
    }
}
