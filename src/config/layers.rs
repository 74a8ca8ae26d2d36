//! Layers of settings: flags over the environment over the configuration file
//! over option files over the vendors' variables over defaults. Each value knows
//! its origin.
//!
//! [`resolve`](super::resolve) decides what the values mean together.

use std::{any::Any, collections::BTreeMap, env, ffi::OsStr, path::PathBuf};

use super::{
    StandardOutput,
    origin::{Origin, WithOrigin},
    secrets::{hide_misplaced, place_of},
    settings::{Key, SETTINGS, Setting, Value},
};
use crate::error::{Error, Result};

/// The values of one place, by the names of the settings.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    values: BTreeMap<&'static str, WithOrigin<Value>>,
    /// What the place says of each output of an export, if it has several.
    pub outputs: Vec<Layer>,
}

impl Layer {
    /// Sets the value of `key`. It replaces an earlier one.
    pub fn set<T: Into<Value>>(&mut self, key: Key<T>, value: T, origin: Origin) {
        self.insert(key.setting(), value.into(), origin);
    }

    /// Sets a value that `Kind::parse` made for `setting`.
    pub fn insert(&mut self, setting: &Setting, value: Value, origin: Origin) {
        self.values
            .insert(setting.name, WithOrigin { value, origin });
    }

    /// Parses `text`, which `origin` gives `setting`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the place.
    pub fn parse(&mut self, setting: &'static Setting, text: &OsStr, origin: Origin) -> Result<()> {
        let value = setting.kind.parse(text);
        let value = value.map_err(|problem| setting.refuse_text(text, &problem, &origin))?;
        self.insert(setting, value, origin);
        Ok(())
    }

    /// Returns the layer with the values of `other` in the place of its own.
    #[must_use]
    pub fn with_values_of(&self, other: &Self) -> Self {
        let mut layer = self.clone();
        let values = other.values.iter();
        layer
            .values
            .extend(values.map(|(name, value)| (*name, value.clone())));
        layer
    }

    /// Removes the value of `setting`.
    pub fn unset(&mut self, setting: impl Into<&'static Setting>) {
        self.values.remove(setting.into().name);
    }

    /// The value of `key` and its origin, if this layer has one.
    #[must_use]
    pub fn get<T: Any + Clone>(&self, key: Key<T>) -> Option<WithOrigin<T>> {
        let WithOrigin { value, origin } = self.entry(key)?;
        Some(WithOrigin::new(value.get::<T>()?.clone(), origin))
    }

    /// The value of `key`, if this layer has one.
    #[must_use]
    pub fn value<T: Any + Clone>(&self, key: Key<T>) -> Option<T> {
        self.entry(key)?.value.get().cloned()
    }

    /// The value of `setting`, whatever its type is, if this layer has one.
    pub(super) fn entry(&self, setting: impl Into<&'static Setting>) -> Option<&WithOrigin<Value>> {
        self.values.get(setting.into().name)
    }

    /// The layer of the environment. An empty variable counts as not set.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a text that is
    /// not UTF-8 or is no value of its setting.
    pub fn of_environment() -> Result<Self> {
        Self::of_variables(|setting| setting.variable, Origin::Variable)
    }

    /// The layer of the variables that the vendors' clients read too. It is below
    /// option files, as it is for them.
    ///
    /// # Errors
    /// As [`of_environment`](Self::of_environment).
    pub fn of_client_environment() -> Result<Self> {
        Self::of_variables(|setting| setting.client_variable, Origin::ClientVariable)
    }

    /// The layer of the variables that `variable` gives for each setting.
    fn of_variables(
        variable: fn(&Setting) -> Option<&'static str>,
        origin: fn(&'static str) -> Origin,
    ) -> Result<Self> {
        let mut layer = Self::default();
        for setting in SETTINGS {
            let Some(name) = variable(setting) else {
                continue;
            };
            if let Some(text) = env::var_os(name).filter(|text| !text.is_empty()) {
                hide_misplaced(&text.to_string_lossy(), place_of(setting));
                layer.parse(setting, &text, origin(name))?;
            }
        }
        Ok(layer)
    }

    /// The layer of the defaults in the table of settings.
    ///
    /// # Errors
    /// None: every default is a value of its setting, as a test shows.
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
pub struct Layers {
    /// The layers of values.
    pub list: Vec<Layer>,
    /// The option files that were read, those included by others too.
    pub option_files: Vec<PathBuf>,
    /// What standard output is.
    pub stdout: StandardOutput,
}

impl Layers {
    /// The values of `key`, the highest first, each with the index of its layer.
    pub fn all<T: Any + Clone>(&self, key: Key<T>) -> impl Iterator<Item = (usize, WithOrigin<T>)> {
        let layers = self.list.iter().enumerate();
        layers.filter_map(move |(index, layer)| Some((index, layer.get(key)?)))
    }

    /// The value of `key` that applies, and its origin.
    #[must_use]
    pub fn get<T: Any + Clone>(&self, key: Key<T>) -> Option<WithOrigin<T>> {
        self.list.iter().find_map(|layer| layer.get(key))
    }

    /// The value of `key` that applies.
    #[must_use]
    pub fn value<T: Any + Clone>(&self, key: Key<T>) -> Option<T> {
        self.list.iter().find_map(|layer| layer.value(key))
    }

    /// Whether the switch of `key` is on.
    #[must_use]
    pub fn is_on(&self, key: Key<bool>) -> bool {
        self.value(key).unwrap_or_default()
    }

    /// The items of the highest layer that has the list of `key`.
    #[must_use]
    pub fn list<T: Any + Clone>(&self, key: Key<Vec<T>>) -> Vec<T> {
        self.value(key).unwrap_or_default()
    }

    /// The value of `setting` that applies, whatever its type is.
    pub(super) fn entry(&self, setting: impl Into<&'static Setting>) -> Option<&WithOrigin<Value>> {
        let setting = setting.into();
        self.list.iter().find_map(|layer| layer.entry(setting))
    }

    /// The origin of the value of `setting` that applies.
    pub(super) fn origin(&self, setting: impl Into<&'static Setting>) -> Option<&Origin> {
        self.entry(setting).map(|found| &found.origin)
    }

    /// Whether somebody has given `setting` a value.
    pub(super) fn is_said(&self, setting: impl Into<&'static Setting>) -> bool {
        !matches!(self.origin(setting), None | Some(Origin::Default))
    }

    /// The error for `setting`, at the origin of the value that applies. `what`
    /// ends a sentence that begins with the setting.
    pub(super) fn refuse(&self, setting: impl Into<&'static Setting>, what: &str) -> Error {
        let setting = setting.into();
        match self.origin(setting) {
            Some(origin) => origin.refuse(setting, what),
            None => Error::config(format!("{} {what}", setting.name)),
        }
    }

    /// Calls `work` while `layer`, if there is one, is inserted at `index`.
    pub fn with<T>(
        &mut self,
        index: usize,
        layer: Option<Layer>,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let Some(layer) = layer else {
            return work(self);
        };
        self.list.insert(index, layer);
        let result = work(self);
        self.list.remove(index);
        result
    }
}
