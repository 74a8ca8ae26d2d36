//! The Arrow type of each column, chosen once from the server's metadata, with the
//! builder of its values.

use std::{collections::HashMap, sync::Arc};

use arrow_array::types::{
    Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, TimeUnit, extension};

use super::{
    super::{Booleans, DuplicateColumns, TextOptions, WideDecimals, json::unique_names},
    batch::Batch,
    builder::{self, ColumnBuilder},
    values::{self, bits, boolean, decimal, integer},
};
use crate::{
    error::{Error, Result},
    row::{DateTime, Value},
    schema::{BaseType, Column, ColumnType, Nullability, Schema, Sign},
};

/// The most digits of a decimal of 128 bits, and of what most readers of Parquet know.
const MAX_DIGITS_128: u8 = 38;

/// The most digits of DECIMAL (MySQL manual, "Precision Math").
const MAX_DIGITS: u8 = 65;

/// The key under which a field has the server's name of its type.
const SERVER_TYPE: &str = "gold_digger.type";

/// The options that choose the types.
#[derive(Clone, Copy)]
pub(super) struct FieldOptions<'a> {
    /// The format's name, for messages.
    pub format: &'static str,
    pub text: TextOptions,
    /// The session's time zone if it is an offset from UTC.
    pub time_zone: Option<&'a str>,
    pub duplicate_columns: DuplicateColumns,
    pub wide_decimals: WideDecimals,
    /// The form of ENUMs.
    pub enums: Enums,
}

/// The form of ENUMs, whose members servers do not tell beforehand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Enums {
    /// A dictionary of texts that grows.
    Dictionary,
    /// Texts, where a dictionary cannot grow.
    #[cfg(feature = "arrow")]
    Text,
}

/// Returns an empty batch for a result with `schema`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for columns that the format
/// cannot hold, with equal names for example.
pub(super) fn batch(schema: &Schema, options: FieldOptions<'_>) -> Result<Batch> {
    let names = unique_names(&schema.columns, options.duplicate_columns, options.format)?;
    let (mut fields, mut builders) = (Vec::new(), Vec::new());
    for (column, name) in schema.columns.iter().zip(names) {
        let (data_type, builder) = column_type(column, options)?;
        fields.push(field(column, name, data_type, options)?);
        builders.push(builder);
    }
    Ok(Batch::new(Arc::new(ArrowSchema::new(fields)), builders))
}

/// Returns the type of each column of `batch` in words, for `--check`.
pub(super) fn descriptions(batch: &Batch) -> Vec<String> {
    let fields = batch.schema().fields().iter();
    fields.map(|field| describe(field)).collect()
}

/// Returns the field of `column`.
fn field(
    column: &Column,
    name: String,
    data_type: DataType,
    options: FieldOptions<'_>,
) -> Result<Field> {
    let is_required = options.text.nullability(column) == Nullability::NotNull;
    let mut metadata = HashMap::from([(SERVER_TYPE.to_owned(), column.server_type.clone())]);
    if column.metadata.base == BaseType::Geometry {
        let name = extension::EXTENSION_TYPE_NAME_KEY.to_owned();
        metadata.insert(name, "geoarrow.wkb".to_owned());
        let key = extension::EXTENSION_TYPE_METADATA_KEY.to_owned();
        metadata.insert(key, "{}".to_owned());
    }
    let mut field = Field::new(name, data_type, !is_required).with_metadata(metadata);
    if column.column_type == ColumnType::Json {
        let json = extension::Json::default();
        field
            .try_with_extension_type(json)
            .map_err(super::encoding_error)?;
    }
    Ok(field)
}

