//! Replaces the placeholders of an output path, such as `orders-{date}.csv` or
//! `{date:%Y/%m}/{database}.csv`.

use std::{
    cell::LazyCell,
    env,
    ffi::{OsStr, OsString},
    num::NonZeroU32,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    str,
};

use jiff::{Timestamp, Zoned, fmt::strtime, tz::TimeZone};
use serde::{Deserialize, Serialize};

/// How the name of a target with a manifest was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputName {
    /// The path with its placeholders.
    pub template: PathBuf,
    /// The time that replaced them; `None` if no placeholder is a time.
    pub time: Option<Zoned>,
    /// The default database.
    pub database: Option<String>,
    /// The number of files of this template that are kept; `None` if all are.
    pub keep: Option<NonZeroU32>,
}

/// The placeholders of a time, each with its default strftime form.
const TIMES: [(&str, &str); 3] = [
    ("date", "%Y-%m-%d"),
    ("time", "%H%M%S"),
    ("timestamp", "%Y%m%dT%H%M%S"),
];

/// The current time in the local time zone, or the reason why it is not known, as
/// the end of a sentence.
pub type Now = Result<Zoned, String>;

/// Returns the current time in the time zone of `TZ`, or of the system; in UTC if
/// neither sets one.
///
/// # Errors
/// If `TZ` is set and cannot be used.
pub fn now() -> Now {
    let zone = match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(_) if env::var_os("TZ").is_none_or(|zone| zone.is_empty()) => TimeZone::UTC,
        Err(error) => {
            return Err(format!(
                "needs the local time, but TZ cannot be used: {error}"
            ));
        }
    };
    Ok(Timestamp::now().to_zoned(zone))
}

/// The hint for a wrong placeholder.
pub const HINT: &str = "placeholders are {date}, {time}, {timestamp}, {database} and strftime forms such as \
     {date:%Y/%m}; a brace itself is {{ or }}";

/// A piece of a template.
#[derive(Debug)]
enum Part<'a> {
    /// Bytes that are kept as they are.
    Literal(&'a [u8]),
    /// The text between braces.
    Placeholder(&'a str),
}

/// Splits `path` into its pieces.
///
/// # Errors
/// What is wrong with the path, as the end of a sentence.
fn parts(path: &OsStr) -> Result<Vec<Part<'_>>, String> {
    let mut rest = path.as_bytes();
    let mut parts = Vec::new();
    while let Some(index) = rest.iter().position(|byte| matches!(byte, b'{' | b'}')) {
        parts.push(Part::Literal(&rest[..index]));
        let brace = rest[index];
        let after = &rest[index + 1..];
        if after.first() == Some(&brace) {
            parts.push(Part::Literal(&after[..1]));
            rest = &after[1..];
            continue;
        }
        if brace == b'}' {
            return Err("has a } without its {".to_owned());
        }
        let end = after.iter().position(|byte| *byte == b'}');
        let end = end.ok_or("has a { without its }")?;
        let placeholder = str::from_utf8(&after[..end]);
        let placeholder = placeholder.map_err(|_| "has a placeholder that is not UTF-8")?;
        parts.push(Part::Placeholder(placeholder));
        rest = &after[end + 1..];
    }
    parts.push(Part::Literal(rest));
    Ok(parts)
}

/// Replaces the placeholders of `path`. `now` is evaluated only if a placeholder is
/// a time, because the system's time zones are many files.
///
/// # Errors
/// What is wrong with the path, as the end of a sentence.
pub fn expand<F: FnOnce() -> Now>(
    path: &OsStr,
    now: &LazyCell<Now, F>,
    database: Option<&str>,
) -> Result<OsString, String> {
    let mut expanded = Vec::with_capacity(path.len());
    for part in parts(path)? {
        match part {
            Part::Literal(bytes) => expanded.extend_from_slice(bytes),
            Part::Placeholder(name) => {
                expanded.extend_from_slice(replacement(name, now, database)?.as_bytes());
            }
        }
    }
    if expanded.contains(&0) {
        return Err("holds a NUL character".to_owned());
    }
    Ok(OsString::from_vec(expanded))
}

/// Returns whether a placeholder of `path` is a time.
pub fn has_time(path: &OsStr) -> bool {
    let parts = parts(path).unwrap_or_default();
    parts.iter().any(|part| match part {
        Part::Literal(_) => false,
        Part::Placeholder(name) => TIMES.iter().any(|(time, _)| name.starts_with(time)),
    })
}

