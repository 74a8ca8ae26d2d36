//! One consistent snapshot for several statements, on one connection or on
//! several, and where in the server's history it is.
//!
//! A transaction with a snapshot sees what was committed when it began (MySQL
//! manual, "Consistent Nonlocking Reads"). Two connections have the same one where
//! nothing was committed between their beginnings: either the server tells, or a
//! lock makes sure of it. The server tells by its binary log; where that does not
//! have all that commits (none, filters, replicas, Galera), it is not asked. What one
//! session commits without it (`sql_log_bin = 0`) is seen by the lock alone.

use std::{
    thread,
    time::{Duration, Instant},
};

use mysql::{Conn, Row};
use serde::{Deserialize, Serialize};

use super::{
    QueryExecutor, SessionUse, codes,
    driver::{ask, run, text},
    errors::query_error,
    options::{Access, ConnectOptions, SessionOptions, SnapshotMode},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

/// The sessions that share a snapshot.
pub struct Snapshot {
    /// As many as were asked for.
    pub sessions: Vec<QueryExecutor>,
    /// Where it is in the server's history, where that is known.
    pub position: Option<BinlogPosition>,
}

/// A place in the server's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogPosition {
    /// The transactions before it, by their GTIDs.
    pub gtid: Option<String>,
    /// The file of the binary log.
    pub binlog_file: Option<String>,
    /// The byte in that file.
    pub binlog_position: Option<u64>,
}

impl BinlogPosition {
    /// This without texts that say nothing.
    fn without_empty_texts(self) -> Self {
        Self {
            gtid: self.gtid.filter(|gtid| !gtid.is_empty()),
            ..self
        }
    }
}

/// How long connections try to begin together.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection that is alone tries, for which it matters only where its
/// snapshot is.
const SINGLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// Which the transaction has from its beginning, and no other one.
const SAVEPOINT: &str = "SAVEPOINT gold_digger";

/// How to do without.
const ALTERNATIVES_HINT: &str = "connections = 1 needs no such proof, and lock = true makes sure by a brief FLUSH TABLES WITH READ LOCK";

/// Opens `count` sessions that see one snapshot.
///
/// # Errors
/// [`ErrorKind::Connect`] where there is no session; [`ErrorKind::Query`] where
/// the server gives no snapshot, or not the same one to all.
pub fn open(
    options: &ConnectOptions,
    session: &SessionOptions,
    mode: SnapshotMode,
    count: usize,
    cancel: &CancelToken,
) -> Result<Snapshot> {
    let mut sessions = Vec::new();
    for _ in 0..count {
        let cancel = cancel.child()?;
        let one = QueryExecutor::connect(options, session, SessionUse::Shared, &cancel)?;
        sessions.push(one);
    }
    tracing::info!(
        "connected to {} as {} by {}",
        options.endpoint,
        options.user,
        connections(count)
    );
    let position = match mode {
        // One session has one snapshot.
        SnapshotMode::Locked if count > 1 => begin_locked(options, session, &mut sessions, cancel)?,
        _ => begin_compared(&mut sessions, cancel)?,
    };
    Ok(Snapshot { sessions, position })
}

/// So many connections, in words.
pub(crate) fn connections(count: usize) -> String {
    match count {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    }
}

/// Has all begin while nobody can commit.
fn begin_locked(
    options: &ConnectOptions,
    session: &SessionOptions,
    sessions: &mut [QueryExecutor],
    cancel: &CancelToken,
) -> Result<Option<BinlogPosition>> {
    let unrestricted = SessionOptions {
        access: Access::ReadWrite,
        init: Vec::new(),
        ..session.clone()
    };
    let cancel = cancel.child()?;
    let mut locker =
        QueryExecutor::connect(options, &unrestricted, SessionUse::Exclusive, &cancel)?;
    check_server(&mut locker, sessions)?;
    let failed = |error: mysql::Error| {
        query_error("cannot lock the server for a moment", error)
            .hint_or("lock = true needs the privilege RELOAD, and that no statement runs for long")
    };
    locker.with_driver(|conn| {
        // Whoever waits for the lock holds everybody else up.
        run(conn, "SET SESSION lock_wait_timeout = 5").map_err(failed)?;
        run(conn, "FLUSH TABLES WITH READ LOCK").map_err(failed)
    })?;
    tracing::info!("the server is locked");
    begin_all(sessions)?;
    let position = locker.with_driver(|conn| Ok(position_now(conn)));
    locker.with_driver(|conn| run(conn, "UNLOCK TABLES").map_err(failed))?;
    tracing::info!("the server is unlocked");
    position
}

