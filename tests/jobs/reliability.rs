//! Nothing lost, nothing faked: each fault meets each format, file and standard
//! output, both wire protocols, and both servers where the server matters.
//!
//! `docs/reliability.md` tells what is shown here, and in `ending`, `output`,
//! `memory`, `login` and `hostile` where a fault has only one form. The full
//! matrix, with more positions and more rows, runs where `GOLD_DIGGER_FULL` is
//! set: `scripts/test --full`.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mysql::{Conn, prelude::Queryable};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    Database, GoldDigger, Outcome, Running, SHORT_TIMEOUT, file_names, poll_until,
};

mod disks;
mod limits;
mod networks;
mod runs;
mod servers;

/// What stands at a target from the night before.
const EARLIER: &str = "as it was";

/// Whether the long parts run at their full length.
fn is_full() -> bool {
    env::var_os("GOLD_DIGGER_FULL").is_some()
}

/// One export of the matrix.
#[derive(Clone, Copy, Debug)]
struct Kind {
    format: &'static str,
    protocol: &'static str,
    to: To,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    File,
    Stdout,
}

fn kinds() -> impl Iterator<Item = Kind> {
    let formats = ["csv", "tsv", "json"].into_iter();
    formats.flat_map(|format| {
        [
            ("text", To::File),
            ("text", To::Stdout),
            ("binary", To::File),
            ("binary", To::Stdout),
        ]
        .map(|(protocol, to)| Kind {
            format,
            protocol,
            to,
        })
    })
}

/// A place where an export meets a fault.
struct Cell {
    kind: Kind,
    folder: TempDir,
}

impl Cell {
    fn new(kind: Kind) -> Self {
        let cell = Self {
            kind,
            folder: tempfile::tempdir().expect("a folder"),
        };
        if kind.to == To::File {
            fs::write(cell.target(), EARLIER).expect("a file");
        }
        cell
    }

    /// All that there are.
    fn all() -> Vec<Self> {
        kinds().map(Self::new).collect()
    }

    /// Those that write to `to`.
    fn to(to: To) -> Vec<Self> {
        kinds()
            .filter(|kind| kind.to == to)
            .map(Self::new)
            .collect()
    }

    /// The file, also where it is behind standard output.
    fn target(&self) -> PathBuf {
        self.folder
            .path()
            .join("x")
            .with_extension(self.kind.format)
    }

    fn summary(&self) -> PathBuf {
        self.folder.path().join("summary.json")
    }

    /// Adds what makes `run` an export of this kind.
    fn set_up(&self, run: GoldDigger) -> GoldDigger {
        let Kind {
            format,
            protocol,
            to,
        } = self.kind;
        let run = run.args(["--format", format, "--protocol", protocol]);
        let run = run.arg("--summary").arg(self.summary());
        match to {
            To::File => run.arg("-o").arg(self.target()),
            To::Stdout => run,
        }
    }

    fn start(&self, run: GoldDigger) -> Running {
        let run = self.set_up(run);
        match self.kind.to {
            To::File => run.start(),
            To::Stdout => run.stdout(File::create(self.target()).expect("a file")),
        }
    }

    fn run(&self, run: GoldDigger) -> Outcome {
        self.start(run).wait()
    }

    /// Waits until five rows of a slow or silent query have been written.
    #[track_caller]
    fn wait_for_rows(&self) {
        let is_written = || {
            let path = match self.kind.to {
                To::File => unfinished(self.folder.path())?,
                To::Stdout => self.target(),
            };
            (fs::metadata(path).ok()?.len() > 100_000).then_some(())
        };
        let written = poll_until(Duration::from_secs(30), is_written);
        assert!(written.is_some(), "no row came: {:?}", self.kind);
    }

    /// The bytes of the target.
    fn written(&self) -> Vec<u8> {
        fs::read(self.target()).expect("the file")
    }

    /// It ended with `code` and said what had come and each of `parts`; no file
    /// was published, none is left, and the summary says the same. Gives the
    /// rows that had come.
    #[track_caller]
    fn failed(&self, outcome: Outcome, code: i32, parts: &[&str]) -> u64 {
        let kind = self.kind;
        println!("{kind:?}: {}", outcome.stderr);
        let said = outcome.failed(code, parts).stderr;
        let rows = rows_of(&said).unwrap_or_else(|| panic!("{kind:?}: no rows are told: {said}"));
        let summary = self.told();
        assert_eq!(summary["exit_code"], code, "{kind:?}");
        assert_eq!(summary["status"], "failure", "{kind:?}");
        assert_eq!(summary["rows"], rows, "{kind:?}");
        assert_eq!(summary["attempts"], 1, "{kind:?}");
        let error = match code {
            4 => "query",
            5 => "output",
            _ => "signal",
        };
        assert_eq!(summary["error"]["kind"], error, "{kind:?}");
        let target = match kind.to {
            To::File => self.target().display().to_string(),
            To::Stdout => "-".to_owned(),
        };
        assert_eq!(summary["target"], target, "{kind:?}");
        let message = summary["error"]["message"].as_str().expect("a message");
        assert!(said.contains(message), "{kind:?}: {message:?} and {said:?}");
        self.is_untouched();
        rows
    }

