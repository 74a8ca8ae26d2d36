//! Replaces the placeholders of an output path, such as `orders-{date}.csv`,
//! `{date:%Y/%m}/{database}-{table}.csv` or `orders-{day}.csv` with a parameter called
//! `day`.

use std::{
    cell::LazyCell,
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
    num::NonZeroU32,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::{self, FromStr},
};

use jiff::{
    Timestamp, Zoned,
    civil::DateTime,
    fmt::strtime::{self, BrokenDownTime},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::run_date::RunDate;
use crate::text::is_terminal_control;

/// How the name of a target with a manifest was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputName {
    /// The path with its placeholders.
    pub template: PathBuf,
    /// The time that replaced them; `None` if no placeholder is a time.
    pub time: Option<NameTime>,
    /// The database of the table, or the default one.
    pub database: Option<String>,
    /// The table, if the rows are those of a table.
    #[serde(default)]
    pub table: Option<String>,
    /// The values of the parameters that the path has.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The number of files of this template that are kept; `None` if all are.
    pub keep: Option<NonZeroU32>,
}

impl OutputName {
    /// The values of the placeholders that are no times.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        Names {
            database: self.database.as_deref(),
            table: self.table.as_deref(),
            part: None,
            parameters: &self.parameters,
        }
    }

    /// Returns the path that `template` stands for, for the `part` of the rows if they are
    /// divided.
    ///
    /// # Errors
    /// What is wrong with the path, as the end of a sentence.
    pub fn expand(&self, template: &Path, part: Option<&str>) -> Result<PathBuf, String> {
        let time = self.time.clone();
        let now = LazyCell::new(move || time.ok_or_else(|| "needs a time".to_owned()));
        let names = Names {
            part,
            ..self.names()
        };
        expand(template.as_os_str(), &now, names).map(PathBuf::from)
    }
}

/// The values of the placeholders that are no times.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The database of the table, or the default one.
    pub database: Option<&'a str>,
    /// The table, if the rows are those of a table: its name and its database's are then
    /// escaped. Otherwise a database that is no part of a file's name is refused.
    pub table: Option<&'a str>,
    /// The number of the part, if the rows are divided among several files.
    pub part: Option<&'a str>,
    /// The values of parameters, by their names.
    pub parameters: &'a BTreeMap<String, String>,
}

/// The placeholder of the database.
const DATABASE: &str = "database";

/// The placeholder of the table.
const TABLE: &str = "table";

/// The placeholder of the number of the part.
const PART: &str = "part";

/// The placeholders of a time, each with its default strftime form.
const TIMES: [(&str, &str); 3] = [
    ("date", "%Y-%m-%d"),
    ("time", "%H%M%S"),
    ("timestamp", "%Y%m%dT%H%M%S"),
];

/// A time that names files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NameTime {
    /// A time in a time zone.
    Zoned(Zoned),
    /// A date and a time as they are given: a date alone, or a time that the local
    /// time zone does not have because clocks were put forward over it.
    Civil(DateTime),
}

impl NameTime {
    /// The moment, if the time zone is known.
    #[must_use]
    pub fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::Zoned(zoned) => Some(zoned.timestamp()),
            Self::Civil(_) => None,
        }
    }

    /// What a calendar and a clock on the wall show.
    #[must_use]
    pub fn civil(&self) -> DateTime {
        match self {
            Self::Zoned(zoned) => zoned.datetime(),
            Self::Civil(civil) => *civil,
        }
    }
}

impl fmt::Display for NameTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zoned(zoned) => zoned.fmt(f),
            Self::Civil(civil) => civil.fmt(f),
        }
    }
}

/// Parses what [`Display`](fmt::Display) writes.
impl FromStr for NameTime {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let zoned = text.parse().map(Self::Zoned);
        zoned.or_else(|_| text.parse().map(Self::Civil))
    }
}

impl From<&NameTime> for BrokenDownTime {
    fn from(time: &NameTime) -> Self {
        match time {
            NameTime::Zoned(zoned) => zoned.into(),
            NameTime::Civil(civil) => (*civil).into(),
        }
    }
}

/// The time that files are named for, or the reason why it is not known, as the end
/// of a sentence.
pub type Now = Result<NameTime, String>;

/// Returns the current time in the time zone of `TZ`, or of the system; in UTC if
/// neither sets one.
///
/// # Errors
/// If `TZ` is set and cannot be used.
pub fn now() -> Now {
    Ok(NameTime::Zoned(Timestamp::now().to_zoned(local_zone()?)))
}

