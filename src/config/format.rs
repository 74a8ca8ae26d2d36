//! The formats as settings: which flags belong to which, and their options.

use std::sync::Arc;

use clap::builder::PossibleValue;

use super::layers::{Layers, Origin, Sourced};
use super::{output::Destination, settings::SETTINGS};
use crate::{
    error::{Error, Result},
    format::{
        BuiltIn, ByteOrderMark, Csv, CsvNull, FORMATS, Format, Header, Json, Layout, TextOptions,
        TinyInt1, Tsv,
    },
};

/// The flags, without the dashes, that only some formats have, each with the
/// names of these; a flag with a value where only that value is theirs.
const FLAGS: &[(&str, &[&str])] = &[
    ("header", &["csv", "tsv"]),
    ("csv-delimiter", &["csv"]),
    ("line-ending", &["csv"]),
    ("csv-null", &["csv"]),
    ("csv-bom", &["csv"]),
    ("csv-quote", &["csv"]),
    (BINARY_RAW, &["tsv"]),
    ("pretty", &["json"]),
    ("json-root", &["json"]),
    ("json-bigint", &["json"]),
    ("json-decimal", &["json"]),
    ("json-column", &["json"]),
    ("tinyint1-as-bool", &["json"]),
    ("zero-dates", &["json"]),
];

/// The one value of `--binary` that only TSV has.
const BINARY_RAW: &str = "binary raw";

/// The choices of `--format` with their descriptions.
pub(super) fn possible_values() -> Vec<PossibleValue> {
    let value = |format: &&BuiltIn| PossibleValue::new(format.name).help(format.about);
    FORMATS.iter().map(value).collect()
}

/// Refuses a flag that the format would ignore, such as `--pretty` with CSV, and
/// a key like that in an export's own table.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the flag.
pub(super) fn refuse_flags_of_other_formats(layers: &Layers, chosen: &Destination) -> Result<()> {
    let format = chosen.format;
    // Unless a flag or a variable chooses another target or format than the
    // export's own.
    let is_typed = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_));
    let is_own = !is_typed(&chosen.format_origin) && !is_typed(&chosen.target_origin);
    for setting in SETTINGS {
        let Some(found) = layers.get(setting.name) else {
            continue;
        };
        let is_raw = setting.name == "values.binary" && layers.text(setting.name) == Some("raw");
        let flag = match (setting.flag, &found.origin) {
            // Also where a file says so: it cannot be honoured.
            _ if is_raw => BINARY_RAW,
            (Some(flag), Origin::Flag(_)) => flag,
            (Some(flag), Origin::ConfigFile(place)) if is_own && place.table.is_some() => flag,
            _ => continue,
        };
        let owners = FLAGS.iter().find(|(name, _)| *name == flag);
        if let Some((_, owners)) = owners
            && !owners.contains(&format.name)
        {
            return Err(refuse_flag(found, setting.name, format, owners, is_raw));
        }
    }
    Ok(())
}

fn refuse_flag(
    found: &Sourced,
    name: &str,
    format: &BuiltIn,
    owners: &[&str],
    is_raw: bool,
) -> Error {
    let what = if is_raw {
        "raw has no meaning"
    } else {
        "has no meaning"
    };
    let refused = found
        .origin
        .refuse(name, &format!("{what} for {}", format.name));
    let owners = owners.join(" or ");
    refused.with_hint(format!("leave it out, or choose --format {owners}"))
}

/// Makes the format that was chosen, with the options that the layers give.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where two options
/// contradict each other.
pub(super) fn format(layers: &Layers, chosen: &BuiltIn) -> Result<Arc<dyn Format>> {
    let text = TextOptions {
        binary: layers.choice("values.binary")?.unwrap_or_default(),
        invalid_utf8: layers.choice("values.invalid_utf8")?.unwrap_or_default(),
    };
    // All of them, so that a contradiction is found whatever the format is.
    let (csv, tsv, json) = (csv(layers, text)?, tsv(layers, text), json(layers, text)?);
    Ok(match chosen.name {
        "csv" => Arc::new(csv),
        "tsv" => Arc::new(tsv),
        "json" => Arc::new(json),
        _ => (chosen.default)(),
    })
}

fn csv(layers: &Layers, text: TextOptions) -> Result<Csv> {
    let delimiter = layers.parsed("csv.delimiter")?.unwrap_or_default();
    let null: CsvNull = layers.parsed("csv.null")?.unwrap_or_default();
    if let (true, Some(found)) = (null.contains(delimiter), layers.get("csv.null")) {
        let what = "holds the delimiter, and could not be told from data";
        return Err(found.origin.refuse("csv.null", what));
    }
    Ok(Csv {
        text,
        delimiter,
        header: header(layers, "csv.header"),
        line_ending: layers.choice("csv.line_ending")?.unwrap_or_default(),
        null,
        bom: if layers.is_on("csv.bom") {
            ByteOrderMark::Utf8
        } else {
            ByteOrderMark::None
        },
        quote: layers.choice("csv.quote")?.unwrap_or_default(),
    })
}

fn tsv(layers: &Layers, text: TextOptions) -> Tsv {
    Tsv {
        text,
        header: header(layers, "tsv.header"),
    }
}

fn header(layers: &Layers, name: &str) -> Header {
    if layers.is_on(name) {
        Header::Names
    } else {
        Header::None
    }
}

fn json(layers: &Layers, text: TextOptions) -> Result<Json> {
    Ok(Json {
        text,
        zero_dates: layers.choice("values.zero_dates")?.unwrap_or_default(),
        layout: if layers.is_on("json.pretty") {
            Layout::Pretty
        } else {
            Layout::Compact
        },
        root: layers.text("json.root").map(str::to_owned),
        bigint: layers.choice("json.bigint")?.unwrap_or_default(),
        decimal: layers.choice("json.decimal")?.unwrap_or_default(),
        columns: layers.list("json.columns"),
        tinyint1: if layers.is_on("values.tinyint1_as_bool") {
            TinyInt1::Bool
        } else {
            TinyInt1::Number
        },
        duplicate_columns: layers
            .choice("output.duplicate_columns")?
            .unwrap_or_default(),
    })
}
