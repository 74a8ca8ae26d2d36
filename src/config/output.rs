//! Resolves the target of the rows and their format.

use std::{cell::LazyCell, path::PathBuf};

use super::{
    extension::{self, Promise},
    layers::Layers,
    origin::{Origin, WithOrigin},
    settings::keys,
};
use crate::{
    artifacts::template::{self, Now},
    error::{Error, Result},
    format::BuiltIn,
    sink::{CreateDirs, Target},
};

/// The format if nothing chooses one.
const DEFAULT_FORMAT: &str = "tsv";

/// A target and its format, and the origins of both.
pub(super) struct Destination {
    pub target: Target,
    pub target_origin: Origin,
    pub format: &'static BuiltIn,
    pub format_origin: Origin,
}

/// Returns the target of the highest layer that has one, and the format of the
/// highest layer that chooses one. The extension of a target also chooses a format:
/// `-o x.json` is JSON, whatever the configuration file's format is.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose
/// placeholders are wrong, and for one whose extension no format has, where
/// nothing else chooses the format.
pub(super) fn destination(
    layers: &Layers,
    now: &LazyCell<Now>,
    database: Option<&str>,
) -> Result<Destination> {
    let mut target = None;
    let mut format = None;
    let mut refused = None;
    for layer in &layers.0 {
        let named = layer.get(keys::OUTPUT_FORMAT);
        format = format.or(named.map(|named| (named.value, named.origin)));
        let Some(WithOrigin {
            value: template,
            origin,
        }) = layer.get(keys::OUTPUT_PATH)
        else {
            continue;
        };
        if target.is_some() {
            continue;
        }
        if template == "-" {
            target = Some((Target::Stdout, origin));
            continue;
        }
        let path = template::expand(&template, now, database).map_err(|problem| {
            origin
                .refuse(keys::OUTPUT_PATH, &problem)
                .with_hint(template::HINT)
        })?;
        let path = PathBuf::from(path);
        match extension::promise(&path, &template) {
            Promise::Format(chosen) => format = format.or(Some((chosen, origin.clone()))),
            Promise::Unknown(extension) => {
                refused = Some(extension::refuse(&path, &extension, &origin));
            }
            Promise::Nothing => {}
        }
        target = Some((Target::Path(path), origin));
    }
    if let (None, Some(refused)) = (&format, refused) {
        return Err(refused);
    }
    let (target, target_origin) = target.unwrap_or((Target::Stdout, Origin::Default));
    let default = || BuiltIn::named(DEFAULT_FORMAT).map(|format| (format, Origin::Default));
    let no_format = || Error::config(format!("there is no format {DEFAULT_FORMAT}"));
    let (format, format_origin) = format.or_else(default).ok_or_else(no_format)?;
    Ok(Destination {
        target,
        target_origin,
        format,
        format_origin,
    })
}

/// Whether missing folders of the target are created.
pub(super) fn create_dirs(layers: &Layers) -> CreateDirs {
    if layers.is_on(keys::CREATE_DIRS) {
        CreateDirs::Create
    } else {
        CreateDirs::Refuse
    }
}
