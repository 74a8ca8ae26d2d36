//! Exports a query to a CSV file, with semicolons, and prints the progress every
//! second. Ctrl-C is not handled: see `cancel.rs`.
//!
//!     cargo run --example csv_file -- 'SELECT * FROM orders' orders.csv
//!
//! DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and DB_NAME name the server.

// An example prints.
#![allow(clippy::print_stdout)]

use std::{error::Error, sync::mpsc, thread, time::Duration};

use gold_digger::{CancelToken, Export, format::Csv, sink::Target};

mod server;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(sql), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: csv_file SQL FILE".into());
    };
    let export = Export::new(server::from_environment()?, sql)
        .format(Csv::new().delimiter(b';')?)
        .target(Target::file(path));
    let status = export.status();
    let (done, is_done) = mpsc::channel::<()>();
    let progress = thread::spawn(move || {
        while is_done.recv_timeout(Duration::from_secs(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("{} rows, {} bytes", status.rows(), status.bytes());
        }
    });
    let report = export.run(&CancelToken::new());
    drop(done);
    let _ = progress.join();
    let report = report?;
    println!("{} rows in {:?}", report.rows, report.elapsed);
    Ok(())
}
