//! The configuration file: TOML, with unknown keys refused and mistakes shown
//! by file, line and column. Never by the line itself: it may hold a password.

use std::{
    fs,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    error::{Error, Result},
    format::{self, Format},
};

/// What a configuration file says.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigFile {
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
    pub connection: ConnectionSection,
    pub query: QuerySection,
    pub output: OutputSection,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConnectionSection {
    pub url: Option<SecretString>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QuerySection {
    pub sql: Option<String>,
    pub file: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OutputSection {
    pub path: Option<PathBuf>,
    pub format: Option<String>,
    pub allow_empty: bool,
}

impl ConfigFile {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).map_err(|error| {
            Error::config(format!(
                "cannot read the configuration file {name}: {error}"
            ))
        })?;
        let file: Self = toml::from_str(&text).map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start)];
            let line = 1 + before.matches('\n').count();
            let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
            Error::config(format!(
                "{name}:{line}:{column}: {}",
                without_values(error.message())
            ))
        })?;
        Ok(Self {
            path: path.to_owned(),
            ..file
        })
    }

    /// A path that the file names: relative to the file, not to the folder that
    /// cron happens to start in.
    pub fn relative(&self, path: &Path) -> PathBuf {
        if path == Path::new("-") {
            return path.to_owned();
        }
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// A message of the TOML reader without what the file holds at that place: a
/// URL in the wrong place is still a secret. Plain key names stay.
fn without_values(message: &str) -> String {
    let is_key = |text: &str| {
        let mut bytes = text.bytes();
        text.len() <= 40 && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    let (before, expected) = match message.split_once(", expected ") {
        Some((before, expected)) => (before, format!(", expected {expected}")),
        None => (message, String::new()),
    };
    let shown = match before.split_once('`') {
        Some((_, quoted))
            if quoted
                .split_once('`')
                .is_some_and(|(key, rest)| is_key(key) && rest.is_empty()) =>
        {
            before
        }
        _ => before
            .split([':', '`'])
            .next()
            .unwrap_or_default()
            .trim_end(),
    };
    format!("{shown}{expected}")
}

/// The format that the file at `path` calls `name`.
pub(super) fn known_format(name: &str, path: &Path) -> Result<&'static Format> {
    format::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = format::FORMATS.iter().map(|format| format.name).collect();
        Error::config(format!("{}: [output] format is {name:?}", path.display()))
            .hint(format!("choose one of {}", names.join(", ")))
    })
}
