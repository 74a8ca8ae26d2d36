//! What is said of geometries beside their values: the spatial reference system (SRID),
//! which servers keep with each value, and WKB does not hold.

use serde_json::{Map, Value, json};

use super::builder::Srids;

/// The SRID of longitudes and latitudes (EPSG:4326).
#[cfg(feature = "parquet")]
const LONGITUDE_LATITUDE: u32 = 4326;

/// The field of the SRID.
#[cfg(feature = "parquet")]
const SRID: &str = "gold_digger.srid";

/// The field of a column whose geometries have different SRIDs.
#[cfg(feature = "parquet")]
const SEVERAL: &str = "gold_digger.has_several_srids";

/// Returns the GeoParquet metadata of the columns with geometries; `None` without any
/// (GeoParquet 1.1.0, "File metadata").
///
/// Servers keep the longitude before the latitude, whatever the order of the reference
/// system's axes (MySQL manual, "Spatial Reference System Support"), which is
/// GeoParquet's order too. The definitions of other systems are not known here: their
/// `crs` is null, which is an unknown one, and the SRID is in a field of our own.
#[cfg(feature = "parquet")]
pub(super) fn parquet_metadata<'a>(
    columns: impl Iterator<Item = (&'a str, Srids)>,
) -> Option<String> {
    let (mut primary, mut described) = (None, Map::new());
    for (name, srids) in columns {
        primary.get_or_insert(name);
        let column = match srids {
            Srids::Unknown => column(Some(Value::Null), Value::Null),
            // The default of GeoParquet is OGC:CRS84: the same system, longitude first.
            Srids::One(LONGITUDE_LATITUDE) => column(None, json!(LONGITUDE_LATITUDE)),
            Srids::One(srid) => column(Some(Value::Null), json!(srid)),
            Srids::Several => column_of_several(),
        };
        described.insert(name.to_owned(), column);
    }
    let metadata = json!({
        "version": "1.1.0",
        "primary_column": primary?,
        "columns": described,
    });
    Some(metadata.to_string())
}

/// Returns what is said of a column with geometries. Without a `crs`, it is GeoParquet's
/// default.
#[cfg(feature = "parquet")]
fn column(crs: Option<Value>, srid: Value) -> Value {
    let mut column = json!({"encoding": "WKB", "geometry_types": []});
    if let Some(crs) = crs {
        column["crs"] = crs;
    }
    column[SRID] = srid;
    column
}

/// Returns what is said of a column whose geometries have different SRIDs.
#[cfg(feature = "parquet")]
fn column_of_several() -> Value {
    let mut column = column(Some(Value::Null), Value::Null);
    column[SEVERAL] = json!(true);
    column
}

/// Returns what is said of the geometries of a document that others are joined to, of which
/// `documents` is what each says, and the warnings about them. A document without any
/// geometry says nothing of their reference system.
#[cfg(feature = "parquet")]
pub(super) fn joined(documents: &[String]) -> (Option<String>, Vec<String>) {
    let read = |text: &String| serde_json::from_str::<Value>(text).ok();
    let documents: Vec<Value> = documents.iter().filter_map(read).collect();
    let Some(first) = documents.first() else {
        return (None, Vec::new());
    };
    let (mut joined, mut warnings) = (first.clone(), Vec::new());
    let unknown = column(Some(Value::Null), Value::Null);
    if let Some(columns) = joined["columns"].as_object_mut() {
        for (name, column) in columns {
            let all = documents.iter().map(|document| &document["columns"][name]);
            let mut known = all.filter(|column| **column != unknown);
            let Some(one) = known.next() else { continue };
            *column = match known.all(|other| other == one) && *one != column_of_several() {
                true => one.clone(),
                false => {
                    warnings.extend(several(name));
                    column_of_several()
                }
            };
        }
    }
    (Some(joined.to_string()), warnings)
}

/// Returns the SRID of each column with geometries as a JSON object, null where there
/// are none or several; `None` without geometries.
#[cfg(feature = "arrow")]
pub(super) fn srids<'a>(columns: impl Iterator<Item = (&'a str, Srids)>) -> Option<String> {
    let mut found = Map::new();
    for (name, srids) in columns {
        let srid = match srids {
            Srids::One(srid) => json!(srid),
            Srids::Unknown | Srids::Several => Value::Null,
        };
        found.insert(name.to_owned(), srid);
    }
    (!found.is_empty()).then(|| Value::from(found).to_string())
}

/// Returns a warning for each column whose geometries have an SRID, which the document
/// does not hold.
#[cfg(feature = "arrow")]
pub(super) fn lost_srids<'a>(columns: impl Iterator<Item = (&'a str, Srids)>) -> Vec<String> {
    let warning = |(name, srids)| match srids {
        Srids::Unknown | Srids::One(0) => None,
        Srids::One(srid) => Some(format!(
            "the geometries of column {name:?} have the SRID {srid}, which is not in the document"
        )),
        Srids::Several => several(name),
    };
    columns.filter_map(warning).collect()
}

/// Returns a warning for each column whose geometries have different SRIDs.
pub(super) fn mixed_srids<'a>(columns: impl Iterator<Item = (&'a str, Srids)>) -> Vec<String> {
    columns
        .filter(|(_, srids)| *srids == Srids::Several)
        .filter_map(|(name, _)| several(name))
        .collect()
}

fn several(name: &str) -> Option<String> {
    Some(format!(
        "the geometries of column {name:?} have different SRIDs, which the document does not hold; \
         ST_SRID() in the query gives them a column of their own"
    ))
}