/// Checks that all `sessions` are on the server of `one`: behind a balancer, they
/// may not be.
fn check_server(one: &mut QueryExecutor, sessions: &[QueryExecutor]) -> Result<()> {
    let are_there = one.with_driver(|conn| {
        let mut others = sessions.iter();
        Ok(others.all(|other| other.interrupt.is_of_the_server_of(conn)))
    })?;
    if are_there {
        return Ok(());
    }
    let what = "the connections do not all lead to one server, and cannot have one snapshot";
    Err(Error::new(ErrorKind::Query, what)
        .with_hint("name the server itself, not a balancer or a pool, or use connections = 1"))
}

/// Has all begin until the server tells that nothing was committed meanwhile.
fn begin_compared(
    sessions: &mut [QueryExecutor],
    cancel: &CancelToken,
) -> Result<Option<BinlogPosition>> {
    let Some((first, others)) = sessions.split_first_mut() else {
        return Ok(None);
    };
    check_server(first, others)?;
    let proof = first.with_driver(find_proof)?;
    let is_alone = sessions.len() == 1;
    let proof = match proof {
        Ok(proof) => proof,
        Err(_) if is_alone => {
            begin_all(sessions)?;
            return Ok(None);
        }
        Err(why) => {
            let count = sessions.len();
            let what =
                format!("whether {count} connections have the same snapshot cannot be told: {why}");
            return Err(Error::new(ErrorKind::Query, what).with_hint(ALTERNATIVES_HINT));
        }
    };
    let patience = if is_alone {
        SINGLE_TIMEOUT
    } else {
        BEGIN_TIMEOUT
    };
    let started = Instant::now();
    for attempt in 1.. {
        let before = sessions[0].with_driver(|conn| read_position(conn, proof))?;
        begin_all(sessions)?;
        let after = match proof {
            ConsistencyProof::SnapshotStatus => own_position(sessions)?,
            ConsistencyProof::Gtid | ConsistencyProof::BinaryLog => {
                sessions[0].with_driver(|conn| read_position(conn, proof))?
            }
        };
        let is_same = match proof {
            ConsistencyProof::SnapshotStatus => before.is_some() && after.is_some(),
            ConsistencyProof::Gtid | ConsistencyProof::BinaryLog => {
                before.is_some() && before == after
            }
        };
        if is_same {
            tracing::info!("all connections have one snapshot (attempt {attempt})");
            return Ok(after.map(BinlogPosition::without_empty_texts));
        }
        if started.elapsed() > patience {
            break;
        }
        cancel.wait(PAUSE)?;
    }
    if is_alone {
        // It has one; only where that is, is not known.
        return Ok(None);
    }
    let what = format!(
        "{} connections could not get the same snapshot within {} s: the server commits too \
         often, or has a transaction that is long prepared or applied",
        sessions.len(),
        BEGIN_TIMEOUT.as_secs()
    );
    Err(Error::new(ErrorKind::Query, what).with_hint(ALTERNATIVES_HINT))
}

/// Where the snapshots of all `sessions` are, where that is one place.
fn own_position(sessions: &mut [QueryExecutor]) -> Result<Option<BinlogPosition>> {
    let mut found: Option<BinlogPosition> = None;
    for session in sessions {
        // Servers answer by way of variables that all sessions share, so that an
        // answer may be another session's.
        for _ in 0..ANSWERS {
            let position = session.with_driver(snapshot_status)?;
            if position.is_none() || found.is_some() && found != position {
                return Ok(None);
            }
            found = position;
        }
    }
    Ok(found)
}

