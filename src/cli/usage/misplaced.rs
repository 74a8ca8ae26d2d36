//! Hides what may be a password among the arguments, in whatever place it stands.

use std::ffi::{OsStr, OsString};

use super::{VERIFY, dashed_values::named_by};
use crate::{
    config::{
        secrets::{hide_misplaced, place_of},
        settings::{Setting, keys},
    },
    text::{TextPlace, hide_password_behind},
};

/// The flag of other programs that holds the password itself, without its dashes.
const PASSWORD_FLAG: &str = "password";

/// Hides what may be a password in `arguments` from all later messages. The first is
/// the program's name.
pub(in crate::cli) fn hide_passwords(arguments: &[OsString]) {
    let is_verification = arguments.get(1).is_some_and(|first| first == VERIFY);
    for pair in arguments.windows(2) {
        let text = pair[1].to_string_lossy();
        let place = match setting_of(&pair[0], &text) {
            Some(setting) if setting.is(keys::QUERY_PARAMS) && is_parameter(&text) => {
                TextPlace::Name
            }
            Some(setting) => place_of(setting),
            None if is_verification && !text.starts_with('-') => TextPlace::Name,
            None => TextPlace::Other,
        };
        hide_misplaced(&text, place);
        let flag = text.strip_prefix("--");
        let behind = flag
            .and_then(|flag| flag.strip_prefix(PASSWORD_FLAG))
            .unwrap_or_default();
        // Other flags begin with these letters and a dash.
        if !behind.is_empty() && !behind.starts_with('-') {
            hide_password_behind(PASSWORD_FLAG, behind);
        }
    }
}

/// The setting that `argument` is a value of, after the argument `before`.
fn setting_of(before: &OsStr, argument: &str) -> Option<&'static Setting> {
    let within = match argument.strip_prefix("--") {
        Some(long) => long.split_once('=').map(|(flag, _)| format!("--{flag}")),
        None => argument
            .get(..2)
            .filter(|flag| flag.starts_with('-'))
            .map(str::to_owned),
    };
    let within = within.and_then(|flag| named_by(flag.as_ref()));
    within.or_else(|| named_by(before))
}

/// Whether `argument` is `NAME=VALUE`, perhaps behind its flag.
fn is_parameter(argument: &str) -> bool {
    let flag = argument.strip_prefix("--param=");
    let (name, _) = flag.unwrap_or(argument).split_once('=').unwrap_or_default();
    !name.is_empty() && !name.contains([':', '@'])
}
