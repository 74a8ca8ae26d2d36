//! The table of settings: what each is called in the configuration file, on the
//! command line, in the environment and in MySQL's option files, and what a
//! value must look like.
//!
//! Everything that knows settings by name is driven from here: the command
//! line, its help, the layers, `--dump-config`, and the test of the docs.

use std::ffi::OsStr;

use clap::builder::PossibleValue;

use super::layers::Value;

mod checks;
mod table;

pub use table::SETTINGS;

/// What the program knows of one setting.
#[derive(Debug)]
pub struct Setting {
    /// `section.key`, as the configuration file has it; without a section where
    /// the file has no such key.
    pub name: &'static str,
    /// Its flag, without the dashes. Two settings may share one.
    pub flag: Option<&'static str>,
    /// Its flag of one letter.
    pub short: Option<char>,
    /// Other flags, each of which stands for one of its values.
    pub spellings: &'static [(&'static str, &'static str)],
    /// Its environment variable.
    pub variable: Option<&'static str>,
    /// Its name in MySQL's option files.
    pub option: Option<&'static str>,
    /// The shape of its values.
    pub kind: Kind,
    /// What stands for its value in the help.
    pub placeholder: &'static str,
    /// Its value where nothing gives one.
    pub default: Option<&'static str>,
    /// What it does, in one line.
    pub help: &'static str,
    /// What else `--help` says.
    pub more: Option<&'static str>,
}

/// The shape of a setting's values.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// True or false; its flag alone means true.
    Switch,
    /// A text that passes the check.
    Text(Check),
    /// A whole number that passes the check.
    Number(Check),
    /// A text that is never shown.
    Secret,
    /// A path; in a file, relative to that file. `-` stays.
    Path,
    /// A path with placeholders; in a file, relative to that file.
    Template,
    /// One of a few words.
    Choice(fn() -> Vec<PossibleValue>),
    /// Texts that each pass the check.
    List(Check),
    /// Names with values.
    Parameters,
}

/// Says what is wrong with a text.
pub type Check = fn(&str) -> Result<(), String>;

impl Setting {
    const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            flag: None,
            short: None,
            spellings: &[],
            variable: None,
            option: None,
            kind,
            placeholder: match kind {
                Kind::Switch => "BOOL",
                Kind::Path | Kind::Template => "FILE",
                Kind::Parameters => "NAME=VALUE",
                _ => "TEXT",
            },
            default: None,
            help,
            more: None,
        }
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn value(mut self, placeholder: &'static str) -> Self {
        self.placeholder = placeholder;
        self
    }

    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn spelled(mut self, spellings: &'static [(&'static str, &'static str)]) -> Self {
        self.spellings = spellings;
        self
    }

    const fn variable(mut self, variable: &'static str) -> Self {
        self.variable = Some(variable);
        self
    }

    const fn option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn more(mut self, more: &'static str) -> Self {
        self.more = Some(more);
        self
    }

    /// Its section in the configuration file, if it stands there.
    #[must_use]
    pub fn section(&self) -> Option<&'static str> {
        Some(self.name.split_once('.')?.0)
    }

    /// Its key in the configuration file, or its whole name.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The setting called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

impl Kind {
    /// The value that `text` stands for, as a variable, an option file or a
    /// flag gives it.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence of its own.
    pub fn parse(self, text: &OsStr) -> Result<Value, String> {
        if let (Self::Path | Self::Template, false) = (self, text.is_empty()) {
            return Ok(Value::Text(text.to_owned()));
        }
        let text = text.to_str().ok_or("it is not UTF-8")?;
        let checked = |check: Check| check(text).map(|()| Value::from(text));
        match self {
            Self::Switch => match text {
                "true" | "1" | "on" | "yes" => Ok(Value::Switch(true)),
                "false" | "0" | "off" | "no" => Ok(Value::Switch(false)),
                _ => Err("it is true or false".to_owned()),
            },
            Self::Secret => Ok(Value::Secret(text.into())),
            Self::Text(check) | Self::Number(check) => checked(check),
            Self::List(check) => check(text).map(|()| Value::List(vec![text.to_owned()])),
            Self::Parameters => Ok(Value::Parameters(vec![text.parse()?])),
            Self::Choice(choices) => {
                let choices = choices();
                if choices.iter().any(|choice| choice.matches(text, false)) {
                    return Ok(Value::from(text));
                }
                let names: Vec<&str> = choices.iter().map(PossibleValue::get_name).collect();
                Err(format!("it is one of {}", names.join(", ")))
            }
            Self::Path | Self::Template => Err("it is empty".to_owned()),
        }
    }
}

/// Settings of the connection that are about logging in.
pub(crate) const SERVER_PUBLIC_KEY: &str = "connection.server_public_key";
pub(crate) const CLEARTEXT_PLUGIN: &str = "connection.enable_cleartext_plugin";

/// Settings that the configuration file does not have.
pub(crate) const ASK_PASSWORD: &str = "ask_password";
pub(super) const PASSWORD: &str = "password";
pub(super) const TRANSPORT: &str = "transport";
pub(super) const SSL: &str = "ssl";
pub(super) const VERIFY_SERVER_CERT: &str = "verify_server_cert";
pub(super) const CONFIG: &str = "config";
pub(super) const JOB: &str = "job";
pub(super) const DEFAULTS_FILE: &str = "defaults_file";
pub(super) const DEFAULTS_GROUP_SUFFIX: &str = "defaults_group_suffix";
pub(super) const NO_DEFAULTS: &str = "no_defaults";
