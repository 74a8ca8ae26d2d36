//! What an export would do, found out without running its statement: `--check`.

use unicode_width::UnicodeWidthStr;

use crate::{
    artifacts::history::Success,
    cancel::Cancel,
    config::{
        Access, Config, Connection, Export, MissingFolders, Session, Snapshot, Target,
        tls::Verification,
    },
    error::{Error, ErrorKind, Result},
    jobs::export::check_target,
    jobs::guard,
    sink::{self, folder},
    source::{Purpose, QueryExecutor, SessionFacts, snapshot},
    text::printable,
};

/// Connects, sets the session up, has the server prepare each statement, and
/// tells what came of it, and whether all of them would run.
///
/// # Errors
/// Those of a run before its first export.
pub fn check(config: &Config, cancel: &Cancel) -> Result<(String, Result<()>)> {
    let state = config.state()?;
    let mut texts = Vec::new();
    let count = config.connections();
    match config.run.snapshot {
        Snapshot::None => {}
        Snapshot::Locked if count > 1 => {
            texts.push("snapshot  by a lock, which a check does not take\n".to_owned());
        }
        _ => {
            cancel.explain(snapshot::open(config, count, cancel))?;
            let connections = snapshot::connections(count);
            texts.push(format!("snapshot  one for {connections}\n"));
        }
    }
    let mut failed: Vec<(&str, Error)> = Vec::new();
    for export in &config.exports {
        let last = export
            .name
            .as_ref()
            .and_then(|name| state.exports.get(name));
        let result = cancel.explain(try_check(config, export, last, cancel));
        cancel.settle();
        texts.push(match (&export.name, result) {
            (None, result) => result?,
            (Some(name), Ok(text)) => format!("{name}\n{text}"),
            (Some(name), Err(error)) => {
                let text = format!("{name}\nfails  {error}\n");
                if let Some(cause) = cancel.cause() {
                    return Err(cause);
                }
                failed.push((name, error));
                text
            }
        });
    }
    let verdict = failed.first().map_or(Ok(()), |(_, first)| {
        let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
        let (count, all) = (names.len(), config.exports.len());
        let what = format!("{count} of {all} exports would fail: {}", names.join(", "));
        Err(Error::new(first.kind(), what))
    });
    Ok((texts.join("\n"), verdict))
}

fn try_check(
    config: &Config,
    export: &Export,
    last: Option<&Success>,
    cancel: &Cancel,
) -> Result<String> {
    if let Target::Path(path, folders) = &export.target {
        if *folders == MissingFolders::Refuse && !folder(path).is_dir() {
            let what = format!("cannot create {}: its folder is missing", path.display());
            return Err(Error::new(ErrorKind::Output, what)
                .with_hint("create the folder first, or let --create-dirs do it"));
        }
        sink::check_place(path)?;
    }
    check_target(config, export)?;
    // What an init statement writes would be written by a mere check.
    let access = config.session.access;
    let read_only = Config {
        session: Session {
            access: Access::ReadOnly,
            ..config.session.clone()
        },
        ..config.clone()
    };
    let mut executor = QueryExecutor::connect(&read_only, Purpose::Single, cancel)?;
    executor.bind(export)?;
    let facts = executor.facts()?;
    let described = executor.describe()?;
    let connection = &config.connection;
    let access = match access {
        Access::ReadOnly if facts.is_read_only => "read-only",
        Access::ReadOnly => "read-write, as an init statement says",
        Access::ReadWrite => "read-write",
    };
    let mut lines = vec![
        vec!["server".to_owned(), facts.version.clone()],
        vec![
            "login".to_owned(),
            format!("{} at {}", connection.user, connection.endpoint),
        ],
        vec!["encryption".to_owned(), encryption(connection, &facts)],
        vec![
            "database".to_owned(),
            connection
                .database
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ],
        vec![
            "session".to_owned(),
            format!("{access}, time zone {}", facts.time_zone),
        ],
        vec!["time-outs".to_owned(), time_outs(&facts)],
        vec![
            "target".to_owned(),
            format!("{} as {}", export.target, export.format.name),
        ],
    ];
    let Some((schema, protocol)) = described else {
        let told = "the server announces none before the statement runs".to_owned();
        lines.push(vec!["columns".to_owned(), told]);
        return Ok(aligned(&lines));
    };
    guard::check_columns(&export.guards, &schema, last)?;
    lines.push(vec!["protocol".to_owned(), protocol.to_owned()]);
    let mut text = aligned(&lines);
    let writer = (export.format.open)(&schema, &export.format_options)?;
    let titles = ["column", "server type", "written as"]
        .map(str::to_owned)
        .to_vec();
    let columns = schema.columns.into_iter().zip(writer.shapes());
    let rows = columns.map(|(column, shape)| vec![column.name, column.server_type, shape]);
    text.push('\n');
    text += &aligned(&[titles].into_iter().chain(rows).collect::<Vec<_>>());
    Ok(text)
}

fn encryption(connection: &Connection, facts: &SessionFacts) -> String {
    let Some(tls) = &connection.tls else {
        return "none".to_owned();
    };
    let version = facts.tls_version.as_deref().unwrap_or("TLS");
    match &tls.verification {
        Verification::None => format!("{version}, the server is not verified"),
        Verification::Authority(authorities) => {
            format!("{version}, the server is vouched for by {authorities}")
        }
        Verification::Identity(authorities) => {
            format!("{version}, the server and its name are vouched for by {authorities}")
        }
    }
}

fn time_outs(facts: &SessionFacts) -> String {
    let limit = match facts.statement_limit {
        None => "no limit on statements".to_owned(),
        Some(seconds) => format!("statements are ended after {seconds} s"),
    };
    let time = |seconds: &str| match seconds.parse::<u64>() {
        Ok(seconds) if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        _ => format!("{seconds} s"),
    };
    format!(
        "{limit}; a reader may be slow for {}, and a client idle for {}",
        time(&facts.net_write_timeout),
        time(&facts.wait_timeout)
    )
}

/// Its seconds.
const DAY: u64 = 86_400;

/// A table with its columns below each other.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    let rows = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect());
    let rows: Vec<Vec<String>> = rows.collect();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line += &" ".repeat(width + 2 - cell.width());
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