/// Returns the time of `date`: in the local time zone if a time of day is given and
/// exists there. It always shows the date and the time that are given.
///
/// # Errors
/// As [`now`], if a time of day is given.
pub fn time_of(date: RunDate) -> Now {
    if !date.has_time {
        return Ok(NameTime::Civil(date.start));
    }
    let zoned = date.start.to_zoned(local_zone()?).ok();
    let exact = zoned.filter(|zoned| zoned.datetime() == date.start);
    Ok(exact.map_or(NameTime::Civil(date.start), NameTime::Zoned))
}

fn local_zone() -> Result<TimeZone, String> {
    let zone = match TimeZone::try_system() {
        Ok(zone) => zone,
        Err(_) if env::var_os("TZ").is_none_or(|zone| zone.is_empty()) => TimeZone::UTC,
        Err(error) => {
            return Err(format!(
                "needs the local time, but TZ cannot be used: {error}"
            ));
        }
    };
    Ok(zone)
}

/// Returns the hint for a `problem` of [`expand`] with `now`.
pub fn hint(problem: &str, now: &Now) -> &'static str {
    match now {
        Err(reason) if reason == problem => ZONE_HINT,
        _ => HINT,
    }
}

/// The hint for a `TZ` that cannot be used.
const ZONE_HINT: &str =
    "set TZ to a name such as Europe/Oslo or UTC, or unset it for the system's time zone";

/// The hint for a wrong placeholder.
const HINT: &str = "placeholders are {date}, {time}, {timestamp}, {database}, {table}, {part}, the names of parameters, and \
     strftime forms such as {date:%Y/%m}; a brace itself is {{ or }}";

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
    names: Names<'_>,
) -> Result<OsString, String> {
    expand_with(path, now, names, String::into_bytes)
}

/// Returns what [`expand`] returns, with a `0` for each byte that a placeholder made,
/// except for dots and slashes. It has the same length.
///
/// # Errors
/// As [`expand`].
pub fn outline<F: FnOnce() -> Now>(
    path: &OsStr,
    now: &LazyCell<Now, F>,
    names: Names<'_>,
) -> Result<OsString, String> {
    let shown = |byte| match byte {
        b'.' | b'/' => byte,
        _ => b'0',
    };
    let zeros = |text: String| text.bytes().map(shown).collect();
    expand_with(path, now, names, zeros)
}

/// Replaces the placeholders of `path`, each by what `show` makes of its text.
fn expand_with<F: FnOnce() -> Now>(
    path: &OsStr,
    now: &LazyCell<Now, F>,
    names: Names<'_>,
    show: impl Fn(String) -> Vec<u8>,
) -> Result<OsString, String> {
    let mut expanded = Vec::with_capacity(path.len());
    for part in parts(path)? {
        match part {
            Part::Literal(bytes) => expanded.extend_from_slice(bytes),
            Part::Placeholder(name) => expanded.extend(show(replacement(name, now, names)?)),
        }
    }
    if expanded.contains(&0) {
        return Err("holds a NUL character".to_owned());
    }
    Ok(OsString::from_vec(expanded))
}

/// Returns whether a placeholder of `path` is a time.
pub fn has_time(path: &OsStr) -> bool {
    placeholders(path).any(|(name, _)| default_form(name).is_some())
}

/// Returns the first placeholder of `path` that needs the time of day, and not only
/// the date.
pub fn placeholder_with_time_of_day(path: &OsStr) -> Option<String> {
    let mut times =
        placeholders(path).filter_map(|(name, form)| Some((name, form.or(default_form(name))?)));
    let date = jiff::civil::date(2020, 1, 3);
    // A form that a time does not have either is wrong.
    let needs_time = |form: &str| {
        strtime::format(form, date).is_err() && strtime::format(form, date.at(4, 5, 6, 0)).is_ok()
    };
    let found = times.find(|(name, form)| default_form(name).is_some() && needs_time(form));
    found.map(|(name, form)| match default_form(name) == Some(form) {
        true => format!("{{{name}}}"),
        false => format!("{{{name}:{form}}}"),
    })
}

/// Returns the placeholders of `path` that are the names of parameters.
pub fn parameter_names(path: &OsStr) -> impl Iterator<Item = &str> {
    let names = placeholders(path).filter(|(name, form)| form.is_none() && !is_reserved(name));
    names.map(|(name, _)| name)
}

/// Returns those of the placeholders of `path` that a parameter cannot be named by.
pub fn reserved_names(path: &OsStr) -> impl Iterator<Item = &str> {
    let names = placeholders(path).map(|(name, _)| name);
    names.filter(|name| is_reserved(name))
}

/// The name and the strftime form of each placeholder of `path`; none if it has a
/// mistake.
fn placeholders(path: &OsStr) -> impl Iterator<Item = (&str, Option<&str>)> {
    let parts = parts(path).unwrap_or_default().into_iter();
    parts.filter_map(|part| match part {
        Part::Literal(_) => None,
        Part::Placeholder(text) => Some(match text.split_once(':') {
            Some((name, form)) => (name, Some(form)),
            None => (text, None),
        }),
    })
}

