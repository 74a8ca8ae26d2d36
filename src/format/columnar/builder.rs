//! Collects the values of one column in Arrow arrays. The builder is chosen once per
//! column; a value goes straight from the driver's row into it.

use std::{borrow::Cow, sync::Arc};

use arrow_array::{
    ArrayRef, ArrowPrimitiveType,
    builder::{
        BinaryBuilder, BooleanBuilder, Float32Builder, ListBuilder, PrimitiveBuilder,
        StringBuilder, StringDictionaryBuilder,
    },
    types::Int32Type,
};
use arrow_schema::{DataType, FieldRef};

use super::{
    super::{
        InvalidUtf8, ZeroDates,
        column::{NOT_UTF8, TYPE_MISMATCH, ValueProblem},
    },
    values::{self, Moment},
};
use crate::row::{DateTime, Value};

const NO_DATE: ValueProblem = ValueProblem::new(
    "is no date of the calendar",
    "--zero-dates null writes NULL in its place",
);

const TOO_LONG: ValueProblem = ValueProblem::new(
    "is longer than a gibibyte with U+FFFD for what is not UTF-8",
    "leave --invalid-utf8 replace out, or convert it in the query, for example with HEX()",
);

/// The most bytes of a text: those of the largest packet. An array holds two gibibytes.
const MAX_TEXT: usize = 1 << 30;

/// The numbers of values that a document does not hold as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Altered {
    /// Texts that were not UTF-8.
    pub lossy: u64,
    /// Dates that no calendar has, written as NULL.
    pub no_dates: u64,
}

/// The spatial reference systems of a column's geometries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Srids {
    /// There are no geometries so far.
    #[default]
    Unknown,
    /// All geometries have this one; 0 is none.
    One(u32),
    /// There are several.
    Several,
}

/// Collects the values of a column.
pub(super) trait ColumnBuilder: Send {
    /// Appends `value`, and returns the number of bytes that it takes.
    ///
    /// # Errors
    /// For a value that the column's type does not have.
    fn append(&mut self, value: Value<'_>, altered: &mut Altered) -> Result<usize, ValueProblem>;

    /// Returns the values that were appended since the last call.
    fn finish(&mut self) -> ArrayRef;

    /// The reference systems of all geometries so far; `None` for a column of others.
    fn srids(&self) -> Option<Srids> {
        None
    }
}

/// Collects numbers of one width, which `read` makes of values.
struct Numbers<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    read: F,
}

