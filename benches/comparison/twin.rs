//! The same work done otherwise, for `scripts/bench` to compare with: `batch`
//! has all rows in memory before it writes the first, with the writers of
//! gold_digger; `drain` reads all rows as gold_digger does and writes nothing.
//!
//!     twin batch text|binary FORMAT FILE SQL
//!     twin drain text|binary SQL
//!
//! The server is the one that DATABASE_URL names.

#![allow(missing_docs)]

use std::{env, error::Error, fs::File, io::Write};

use gold_digger::{
    format::{BuiltIn, CHUNK, EncodeBuffer, TextOptions},
    row::Row,
    source,
};
use mysql::{Conn, Opts, OptsBuilder, prelude::Queryable};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut conn = connect()?;
    match arguments[..] {
        ["batch", "text", format, path, sql] => batch(conn.query(sql)?, format, path),
        ["batch", "binary", format, path, sql] => batch(conn.exec(sql, ())?, format, path),
        ["drain", "text", sql] => drain(conn.query_iter(sql)?),
        ["drain", "binary", sql] => drain(conn.exec_iter(sql, ())?),
        _ => Err("twin batch text|binary FORMAT FILE SQL, or twin drain text|binary SQL".into()),
    }
}

fn connect() -> Result<Conn> {
    let options = Opts::from_url(&env::var("DATABASE_URL")?)?;
    let options = OptsBuilder::from_opts(options)
        .prefer_socket(false)
        .max_allowed_packet(Some(1 << 30));
    let mut conn = Conn::new(options)?;
    conn.query_drop("SET NAMES utf8mb4")?;
    Ok(conn)
}

fn drain(mut rows: impl Iterator<Item = mysql::Result<mysql::Row>>) -> Result<()> {
    rows.try_for_each(|row| row.map(drop))?;
    Ok(())
}

fn batch(rows: Vec<mysql::Row>, format: &str, path: &str) -> Result<()> {
    let columns = rows.first().ok_or("no rows")?.columns();
    let schema = source::columns::schema(&columns, source::columns::NotNullFlags::Doubtful)?;
    let format = BuiltIn::named(format).ok_or("no such format")?;
    let format = (format.with_text)(TextOptions::default());
    let mut writer = format.open(&schema)?;
    let (mut file, mut bytes) = (File::create(path)?, Vec::new());
    let mut out = EncodeBuffer::unbounded(&mut bytes);
    writer.start(&mut out)?;
    for row in &rows {
        let written = writer.row(Row::from_driver(row), &mut out);
        written.map_err(|error| error.problem)?;
        if out.bytes.len() >= CHUNK {
            file.write_all(out.bytes)?;
            out.bytes.clear();
        }
    }
    writer.finish(&mut out)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(())
}
