//! Makes the output format from its settings, and refuses the flags of other
//! formats.

use std::sync::Arc;

use clap::builder::PossibleValue;

#[cfg(feature = "parquet")]
use super::memory;
use super::{
    StandardOutput,
    layers::Layers,
    origin::Origin,
    output::Destination,
    settings::{Key, SETTINGS, Setting, keys},
};
#[cfg(feature = "parquet")]
use crate::format::Parquet;
#[cfg(feature = "arrow")]
use crate::format::{Arrow, ArrowLayout};
#[cfg(feature = "xlsx")]
use crate::format::{FullSheet, Xlsx};
use crate::{
    error::Result,
    format::{
        Booleans, BuiltIn, ByteOrderMark, Csv, FORMATS, FirstRows, Format, Header, Json, Layout,
        Sql, Table, TableLayout, TextOptions, Tsv,
    },
    load::is_offset,
    sink::{Target, is_stream},
};

/// Returns the choices of `--format` with their descriptions.
pub(super) fn possible_values() -> Vec<PossibleValue> {
    let value = |format: &&BuiltIn| PossibleValue::new(format.name).help(format.about);
    FORMATS.iter().map(value).collect()
}

/// Refuses a flag that the format would ignore, such as `--pretty` with CSV, and
/// such a key in an export's own table. A value that the format does not have is
/// refused wherever it comes from: the format cannot honour it.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the flag.
pub(super) fn refuse_flags_of_other_formats(layers: &Layers, chosen: &Destination) -> Result<()> {
    let is_typed = |origin: &Origin| matches!(origin, Origin::Flag(_) | Origin::Variable(_));
    // A key of the export's table is for the target and format of that table.
    // A flag or a variable may have chosen others.
    let is_own = !is_typed(&chosen.format_origin) && !is_typed(&chosen.target_origin);
    let name = chosen.format.name;
    for setting in SETTINGS.iter().copied() {
        let Some(found) = layers.entry(setting) else {
            continue;
        };
        let refuse = |what: &str, owners: &[&str]| {
            let what = format!("{what} for {name}");
            let hint = format!("leave it out, or choose --format {}", owners.join(" or "));
            Err(found.origin.refuse(setting, &what).with_hint(hint))
        };
        for (value, owners) in setting.format_values {
            let is_chosen = !matches!(found.origin, Origin::Default);
            if is_chosen && found.value.shown() == value && !owners.contains(&name) {
                return refuse(&format!("{value} has no meaning"), owners);
            }
        }
        let is_meant_for_this_format = match &found.origin {
            Origin::Flag(_) => true,
            Origin::ConfigFile(place) => is_own && place.table.is_some(),
            _ => false,
        };
        if is_meant_for_this_format && is_of_other_section(setting, &found.origin, name) {
            return refuse("has no meaning", &[setting.section().unwrap_or_default()]);
        }
        match setting.formats {
            Some(owners) if is_meant_for_this_format && !owners.contains(&name) => {
                return refuse("has no meaning", owners);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether `origin` is a key of an export's table for one format, such as [export.tsv],
/// and `format` is another one. A flag that two formats share has a key for each.
fn is_of_other_section(setting: &Setting, origin: &Origin, format: &str) -> bool {
    let Origin::ConfigFile(place) = origin else {
        return false;
    };
    let section = setting.section();
    let is_of_format = |section: &str| FORMATS.iter().any(|format| format.name == section);
    let shared = [("json", "ndjson"), ("arrow", "arrow-stream")];
    let is_its_own = |section| section == format || shared.contains(&(section, format));
    place
        .table
        .is_some_and(|table| table.starts_with("export."))
        && section.is_some_and(|section| is_of_format(section) && !is_its_own(section))
}

/// Makes the chosen format with the options of the layers. `name` is that of the export,
/// or of its file.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if two options
/// contradict each other.
pub(super) fn format(layers: &Layers, chosen: &Destination, name: &str) -> Result<Arc<dyn Format>> {
    let text = TextOptions {
        binary: layers.value(keys::BINARY).unwrap_or_default(),
        invalid_utf8: layers.value(keys::INVALID_UTF8).unwrap_or_default(),
        zero_dates: layers.value(keys::ZERO_DATES).unwrap_or_default(),
        booleans: booleans(layers),
        nul: layers.value(keys::NUL).unwrap_or_default(),
    };
    #[cfg(feature = "parquet")]
    if chosen.format.name == "parquet" {
        return Ok(Arc::new(parquet(layers, text)));
    }
    #[cfg(feature = "arrow")]
    if chosen.format.is_columnar() {
        return Ok(Arc::new(arrow(layers, text, chosen.format)));
    }
    #[cfg(feature = "xlsx")]
    if chosen.format.name == "xlsx" {
        return Ok(Arc::new(xlsx(layers, text)));
    }
    // All formats are made, so that a contradiction is found whatever the format is.
    let (csv, tsv, json) = (csv(layers, text)?, tsv(layers, text), json(layers, text));
    Ok(match chosen.format.name {
        "csv" => Arc::new(csv),
        "tsv" => Arc::new(tsv),
        "json" => Arc::new(json),
        "ndjson" => Arc::new(Json {
            layout: Layout::Lines,
            root: None,
            ..json
        }),
        "sql" => Arc::new(sql(layers, text, name)),
        "table" => Arc::new(table(layers, text, &chosen.target)),
        "vertical" => Arc::new(Table {
            layout: TableLayout::Vertical,
            ..table(layers, text, &chosen.target)
        }),
        _ => (chosen.format.with_text)(text),
    })
}

/// The least size of a row group in bytes that is chosen unasked.
#[cfg(feature = "parquet")]
const LEAST_ROW_GROUP: u64 = 4 << 20;

/// Returns the usual size of row groups, or a quarter of the memory that a limit leaves.
#[cfg(feature = "parquet")]
fn row_group_size() -> u64 {
    let usual = Parquet::default().row_group_size;
    let quarter = memory::limit().map(|limit| (limit / 4).max(LEAST_ROW_GROUP));
    quarter.map_or(usual, |quarter| quarter.min(usual))
}

#[cfg(feature = "parquet")]
fn parquet(layers: &Layers, text: TextOptions) -> Parquet {
    Parquet {
        text,
        time_zone: layers.value(keys::TIME_ZONE),
        duplicate_columns: layers.value(keys::DUPLICATE_COLUMNS).unwrap_or_default(),
        wide_decimals: layers.value(keys::PARQUET_DECIMAL).unwrap_or_default(),
        compression: layers.value(keys::PARQUET_COMPRESSION).unwrap_or_default(),
        row_group_size: layers
            .value(keys::ROW_GROUP_SIZE)
            .unwrap_or_else(row_group_size),
        bloom_filters: layers.list(keys::PARQUET_BLOOM),
    }
}

#[cfg(feature = "arrow")]
fn arrow(layers: &Layers, text: TextOptions, chosen: &BuiltIn) -> Arrow {
    Arrow {
        text,
        time_zone: layers.value(keys::TIME_ZONE),
        duplicate_columns: layers.value(keys::DUPLICATE_COLUMNS).unwrap_or_default(),
        layout: match chosen.name {
            "arrow" => ArrowLayout::File,
            _ => ArrowLayout::Stream,
        },
        compression: layers.value(keys::ARROW_COMPRESSION).unwrap_or_default(),
    }
}

#[cfg(feature = "xlsx")]
fn xlsx(layers: &Layers, text: TextOptions) -> Xlsx {
    Xlsx {
        text,
        full_sheet: if layers.is_on(keys::XLSX_SPLIT) {
            FullSheet::Split
        } else {
            FullSheet::Error
        },
    }
}

fn booleans(layers: &Layers) -> Booleans {
    match layers.value(keys::BOOLEANS).unwrap_or_default() {
        Booleans::Number if layers.is_on(keys::TINYINT1_AS_BOOL) => Booleans::Tinyint1,
        booleans => booleans,
    }
}

fn csv(layers: &Layers, text: TextOptions) -> Result<Csv> {
    let delimiter = layers.value(keys::CSV_DELIMITER).unwrap_or_default();
    let null = layers.value(keys::CSV_NULL).unwrap_or_default();
    if null.contains(delimiter) {
        let what = "holds the delimiter, and could not be told from data";
        return Err(layers.refuse(keys::CSV_NULL, what));
    }
    Ok(Csv {
        text,
        delimiter,
        header: header(layers, keys::CSV_HEADER),
        line_ending: layers.value(keys::CSV_LINE_ENDING).unwrap_or_default(),
        null,
        bom: if layers.is_on(keys::CSV_BOM) {
            ByteOrderMark::Utf8
        } else {
            ByteOrderMark::None
        },
        quote: layers.value(keys::CSV_QUOTE).unwrap_or_default(),
        formulas: layers.value(keys::CSV_FORMULAS).unwrap_or_default(),
    })
}

fn tsv(layers: &Layers, text: TextOptions) -> Tsv {
    Tsv {
        text,
        header: header(layers, keys::TSV_HEADER),
    }
}

fn header(layers: &Layers, key: Key<bool>) -> Header {
    if layers.is_on(key) {
        Header::Names
    } else {
        Header::None
    }
}

/// Makes SQL that inserts into `table`, unless a setting names another one.
fn sql(layers: &Layers, text: TextOptions, table: &str) -> Sql {
    let zone = layers.value(keys::TIME_ZONE);
    Sql {
        text,
        table: layers
            .value(keys::SQL_TABLE)
            .unwrap_or_else(|| table.to_owned()),
        // Another zone may be the server's own, or have an hour twice.
        time_zone: zone.filter(|zone: &String| is_offset(zone)),
        duplicate_columns: layers.value(keys::DUPLICATE_COLUMNS).unwrap_or_default(),
    }
}

/// Makes a table for `target`: as wide as the terminal, or of the same bytes for the same
/// rows where nobody sees them before their end.
fn table(layers: &Layers, text: TextOptions, target: &Target) -> Table {
    let (terminal, first_rows) = match (target, layers.stdout) {
        (Target::Stdout, StandardOutput::Terminal(columns)) => (columns, FirstRows::AtOnce),
        (Target::Stdout, StandardOutput::File) => (None, FirstRows::Together),
        (Target::Path(path), _) if !is_stream(path) => (None, FirstRows::Together),
        _ => (None, FirstRows::AtOnce),
    };
    Table {
        text,
        layout: TableLayout::Aligned,
        terminal,
        first_rows,
    }
}

fn json(layers: &Layers, text: TextOptions) -> Json {
    Json {
        text,
        layout: if layers.is_on(keys::JSON_PRETTY) {
            Layout::Pretty
        } else {
            Layout::Compact
        },
        root: layers.value(keys::JSON_ROOT),
        bigint: layers.value(keys::JSON_BIGINT).unwrap_or_default(),
        decimal: layers.value(keys::JSON_DECIMAL).unwrap_or_default(),
        columns: layers.list(keys::JSON_COLUMNS),
        duplicate_columns: layers.value(keys::DUPLICATE_COLUMNS).unwrap_or_default(),
        nulls: layers.value(keys::JSON_NULLS).unwrap_or_default(),
    }
}
