//! Where the rows go and in which format.

use std::{cell::LazyCell, ffi::OsStr, path::PathBuf};

use super::{
    MissingFolders, Target,
    layers::{Layers, Origin, Sourced, Value},
    settings::SETTINGS,
};
use crate::{
    artifacts::template::{self, Now},
    error::Result,
    format::{
        self, ByteOrderMark, CsvNull, FORMATS, Format, FormatOptions, Header, Layout, TinyInt1,
    },
};

/// A target, the format that belongs to it, and where both were said.
pub(super) struct Destination {
    pub target: Target,
    pub target_origin: Origin,
    pub format: &'static Format,
    pub format_origin: Origin,
}

/// The target of the highest layer that names one, and the format of the
/// highest layer that says one. A target says its format by its extension: `-o
/// x.json` is JSON, whatever the configuration file's format is.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a path whose
/// placeholders are wrong.
pub(super) fn destination(
    layers: &Layers,
    now: &LazyCell<Now>,
    database: Option<&str>,
) -> Result<Destination> {
    let mut target = None;
    let mut format = None;
    for layer in &layers.0 {
        let named = layer
            .text("output.format")
            .and_then(OsStr::to_str)
            .and_then(format::by_name);
        if let (Some(named), Some(found)) = (named, layer.get("output.format")) {
            format = format.or(Some((named, found.origin.clone())));
        }
        let Some(Sourced {
            value: Value::Text(path),
            origin,
        }) = layer.get("output.path")
        else {
            continue;
        };
        if target.is_some() {
            continue;
        }
        if path == "-" {
            target = Some((Target::Stdout, origin.clone()));
            continue;
        }
        let path = template::expand(path, now, database).map_err(|problem| {
            origin
                .refuse("output.path", &problem)
                .with_hint(template::HINT)
        })?;
        let path = PathBuf::from(path);
        let extension = path.extension().and_then(OsStr::to_str);
        let by_extension = extension.and_then(format::by_extension);
        format = format.or_else(|| Some((by_extension?, origin.clone())));
        target = Some((Target::Path(path, missing_folders(layers)), origin.clone()));
    }
    let (target, target_origin) = target.unwrap_or((Target::Stdout, Origin::Default));
    let (format, format_origin) = format.unwrap_or((&format::tsv::FORMAT, Origin::Default));
    Ok(Destination {
        target,
        target_origin,
        format,
        format_origin,
    })
}

fn missing_folders(layers: &Layers) -> MissingFolders {
    if layers.is_on("output.create_dirs") {
        MissingFolders::Create
    } else {
        MissingFolders::Refuse
    }
}

/// A flag that the format would ignore is a mistake: `--pretty` with CSV. So is a
/// key of an export's own table.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the flag.
pub(super) fn refuse_flags_of_other_formats(layers: &Layers, chosen: &Destination) -> Result<()> {
    let format = chosen.format;
    // Unless another target or format than the export's own was typed.
    let is_typed = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_));
    let is_own = !is_typed(&chosen.format_origin) && !is_typed(&chosen.target_origin);
    for setting in SETTINGS {
        let Some(found) = layers.get(setting.name) else {
            continue;
        };
        let is_raw = setting.name == "values.binary" && layers.text(setting.name) == Some("raw");
        let flag = match (setting.flag, &found.origin) {
            // Also where a file says so: it cannot be honoured.
            _ if is_raw => "binary raw",
            (Some(flag), Origin::Flag(_)) => flag,
            (Some(flag), Origin::ConfigFile(place)) if is_own && place.table.is_some() => flag,
            _ => continue,
        };
        let owners = FORMATS.iter().filter(|other| other.flags.contains(&flag));
        let owners: Vec<&str> = owners.map(|other| other.name).collect();
        if !owners.is_empty() && !owners.contains(&format.name) {
            let what = if is_raw {
                "raw has no meaning"
            } else {
                "has no meaning"
            };
            let refused = found
                .origin
                .refuse(setting.name, &format!("{what} for {}", format.name));
            let hint = format!("leave it out, or choose --format {}", owners.join(" or "));
            return Err(refused.with_hint(hint));
        }
    }
    Ok(())
}

/// The formats' settings.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where two of them
/// contradict each other.
pub(super) fn format_options(layers: &Layers) -> Result<FormatOptions> {
    let header = |name| {
        if layers.is_on(name) {
            Header::Names
        } else {
            Header::None
        }
    };
    let csv_delimiter = layers.parsed("csv.delimiter")?.unwrap_or_default();
    let csv_null: CsvNull = layers.parsed("csv.null")?.unwrap_or_default();
    if let (true, Some(found)) = (csv_null.contains(csv_delimiter), layers.get("csv.null")) {
        let what = "holds the delimiter, and could not be told from data";
        return Err(found.origin.refuse("csv.null", what));
    }
    Ok(FormatOptions {
        binary: layers.choice("values.binary")?.unwrap_or_default(),
        invalid_utf8: layers.choice("values.invalid_utf8")?.unwrap_or_default(),
        csv_delimiter,
        csv_header: header("csv.header"),
        line_ending: layers.choice("csv.line_ending")?.unwrap_or_default(),
        csv_null,
        csv_bom: if layers.is_on("csv.bom") {
            ByteOrderMark::Utf8
        } else {
            ByteOrderMark::None
        },
        csv_quote: layers.choice("csv.quote")?.unwrap_or_default(),
        tsv_header: header("tsv.header"),
        layout: if layers.is_on("json.pretty") {
            Layout::Pretty
        } else {
            Layout::Compact
        },
        json_root: layers.text("json.root").map(str::to_owned),
        json_bigint: layers.choice("json.bigint")?.unwrap_or_default(),
        json_decimal: layers.choice("json.decimal")?.unwrap_or_default(),
        json_columns: layers.list("json.columns"),
        tinyint1: if layers.is_on("values.tinyint1_as_bool") {
            TinyInt1::Bool
        } else {
            TinyInt1::Number
        },
        zero_dates: layers.choice("values.zero_dates")?.unwrap_or_default(),
        duplicate_columns: layers
            .choice("output.duplicate_columns")?
            .unwrap_or_default(),
    })
}
