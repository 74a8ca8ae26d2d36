//! One entry of the table of settings, and the typed key of its values.

use std::{
    any::Any,
    ffi::{OsStr, OsString},
    fmt,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use clap::{ValueEnum, builder::PossibleValue};
use secrecy::SecretString;
use serde_json::Value as Json;

use super::{
    super::{Timeout, home, origin::Origin},
    SETTINGS, Value,
    validators::{choices, parse_choice, parsed},
    value::{ListParser, Parser},
};
use crate::{
    artifacts::template,
    error::Error,
    sink::{check_url, is_object, is_temporary_name},
    sql::Parameter,
};

/// What the program knows about one setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, as in the configuration file; without a section if the
    /// file has no such key.
    pub name: &'static str,
    /// The flag, without the dashes. Settings that share a flag have one type.
    pub flag: Option<&'static str>,
    /// The flag of one letter.
    pub short: Option<char>,
    /// Other flags, each with the value that it gives.
    pub aliases: &'static [(&'static str, &'static str)],
    /// The environment variable.
    pub variable: Option<&'static str>,
    /// The environment variable of the vendors' clients. It applies if neither a
    /// higher layer nor an option file has a value (MySQL manual, "Environment
    /// Variables").
    pub client_variable: Option<&'static str>,
    /// The name in MySQL's option files.
    pub option: Option<&'static str>,
    /// The shape of the values.
    pub kind: Kind,
    /// The name of the value in the help.
    pub placeholder: &'static str,
    /// The value if no layer gives one.
    pub default: Option<&'static str>,
    /// A description of one line.
    pub help: &'static str,
    /// Further text for `--help`.
    pub more: Option<&'static str>,
    /// The heading of its flag in the help.
    pub heading: &'static str,
    /// Whether the help lists its flag after all others of the heading.
    pub is_listed_last: bool,
    /// The only formats that it has a meaning for; `None` for all formats.
    pub formats: Option<&'static [&'static str]>,
    /// Values that have a meaning only for these formats.
    pub format_values: &'static [(&'static str, &'static [&'static str])],
    /// The section of `--dump-config` for a setting without a section.
    dump_section: &'static str,
}

/// The section of `--dump-config` for settings that the configuration file does
/// not have.
const PROGRAM_SECTION: &str = "program";

impl Setting {
    /// The section in the configuration file; `None` if the file has no such key.
    #[must_use]
    pub fn section(&self) -> Option<&'static str> {
        Some(self.name.split_once('.')?.0)
    }

    /// The key in the configuration file, or the whole name.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The section in the output of `--dump-config`.
    pub(in crate::config) fn dump_section(&self) -> &'static str {
        self.section().unwrap_or(self.dump_section)
    }

    /// The setting called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS
            .iter()
            .copied()
            .find(|setting| setting.name == name)
    }

    /// Whether the format called `format` has the value called `value`.
    #[must_use]
    pub fn has_value(&self, value: &str, format: &str) -> bool {
        let mut values = self.format_values.iter();
        values.all(|(name, formats)| *name != value || formats.contains(&format))
    }

    /// The error for `text`, which `origin` gives this setting and which has
    /// `problem`.
    pub(in crate::config) fn refuse_text(
        &'static self,
        text: &OsStr,
        problem: &str,
        origin: &Origin,
    ) -> Error {
        let what = match self.kind {
            Kind::Secret => format!("cannot be used: {problem}"),
            _ => format!("cannot be {text:?}: {problem}"),
        };
        origin.refuse(self, &what)
    }

    /// Whether this is the setting of `key`.
    pub(crate) fn is<T>(&self, key: Key<T>) -> bool {
        self.name == key.setting().name
    }
}