fn is_reserved(name: &str) -> bool {
    matches!(name, DATABASE | TABLE | PART) || default_form(name).is_some()
}

/// The strftime form of the time called `name`; `None` if there is no such time.
fn default_form(name: &str) -> Option<&'static str> {
    let found = TIMES.iter().find(|(time, _)| *time == name);
    found.map(|(_, form)| *form)
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
                let any = vec!["*"; slashes + 1].join("/");
                // Placeholders side by side: the crate refuses `**` here. A literal `*`
                // is `[*]`.
                pattern += match pattern.ends_with('*') {
                    true => &any[1..],
                    false => &any,
                };
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
    names: Names<'_>,
) -> Result<String, String> {
    let (name, form) = match placeholder.split_once(':') {
        Some((name, form)) => (name, Some(form)),
        None => (placeholder, None),
    };
    let component = |text| path_component(placeholder, text);
    if let Some(default) = default_form(name) {
        let form = form.unwrap_or(default);
        if form.is_empty() {
            return Err(format!("has the empty placeholder {{{placeholder}}}"));
        }
        let now = now.as_ref().map_err(String::clone)?;
        // A form may have slashes of its own, which separate folders.
        let components = form
            .split('/')
            .map(|form| match strtime::format(form, now) {
                Ok(text) if form.is_empty() => Ok(text),
                Ok(text) => component(text),
                Err(error) => Err(format!(
                    "has a wrong strftime form in {{{placeholder}}}: {error}"
                )),
            });
        return Ok(components.collect::<Result<Vec<_>, _>>()?.join("/"));
    }
    match (name, form, names.database) {
        (DATABASE, None, Some(database)) if names.table.is_some() => Ok(escape_name(database)),
        (DATABASE, None, Some(database)) => component(database.to_owned()),
        (DATABASE, None, None) => Err("holds {database}, but no database is named".to_owned()),
        (TABLE, None, _) => match names.table {
            Some(table) => Ok(escape_name(table)),
            None => Err("holds {table}, which is for --table and --tables".to_owned()),
        },
        (PART, None, _) => match names.part {
            Some(part) => Ok(part.to_owned()),
            None => Err(
                "holds {part}, which is for --rows-per-file, --bytes-per-file and --split"
                    .to_owned(),
            ),
        },
        (_, None, _) if names.parameters.contains_key(name) => {
            component(names.parameters[name].clone())
        }
        _ => Err(format!("has the unknown placeholder {{{placeholder}}}")),
    }
}