/// Returns the type of `column` and the builder of its values.
fn column_type(
    column: &Column,
    options: FieldOptions<'_>,
) -> Result<(DataType, Box<dyn ColumnBuilder>)> {
    let TextOptions {
        invalid_utf8,
        booleans,
        ..
    } = options.text;
    Ok(match column.column_type {
        ColumnType::TinyInt1 if booleans != Booleans::Number => {
            let read = |value: Value<'_>| boolean(integer::<i8>(value)?.map(i64::from));
            (DataType::Boolean, builder::booleans(read))
        }
        ColumnType::Bit { width: 1 } if booleans == Booleans::Words => {
            let read = |value: Value<'_>| boolean(bits::<u8>(value, 1)?.map(i64::from));
            (DataType::Boolean, builder::booleans(read))
        }
        ColumnType::Integer { .. } | ColumnType::TinyInt1 => integers(column),
        ColumnType::Bit { width } => bit_numbers(width),
        ColumnType::Decimal { scale, .. } => decimals(column, scale, options)?,
        ColumnType::Float(_) => {
            let data_type = DataType::Float32;
            let builder = builder::numbers::<Float32Type, _>(data_type.clone(), values::float);
            (data_type, builder)
        }
        ColumnType::Double(_) => {
            let data_type = DataType::Float64;
            let builder = builder::numbers::<Float64Type, _>(data_type.clone(), values::double);
            (data_type, builder)
        }
        ColumnType::Date => dates(options),
        ColumnType::DateTime { .. } => moments(column, options)?,
        ColumnType::Time { .. } => {
            let data_type = DataType::Duration(TimeUnit::Microsecond);
            let read = values::duration;
            let builder = builder::numbers::<DurationMicrosecondType, _>(data_type.clone(), read);
            (data_type, builder)
        }
        ColumnType::Text
            if column.metadata.base == BaseType::Enum && options.enums == Enums::Dictionary =>
        {
            let (key, text) = (Box::new(DataType::Int32), Box::new(DataType::Utf8));
            let data_type = DataType::Dictionary(key, text);
            (data_type, builder::categories(invalid_utf8))
        }
        ColumnType::Text | ColumnType::Json => (DataType::Utf8, builder::texts(invalid_utf8)),
        ColumnType::Binary => bytes(column),
    })
}

/// Chooses the type of bytes.
fn bytes(column: &Column) -> (DataType, Box<dyn ColumnBuilder>) {
    match column.metadata.base {
        BaseType::Geometry => (DataType::Binary, builder::geometries()),
        BaseType::Vector => {
            let item = Arc::new(Field::new("item", DataType::Float32, false));
            let builder = builder::vectors(Arc::clone(&item));
            (DataType::List(item), builder)
        }
        _ => (DataType::Binary, builder::bytes()),
    }
}

/// Returns the type of a DATE, which has no time of day.
fn dates(options: FieldOptions<'_>) -> (DataType, Box<dyn ColumnBuilder>) {
    let days = |point: DateTime| point.is_midnight().then(|| values::days(point));
    let data_type = DataType::Date32;
    let zero_dates = options.text.zero_dates;
    let builder = builder::moments::<Date32Type, _>(data_type.clone(), zero_dates, days);
    (data_type, builder)
}

/// Chooses the width of whole numbers.
fn integers(column: &Column) -> (DataType, Box<dyn ColumnBuilder>) {
    macro_rules! numbers {
        ($name:ident, $type:ty) => {
            (
                DataType::$name,
                builder::numbers::<$type, _>(DataType::$name, integer),
            )
        };
    }
    let is_signed = column.metadata.sign == Sign::Signed;
    match (column.metadata.base, is_signed) {
        (BaseType::TinyInt, true) => numbers!(Int8, Int8Type),
        (BaseType::TinyInt, false) => numbers!(UInt8, UInt8Type),
        // Years are 0 to 2155.
        (BaseType::SmallInt, true) | (BaseType::Year, _) => numbers!(Int16, Int16Type),
        (BaseType::SmallInt, false) => numbers!(UInt16, UInt16Type),
        (BaseType::MediumInt | BaseType::Int, true) => numbers!(Int32, Int32Type),
        (BaseType::MediumInt | BaseType::Int, false) => numbers!(UInt32, UInt32Type),
        (_, true) => numbers!(Int64, Int64Type),
        (_, false) => numbers!(UInt64, UInt64Type),
    }
}

/// Chooses the narrowest unsigned number for a BIT of `width` bits.
fn bit_numbers(width: u32) -> (DataType, Box<dyn ColumnBuilder>) {
    macro_rules! numbers {
        ($name:ident, $type:ty) => {{
            let read = move |value: Value<'_>| bits(value, width);
            (
                DataType::$name,
                builder::numbers::<$type, _>(DataType::$name, read),
            )
        }};
    }
    match width {
        0..=8 => numbers!(UInt8, UInt8Type),
        9..=16 => numbers!(UInt16, UInt16Type),
        17..=32 => numbers!(UInt32, UInt32Type),
        _ => numbers!(UInt64, UInt64Type),
    }
}

