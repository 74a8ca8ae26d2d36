//! Exports under faults lose no rows and publish no incomplete file. Each fault is
//! tested with each format, with a file and standard output, with both wire
//! protocols, and on both servers if the server matters.
//!
//! `docs/reliability.md` describes the results. Faults that have only one form are
//! tested in `ending`, `output`, `memory`, `login` and `hostile`. The full matrix,
//! with more positions and more rows, runs if `GOLD_DIGGER_FULL` is set:
//! `scripts/test --full`.

use std::{
    cell::RefCell,
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mysql::{Conn, prelude::Queryable};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Database, GoldDigger, Outcome, Running, file_names, poll_until, short_timeout, wait_for,
};

pub mod disks;
mod formats;
mod limits;
mod networks;
mod runs;
mod servers;

/// The content of a target before the run.
const OLD_CONTENT: &str = "as it was";

/// Returns whether the long tests run at full length.
fn is_full() -> bool {
    env::var_os("GOLD_DIGGER_FULL").is_some()
}

/// A way to export: one format, one wire protocol and one output.
#[derive(Clone, Copy, Debug)]
struct Variant {
    format: &'static str,
    protocol: &'static str,
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    File,
    Stdout,
}

fn variants() -> impl Iterator<Item = Variant> {
    const ALL: [(&str, Output); 4] = [
        ("text", Output::File),
        ("text", Output::Stdout),
        ("binary", Output::File),
        ("binary", Output::Stdout),
    ];
    // What shares its code with another format has each value once.
    let formats = [
        ("csv", &ALL[..]),
        ("tsv", &ALL),
        ("json", &ALL),
        ("ndjson", &ALL[1..3]),
    ];
    formats.into_iter().flat_map(|(format, ways)| {
        ways.iter().map(move |(protocol, output)| Variant {
            format,
            protocol,
            output: *output,
        })
    })
}

/// An export of one variant that is exposed to a fault, with a folder for its files.
struct Case {
    variant: Variant,
    folder: TempDir,
}

impl Case {
    fn new(variant: Variant) -> Self {
        let case = Self {
            variant,
            folder: tempfile::tempdir().expect("a folder"),
        };
        if variant.output == Output::File {
            fs::write(case.target(), OLD_CONTENT).expect("a file");
        }
        case
    }

    /// Returns a case for each variant.
    fn all() -> Vec<Self> {
        variants().map(Self::new).collect()
    }

    /// Returns a case for each variant that writes to `output`.
    fn writing_to(output: Output) -> Vec<Self> {
        variants()
            .filter(|variant| variant.output == output)
            .map(Self::new)
            .collect()
    }

    /// Returns the path of the target, or of the file that receives standard output.
    fn target(&self) -> PathBuf {
        self.folder
            .path()
            .join("x")
            .with_extension(self.variant.format)
    }

    fn summary_path(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    /// Adds the options of this variant to `run`.
    fn with_options(&self, run: GoldDigger) -> GoldDigger {
        let Variant {
            format,
            protocol,
            output,
        } = self.variant;
        let run = run.args(["--format", format, "--protocol", protocol]);
        let run = run.arg("--summary").arg(self.summary_path());
        match output {
            Output::File => run.arg("-o").arg(self.target()),
            Output::Stdout => run,
        }
    }

    fn start(&self, run: GoldDigger) -> Running {
        let run = self.with_options(run);
        match self.variant.output {
            Output::File => run.start(),
            Output::Stdout => run.stdout(File::create(self.target()).expect("a file")),
        }
    }

    fn run(&self, run: GoldDigger) -> Outcome {
        self.start(run).wait()
    }

    /// Waits until five rows of a slow or stalled query have been written.
    #[track_caller]
    fn wait_for_rows(&self) {
        let is_written = || {
            let path = match self.variant.output {
                Output::File => temp_file(self.folder.path())?,
                Output::Stdout => self.target(),
            };
            (fs::metadata(path).ok()?.len() > 100_000).then_some(())
        };
        wait_for(&format!("rows come: {:?}", self.variant), is_written);
    }

    /// Returns the bytes of the target.
    fn output_bytes(&self) -> Vec<u8> {
        fs::read(self.target()).expect("the file")
    }

    /// Asserts that the run ended with `code`, that its message has each of `parts`
    /// and the number of rows, that no file was published or left behind, and that
    /// the summary agrees. Returns the number of rows that had arrived.
    #[track_caller]
    fn assert_failed(&self, outcome: Outcome, code: i32, parts: &[&str]) -> u64 {
        let variant = self.variant;
        println!("{variant:?}: {}", outcome.stderr);
        let stderr = outcome.failed(code, parts).stderr;
        let rows = rows_in_message(&stderr)
            .unwrap_or_else(|| panic!("{variant:?}: no number of rows in: {stderr}"));
        let summary = self.summary();
        assert_eq!(summary["exit_code"], code, "{variant:?}");
        assert_eq!(summary["status"], "failure", "{variant:?}");
        assert_eq!(summary["rows"], rows, "{variant:?}");
        assert_eq!(summary["attempts"], 1, "{variant:?}");
        let error = match code {
            4 => "query",
            5 => "output",
            _ => "signal",
        };
        assert_eq!(summary["error"]["kind"], error, "{variant:?}");
        let target = match variant.output {
            Output::File => self.target().display().to_string(),
            Output::Stdout => "-".to_owned(),
        };
        assert_eq!(summary["target"], target, "{variant:?}");
        let message = summary["error"]["message"].as_str().expect("a message");
        assert!(
            stderr.contains(message),
            "{variant:?}: {message:?} and {stderr:?}"
        );
        self.assert_untouched();
        rows
    }

    /// Asserts the same as [`Self::assert_failed`] for a run of a [`StalledQuery`], and
    /// that standard output has every row that had arrived.
    #[track_caller]
    fn assert_failed_while_stalled(&self, outcome: Outcome, code: i32, parts: &[&str]) {
        let rows = self.assert_failed(outcome, code, parts);
        // The end of the sixth row may still be in the server's buffer.
        assert!((5..=6).contains(&rows), "{rows} rows");
        if self.variant.output == Output::Stdout {
            assert_eq!(self.count_long_values() as u64, rows);
        }
    }

    /// Returns the summary and removes its file, so that the next run cannot be
    /// mistaken for this one.
    #[track_caller]
    fn summary(&self) -> Value {
        let summary = fs::read_to_string(self.summary_path()).expect("the summary");
        fs::remove_file(self.summary_path()).expect("it can go");
        serde_json::from_str(&summary).expect("JSON")
    }

    /// Counts the long values of [`slow_query`] and [`StalledQuery`] in the output.
    fn count_long_values(&self) -> usize {
        count_long_values(&self.output_bytes())
    }

    /// Asserts that the folder has only the target, that a file has its old content,
    /// and that JSON on standard output is not closed.
    #[track_caller]
    fn assert_untouched(&self) {
        let variant = self.variant;
        let written = self.output_bytes();
        match variant.output {
            Output::File => assert_eq!(
                String::from_utf8_lossy(&written),
                OLD_CONTENT,
                "{variant:?}"
            ),
            Output::Stdout if variant.format == "json" => {
                assert!(
                    !written.ends_with(b"]\n"),
                    "{variant:?}: it has been closed"
                );
            }
            Output::Stdout => {}
        }
        let target = [format!("x.{}", variant.format)];
        let mut names = file_names(self.folder.path());
        names.retain(|name| name != "summary.json");
        assert_eq!(names, target, "{variant:?}");
    }
}

/// Returns the number of rows that had arrived according to `message`.
fn rows_in_message(message: &str) -> Option<u64> {
    if message.contains("; no row had come") {
        return Some(0);
    }
    let before = message.rsplit_once(" had come")?.0;
    let (_, count) = before.rsplit_once("; ")?;
    count.split(' ').next()?.parse().ok()
}

/// Returns the path of the temporary file in `folder`.
fn temp_file(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|end| end == "gold_digger"))
}