    /// The same, in a [`Silence`]; nothing that came is lost.
    #[track_caller]
    fn failed_in_silence(&self, outcome: Outcome, code: i32, parts: &[&str]) {
        let rows = self.failed(outcome, code, parts);
        // The end of the sixth may wait in the server's buffer.
        assert!((5..=6).contains(&rows), "{rows} rows");
        if self.kind.to == To::Stdout {
            assert_eq!(self.long_values() as u64, rows);
        }
    }

    /// The summary, which is taken away, so that no other run's is taken for it.
    #[track_caller]
    fn told(&self) -> Value {
        let summary = fs::read_to_string(self.summary()).expect("the summary");
        fs::remove_file(self.summary()).expect("it can go");
        serde_json::from_str(&summary).expect("JSON")
    }

    /// The long values of [`slow_query`] and [`Silence`] in what was written.
    fn long_values(&self) -> usize {
        long_values(&self.written())
    }

    /// What was there is there, and nothing else; a stream has no end.
    #[track_caller]
    fn is_untouched(&self) {
        let kind = self.kind;
        let written = self.written();
        match kind.to {
            To::File => assert_eq!(String::from_utf8_lossy(&written), EARLIER, "{kind:?}"),
            To::Stdout if kind.format == "json" => {
                assert!(!written.ends_with(b"]\n"), "{kind:?}: it has been closed");
            }
            To::Stdout => {}
        }
        let own = [format!("x.{}", kind.format)];
        let mut names = file_names(self.folder.path());
        names.retain(|name| name != "summary.json");
        assert_eq!(names, own, "{kind:?}");
    }
}

/// What is said of the rows that had come.
fn rows_of(said: &str) -> Option<u64> {
    if said.contains("; no row had come") {
        return Some(0);
    }
    let before = said.rsplit_once(" had come")?.0;
    let (_, count) = before.rsplit_once("; ")?;
    count.split(' ').next()?.parse().ok()
}

/// The unfinished file in `folder`.
fn unfinished(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| path.extension().is_some_and(|end| end == "gold_digger"))
}

/// Rows that come one by one, `count` of them, at ten a second; each by itself,
/// as they are larger than the server's buffer. Its column `tag` is known in the
/// process list.
fn slow_query(tag: &str, count: u32) -> String {
    paced_query(tag, count, "SLEEP(0.1)")
}

/// Such rows, each when `pace` is over.
fn paced_query(tag: &str, count: u32, pace: &str) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         SELECT i, REPEAT('x', 20000) AS {tag}, {pace} AS s FROM n"
    )
}

/// Six such rows at once, and then silence: the query waits for a lock, as long as
/// this lives. (Many `SLEEP()`s at once, which share a mutex of MariaDB's, take it
/// seconds to kill.)
struct Silence {
    sql: String,
    _holder: Conn,
}

impl Silence {
    fn new(db: &Database) -> Self {
        let tag = &db.name;
        let mut holder = db.connect();
        let locked: Option<u8> = holder
            .query_first(format!("SELECT GET_LOCK('silence_{tag}', 0)"))
            .expect("an answer");
        assert_eq!(locked, Some(1));
        let wait = format!("IF(i < 7, 0, GET_LOCK('silence_{tag}', 100 + i))");
        Self {
            sql: paced_query(tag, 7, &wait),
            _holder: holder,
        }
    }

    fn export(&self, db: &Database) -> GoldDigger {
        db.export(&self.sql)
    }
}

fn long_values(bytes: &[u8]) -> usize {
    let runs = bytes.split(|byte| *byte != b'x');
    runs.filter(|run| run.len() == 20_000).count()
}

/// The server has stopped working on what has `tag` in it, promptly after `since`.
#[track_caller]
fn is_gone(db: &Database, tag: &str, since: Instant) {
    let left = SHORT_TIMEOUT.saturating_sub(since.elapsed());
    let gone = poll_until(left, || {
        db.connections_running(tag).is_empty().then_some(())
    });
    gone.expect("the query is killed on the server");
}

/// Starts `cells` on a slow or silent query, has `fault` happen to them when all
/// have rows, and gives what came of each, within `limit`, and when it happened.
#[track_caller]
fn meet(
    cells: &[Cell],
    export: impl Fn() -> GoldDigger,
    limit: Duration,
    fault: impl FnOnce(&[Running]),
) -> (Vec<Outcome>, Instant) {
    let runs: Vec<Running> = cells.iter().map(|cell| cell.start(export())).collect();
    for cell in cells {
        cell.wait_for_rows();
    }
    let happened = Instant::now();
    fault(&runs);
    let done = Instant::now();
    let outcomes: Vec<Outcome> = runs.into_iter().map(Running::wait).collect();
    let took = done.elapsed();
    assert!(took < limit, "{took:?}");
    (outcomes, happened)
}
