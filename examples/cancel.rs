//! Ends an export from another thread: the query is killed on the server, and no
//! file appears.
//!
//!     cargo run --example cancel
//!
//! DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name the server.

// An example prints.
#![allow(clippy::print_stdout)]

use std::{error::Error, path::Path, thread, time::Duration};

use gold_digger::{
    CancelToken, Export,
    error::{Error as ExportError, ErrorKind, Signal},
    sink::Target,
};

mod server;

fn main() -> Result<(), Box<dyn Error>> {
    let token = CancelToken::new();
    let other = token.clone();
    let timer = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        let cause = ExportError::new(ErrorKind::Signal(Signal::Terminate), "one second is over");
        other.cancel_all(&cause);
    });
    let result = Export::new(server::from_environment()?, "SELECT SLEEP(60)")
        .target(Target::file("never.csv"))
        .run(&token);
    let _ = timer.join();
    match result {
        Ok(report) => println!("{} rows", report.rows),
        Err(error) => println!("{error}"),
    }
    println!("never.csv exists: {}", Path::new("never.csv").exists());
    Ok(())
}