/// Returns a query of `count` rows at ten a second. Each row is sent at once, because
/// it is larger than the server's buffer. Its column `tag` identifies the query in
/// the process list.
fn slow_query(tag: &str, count: u32) -> String {
    paced_query(tag, count, "SLEEP(0.1)")
}

/// Returns a query of such rows, each of which is sent when `pace` is evaluated.
fn paced_query(tag: &str, count: u32, pace: &str) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         SELECT i, REPEAT('x', 20000) AS {tag}, {pace} AS s FROM n"
    )
}

/// A query that returns six such rows at once and then waits for a lock, until
/// it is released. (Many concurrent `SLEEP()`s share a mutex in MariaDB, which
/// then takes seconds to kill them.)
struct StalledQuery {
    sql: String,
    holder: RefCell<Option<Conn>>,
}

impl StalledQuery {
    fn new(db: &Database) -> Self {
        Self::with_pace(db, "0")
    }

    /// Does the same with `pace` before each of the six rows.
    fn with_pace(db: &Database, pace: &str) -> Self {
        let tag = &db.name;
        let mut holder = db.connect();
        // The session of an earlier query may still have it.
        let locked: Option<u8> = holder
            .query_first(format!("SELECT GET_LOCK('stalled_{tag}', 100)"))
            .expect("an answer");
        assert_eq!(locked, Some(1));
        let wait = format!("IF(i < 7, {pace}, GET_LOCK('stalled_{tag}', 100 + i))");
        Self {
            sql: paced_query(tag, 7, &wait),
            holder: RefCell::new(Some(holder)),
        }
    }

    /// Lets the exports of the query end, after a seventh row.
    fn release(&self) {
        self.holder.take();
    }

    fn export(&self, db: &Database) -> GoldDigger {
        db.export(&self.sql)
    }
}

fn count_long_values(bytes: &[u8]) -> usize {
    let runs = bytes.split(|byte| *byte != b'x');
    runs.filter(|run| run.len() == 20_000).count()
}

/// Asserts that the server stops each query with `tag` within [`short_timeout`] of
/// `since`.
#[track_caller]
fn assert_query_killed(db: &Database, tag: &str, since: Instant) {
    let left = short_timeout().saturating_sub(since.elapsed());
    let killed = poll_until(left, || {
        db.connections_running(tag).is_empty().then_some(())
    });
    killed.expect("the query is killed on the server");
}

/// Starts `cases` on a slow or stalled query, runs `fault` when all of them have
/// rows, and asserts that they end within `limit`. Returns their outcomes and the
/// time of the fault.
#[track_caller]
fn run_with_fault(
    cases: &[Case],
    export: impl Fn() -> GoldDigger,
    limit: Duration,
    fault: impl FnOnce(&[Running]),
) -> (Vec<Outcome>, Instant) {
    let runs: Vec<Running> = cases.iter().map(|case| case.start(export())).collect();
    for case in cases {
        case.wait_for_rows();
    }
    let fault_time = Instant::now();
    fault(&runs);
    let fault_end = Instant::now();
    let outcomes: Vec<Outcome> = runs.into_iter().map(Running::wait).collect();
    let took = fault_end.elapsed();
    assert!(took < limit, "{took:?}");
    (outcomes, fault_time)
}