/// Returns the builder of a column with this `data_type`, whose values `read` converts.
pub(super) fn numbers<T, F>(data_type: DataType, read: F) -> Box<dyn ColumnBuilder>
where
    T: ArrowPrimitiveType,
    F: Fn(Value<'_>) -> Result<Option<T::Native>, ValueProblem> + Send + 'static,
{
    let builder = PrimitiveBuilder::<T>::new().with_data_type(data_type);
    Box::new(Numbers { builder, read })
}

impl<T, F> ColumnBuilder for Numbers<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(Value<'_>) -> Result<Option<T::Native>, ValueProblem> + Send,
{
    fn append(&mut self, value: Value<'_>, _: &mut Altered) -> Result<usize, ValueProblem> {
        self.builder.append_option((self.read)(value)?);
        Ok(size_of::<T::Native>())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// Collects booleans, which `read` makes of values.
struct Booleans<F> {
    builder: BooleanBuilder,
    read: F,
}

/// Returns the builder of a column of booleans, whose values `read` converts.
pub(super) fn booleans<F>(read: F) -> Box<dyn ColumnBuilder>
where
    F: Fn(Value<'_>) -> Result<Option<bool>, ValueProblem> + Send + 'static,
{
    let builder = BooleanBuilder::new();
    Box::new(Booleans { builder, read })
}

impl<F> ColumnBuilder for Booleans<F>
where
    F: Fn(Value<'_>) -> Result<Option<bool>, ValueProblem> + Send,
{
    fn append(&mut self, value: Value<'_>, _: &mut Altered) -> Result<usize, ValueProblem> {
        self.builder.append_option((self.read)(value)?);
        Ok(1)
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// Collects dates, which `convert` counts from 1970 on.
struct Moments<T: ArrowPrimitiveType, F> {
    builder: PrimitiveBuilder<T>,
    convert: F,
    zero_dates: ZeroDates,
}

/// Returns the builder of a column with this `data_type`, whose dates `convert` counts;
/// `None` for one that the column cannot have.
pub(super) fn moments<T, F>(
    data_type: DataType,
    zero_dates: ZeroDates,
    convert: F,
) -> Box<dyn ColumnBuilder>
where
    T: ArrowPrimitiveType,
    F: Fn(DateTime) -> Option<T::Native> + Send + 'static,
{
    Box::new(Moments {
        builder: PrimitiveBuilder::<T>::new().with_data_type(data_type),
        convert,
        zero_dates,
    })
}

impl<T, F> ColumnBuilder for Moments<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(DateTime) -> Option<T::Native> + Send,
{
    fn append(&mut self, value: Value<'_>, altered: &mut Altered) -> Result<usize, ValueProblem> {
        match values::moment(value)? {
            Moment::At(point) => {
                let counted = (self.convert)(point).ok_or(TYPE_MISMATCH)?;
                self.builder.append_value(counted);
            }
            Moment::NotInCalendar if self.zero_dates == ZeroDates::Error => return Err(NO_DATE),
            Moment::NotInCalendar => {
                altered.no_dates += 1;
                self.builder.append_null();
            }
            Moment::Null => self.builder.append_null(),
        }
        Ok(size_of::<T::Native>())
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }
}

/// Collects texts.
struct Texts<B> {
    builder: B,
    invalid_utf8: InvalidUtf8,
}

/// A builder that takes texts.
trait TextBuilder: Send {
    fn append(&mut self, text: Option<&str>);
    fn finish(&mut self) -> ArrayRef;
}

impl TextBuilder for StringBuilder {
    fn append(&mut self, text: Option<&str>) {
        self.append_option(text);
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(Self::finish(self))
    }
}

impl TextBuilder for StringDictionaryBuilder<Int32Type> {
    fn append(&mut self, text: Option<&str>) {
        self.append_option(text);
    }

    /// The texts keep their numbers, so that a dictionary is written only when it has
    /// grown.
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.finish_preserve_values())
    }
}

/// Returns the builder of a column of texts.
pub(super) fn texts(invalid_utf8: InvalidUtf8) -> Box<dyn ColumnBuilder> {
    let builder = StringBuilder::new();
    Box::new(Texts {
        builder,
        invalid_utf8,
    })
}

/// Returns the builder of a column of few different texts, each of which is kept once.
pub(super) fn categories(invalid_utf8: InvalidUtf8) -> Box<dyn ColumnBuilder> {
    let builder = StringDictionaryBuilder::<Int32Type>::new();
    Box::new(Texts {
        builder,
        invalid_utf8,
    })
}

impl<B: TextBuilder> ColumnBuilder for Texts<B> {
    fn append(&mut self, value: Value<'_>, altered: &mut Altered) -> Result<usize, ValueProblem> {
        let bytes = match value {
            Value::Bytes(bytes) => bytes,
            Value::Null => {
                self.builder.append(None);
                return Ok(OFFSET);
            }
            _ => return Err(TYPE_MISMATCH),
        };
        let text = match (std::str::from_utf8(bytes), self.invalid_utf8) {
            (Ok(text), _) => Cow::Borrowed(text),
            (Err(_), InvalidUtf8::Error) => return Err(NOT_UTF8),
            (Err(_), InvalidUtf8::Replace) => {
                altered.lossy += 1;
                String::from_utf8_lossy(bytes)
            }
        };
        if text.len() > MAX_TEXT {
            return Err(TOO_LONG);
        }
        self.builder.append(Some(&text));
        Ok(text.len() + OFFSET)
    }

    fn finish(&mut self) -> ArrayRef {
        self.builder.finish()
    }
}

/// The bytes of the place of a text or of bytes in their array.
const OFFSET: usize = size_of::<i32>();

/// Collects bytes.
struct Bytes(BinaryBuilder);

/// Returns the builder of a column of bytes.
pub(super) fn bytes() -> Box<dyn ColumnBuilder> {
    Box::new(Bytes(BinaryBuilder::new()))
}

impl ColumnBuilder for Bytes {
    fn append(&mut self, value: Value<'_>, _: &mut Altered) -> Result<usize, ValueProblem> {
        let bytes = match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Null => None,
            _ => return Err(TYPE_MISMATCH),
        };
        self.0.append_option(bytes);
        Ok(bytes.map_or(0, <[u8]>::len) + OFFSET)
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}

/// Collects geometries: WKB, before which servers send the reference system in four
/// bytes (MySQL manual, "Internal Geometry Storage Format").
#[derive(Default)]
struct Geometries {
    builder: BinaryBuilder,
    srids: Srids,
}

/// Returns the builder of a column of geometries.
pub(super) fn geometries() -> Box<dyn ColumnBuilder> {
    Box::<Geometries>::default()
}

impl ColumnBuilder for Geometries {
    fn append(&mut self, value: Value<'_>, _: &mut Altered) -> Result<usize, ValueProblem> {
        let bytes = match value {
            Value::Bytes(bytes) => bytes,
            Value::Null => {
                self.builder.append_null();
                return Ok(OFFSET);
            }
            _ => return Err(TYPE_MISMATCH),
        };
        let (srid, wkb) = bytes.split_first_chunk().ok_or(TYPE_MISMATCH)?;
        let srid = u32::from_le_bytes(*srid);
        self.srids = match self.srids {
            Srids::Unknown => Srids::One(srid),
            Srids::One(other) if other == srid => Srids::One(srid),
            _ => Srids::Several,
        };
        self.builder.append_value(wkb);
        Ok(wkb.len() + OFFSET)
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.builder.finish())
    }

    fn srids(&self) -> Option<Srids> {
        Some(self.srids)
    }
}

/// Collects vectors: numbers of 32 bits each, the lowest byte first.
struct Vectors(ListBuilder<Float32Builder>);

/// Returns the builder of a column of vectors with elements like `item`.
pub(super) fn vectors(item: FieldRef) -> Box<dyn ColumnBuilder> {
    Box::new(Vectors(
        ListBuilder::new(Float32Builder::new()).with_field(item),
    ))
}

impl ColumnBuilder for Vectors {
    fn append(&mut self, value: Value<'_>, _: &mut Altered) -> Result<usize, ValueProblem> {
        let bytes = match value {
            Value::Bytes(bytes) => bytes,
            Value::Null => {
                self.0.append_null();
                return Ok(OFFSET);
            }
            _ => return Err(TYPE_MISMATCH),
        };
        let (numbers, []) = bytes.as_chunks() else {
            return Err(TYPE_MISMATCH);
        };
        for number in numbers {
            self.0.values().append_value(f32::from_le_bytes(*number));
        }
        self.0.append(true);
        Ok(bytes.len() + OFFSET)
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.finish())
    }
}
