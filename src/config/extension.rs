//! Reads what the name of a target says about its format, and refuses a name that
//! says a format which does not exist here.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use super::{origin::Origin, settings::keys};
use crate::{
    error::Error,
    format::{BuiltIn, Codec, FORMATS},
    sink,
};

/// The extensions of compressed files, each with the program that compresses a
/// pipe, if there is a usual one.
const COMPRESSED: [(&str, Option<&str>); 10] = [
    ("gz", Some("gzip")),
    ("gzip", Some("gzip")),
    ("zst", Some("zstd")),
    ("zstd", Some("zstd")),
    ("bz2", Some("bzip2")),
    ("xz", Some("xz")),
    ("br", Some("brotli")),
    ("zip", None),
    ("7z", None),
    ("tgz", None),
];

/// The extensions of other programs' tables and documents, which no format has.
const FOREIGN: [&str; 22] = [
    "arrow", "avro", "dbf", "duckdb", "feather", "geojson", "htm", "html", "ipc", "ods", "orc",
    "parquet", "psv", "sqlite", "sqlite3", "tar", "xls", "xlsb", "xlsm", "xlsx", "xml", "yaml",
];

/// What the name of a target says.
#[derive(Debug)]
pub(super) struct SaidByName {
    pub format: FormatByName,
    /// How the bytes are compressed; `None` if the name says nothing of it.
    pub codec: Option<Codec>,
}

/// The format that the name of a target says.
#[derive(Debug)]
pub(super) enum FormatByName {
    /// None: the name has no extension, or is a stream.
    None,
    /// This format.
    Known(&'static BuiltIn),
    /// One that does not exist here: the extension, without its dot.
    Unknown(String),
}

/// Returns the format and the compression that the name of `path` says. `outline` is
/// the path with zeros in the place of what placeholders made, see
/// [`template::outline`](crate::artifacts::template::outline).
///
/// Numbers, dates and versions such as `v1` are no extension: `orders.2026-11-27`
/// says nothing, and `orders.csv.1` says CSV. What a placeholder made is one only if
/// some program has it: `orders.{database}` says nothing of the database `shop`, but
/// is no name for TSV if the database is called `avro`. A name such as `.csv`,
/// which is only an extension, says CSV too. `orders.csv.gz` is CSV in gzip.
pub(super) fn said_by_name(path: &Path, outline: &OsStr) -> SaidByName {
    let mut name = path.file_name().unwrap_or_default().as_bytes();
    let outline = Path::new(outline).file_name().unwrap_or_default();
    let mut outline = outline.as_bytes();
    let mut codec = None;
    let format = loop {
        let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else {
            break FormatByName::None;
        };
        let extension = String::from_utf8_lossy(&name[dot + 1..]);
        if let Some(format) = BuiltIn::by_extension(&extension) {
            break FormatByName::Known(format);
        }
        // A hidden file, such as `.orders`, has no extension.
        if dot == 0 || sink::is_stream(path) {
            break FormatByName::None;
        }
        // Both names have their dots in the same places.
        let literal = String::from_utf8_lossy(outline.get(dot + 1..).unwrap_or_default());
        let compressed = Codec::by_extension(&extension).filter(|_| codec.is_none());
        if compressed.is_some() {
            codec = compressed;
        } else if is_foreign(&extension) || !is_number(&extension) && !is_number(&literal) {
            break FormatByName::Unknown(extension.into_owned());
        }
        (name, outline) = (&name[..dot], outline.get(..dot).unwrap_or_default());
    };
    SaidByName { format, codec }
}

/// Whether `extension` is that of a compressed file, or of another program's format.
fn is_foreign(extension: &str) -> bool {
    let mut compressed = COMPRESSED.iter().map(|(name, _)| *name);
    let is_it = |name: &str| name.eq_ignore_ascii_case(extension);
    compressed.any(is_it) || FOREIGN.into_iter().any(is_it)
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
        let what = format!("ends in .{extension}, and nothing is compressed so here");
        let inner = inner_format(path);
        let hint = match program {
            Some(program) => format!(
                "write FILE.{inner}.zst, or pipe it, `gold_digger --format {inner} … | {program} > \
                 FILE.{extension}`"
            ),
            None => format!("write FILE.{inner}.gz or FILE.{inner}.zst"),
        };
        return origin.refuse(keys::OUTPUT_PATH, &what).with_hint(hint);
    }
    let what = format!("ends in .{extension}, which is no format's extension");
    let hint = format!(
        "there are {}; texts also with .gz, .zst or .lz4 behind; with --format, the file may have any name",
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
    fn said(path: &str, outline: &str) -> String {
        let said = said_by_name(Path::new(path), OsStr::new(outline));
        let format = match said.format {
            FormatByName::None => String::new(),
            FormatByName::Known(format) => format.name.to_owned(),
            FormatByName::Unknown(extension) => format!(".{extension}"),
        };
        let codec = said.codec.map(|codec| format!(" {}", codec.name()));
        format + &codec.unwrap_or_default()
    }

    #[test]
    fn a_name_says_a_format_by_its_extension() {
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
            ("a.avro", ".avro"),
            ("a.avro.1", ".avro"),
            (".a.jsonl", "ndjson"),
            ("a.csv.gz", "csv gzip"),
            ("a.ndjson.ZST.2026-11-27", "ndjson zstd"),
            ("a.gz", " gzip"),
            ("a.2026-11-27.zst", " zstd"),
            (".gz", ""),
            ("a.gz.csv", "csv"),
            ("a.csv.gz.zst", ".gz zstd"),
            ("a.avro.gz", ".avro gzip"),
            ("a.csv.bz2", ".bz2"),
            ("a.7z", ".7z"),
            ("a.csv ", ".csv "),
            ("a.csv~", ".csv~"),
            ("a.värde", ".värde"),
        ] {
            assert_eq!(said(name, name), expected, "{name}");
        }
    }

    #[test]
    fn what_a_placeholder_makes_is_an_extension_only_if_some_program_has_it() {
        for (name, outline, expected) in [
            ("a.shop", "a.0000", ""),
            ("a-27.Nov", "a-00.000", ""),
            ("a.csv.Nov", "a.csv.000", "csv"),
            ("a.avro.Nov", "a.avro.000", ".avro"),
            ("27.csv", "00.000", "csv"),
            ("a.shop.x", "a.0000.x", ".x"),
            ("a.vx", "a.v0", ""),
            ("a.avro", "a.0000", ".avro"),
            ("a.Ods.1", "a.0000.1", ".Ods"),
            ("a.csv.gz", "a.csv.00", "csv gzip"),
            ("a.datshop", "a.dat0000", ".datshop"),
            ("d/a.shop/", "d/a.0000/", ""),
        ] {
            assert_eq!(said(name, outline), expected, "{name}");
        }
    }
}
