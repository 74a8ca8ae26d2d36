//! Exports a query in a format of its own, to a sink of its own.
//!
//!     cargo run --example own_format -- 'SELECT id, name FROM customers'
//!
//! DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name the server.

// An example prints.
#![allow(clippy::print_stdout)]

use std::error::Error;

use gold_digger::{
    CancelToken, Export, error,
    format::{EncodeBuffer, Format, RowWriter, ValueError},
    row::{Row, Value},
    schema::Schema,
    sink::{Restart, Sink, Staged},
};

mod server;

/// Each row as `name=value` lines, and a blank line after it.
#[derive(Debug)]
struct Records;

struct RecordsWriter {
    names: Vec<String>,
}

impl Format for Records {
    fn name(&self) -> &'static str {
        "records"
    }

    fn open(&self, schema: &Schema) -> error::Result<Box<dyn RowWriter>> {
        let names = schema.columns.iter().map(|column| column.name.clone());
        Ok(Box::new(RecordsWriter {
            names: names.collect(),
        }))
    }
}

impl RowWriter for RecordsWriter {
    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        for (index, name) in self.names.iter().enumerate() {
            out.extend(name.as_bytes());
            out.extend(b"=");
            match row.value(index) {
                Value::Null => out.extend(b"NULL"),
                Value::Bytes(bytes) => out.extend(bytes),
                Value::Int(number) => out.extend(number.to_string().as_bytes()),
                Value::UInt(number) => out.extend(number.to_string().as_bytes()),
                other => out.extend(format!("{other:?}").as_bytes()),
            }
            out.extend(b"\n");
        }
        out.extend(b"\n");
        Ok(())
    }
}

/// Prints what it is given.
struct Printer;

impl Sink for Printer {
    fn write(&mut self, bytes: &[u8]) -> error::Result<()> {
        print!("{}", String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn restart(&self) -> Restart {
        Restart::Forbidden
    }

    fn finish(self: Box<Self>) -> error::Result<Staged> {
        Ok(Staged::written())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let sql = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "SELECT VERSION() AS version".to_owned());
    let report = Export::new(server::from_environment()?, sql)
        .format(Records)
        .sink(|| Ok(Box::new(Printer)))
        .run(&CancelToken::new())?;
    println!("{} rows", report.rows);
    Ok(())
}