/// The shape of a setting's values.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false; the flag alone means true.
    Switch,
    /// A text.
    Text(&'static dyn Parser),
    /// A length of time with its unit.
    Duration,
    /// A whole number.
    Number(&'static dyn Parser),
    /// A text that is never shown.
    Secret,
    /// A path; in a file, relative to that file. `-` stays.
    Path,
    /// A path with placeholders; in a file, relative to that file.
    Template,
    /// One of a few words.
    Choice(fn() -> Vec<PossibleValue>, &'static dyn Parser),
    /// A list of texts.
    List(&'static dyn ListParser),
    /// Names with values.
    Parameters,
}

const PARAMETER: &dyn ListParser = &parsed::<Parameter>;

impl Kind {
    /// Parses `text`, which a variable, an option file or a flag gives.
    ///
    /// # Errors
    /// What is wrong with the text, as a sentence of its own.
    pub fn parse(self, text: &OsStr) -> Result<Value, String> {
        match self {
            Self::Path | Self::Template if !text.is_empty() => {
                return self.path(text, Path::new(""));
            }
            _ => {}
        }
        let text = text.to_str().ok_or("it is not UTF-8")?;
        match self {
            Self::Switch => match text {
                "true" | "1" | "on" | "yes" => Ok(true.into()),
                "false" | "0" | "off" | "no" => Ok(false.into()),
                _ => Err("it is true or false".to_owned()),
            },
            Self::Secret => Ok(SecretString::from(text).into()),
            Self::Text(parser) | Self::Choice(_, parser) => parser.parse(text),
            Self::Duration => Parser::parse(&parsed::<Timeout>, text),
            Self::Number(parser) => {
                let value = parser.parse(text)?;
                Ok(match text.parse::<u64>() {
                    Ok(number) => value.shown_as(number.into()),
                    Err(_) => value,
                })
            }
            Self::List(parser) => parser.parse_item(text),
            // Their values may be personal.
            Self::Parameters => Ok(PARAMETER.parse_item(text)?.shown_as(Json::Null)),
            Self::Path | Self::Template => Err("it is empty".to_owned()),
        }
    }

    /// The value of the path `text`: in the home folder if it begins with `~/`, and
    /// otherwise relative to `folder`. Neither folder is part of a template.
    ///
    /// # Errors
    /// If it is a URL or a name of our own files, or if there is no such home folder, as a
    /// sentence of its own.
    pub(in crate::config) fn path(self, text: &OsStr, folder: &Path) -> Result<Value, String> {
        if is_url(text) {
            let (path, is_output) = (Path::new(text), matches!(self, Self::Template));
            if is_output && is_object(path) {
                return Ok(text.to_owned().into());
            }
            let known = check_url(path).err().filter(|_| is_output);
            let unknown = "is a URL, and the path of a file is needed";
            let problem = known.map_or_else(|| unknown.to_owned(), |(problem, _)| problem);
            return Err(format!("it {problem}"));
        }
        if is_temporary_name(Path::new(text)) {
            return Err("files of such names are temporary, and are removed".to_owned());
        }
        let home = home::split(text)?;
        let (folder, rest) = match &home {
            Some((home, rest)) => (home.as_path(), *rest),
            None => (folder, text),
        };
        Ok(match self {
            Self::Template => {
                let folder = PathBuf::from(template::escape(folder.as_os_str()));
                folder.join(rest).into_os_string().into()
            }
            _ => folder.join(rest).into(),
        })
    }

    /// What a flag gives that was given as `first` and again as `again`: all
    /// items of a list, otherwise the later value.
    #[must_use]
    pub fn concat(self, first: &Value, again: Value) -> Value {
        match self {
            Self::List(parser) => parser.concat(first, &again),
            Self::Parameters => PARAMETER.concat(first, &again).shown_as(Json::Null),
            _ => again,
        }
    }

    const fn placeholder(self) -> &'static str {
        match self {
            Self::Switch => "BOOL",
            Self::Duration => "DURATION",
            Self::Path | Self::Template => "FILE",
            Self::Parameters => "NAME=VALUE",
            _ => "TEXT",
        }
    }
}

/// Whether `path` begins with a scheme and `://` (RFC 3986, section 3.1).
fn is_url(path: &OsStr) -> bool {
    let path = path.to_string_lossy();
    let scheme = path.split_once("://").map_or("", |(scheme, _)| scheme);
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_part)
}

/// A setting whose values are of type `T`, as an entry of the table.
pub(super) struct Entry<T> {
    setting: Setting,
    values: PhantomData<fn() -> T>,
}

/// Makes an entry. Each function below chooses `T` and `kind` so that `kind`
/// parses values of type `T`.
const fn entry<T>(name: &'static str, kind: Kind, help: &'static str) -> Entry<T> {
    Entry {
        setting: Setting {
            name,
            flag: None,
            short: None,
            aliases: &[],
            variable: None,
            client_variable: None,
            option: None,
            kind,
            placeholder: kind.placeholder(),
            default: None,
            help,
            more: None,
            heading: "",
            is_listed_last: false,
            formats: None,
            format_values: &[],
            dump_section: PROGRAM_SECTION,
        },
        values: PhantomData,
    }
}

pub(super) const fn switch(name: &'static str, help: &'static str) -> Entry<bool> {
    entry(name, Kind::Switch, help)
}

pub(super) const fn text<T, F>(
    name: &'static str,
    parser: &'static F,
    help: &'static str,
) -> Entry<T>
where
    T: Any + Clone + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    entry(name, Kind::Text(parser), help)
}

