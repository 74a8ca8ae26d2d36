//! Layers of settings: flags over the environment over the configuration file
//! over option files over defaults. Each value knows where it comes from.
//!
//! What the values mean together is left to [`Config`](super::Config).

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
    rc::Rc,
    str::FromStr,
};

use clap::ValueEnum;
use secrecy::SecretString;

use super::settings::{Kind, SETTINGS, Setting};
use crate::{
    error::{Error, Result},
    sql::Parameter,
};

/// A setting's value. Numbers, durations and choices stay the texts that they
/// were checked as, until the one place that uses them parses them.
#[derive(Clone, Debug)]
pub enum Value {
    /// Of a switch.
    Switch(bool),
    /// Of everything that is one text or path.
    Text(OsString),
    /// Of what is never shown.
    Secret(SecretString),
    /// Of settings that can be repeated.
    List(Vec<String>),
    /// Names with values.
    Parameters(Vec<Parameter>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl Value {
    /// This with what a repeated flag gives too, where it can be repeated.
    #[must_use]
    pub fn and(mut self, more: Self) -> Self {
        match (&mut self, more) {
            (Self::List(list), Self::List(more)) => list.extend(more),
            (Self::Parameters(list), Self::Parameters(more)) => list.extend(more),
            (value, more) => *value = more,
        }
        self
    }
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// The command line, as it names the flag or argument.
    Flag(String),
    /// An environment variable.
    Variable(&'static str),
    /// A configuration file.
    ConfigFile(Rc<Place>),
    /// A MySQL option file.
    OptionFile(Rc<Place>),
    /// A parameter, so called, of a URL that stands there.
    Parameter(&'static str, Rc<Origin>),
    /// Nobody gave it.
    Default,
}

/// A place in a file.
#[derive(Debug)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The table that it stands in, where that is not the setting's section.
    pub table: Option<&'static str>,
    /// The line itself, without what may be secret; in an option file, the
    /// option as it is written there.
    pub shown: String,
}

/// As `--dump-config` names it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(name) => write!(f, "environment {name}"),
            Self::ConfigFile(place) | Self::OptionFile(place) => {
                write!(f, "{}:{}", place.path.display(), place.line)
            }
            Self::Parameter(_, url) => url.fmt(f),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Origin {
    /// The number of its layer: what is lower wins.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Flag(_) => 0,
            Self::Variable(_) => 1,
            Self::ConfigFile(_) => 2,
            Self::OptionFile(_) => 3,
            Self::Parameter(_, url) => url.rank(),
            Self::Default => 4,
        }
    }

    /// The error for the setting called `name` that this gives: `what` ends a
    /// sentence that begins with the setting.
    pub fn refuse(&self, name: &str, what: &str) -> Error {
        let subject = self.subject(name);
        Error::config(match self {
            Self::ConfigFile(place) => format!("{subject} {what}: {}", place.shown),
            _ => format!("{subject} {what}"),
        })
    }

    /// The setting called `name` as a message about this origin names it.
    pub fn subject(&self, name: &str) -> String {
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        match self {
            Self::Flag(flag) => flag.clone(),
            Self::Variable(variable) => (*variable).to_owned(),
            Self::ConfigFile(place) => {
                let Place {
                    path, line, column, ..
                } = &**place;
                let table = place.table.unwrap_or(section);
                format!("{}:{line}:{column}: [{table}] {key}", path.display())
            }
            Self::OptionFile(place) => {
                format!("{}:{}: {}", place.path.display(), place.line, place.shown)
            }
            Self::Parameter(parameter, url) => {
                format!("{parameter} in {}", url.subject("connection.url"))
            }
            Self::Default => key.to_owned(),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub struct Sourced {
    /// The value.
    pub value: Value,
    /// Its origin.
    pub origin: Origin,
}

impl Sourced {
    /// Its text, where it has one.
    #[must_use]
    pub fn text(&self) -> Option<&OsStr> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a switch that is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        matches!(self.value, Value::Switch(true))
    }
}

/// The values that one place gives, by the settings' names.
#[derive(Debug, Default)]
pub struct Layer(BTreeMap<&'static str, Sourced>);

impl Layer {
    /// Gives `setting` a value, in the place of an earlier one.
    pub fn set(&mut self, setting: &Setting, value: Value, origin: Origin) {
        self.0.insert(setting.name, Sourced { value, origin });
    }

    /// Parses `text`, which `origin` gives `setting`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the place.
    pub fn parse(&mut self, setting: &Setting, text: &OsStr, origin: Origin) -> Result<()> {
        let value = setting.kind.parse(text).map_err(|problem| {
            let what = match setting.kind {
                Kind::Secret => format!("cannot be used: {problem}"),
                _ => format!("cannot be {text:?}: {problem}"),
            };
            origin.refuse(setting.name, &what)
        })?;
        self.set(setting, value, origin);
        Ok(())
    }

    /// Takes back what was given.
    pub fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The value of the setting called `name`, if this layer has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Sourced> {
        self.0.get(name)
    }

    /// Its text, where it has one.
    pub fn text(&self, name: &str) -> Option<&OsStr> {
        self.get(name)?.text()
    }

    /// The choice that it has, where it has one.
    pub fn choice<T: ValueEnum>(&self, name: &str) -> Option<T> {
        T::from_str(self.text(name)?.to_str()?, false).ok()
    }

    /// What the environment gives. A variable that is set to nothing counts as
    /// not set.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a text that is
    /// not UTF-8 or cannot be the setting's.
    pub fn of_environment() -> Result<Self> {
        let mut layer = Self::default();
        for setting in SETTINGS {
            let Some(name) = setting.variable else {
                continue;
            };
            if let Some(text) = env::var_os(name).filter(|text| !text.is_empty()) {
                layer.parse(setting, &text, Origin::Variable(name))?;
            }
        }
        Ok(layer)
    }

    /// The defaults of the table of settings.
    ///
    /// # Errors
    /// None: every default passes its own check, as a test shows.
    pub fn of_defaults() -> Result<Self> {
        let mut layer = Self::default();
        for setting in SETTINGS {
            if let Some(text) = setting.default {
                layer.parse(setting, text.as_ref(), Origin::Default)?;
            }
        }
        Ok(layer)
    }
}

/// All layers, the highest first.
#[derive(Debug)]
pub struct Layers(pub Vec<Layer>);

impl Layers {
    /// The layers that have the setting called `name`, the highest first, each
    /// with its number.
    pub fn all(&self, name: &str) -> impl Iterator<Item = (usize, &Sourced)> {
        let layers = self.0.iter().enumerate();
        layers.filter_map(move |(number, layer)| Some((number, layer.get(name)?)))
    }

    /// The value that holds, and its origin.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Sourced> {
        self.0.iter().find_map(|layer| layer.get(name))
    }

    /// The text that holds, of a setting whose kind allows only UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()?.to_str()
    }

    /// Whether the switch called `name` is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(Sourced::is_on)
    }

    /// The texts of a setting that can be repeated: those of one layer.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.get(name) {
            Some(Sourced {
                value: Value::List(list),
                ..
            }) => list.clone(),
            _ => Vec::new(),
        }
    }

    /// The text that holds, as a `T`.
    ///
    /// # Errors
    /// None that the check of the layers has not given before.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|problem| self.unusable(name, problem));
        self.text(name).map(parse).transpose()
    }

    /// The choice that holds.
    ///
    /// # Errors
    /// As [`parsed`](Self::parsed).
    pub fn choice<T: ValueEnum>(&self, name: &str) -> Result<Option<T>> {
        let parse =
            |text: &str| T::from_str(text, false).map_err(|problem| self.unusable(name, problem));
        self.text(name).map(parse).transpose()
    }

    /// What `work` gives while `layer`, if there is one, stands at `place`.
    pub fn with<T>(
        &mut self,
        place: usize,
        layer: Option<Layer>,
        work: impl FnOnce(&Self) -> T,
    ) -> T {
        let Some(layer) = layer else {
            return work(self);
        };
        self.0.insert(place, layer);
        let result = work(self);
        self.0.remove(place);
        result
    }

    fn unusable(&self, name: &str, problem: impl fmt::Display) -> Error {
        let origin = self
            .get(name)
            .map_or(&Origin::Default, |found| &found.origin);
        origin.refuse(name, &format!("cannot be used: {problem}"))
    }
}
