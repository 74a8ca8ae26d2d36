//! Opens sessions that read one consistent snapshot, and finds its position in the
//! server's binary log.
//!
//! A transaction with a snapshot reads what was committed when it began (MySQL
//! manual, "Consistent Nonlocking Reads"). Two transactions have the same snapshot
//! if nothing was committed between their beginnings. Either a global read lock
//! ensures that, or the server's binary log proves it. The proof is not possible
//! if commits are missing in the binary log: there is none, it has filters, a
//! replica does not write what it applies, or a Galera cluster applies
//! transactions. Commits of sessions with `sql_log_bin = 0` are not in the log
//! either, and nothing shows them: only the lock excludes them.

mod position;
mod proof;

use std::{
    thread,
    time::{Duration, Instant},
};

use mysql::Conn;

pub use self::position::BinlogPosition;
use self::{
    position::read_current,
    proof::{ConsistencyProof, find_proof, read_position, session_positions},
};
use super::{
    QueryExecutor, SessionUse, codes,
    driver::{ask, run, text},
    errors::{allow_refusal, is_parse_error, query_error},
    options::{Access, ConnectOptions, SessionOptions, SnapshotMode},
    tables,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    text::counted,
};

/// Sessions that read one snapshot.
pub struct Snapshot {
    /// As many sessions as [`open`] was asked for.
    pub sessions: Vec<QueryExecutor>,
    /// The snapshot's position in the server's binary log. `None`: it is not
    /// known, because the server has no binary log or because a single session
    /// could not prove it.
    pub position: Option<BinlogPosition>,
}

/// The time during which several sessions try to begin with one snapshot.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The time during which a single session tries to begin at a known position. It
/// has a snapshot in any case.
const SINGLE_TIMEOUT: Duration = Duration::from_millis(500);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);

/// The seconds to wait for the global lock. Until it is granted, it blocks all
/// other sessions.
const SET_LOCK_TIMEOUT: &str = "SET SESSION lock_wait_timeout = 5";

/// The savepoint at the beginning of the transaction. Another transaction does not
/// have it.
const SAVEPOINT: &str = "SAVEPOINT gold_digger";

const ALTERNATIVES_HINT: &str = "connections = 1 needs no such proof, and lock = true makes sure by a brief FLUSH TABLES WITH READ LOCK";

/// Opens `count` sessions that read one snapshot of the server of `options`. They
/// are [shared](SessionUse::Shared) and set up as `session` says.
///
/// With [`SnapshotMode::Locked`] and more than one session, a brief global read
/// lock ensures the snapshot. Otherwise, the server's binary log proves it; a
/// single session needs no proof.
///
/// # Errors
/// [`ErrorKind::Connect`] if a session cannot be opened, [`ErrorKind::Query`] if
/// the server gives no snapshot or not the same one to all sessions, and the cause
/// if `cancel` was cancelled.
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
    // Before the transactions begin: a table that is altered meanwhile counts too.
    let failed = |error| query_error("cannot read the server's time", error);
    for session in &mut sessions {
        let began = session.with_driver(|conn| tables::read_begin(conn).map_err(failed))?;
        session.table_cache.began = began;
        session.snapshot_moment = Some(session.with_driver(super::split::moment)?);
    }
    let position = match mode {
        SnapshotMode::Locked if count > 1 => begin_locked(options, session, &mut sessions, cancel)?,
        _ => begin_compared(&mut sessions, cancel)?,
    };
    Ok(Snapshot { sessions, position })
}

/// Returns a number of connections in words.
pub(crate) fn connections(count: usize) -> String {
    counted(count as u64, "connection")
}

/// Starts all transactions while a global read lock blocks commits.
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
    check_same_server(&mut locker, sessions)?;
    let failed = |error: mysql::Error| {
        let is_refusal = matches!(error, mysql::Error::MySqlError(_));
        let described = query_error("cannot lock the server for a moment", error);
        match is_refusal {
            true => described.with_hint(
                "lock = true needs the privilege RELOAD, and that no statement runs for long",
            ),
            false => described,
        }
    };
    locker.with_driver(|conn| {
        run(conn, SET_LOCK_TIMEOUT).map_err(failed)?;
        run(conn, "FLUSH TABLES WITH READ LOCK").map_err(failed)
    })?;
    tracing::info!("the server is locked");
    begin_all(sessions)?;
    let position = locker.with_driver(|conn| Ok(read_current(conn)));
    locker.with_driver(|conn| run(conn, "UNLOCK TABLES").map_err(failed))?;
    tracing::info!("the server is unlocked");
    position
}

/// Checks that all `sessions` are on the server of `one`. Behind a load balancer,
/// they may be on several.
fn check_same_server(one: &mut QueryExecutor, sessions: &[QueryExecutor]) -> Result<()> {
    let is_same_server = one.with_driver(|conn| {
        let mut others = sessions.iter();
        Ok(others.all(|other| other.interrupt.is_same_server(conn)))
    })?;
    if is_same_server {
        return Ok(());
    }
    let what = "the connections do not all lead to one server, and cannot have one snapshot";
    Err(Error::new(ErrorKind::Query, what)
        .with_hint("name the server itself, not a balancer or a pool, or use connections = 1"))
}