/// Returns the name of a table or database as a part of a file's name. What could lead to
/// another folder or upset a terminal is percent-encoded, and so is the percent sign: two
/// names never become one.
///
/// ```
/// use gold_digger::artifacts::template::escape_name;
/// assert_eq!(escape_name("orders 2026"), "orders 2026");
/// assert_eq!(escape_name("../../etc"), "%2E.%2F..%2Fetc");
/// ```
#[must_use]
pub fn escape_name(name: &str) -> String {
    let mut escaped = String::new();
    for (index, c) in name.char_indices() {
        let is_leading_dot = index == 0 && c == '.';
        if is_leading_dot || matches!(c, '/' | '%' | '\0') || is_terminal_control(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                escaped += &format!("%{byte:02X}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a placeholder of `path` is the table.
pub fn has_table(path: &OsStr) -> bool {
    placeholders(path).any(|(name, _)| name == TABLE)
}

/// Returns the number of placeholders of `path` that are the part's number.
pub fn count_parts(path: &OsStr) -> usize {
    placeholders(path).filter(|(name, _)| *name == PART).count()
}

/// Returns `value`, which replaces `placeholder`, if it can be a part of a file's name:
/// it leads to no other folder. An error does not show it, as it may be personal.
fn path_component(placeholder: &str, value: String) -> Result<String, String> {
    let problem = if value.is_empty() {
        "an empty value"
    } else if value.contains('/') {
        "a value that holds a /"
    } else if value == "." || value.contains("..") {
        "a value that leads to another folder"
    } else if value.contains(is_terminal_control) {
        "a value that holds a control character"
    } else {
        return Ok(value);
    };
    Err(format!("takes in {{{placeholder}}} {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(path: &[u8]) -> Result<Vec<u8>, String> {
        let now: LazyCell<Now> =
            LazyCell::new(|| Ok("2026-03-09T04:05:06[UTC]".parse().expect("a time")));
        let values = [
            ("day", "2020-01-03"),
            ("dates", "{x}"),
            ("up", "a/../b"),
            ("dots", "..x"),
            ("dot", "."),
            ("none", ""),
            ("line", "a\nb"),
        ];
        let parameters = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let names = Names {
            database: Some("shop"),
            table: None,
            part: None,
            parameters: &parameters.into(),
        };
        expand(OsStr::from_bytes(path), &now, names).map(OsString::into_vec)
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
            (b"{day}-{dates}", b"2020-01-03-{x}"),
        ] {
            assert_eq!(expanded(path).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (path, problem) in [
            (&b"{dat}.csv"[..], "unknown placeholder {dat}"),
            (b"{}.csv", "unknown placeholder {}"),
            (
                b"{table}.csv",
                "holds {table}, which is for --table and --tables",
            ),
            (b"{database:%Y}", "unknown placeholder {database:%Y}"),
            (b"{date.csv", "{ without its }"),
            (b"date}.csv", "} without its {"),
            (b"{date:}", "empty placeholder"),
            (b"{date:%!}", "wrong strftime form"),
            (b"{date:%D}", "takes in {date:%D} a value that holds a /"),
            (
                b"{date:%Y/..}",
                "takes in {date:%Y/..} a value that leads to another folder",
            ),
            (b"{\xff}", "not UTF-8"),
            (b"{day:%Y}", "unknown placeholder {day:%Y}"),
            (b"{up}", "takes in {up} a value that holds a /"),
            (
                b"{dots}",
                "takes in {dots} a value that leads to another folder",
            ),
            (
                b"{dot}/x",
                "takes in {dot} a value that leads to another folder",
            ),
            (b"{none}", "takes in {none} an empty value"),
            (
                b"{line}",
                "takes in {line} a value that holds a control character",
            ),
        ] {
            let refused = expanded(path).expect_err(problem);
            assert!(refused.contains(problem), "{refused}");
        }
        for (database, problem) in [
            (None, "no database"),
            (Some("a/b"), "takes in {database} a value that holds a /"),
            (Some(".."), "leads to another folder"),
            (Some("."), "leads to another folder"),
            (Some(""), "empty value"),
            (Some("a\n"), "control character"),
        ] {
            let names = Names {
                database,
                table: None,
                part: None,
                parameters: &BTreeMap::new(),
            };
            let now: LazyCell<Now> = LazyCell::new(now);
            let refused = expand("{database}".as_ref(), &now, names);
            assert!(
                refused.is_err_and(|found| found.contains(problem)),
                "{problem}"
            );
        }
    }

    #[test]
    fn names_of_tables_are_parts_of_names() {
        for (database, table, path) in [
            ("shop", "orders", "shop/orders.csv"),
            ("..", "../../etc", "%2E./%2E.%2F..%2Fetc.csv"),
            (".", "weird name-ü/x", "%2E/weird name-ü%2Fx.csv"),
            ("50%", "a\nb\u{202e}.c", "50%25/a%0Ab%E2%80%AE.c.csv"),
            ("{table}", "{x}", "{table}/{x}.csv"),
        ] {
            let names = Names {
                database: Some(database),
                table: Some(table),
                part: None,
                parameters: &BTreeMap::new(),
            };
            let now: LazyCell<Now> = LazyCell::new(now);
            let expanded = expand("{database}/{table}.csv".as_ref(), &now, names);
            assert_eq!(expanded.as_deref(), Ok(OsStr::new(path)));
        }
    }

    #[test]
    fn placeholders_that_need_a_time_of_day_are_found() {
        for (path, found) in [
            ("{date}-{date:%Y/%m/%j}-{timestamp:%y}-{day}", None),
            ("{date}-{time}", Some("{time}")),
            ("{timestamp}", Some("{timestamp}")),
            ("{date:%Y-%H}", Some("{date:%Y-%H}")),
        ] {
            let placeholder = placeholder_with_time_of_day(path.as_ref());
            assert_eq!(placeholder.as_deref(), found, "{path}");
        }
        assert!(has_time("{time:%H}".as_ref()) && !has_time("{dates}{timer}".as_ref()));
    }

    #[test]
    fn a_glob_matches_placeholders_side_by_side() {
        for (template, expected) in [
            ("o-{x}{date:%d}.csv", "o-*.csv"),
            ("{date:%Y/%m}/a*{x}.csv", "*/*/a[*]*.csv"),
            ("y{date:%Y}{date:%m}{date:%d}{x}.csv", "y*.csv"),
            ("{x}{date:%Y/%m}{x}{x}/{x}{x}{x}", "*/*/*"),
        ] {
            let pattern = glob(OsStr::new(template)).expect("a pattern");
            assert_eq!(pattern, expected);
            assert!(glob::Pattern::new(&pattern).is_ok());
        }
    }
}
