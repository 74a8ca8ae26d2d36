//! Reads what the name of a target says about its format, and refuses a name that
//! promises a format which does not exist here.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{origin::Origin, settings::keys};
use crate::{
    artifacts::template,
    error::Error,
    format::{BuiltIn, FORMATS},
    sink,
};

/// The extensions of compressed files, each with the program that compresses a
/// pipe, if there is a usual one.
const COMPRESSED: [(&str, Option<&str>); 11] = [
    ("gz", Some("gzip")),
    ("gzip", Some("gzip")),
    ("zst", Some("zstd")),
    ("zstd", Some("zstd")),
    ("bz2", Some("bzip2")),
    ("xz", Some("xz")),
    ("lz4", Some("lz4")),
    ("br", Some("brotli")),
    ("zip", None),
    ("7z", None),
    ("tgz", None),
];

/// What the name of a target says about its format.
#[derive(Debug)]
pub(super) enum Promise {
    /// Nothing: it has no extension, or is a stream.
    Nothing,
    /// This format.
    Format(&'static BuiltIn),
    /// What does not exist here: the extension, without its dot.
    Unknown(String),
}

/// Returns what the name of `path` says, which was made of `template`.
///
/// Numbers, dates, versions such as `v1`, and what a placeholder has made are no
/// extension: `orders.2026-11-27` says nothing, and `orders.csv.1` says CSV. A name
/// such as `.csv`, which is only an extension, says CSV too.
pub(super) fn promise(path: &Path, template: &OsStr) -> Promise {
    let whole = path.extension().and_then(OsStr::to_str);
    if let Some(format) = whole.and_then(BuiltIn::by_extension) {
        return Promise::Format(format);
    }
    let template = PathBuf::from(template::with_zeros(template));
    let name = template.file_name().unwrap_or_default().to_string_lossy();
    let mut rest = &*name;
    while let Some((before, extension)) = rest.rsplit_once('.') {
        if let Some(format) = BuiltIn::by_extension(extension) {
            return Promise::Format(format);
        }
        // A hidden file, such as `.orders`, has no extension.
        if before.is_empty() || sink::is_stream(path) {
            break;
        }
        if !is_number(extension) {
            return Promise::Unknown(extension.to_owned());
        }
        rest = before;
    }
    Promise::Nothing
}

/// Whether `suffix` numbers or dates a file: `1`, `v2`, `2026-11-27`,
/// `20261127T030000Z`. An empty one counts too.
fn is_number(suffix: &str) -> bool {
    let number = suffix.strip_prefix(['v', 'V']).unwrap_or(suffix);
    let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | ':' | '+' | 'T' | 'Z');
    let begins_with_digit = number.starts_with(|c: char| c.is_ascii_digit());
    suffix.is_empty() || begins_with_digit && number.chars().all(is_part)
}

/// Returns the error for `path`, whose `extension` no format has. `origin` names
/// the path.
pub(super) fn refuse(path: &Path, extension: &str, origin: &Origin) -> Error {
    let lower = extension.to_ascii_lowercase();
    let compressed = COMPRESSED.iter().find(|(name, _)| *name == lower);
    if let Some((_, program)) = compressed {
        let what = format!("ends in .{extension}, and nothing is compressed here");
        let inner = inner_format(path);
        let hint = match program {
            Some(program) => format!(
                "pipe it, `gold_digger --format {inner} … | {program} > FILE.{extension}`, or \
                 compress a whole FILE.{inner} afterwards"
            ),
            None => format!("write FILE.{inner}, and compress it afterwards"),
        };
        return origin.refuse(keys::OUTPUT_PATH, &what).with_hint(hint);
    }
    let what = format!("ends in .{extension}, which is no format's extension");
    let hint = format!(
        "there are {}; with --format, the file may have any name",
        extensions()
    );
    origin.refuse(keys::OUTPUT_PATH, &what).with_hint(hint)
}

/// The format of `orders.csv.gz` without its last extension, or CSV.
fn inner_format(path: &Path) -> &'static str {
    let inner = path.with_extension("");
    let extension = inner.extension().and_then(OsStr::to_str);
    let format = extension.and_then(BuiltIn::by_extension);
    format.map_or("csv", |format| format.name)
}

/// The extensions of all formats, with their dots.
fn extensions() -> String {
    let all = FORMATS.iter().flat_map(|format| format.extensions);
    let all: Vec<String> = all.map(|extension| format!(".{extension}")).collect();
    match all.split_last() {
        Some((last, others)) if !others.is_empty() => {
            format!("{} and {last}", others.join(", "))
        }
        _ => all.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the name `path` says: a format's name, a dot with an unknown extension,
    /// or nothing.
    fn said(path: &str, template: &str) -> String {
        match promise(Path::new(path), OsStr::new(template)) {
            Promise::Nothing => String::new(),
            Promise::Format(format) => format.name.to_owned(),
            Promise::Unknown(extension) => format!(".{extension}"),
        }
    }

    #[test]
    fn a_name_promises_a_format_by_its_extension() {
        for (name, expected) in [
            ("a.csv", "csv"),
            ("d.x/a.CSV", "csv"),
            (".json", "json"),
            ("a.csv.2026-11-27", "csv"),
            ("a.csv.v2.1", "csv"),
            ("a.txt", "tsv"),
            ("csv", ""),
            ("a", ""),
            ("a.", ""),
            ("d.x/a", ""),
            (".orders", ""),
            ("..", ""),
            ("/", ""),
            ("a.2026-11-27", ""),
            ("a.20261127T030000Z", ""),
            ("a.v1.2", ""),
            ("10.0.0.1", ""),
            ("/dev/stdout", ""),
            ("/dev/fd/3.x", ""),
            ("a.parquet", ".parquet"),
            ("a.parquet.1", ".parquet"),
            (".a.jsonl", ".jsonl"),
            ("a.csv.gz", ".gz"),
            ("a.7z", ".7z"),
            ("a.csv ", ".csv "),
            ("a.csv~", ".csv~"),
            ("a.värde", ".värde"),
        ] {
            assert_eq!(said(name, name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_placeholder_makes_is_no_extension() {
        for (name, template, expected) in [
            ("a.shop", "a.{database}", ""),
            ("a-27.Nov", "a-{date:%d.%b}", ""),
            ("a.csv.Nov", "a.csv.{date:%b}", "csv"),
            ("a.parquet.Nov", "a.parquet.{date:%b}", ".parquet"),
            ("27.csv", "{date:%d.csv}", "csv"),
            ("a.shop.x", "a.{database}.x", ".x"),
        ] {
            assert_eq!(said(name, template), expected, "{template}");
        }
    }
}
