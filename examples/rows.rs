//! Reads the rows of a query one by one, with typed values.
//!
//!     cargo run --example rows
//!
//! DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name the server.

// An example prints.
#![allow(clippy::print_stdout)]

use std::error::Error;

use gold_digger::{
    CancelToken,
    source::{QueryExecutor, SessionOptions, SessionUse},
};

mod server;

fn main() -> Result<(), Box<dyn Error>> {
    let (server, session) = (server::from_environment()?, SessionOptions::default());
    let cancel = CancelToken::new();
    let mut executor = QueryExecutor::connect(&server, &session, SessionUse::Exclusive, &cancel)?;
    let sql = "SELECT SCHEMA_NAME AS name, DEFAULT_COLLATION_NAME AS collation
               FROM information_schema.SCHEMATA ORDER BY 1";
    for row in executor.query(sql)? {
        let row = row?;
        let (name, collation): (String, Option<String>) = (row.get("name")?, row.get("collation")?);
        println!("{name}: {}", collation.as_deref().unwrap_or("none"));
    }
    let count: Option<u64> = match executor
        .query("SELECT COUNT(*) FROM information_schema.TABLES")?
        .next()
    {
        Some(row) => row?.at(0)?,
        None => None,
    };
    println!("{} tables", count.unwrap_or_default());
    Ok(())
}
