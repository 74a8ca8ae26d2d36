//! Writes rows in memory, without a server.

use gold_digger::{
    error::Result,
    format::{Csv, EncodeBuffer, Format, Json, TextOptions, Tsv, ValueError},
    row::{MemoryRow, Value},
    schema::{Column, ColumnType, Schema},
};

/// A column `a` of a type with the server's name of it.
pub type Kind = (&'static str, ColumnType);

pub const TEXT: Kind = ("TEXT", ColumnType::Text);
pub const BLOB: Kind = ("BLOB", ColumnType::Binary);
pub const DATE: Kind = ("DATE", ColumnType::Date);
pub const DATETIME: Kind = ("DATETIME(3)", ColumnType::DateTime { fraction: 3 });
pub const TINYINT1: Kind = ("TINYINT(1)", ColumnType::TinyInt1);
pub const BIT1: Kind = ("BIT(1)", ColumnType::Bit { width: 1 });
pub const BIT8: Kind = ("BIT(8)", ColumnType::Bit { width: 8 });
pub const INT: Kind = ("INT", ColumnType::Integer { zerofill: None });

/// A document, its warnings, and the error that ended it.
pub struct Written {
    pub text: String,
    pub warnings: Vec<String>,
    pub error: Option<ValueError>,
}

/// Writes rows of one column `name`.
pub fn write(
    format: &dyn Format,
    name: &str,
    (server_type, kind): Kind,
    values: &[Value<'_>],
) -> Written {
    let column = Column::new(name, server_type, kind);
    let schema = Schema {
        columns: vec![column],
    };
    let mut bytes = Vec::new();
    let mut out = EncodeBuffer::unbounded(&mut bytes);
    let mut writer = format.open(&schema).expect("a writer");
    writer.start(&mut out).expect("a start");
    let mut rows = values.iter().map(|value| MemoryRow::new(&[*value]));
    let error = rows.find_map(|row| writer.row(row.view(), &mut out).err());
    let end: Result<()> = writer.finish(&mut out);
    end.expect("an end");
    Written {
        text: String::from_utf8(bytes).expect("UTF-8"),
        warnings: writer.warnings(),
        error,
    }
}

/// Each format with `text`: CSV with `NULL` for NULL.
pub fn formats(text: TextOptions) -> [Box<dyn Format>; 3] {
    let csv = Csv {
        text,
        null: "NULL".parse().expect("a plain text"),
        ..Csv::default()
    };
    let tsv = Tsv {
        text,
        ..Tsv::default()
    };
    let json = Json {
        text,
        ..Json::default()
    };
    [Box::new(csv), Box::new(tsv), Box::new(json)]
}
