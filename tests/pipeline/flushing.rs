//! Flushing: a row that has arrived reaches the reader while the server pauses.

use std::{
    io::{BufRead, BufReader, Read},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use gold_digger::{
    format::{Codec, FORMATS, Framing, TextOptions},
    sink::decoder,
};
use mysql::prelude::Queryable;

use crate::support::{GoldDigger, each_server, fake, short_timeout};

#[test]
fn each_row_of_a_slow_query_is_written_before_the_next() {
    each_server(|db| {
        let lock = |row| format!("row_{row}_{}", db.name);
        let mut holder = db.connect();
        for row in 3..=5 {
            let sql = format!("DO GET_LOCK('{}', 0)", lock(row));
            holder.query_drop(sql).expect("a lock");
        }
        // Smaller rows would wait in the server's buffer, and the end of a row does.
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5)
             SELECT i, GET_LOCK(CONCAT('row_', i, '_{}'), 100) AS s, REPEAT('x', 40000) AS x FROM n",
            db.name
        );
        let mut run = db.export(&sql).start();
        let mut lines = BufReader::new(run.take_stdout()).lines();
        let mut next = || lines.next().expect("a line").expect("UTF-8");
        assert_eq!(next(), "i\ts\tx");
        for row in 1..=5 {
            // A row that waited for the one after the next would never come.
            let start = format!("{row}\t1\tx");
            assert!(next().starts_with(&start), "row {row}");
            let sql = format!("DO RELEASE_LOCK('{}')", lock(row + 2));
            holder.query_drop(sql).expect("it is freed");
        }
        run.wait().ended(0, "");
    });
}

#[test]
fn small_rows_do_not_wait_for_the_next_row() {
    // The fake server sends a row only after the test has seen the previous one, so
    // a row that waited for the next one would never arrive.
    let formats = FORMATS.iter().filter(|format| {
        let format = (format.with_text)(TextOptions::default());
        format.framing() != Framing::Batch
    });
    let formats = formats.map(|format| format.name);
    let plain = formats.flat_map(|format| [(format, "auto", None), (format, "row", None)]);
    let codecs = Codec::ALL.into_iter();
    let compressed =
        codecs.flat_map(|codec| ["auto", "row"].map(|flush| ("csv", flush, Some(codec))));
    let folder = tempfile::tempdir().expect("a folder");
    let spool = format!("--spool={}", folder.path().display());
    let spooled = [("csv", "auto", None), ("csv", "row", Some(Codec::Zstd))];
    let spooled = spooled.map(|(format, flush, codec)| (format, flush, codec, Some(&*spool)));
    let plain = plain.chain(compressed);
    let plain = plain.map(|(format, flush, codec)| (format, flush, codec, None));
    for (format, flush, codec, spool) in plain.chain(spooled) {
        let (seen, wait) = mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let port = fake::serve(move |mut session| {
            let Some(()) = session.wait_for_select() else {
                return;
            };
            session.columns(&["a"]);
            for value in ["first", "second", "third"] {
                session.row(&[value]);
                let seen = wait
                    .lock()
                    .expect("one session")
                    .recv_timeout(Duration::from_secs(100));
                seen.expect("the reader saw the row");
            }
            session.end();
            // The client ends the session.
            session.receive();
        });
        let mut run = GoldDigger::new()
            .args([
                "--db-url",
                &fake::url(port),
                "--format",
                format,
                "--flush",
                flush,
                "--compression",
                codec.map_or("none", Codec::name),
                "SELECT 1",
            ])
            .args(spool)
            .start();
        let stdout = BufReader::new(run.take_stdout());
        let (send, bytes) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            let mut plain: Box<dyn Read> = match codec {
                Some(codec) => decoder(codec, stdout).expect("a decoder"),
                None => Box::new(stdout),
            };
            while let Ok(length @ 1..) = plain.read(&mut buffer) {
                send.send(String::from_utf8_lossy(&buffer[..length]).into_owned())
                    .expect("the test listens");
            }
        });
        let mut output = String::new();
        for value in ["first", "second", "third"] {
            while !output.contains(value) {
                output += &bytes
                    .recv_timeout(Duration::from_secs(100))
                    .expect("the row comes");
            }
            seen.send(()).expect("the fake listens");
        }
        run.wait().ended(0, "");
    }
}

#[test]
fn a_stream_has_all_rows_before_a_failure() {
    let port = fake::serve(|mut session| {
        if session.wait_for_select().is_some() {
            session.columns(&["a"]);
            for row in 0..1000 {
                session.row(&[&row.to_string()]);
            }
        }
    });
    for codec in [None, Some(Codec::Gzip), Some(Codec::Zstd)] {
        let run = GoldDigger::new().args(["--db-url", &fake::url(port), "SELECT 1"]);
        let run = run.args(["--compression", codec.map_or("none", Codec::name)]);
        let outcome = run.run().failed(
            4,
            &["the result broke off", "connection to the server was lost"],
        );
        let expected = (0..1000).fold("a\n".to_owned(), |all, row| format!("{all}{row}\n"));
        let mut read = Vec::new();
        match codec {
            None => read = outcome.stdout,
            Some(codec) => {
                let plain = decoder(codec, &*outcome.stdout).expect("a decoder");
                let read = plain.take(1 << 20).read_to_end(&mut read);
                assert!(read.is_err(), "what is cut looks whole");
            }
        }
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }
}

#[test]
fn a_full_disk_is_noticed_while_the_server_is_silent() {
    let port = fake::serve(|mut session| {
        if session.wait_for_select().is_some() {
            session.columns(&["a"]);
            session.row(&["x"]);
            while session.receive().is_some() {}
        }
    });
    let started = Instant::now();
    for compression in ["none", "gzip", "zstd"] {
        let run = GoldDigger::new().args(["--db-url", &fake::url(port), "SELECT 1"]);
        let run = run
            .args(["-o", "/dev/full", "--compression", compression])
            .run();
        run.failed(5, &["cannot write to /dev/full", "No space left on device"]);
    }
    assert!(
        started.elapsed() < short_timeout(),
        "{:?}",
        started.elapsed()
    );
}