/// Starts all transactions again and again until the server proves that nothing
/// was committed between their beginnings.
fn begin_compared(
    sessions: &mut [QueryExecutor],
    cancel: &CancelToken,
) -> Result<Option<BinlogPosition>> {
    let Some((first, others)) = sessions.split_first_mut() else {
        return Ok(None);
    };
    check_same_server(first, others)?;
    let proof = first.with_driver(find_proof)?;
    let is_single = sessions.len() == 1;
    let proof = match proof {
        Ok(proof) => proof,
        Err(_) if is_single => {
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
    let timeout = if is_single {
        SINGLE_TIMEOUT
    } else {
        BEGIN_TIMEOUT
    };
    let started = Instant::now();
    for attempt in 1.. {
        if let Some(position) = try_begin(sessions, proof)? {
            tracing::info!("all connections have one snapshot (attempt {attempt})");
            return Ok(Some(position.without_empty_texts()));
        }
        if started.elapsed() > timeout {
            break;
        }
        cancel.wait(PAUSE)?;
    }
    if is_single {
        // It has a snapshot, at an unknown position.
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

/// Starts all transactions once. Returns their position if `proof` shows that they
/// have one snapshot.
fn try_begin(
    sessions: &mut [QueryExecutor],
    proof: ConsistencyProof,
) -> Result<Option<BinlogPosition>> {
    let before = sessions[0].with_driver(|conn| read_position(conn, proof))?;
    begin_all(sessions)?;
    match proof {
        ConsistencyProof::SnapshotStatus => {
            let after = session_positions(sessions)?;
            Ok(after.filter(|_| before.is_some()))
        }
        ConsistencyProof::Gtid | ConsistencyProof::BinaryLog => {
            let after = sessions[0].with_driver(|conn| read_position(conn, proof))?;
            Ok(after.filter(|after| before.as_ref() == Some(after)))
        }
    }
}

/// Starts the transactions of all sessions, in parallel.
fn begin_all(sessions: &mut [QueryExecutor]) -> Result<()> {
    let begin = |session: &mut QueryExecutor| session.with_driver(begin);
    if let [session] = sessions {
        return begin(session);
    }
    thread::scope(|scope| {
        let mut results = Vec::new();
        let mut threads = Vec::new();
        for session in sessions {
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
            let panicked = |_| Err(Error::new(ErrorKind::Query, "a snapshot could not begin"));
            results.push(thread.join().unwrap_or_else(panicked));
        }
        results.into_iter().collect()
    })
}

/// Starts a transaction with a snapshot of this moment. It replaces an earlier one.
fn begin(conn: &mut Conn) -> Result<()> {
    let failed = |error| query_error("the server refused to begin a snapshot", error);
    // On a lower isolation level, the snapshot would be ignored with a warning.
    let level = "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";
    run(conn, level).map_err(failed)?;
    // With logging, MariaDB holds the metadata lock of every table that was read
    // until the transaction ends. Without the privilege to switch it off, the
    // transaction blocks ALTER TABLE.
    let _ = allow_refusal(run(conn, "SET SESSION sql_log_bin = 0")).map_err(failed)?;
    match run(
        conn,
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ) {
        Err(error) if is_parse_error(&error) => {
            run(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT")
        }
        result => result,
    }
    .map_err(failed)?;
    if conn.warnings() > 0 {
        let warnings = ask(conn, "SHOW WARNINGS").map_err(failed)?;
        if let Some(message) = warnings.iter().find_map(|row| text(row, 2)) {
            let what = format!("the server gives no snapshot: {message}");
            return Err(Error::new(ErrorKind::Query, what)
                .with_hint("leave the snapshot out for this server"));
        }
    }
    run(conn, SAVEPOINT).map_err(failed)
}

impl QueryExecutor {
    /// Checks that the session still has its snapshot, and releases the metadata
    /// locks of the tables that were read in it. A statement may have ended the
    /// transaction, perhaps to begin another one, or the connection may be lost.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the session has no snapshot any more.
    pub fn check_snapshot(&mut self) -> Result<()> {
        let hint = "export it by a run of its own, without a snapshot";
        self.check_transaction("the statement", hint)
    }

    /// Does the same after the init statements, which `statement` and `hint` are about.
    pub(super) fn check_transaction(&mut self, statement: &str, hint: &str) -> Result<()> {
        self.with_driver(|conn| {
            // A late KILL QUERY for an earlier statement ends the first try.
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
            let what = format!("{statement} ended the transaction that held the snapshot");
            Err(Error::new(ErrorKind::Query, what).with_hint(hint))
        })
    }
}
