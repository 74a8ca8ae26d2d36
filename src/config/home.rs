//! The `~` at the beginning of a path, as shells read it.

use std::{env, ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// Splits a path that is `~` or begins with `~/` into the home folder and the rest;
/// `None` for another path.
///
/// # Errors
/// If the home folder is not known, or for the home folder of another user, as the
/// end of a sentence.
pub(super) fn split(path: &OsStr) -> Result<Option<(PathBuf, &OsStr)>, String> {
    let Some(rest) = path.as_bytes().strip_prefix(b"~") else {
        return Ok(None);
    };
    match rest.split_first() {
        None | Some((b'/', _)) => {
            let home = env::home_dir().filter(|home| home.is_absolute());
            let home = home.ok_or("it needs your home folder, and HOME is not set")?;
            Ok(Some((
                home,
                OsStr::from_bytes(rest.get(1..).unwrap_or_default()),
            )))
        }
        // A file may have such a name.
        Some(_) if !rest.contains(&b'/') => Ok(None),
        Some(_) => {
            Err("only ~/ is your home folder; write ~NAME in full, or as ./~NAME".to_owned())
        }
    }
}

/// Returns `path` with the home folder in place of a leading `~`.
///
/// # Errors
/// As [`split`].
pub(super) fn expand(path: String) -> Result<PathBuf, String> {
    Ok(match split(path.as_ref())? {
        Some((home, rest)) => home.join(rest),
        None => path.into(),
    })
}