pub(super) const fn duration(name: &'static str, help: &'static str) -> Entry<Timeout> {
    entry(name, Kind::Duration, help)
}

pub(super) const fn number<T, F>(
    name: &'static str,
    parser: &'static F,
    help: &'static str,
) -> Entry<T>
where
    T: Any + Clone + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    entry(name, Kind::Number(parser), help)
}

pub(super) const fn secret(name: &'static str, help: &'static str) -> Entry<SecretString> {
    entry(name, Kind::Secret, help)
}

pub(super) const fn path(name: &'static str, help: &'static str) -> Entry<PathBuf> {
    entry(name, Kind::Path, help)
}

pub(super) const fn template(name: &'static str, help: &'static str) -> Entry<OsString> {
    entry(name, Kind::Template, help)
}

pub(super) const fn choice<T>(name: &'static str, help: &'static str) -> Entry<T>
where
    T: ValueEnum + Any + Send + Sync,
{
    entry(name, Kind::Choice(choices::<T>, &parse_choice::<T>), help)
}

/// A choice among `choices`, whose type is not a [`ValueEnum`].
pub(super) const fn one_of<T, F>(
    name: &'static str,
    choices: fn() -> Vec<PossibleValue>,
    parser: &'static F,
    help: &'static str,
) -> Entry<T>
where
    T: Any + Clone + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    entry(name, Kind::Choice(choices, parser), help)
}

pub(super) const fn list<T, F>(
    name: &'static str,
    parser: &'static F,
    help: &'static str,
) -> Entry<Vec<T>>
where
    T: Any + Clone + Send + Sync,
    F: Fn(&str) -> Result<T, String> + Sync,
{
    entry(name, Kind::List(parser), help)
}

pub(super) const fn parameters(name: &'static str, help: &'static str) -> Entry<Vec<Parameter>> {
    entry(name, Kind::Parameters, help)
}

impl<T> Entry<T> {
    pub(super) const fn flag(mut self, flag: &'static str) -> Self {
        self.setting.flag = Some(flag);
        self
    }

    pub(super) const fn value(mut self, placeholder: &'static str) -> Self {
        self.setting.placeholder = placeholder;
        self
    }

    pub(super) const fn short(mut self, short: char) -> Self {
        self.setting.short = Some(short);
        self
    }

    pub(super) const fn aliases(
        mut self,
        aliases: &'static [(&'static str, &'static str)],
    ) -> Self {
        self.setting.aliases = aliases;
        self
    }

    pub(super) const fn variable(mut self, variable: &'static str) -> Self {
        self.setting.variable = Some(variable);
        self
    }

    pub(super) const fn client_variable(mut self, variable: &'static str) -> Self {
        self.setting.client_variable = Some(variable);
        self
    }

    pub(super) const fn option(mut self, option: &'static str) -> Self {
        self.setting.option = Some(option);
        self
    }

    pub(super) const fn default(mut self, default: &'static str) -> Self {
        self.setting.default = Some(default);
        self
    }

    pub(super) const fn more(mut self, more: &'static str) -> Self {
        self.setting.more = Some(more);
        self
    }

    pub(super) const fn listed_last(mut self) -> Self {
        self.setting.is_listed_last = true;
        self
    }

    pub(super) const fn only_for(mut self, formats: &'static [&'static str]) -> Self {
        self.setting.formats = Some(formats);
        self
    }

    pub(super) const fn values_only_for(
        mut self,
        values: &'static [(&'static str, &'static [&'static str])],
    ) -> Self {
        self.setting.format_values = values;
        self
    }

    pub(super) const fn dumped_in(mut self, section: &'static str) -> Self {
        self.setting.dump_section = section;
        self
    }

    pub(super) const fn heading(mut self, heading: &'static str) -> Self {
        self.setting.heading = heading;
        self
    }
}

/// The key of a setting whose values are of type `T`.
pub struct Key<T: 'static>(&'static Entry<T>);

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.setting().name)
    }
}

impl<T> Key<T> {
    pub(super) const fn of(entry: &'static Entry<T>) -> Self {
        Self(entry)
    }

    /// The setting.
    #[must_use]
    pub const fn setting(self) -> &'static Setting {
        &self.0.setting
    }
}

impl<T> From<Key<T>> for &'static Setting {
    fn from(key: Key<T>) -> Self {
        key.setting()
    }
}