/// Returns `path` with a `0` in the place of each placeholder.
pub fn with_zeros(path: &OsStr) -> OsString {
    let mut bytes = Vec::new();
    for part in parts(path).unwrap_or_default() {
        bytes.extend_from_slice(match part {
            Part::Literal(literal) => literal,
            Part::Placeholder(_) => b"0",
        });
    }
    OsString::from_vec(bytes)
}

/// Returns a glob that matches every expansion of `path`, and other paths; `None`
/// if `path` is not UTF-8 or has a mistake.
pub fn glob(path: &OsStr) -> Option<String> {
    let mut pattern = String::new();
    for part in parts(path).ok()? {
        match part {
            Part::Literal(bytes) => pattern += &glob::Pattern::escape(str::from_utf8(bytes).ok()?),
            // A strftime form may have slashes, which separate folders.
            Part::Placeholder(name) => {
                let slashes = name.matches('/').count();
                pattern += &vec!["*"; slashes + 1].join("/");
            }
        }
    }
    Some(pattern)
}

/// Doubles the braces of `path`, so that none of them begins a placeholder.
pub fn escape(path: &OsStr) -> OsString {
    let mut bytes = Vec::new();
    for &byte in path.as_bytes() {
        bytes.push(byte);
        if matches!(byte, b'{' | b'}') {
            bytes.push(byte);
        }
    }
    OsString::from_vec(bytes)
}

/// Returns the text that replaces `placeholder`.
///
/// # Errors
/// What is wrong with the placeholder, as the end of a sentence.
fn replacement<F: FnOnce() -> Now>(
    placeholder: &str,
    now: &LazyCell<Now, F>,
    database: Option<&str>,
) -> Result<String, String> {
    let (name, form) = match placeholder.split_once(':') {
        Some((name, form)) => (name, Some(form)),
        None => (placeholder, None),
    };
    if let Some((_, default)) = TIMES.iter().find(|(time, _)| *time == name) {
        let form = form.unwrap_or(default);
        let now = now.as_ref().map_err(String::clone)?;
        return match strtime::format(form, now) {
            Ok(text) if text.is_empty() => {
                Err(format!("has the empty placeholder {{{placeholder}}}"))
            }
            Ok(text) => Ok(text),
            Err(error) => Err(format!(
                "has a wrong strftime form in {{{placeholder}}}: {error}"
            )),
        };
    }
    match (name, form, database) {
        ("database", None, Some(database)) if database.contains('/') => {
            Err("takes in {database} a name that holds a /".to_owned())
        }
        ("database", None, Some(database)) => Ok(database.to_owned()),
        ("database", None, None) => Err("holds {database}, but no database is named".to_owned()),
        _ => Err(format!("has the unknown placeholder {{{placeholder}}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(path: &[u8]) -> Result<Vec<u8>, String> {
        let now: LazyCell<Now> =
            LazyCell::new(|| Ok("2026-03-09T04:05:06[UTC]".parse().expect("a time")));
        expand(OsStr::from_bytes(path), &now, Some("shop")).map(OsString::into_vec)
    }

    #[test]
    fn placeholders_are_replaced_and_other_bytes_stay() {
        for (path, wanted) in [
            (&b"plain.csv"[..], &b"plain.csv"[..]),
            (b"{database}-{date}.csv", b"shop-2026-03-09.csv"),
            (b"{timestamp}_{time}", b"20260309T040506_040506"),
            (b"{date:%Y/%m}/{time:%H:%M}.csv", b"2026/03/04:05.csv"),
            (b"{{{date}}}", b"{2026-03-09}"),
            (b"\xff{{}}", b"\xff{}"),
        ] {
            assert_eq!(expanded(path).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (path, problem) in [
            (&b"{dat}.csv"[..], "unknown placeholder {dat}"),
            (b"{}.csv", "unknown placeholder {}"),
            (b"{database:%Y}", "unknown placeholder {database:%Y}"),
            (b"{date.csv", "{ without its }"),
            (b"date}.csv", "} without its {"),
            (b"{date:}", "empty placeholder"),
            (b"{date:%!}", "wrong strftime form"),
            (b"{\xff}", "not UTF-8"),
        ] {
            let refused = expanded(path).expect_err(problem);
            assert!(refused.contains(problem), "{refused}");
        }
        let now: LazyCell<Now> = LazyCell::new(now);
        let none = expand("{database}".as_ref(), &now, None);
        assert!(none.is_err_and(|problem| problem.contains("no database")));
        let deep = expand("{database}".as_ref(), &now, Some("a/b"));
        assert!(deep.is_err_and(|problem| problem.contains('/')));
    }
}
