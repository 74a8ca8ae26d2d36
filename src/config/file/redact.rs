//! Decides what messages show of the configuration file: nothing that may be a
//! secret, even if it is in the wrong place.

use super::{EXPORT, NAME};
use crate::{
    config::settings::{Kind, SETTINGS, Setting, keys},
    text::may_hold_password,
};

/// Returns `line`, or the part of it that cannot be secret. A value is shown only
/// if its key is known, or nearly so, and takes no secret, and if nothing else is
/// on the line.
pub(super) fn shown(line: &str, section: &str) -> String {
    let line = line.trim();
    let Some((key, value)) = line.split_once('=') else {
        let is_header = line.starts_with('[') && line.trim_matches(['[', ']']).chars().all(is_bare);
        return if is_header { line } else { HIDDEN }.to_owned();
    };
    let key = key.trim();
    let (section, last) = key.rsplit_once('.').unwrap_or((section, key));
    let value = match plain(value) {
        Some(shown) if is_harmless(section, last) && !may_hold_password(value) => shown,
        _ => HIDDEN,
    };
    let is_key = key.chars().all(is_bare) && is_near(last);
    let key = if is_key { key } else { HIDDEN };
    format!("{key} = {value}")
}

const HIDDEN: &str = "***";

/// Returns the text, number or word that `value` begins with, or the list of these
/// that ends on the same line, without a comment after it.
fn plain(value: &str) -> Option<&str> {
    let value = value.trim();
    let Some(mut rest) = value.strip_prefix('[') else {
        return scalar(value);
    };
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix(']') {
            return Some(&value[..value.len() - after.len()]);
        }
        let item = scalar(rest).filter(|item| !item.is_empty())?;
        rest = &rest[item.len()..];
    }
}

/// Returns the text, number or word that `text` begins with; `None` for something
/// else, or for a text with escapes.
fn scalar(text: &str) -> Option<&str> {
    let end = match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let length = text[1..].find(quote)?;
            if quote == '"' && text[1..][..length].contains('\\') {
                return None;
            }
            length + 2
        }
        Some(c) if is_bare(c) => text
            .find(|c| !is_bare(c) && c != ':' && c != '+')
            .unwrap_or(text.len()),
        Some(_) => return None,
        None => 0,
    };
    Some(&text[..end])
}

/// Longer keys are not shown. In bytes.
const MAX_KEY_LENGTH: usize = 40;

/// Whether a key without quotes may hold `c`, or `c` is the dot between such keys.
pub(super) fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

pub(super) fn file_settings() -> impl Iterator<Item = &'static Setting> {
    SETTINGS
        .iter()
        .copied()
        .filter(|setting| setting.section().is_some())
}

/// Whether the key of this name, or of nearly this name, takes no secret. A
/// misspelt key of `[connection]` may be meant for a password.
fn is_harmless(section: &str, key: &str) -> bool {
    if section.ends_with(keys::QUERY_PARAMS.setting().key()) {
        return false;
    }
    if key == NAME {
        return true;
    }
    let known = file_settings().find(|setting| setting.key() == key);
    if let Some(setting) = known {
        return !matches!(setting.kind, Kind::Secret) && !setting.is(keys::PASSWORD_ENV);
    }
    let is_like = |setting: &Setting| strsim::damerau_levenshtein(setting.key(), key) <= 1;
    let may_be_secret =
        Some(section) == keys::DATABASE_URL.setting().section() || key.contains("pas");
    // Its value may be a URL.
    let is_section = file_settings().any(|setting| setting.section() == Some(key));
    !may_be_secret && !is_section && file_settings().any(is_like)
}

/// Whether there is a key or section of nearly this name.
fn is_near(name: &str) -> bool {
    let mut known = file_settings()
        .flat_map(|setting| [setting.key(), setting.section().unwrap_or_default()])
        .chain([EXPORT, NAME]);
    known.any(|known| {
        let start = &known[..known.len().min(name.len() + 1)];
        strsim::damerau_levenshtein(start, name) <= 2
    })
}

/// Returns `key` as messages show it. A key that is long or needs quotes is not
/// shown.
pub(super) fn quoted(key: &str) -> String {
    let is_plain = key.len() <= MAX_KEY_LENGTH && key.chars().all(is_bare);
    if is_plain {
        format!("`{key}`")
    } else {
        "of that name".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_shown_as_it_is_or_hidden(line in "(init|flush|url|x)? ?=?[\\[\\]\"'= ,#.:aä\\\\\t]{0,12}") {
            let line = line.trim();
            for part in shown(line, "output").split(" = ") {
                prop_assert!(part == HIDDEN || line.contains(part), "{part}");
            }
        }
    }
}