/// Chooses the type of a DECIMAL with `scale` digits after the point.
fn decimals(
    column: &Column,
    scale: u8,
    options: FieldOptions<'_>,
) -> Result<(DataType, Box<dyn ColumnBuilder>)> {
    let digits = column
        .metadata
        .precision
        .and_then(|digits| u8::try_from(digits).ok());
    let digits = digits
        .unwrap_or(MAX_DIGITS)
        .clamp(scale.max(1), MAX_DIGITS.max(scale));
    let places = i8::try_from(scale).unwrap_or(i8::MAX);
    if digits <= MAX_DIGITS_128 {
        let data_type = DataType::Decimal128(digits, places);
        let read = move |value: Value<'_>| decimal(value, digits, scale);
        let builder = builder::numbers::<Decimal128Type, _>(data_type.clone(), read);
        return Ok((data_type, builder));
    }
    match options.wide_decimals {
        WideDecimals::String => {
            let builder = builder::texts(options.text.invalid_utf8);
            Ok((DataType::Utf8, builder))
        }
        WideDecimals::Decimal256 => {
            let data_type = DataType::Decimal256(digits, places);
            let read = move |value: Value<'_>| decimal(value, digits, scale);
            let builder = builder::numbers::<Decimal256Type, _>(data_type.clone(), read);
            Ok((data_type, builder))
        }
        WideDecimals::Error => {
            let what = format!(
                "column {:?} is {}, and few readers of {} know decimals of more than {MAX_DIGITS_128} digits",
                column.name, column.server_type, options.format
            );
            Err(Error::config(what).with_hint(
                "CAST it in the query, for example to DECIMAL(38,10), or choose --parquet-decimal string",
            ))
        }
    }
}

/// Chooses the type of a DATETIME or a TIMESTAMP, which is a moment.
fn moments(
    column: &Column,
    options: FieldOptions<'_>,
) -> Result<(DataType, Box<dyn ColumnBuilder>)> {
    let zero_dates = options.text.zero_dates;
    if !column.is_timestamp() {
        let data_type = DataType::Timestamp(TimeUnit::Microsecond, None);
        let builder = builder::moments::<TimestampMicrosecondType, _>(
            data_type.clone(),
            zero_dates,
            |point| Some(values::micros(point)),
        );
        return Ok((data_type, builder));
    }
    let offset = options.time_zone.and_then(offset_micros).ok_or_else(|| {
        let what = format!(
            "column {:?} is a TIMESTAMP, whose moments in UTC are known only if the session's time zone is an offset",
            column.name
        );
        Error::config(what).with_hint("choose --time-zone +00:00 ([session] time_zone)")
    })?;
    let data_type = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let convert = move |point| Some(values::micros(point) - offset);
    let builder =
        builder::moments::<TimestampMicrosecondType, _>(data_type.clone(), zero_dates, convert);
    Ok((data_type, builder))
}

/// Returns the microseconds of an offset from UTC such as `+05:30`; `None` for other
/// text.
fn offset_micros(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("UTC") {
        return Some(0);
    }
    let (sign, clock) = match zone.as_bytes() {
        [b'+', ..] => (1, &zone[1..]),
        [b'-', ..] => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = clock.split_once(':')?;
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten()
    };
    Some(sign * (number(hours)? * 60 + number(minutes)?) * 60_000_000)
}

/// Returns the type of `field` in words.
fn describe(field: &Field) -> String {
    let name = match field.data_type() {
        DataType::Utf8 if field.extension_type_name() == Some("arrow.json") => "JSON".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::Dictionary(..) => "dictionary of strings".to_owned(),
        DataType::Binary if field.extension_type_name().is_some() => "WKB".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(_, None) => "timestamp without time zone, microseconds".to_owned(),
        DataType::Timestamp(_, Some(_)) => "timestamp in UTC, microseconds".to_owned(),
        DataType::Duration(_) => "duration, microseconds".to_owned(),
        DataType::List(_) => "list of floats".to_owned(),
        DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) => {
            format!("decimal({digits},{scale})")
        }
        other => other.to_string().to_lowercase(),
    };
    match field.is_nullable() {
        true => name,
        false => format!("{name}, required"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_counted_from_utc() {
        for (zone, minutes) in [
            ("+00:00", Some(0)),
            ("utc", Some(0)),
            ("-03:30", Some(-210)),
            ("+5:00", Some(300)),
            ("Europe/Berlin", None),
            ("SYSTEM", None),
            ("+", None),
            ("+1:2:3", None),
            ("+é:00", None),
        ] {
            let expected = minutes.map(|minutes: i64| minutes * 60_000_000);
            assert_eq!(offset_micros(zone), expected, "{zone}");
        }
    }
}
