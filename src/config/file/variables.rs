//! Replaces `${NAME}` in the texts of the configuration file by environment
//! variables. `$${` is the text `${`.

use std::{borrow::Cow, env};

use crate::{
    artifacts::template,
    config::{
        origin::Origin,
        secrets::{hide_misplaced, place_of},
        settings::{Kind, Setting, keys},
    },
    error::{Error, Result},
};

const HINT: &str = "${NAME} is an environment variable; $${ stands for ${ itself";

/// Returns `text`, which `origin` gives `setting`, with the values of its variables.
/// SQL text has none: values belong into parameters.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a variable that is not
/// set, and for a `${` that begins none.
pub(super) fn expand<'a>(
    text: &'a str,
    setting: &'static Setting,
    origin: &Origin,
) -> Result<Cow<'a, str>> {
    if setting.is(keys::QUERY_SQL) || setting.is(keys::INIT) || !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            expanded.extend([before, "${"]);
            rest = &variable[2..];
            continue;
        }
        let name = variable[2..]
            .split_once('}')
            .filter(|(name, _)| is_name(name));
        let Some((name, after)) = name else {
            let refused = origin.refuse(setting, "has a ${ that begins no variable");
            return Err(refused.with_hint(HINT));
        };
        let value = env::var(name).map_err(|_| not_set(name, setting, origin))?;
        let value = match setting.kind {
            // The value is no part of the template.
            Kind::Template => template::escape(value.as_ref())
                .to_string_lossy()
                .into_owned(),
            _ => value,
        };
        expanded.extend([before, &value]);
        rest = after;
    }
    expanded += rest;
    hide_misplaced(&expanded, place_of(setting));
    Ok(Cow::Owned(expanded))
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_part)
        && name
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}

/// The error for the variable `name`, which is not set. It may be a part of a secret
/// that holds a `${` by chance.
fn not_set(name: &str, setting: &'static Setting, origin: &Origin) -> Error {
    let name = match setting.kind {
        Kind::Secret => "***",
        _ => name,
    };
    let what = format!("names the environment variable {name}, which is not set, or not UTF-8");
    origin.refuse(setting, &what).with_hint(HINT)
}