/// How often each session is asked where its snapshot is.
const ANSWERS: u32 = 3;

/// What tells that nothing was committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConsistencyProof {
    /// Each session tells where its own snapshot is (MariaDB, Percona Server:
    /// `Binlog_snapshot_position`).
    SnapshotStatus,
    /// MySQL's GTIDs: one is owned from before its transaction is in the binary
    /// log until it can be seen, and executed from then on. Where none is owned
    /// before, and the same are executed afterwards, nothing came to be seen.
    Gtid,
    /// The binary log's end, which moves before a transaction can be seen: so
    /// none may be between the two, which InnoDB's monitor shows as prepared.
    BinaryLog,
}

/// What this server can tell, or why it cannot.
fn find_proof(conn: &mut Conn) -> Result<Result<ConsistencyProof, String>> {
    let failed = |error| query_error("cannot ask for the server's position", error);
    let mut value = |question: &str| -> Result<Option<String>> {
        let answer = allow_server_error(ask(conn, question)).map_err(failed)?;
        let column = usize::from(question.starts_with("SHOW"));
        Ok(answer.ok().and_then(|rows| text(rows.first()?, column)))
    };
    // GTIDs are made for the binary log: without it, nobody notices a commit.
    if value("SELECT @@GLOBAL.log_bin")?.as_deref() != Some("1") {
        return Ok(Err("the server has no binary log".to_owned()));
    }
    if value("SELECT @@GLOBAL.wsrep_on")?.as_deref() == Some("1") {
        return Ok(Err(
            "what a Galera cluster applies may not be in the binary log".to_owned(),
        ));
    }
    let has_gtids = value("SELECT @@GLOBAL.gtid_mode")?.as_deref() == Some("ON");
    // What MySQL applies has GTIDs all the same.
    let logs_what_it_applies = has_gtids
        || value("SELECT @@GLOBAL.log_slave_updates")?.as_deref() == Some("1")
        || value("SELECT @@GLOBAL.log_replica_updates")?.as_deref() == Some("1")
        || value("SHOW GLOBAL STATUS LIKE 'Slaves_running'")?.as_deref() == Some("0");
    if !logs_what_it_applies {
        return Ok(Err(
            "what the server replicates is not in its binary log".to_owned()
        ));
    }
    let status = match allow_server_error(ServerQuery::BinaryLog.ask(conn)).map_err(failed)? {
        Ok(status) => status,
        Err(said) => {
            return Ok(Err(format!(
                "the account may not see the binary log's state, which needs REPLICATION CLIENT, or MariaDB's BINLOG MONITOR ({said})"
            )));
        }
    };
    let leaves_out = |row: &Row| {
        let lists = [text(row, 2), text(row, 3)];
        lists.into_iter().flatten().any(|list| !list.is_empty())
    };
    if status.iter().any(leaves_out) {
        return Ok(Err(
            "the server's binary log leaves databases out".to_owned()
        ));
    }
    // Only a session that has one tells of its snapshot.
    begin(conn)?;
    if snapshot_status(conn)?.is_some() {
        return Ok(Ok(ConsistencyProof::SnapshotStatus));
    }
    if has_gtids {
        return Ok(Ok(ConsistencyProof::Gtid));
    }
    Ok(
        match allow_server_error(ServerQuery::Monitor.ask(conn)).map_err(failed)? {
            Ok(_) => Ok(ConsistencyProof::BinaryLog),
            Err(said) => Err(format!(
                "gtid_mode is not ON, and without it that needs PROCESS ({said})"
            )),
        },
    )
}

/// What the server answers, or why it does not.
fn allow_server_error(answer: mysql::Result<Vec<Row>>) -> mysql::Result<Result<Vec<Row>, String>> {
    match answer {
        Ok(rows) => Ok(Ok(rows)),
        Err(mysql::Error::MySqlError(error)) => Ok(Err(error.message)),
        Err(error) => Err(error),
    }
}

