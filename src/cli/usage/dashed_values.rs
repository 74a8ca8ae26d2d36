//! Decides what an argument that begins with a dash is after a flag that takes a value.
//!
//! No flag begins with a digit, so `-1` and `-05:00` are values of any flag. Every
//! other one may be a flag whose value was forgotten, and needs `--FLAG=VALUE`.

use std::ffi::{OsStr, OsString};

use crate::{
    config::settings::{Kind, SETTINGS, Setting},
    error::Error,
};

/// Joins the argument at `index` and the next one, if the first is a flag that takes a
/// value and the second begins with a dash and a digit.
pub(super) fn join_value(arguments: &mut Vec<OsString>, index: usize) {
    let Some([flag, value]) = arguments.get(index..index + 2) else {
        return;
    };
    let is_number = matches!(value.as_encoded_bytes(), [b'-', digit, ..] if digit.is_ascii_digit());
    let separator = match flag.as_encoded_bytes() {
        _ if !is_number || named_by(flag).is_none() => return,
        long if long.starts_with(b"--") => "=",
        _ => "",
    };
    let value = arguments.remove(index + 1);
    arguments[index].push(separator);
    arguments[index].push(value);
}

/// Returns the error for the first flag of `arguments` that takes a value and stands
/// before an argument that begins with a dash; `None` if there is none. `refused` is
/// the beginning of the argument that is no flag; it is empty for any.
pub(super) fn explain(arguments: &[OsString], refused: &str) -> Option<Error> {
    let mut pairs = arguments.windows(2).filter_map(|pair| {
        let next = pair[1].as_encoded_bytes();
        let is_meant = next.starts_with(b"-") && next.starts_with(refused.as_bytes());
        named_by(&pair[0]).filter(|_| is_meant && next != b"-")
    });
    let flag = pairs.next()?.flag?;
    let what = format!("--{flag} has no value, and the next argument begins with a dash");
    let hint = format!("write --{flag}=VALUE if that argument is its value");
    Some(Error::config(what).with_hint(hint))
}

/// Returns the setting that takes its value from the argument after `flag`.
pub(super) fn named_by(flag: &OsStr) -> Option<&'static Setting> {
    let flag = flag.to_str()?;
    let is_named = |setting: &&Setting| match flag.strip_prefix("--") {
        Some(long) => setting.flag == Some(long),
        None => setting
            .short
            .is_some_and(|short| flag.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
    };
    let mut settings = SETTINGS.iter().copied();
    settings.find(|setting| is_named(setting) && !matches!(setting.kind, Kind::Switch))
}