/// Where the server is, or the session's snapshot; nothing where it must not be
/// compared.
fn read_position(conn: &mut Conn, proof: ConsistencyProof) -> Result<Option<BinlogPosition>> {
    let failed = |error| query_error("cannot ask for the server's position", error);
    match proof {
        ConsistencyProof::SnapshotStatus => {
            // Those that are prepared do not come to be seen together with their
            // places in the log.
            let prepared = allow_server_error(ask(conn, "XA RECOVER")).map_err(failed)?;
            let is_quiet = prepared.map_or(true, |rows| rows.is_empty());
            Ok(is_quiet.then(BinlogPosition::default))
        }
        ConsistencyProof::Gtid => {
            // In this order: one that is let go of meanwhile is executed then.
            let owned = ask(conn, "SELECT @@GLOBAL.gtid_owned").map_err(failed)?;
            let executed = ask(conn, "SELECT @@GLOBAL.gtid_executed").map_err(failed)?;
            let text = |rows: &[Row]| rows.first().and_then(|row| text(row, 0));
            if text(&owned).as_deref() != Some("") {
                return Ok(None);
            }
            Ok(text(&executed).map(|gtid| BinlogPosition {
                gtid: Some(gtid),
                ..BinlogPosition::default()
            }))
        }
        ConsistencyProof::BinaryLog => {
            // In this order: what is in the log by now is prepared until it can
            // be seen.
            let rows = ServerQuery::BinaryLog.ask(conn).map_err(failed)?;
            let monitor = ServerQuery::Monitor.ask(conn).map_err(failed)?;
            let monitor = monitor.first().and_then(|row| text(row, 2));
            let is_loud = |line: &str| {
                line.starts_with("---TRANSACTION") && line.contains("(PREPARED)")
                    || line == "... truncated..."
            };
            if monitor.is_none_or(|shown| shown.lines().any(is_loud)) {
                return Ok(None);
            }
            Ok(rows.first().and_then(binlog_position))
        }
    }
}

/// What servers are asked for by several names.
#[derive(Clone, Copy)]
enum ServerQuery {
    BinaryLog,
    Monitor,
}

impl ServerQuery {
    fn ask(self, conn: &mut Conn) -> mysql::Result<Vec<Row>> {
        match self {
            // The first is MySQL's since 8.2.
            Self::BinaryLog => match ask(conn, "SHOW BINARY LOG STATUS") {
                Err(mysql::Error::MySqlError(error)) if error.code == codes::PARSE_ERROR => {
                    ask(conn, "SHOW MASTER STATUS")
                }
                answer => answer,
            },
            Self::Monitor => ask(conn, "SHOW ENGINE INNODB STATUS"),
        }
    }
}

fn binlog_position(row: &Row) -> Option<BinlogPosition> {
    Some(BinlogPosition {
        gtid: None,
        binlog_file: Some(text(row, 0)?),
        binlog_position: Some(text(row, 1)?.parse().ok()?),
    })
}

/// Where the session's snapshot is, by its own status.
fn snapshot_status(conn: &mut Conn) -> Result<Option<BinlogPosition>> {
    let failed = |error| query_error("cannot ask for the snapshot's position", error);
    let rows = ask(conn, "SHOW STATUS LIKE 'binlog_snapshot_%'").map_err(failed)?;
    let value = |wanted: &str| {
        let mut rows = rows.iter();
        let row =
            rows.find(|row| text(row, 0).is_some_and(|name| name.eq_ignore_ascii_case(wanted)));
        row.and_then(|row| text(row, 1))
    };
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    let (Some(file), Some(position)) = (file, value("binlog_snapshot_position")) else {
        return Ok(None);
    };
    // A file that rotates away, and Percona Server, have none.
    let gtid = ask(
        conn,
        &format!("SELECT BINLOG_GTID_POS('{file}', {position})"),
    );
    let gtid = gtid.ok().and_then(|rows| text(rows.first()?, 0));
    Ok(Some(BinlogPosition {
        gtid: gtid.filter(|gtid| !gtid.is_empty()),
        binlog_position: position.parse().ok(),
        binlog_file: Some(file),
    }))
}

/// Where the server is while nobody can commit.
fn position_now(conn: &mut Conn) -> Option<BinlogPosition> {
    let rows = ServerQuery::BinaryLog.ask(conn).unwrap_or_default();
    let mut position = rows.first().and_then(binlog_position).unwrap_or_default();
    for question in [
        "SELECT @@GLOBAL.gtid_executed",
        "SELECT @@GLOBAL.gtid_binlog_pos",
    ] {
        let answer = ask(conn, question)
            .ok()
            .and_then(|rows| text(rows.first()?, 0));
        position.gtid = position.gtid.or(answer.filter(|gtid| !gtid.is_empty()));
    }
    Some(position).filter(|position| *position != BinlogPosition::default())
}

/// Has all sessions begin at once, or nearly.
fn begin_all(sessions: &mut [QueryExecutor]) -> Result<()> {
    let begin = |session: &mut QueryExecutor| session.with_driver(begin);
    if let [session] = sessions {
        return begin(session);
    }
    thread::scope(|scope| {
        let mut results = Vec::new();
        let mut threads = Vec::new();
        for session in sessions {
            // Where there is no thread, the session is gone with it.
            let started = thread::Builder::new().spawn_scoped(scope, move || begin(session));
            match started {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let what = format!("cannot start a thread: {error}");
                    results.push(Err(Error::config(what).with_source(error)));
                }
            }
        }
        for thread in threads {
            let broken = |_| Err(Error::new(ErrorKind::Query, "a snapshot could not begin"));
            results.push(thread.join().unwrap_or_else(broken));
        }
        results.into_iter().collect()
    })
}

/// Begins a transaction that has its snapshot now, in the place of an earlier one.
fn begin(conn: &mut Conn) -> Result<()> {
    let failed = |error| query_error("the server refused to begin a snapshot", error);
    // Or the snapshot would be nothing but a warning.
    let level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    run(conn, level).map_err(failed)?;
    // Where it logs, MariaDB keeps a table's lock to the transaction's end. Who may
    // not set it holds up whoever alters a table.
    let _ = allow_server_error(run(conn, "SET SESSION sql_log_bin = 0").map(|()| Vec::new()))
        .map_err(failed)?;
    match run(
        conn,
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ) {
        Err(mysql::Error::MySqlError(error)) if error.code == codes::PARSE_ERROR => {
            run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        }
        result => result,
    }
    .map_err(failed)?;
    if conn.warnings() > 0 {
        let warnings = ask(conn, "SHOW WARNINGS").map_err(failed)?;
        if let Some(said) = warnings.iter().find_map(|row| text(row, 2)) {
            let what = format!("the server gives no snapshot: {said}");
            return Err(Error::new(ErrorKind::Query, what)
                .with_hint("leave the snapshot out for this server"));
        }
    }
    run(conn, SAVEPOINT).map_err(failed)
}

impl QueryExecutor {
    /// Checks that the session still has its snapshot, and lets go of the tables
    /// that were read in it: a statement may have ended the transaction, also to
    /// begin another one, and the connection may be gone.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where it has none.
    pub fn check_snapshot(&mut self) -> Result<()> {
        self.with_driver(|conn| {
            // A KILL that came late for an earlier statement ends this one.
            for _ in 0..2 {
                match run(conn, &format!("ROLLBACK TO {SAVEPOINT}")) {
                    Ok(()) => return Ok(()),
                    Err(mysql::Error::MySqlError(error))
                        if error.code == codes::QUERY_INTERRUPTED => {}
                    Err(mysql::Error::MySqlError(error)) if error.code == codes::DOES_NOT_EXIST => {
                        break;
                    }
                    Err(error) => return Err(query_error("the session does not answer", error)),
                }
            }
            let what = "the statement ended the transaction that held the snapshot";
            Err(Error::new(ErrorKind::Query, what)
                .with_hint("export it by a run of its own, without a snapshot"))
        })
    }
}
