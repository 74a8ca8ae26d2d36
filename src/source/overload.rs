//! Asks the server whether it has more to do than an export should add to.

use std::{num::NonZeroU32, time::Duration};

use mysql::{Conn, Row, prelude::Queryable};
use serde::{Deserialize, Serialize};

use super::{
    QueryExecutor, connect,
    driver::{all, ask, number},
    errors::{is_parse_error, query_error},
    tables::by_name,
};
use crate::error::{Error, ErrorKind, Result};

/// The load of the server above which no statement begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadLimits {
    /// The most threads that may run at the same time, those of this program included.
    pub max_threads_running: Option<NonZeroU32>,
    /// How far the server, a replica, may be behind its source.
    pub max_replica_lag: Option<Duration>,
}

impl QueryExecutor {
    /// Returns what is above `limits`, as a sentence without its full stop; `None` if nothing
    /// is.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server does not tell, and if it is no replica, or one that
    /// does not run, where its lag has a limit.
    pub fn overload(&mut self, limits: LoadLimits) -> Result<Option<String>> {
        self.with_driver(|conn| {
            if let Some(max) = limits.max_threads_running {
                let running = threads_running(conn)?;
                if running > u64::from(max.get()) {
                    return Ok(Some(format!("{running} threads run on the server")));
                }
            }
            if let Some(max) = limits.max_replica_lag {
                let lag = replica_lag(conn)?;
                if lag > max {
                    let seconds = lag.as_secs();
                    return Ok(Some(format!("the replica is {seconds} s behind")));
                }
            }
            Ok(None)
        })
    }
}

fn threads_running(conn: &mut Conn) -> Result<u64> {
    let failed = |error| query_error("cannot read how many threads run", error);
    let rows = ask(conn, "SHOW GLOBAL STATUS LIKE 'Threads_running'").map_err(failed)?;
    let running = rows.first().and_then(|row| number(row, 1));
    running.ok_or_else(|| {
        let what = "the server does not tell how many threads run";
        Error::new(ErrorKind::Query, what).with_hint("leave --max-threads-running out")
    })
}

/// Returns how far the server is behind its source; of several, behind the one that is
/// farthest.
fn replica_lag(conn: &mut Conn) -> Result<Duration> {
    let failed = |error| {
        query_error("cannot read how far the replica is behind", error)
            .with_hint("it needs the privilege REPLICATION CLIENT, or SLAVE MONITOR on MariaDB")
    };
    let statement = match connect::is_mariadb(conn) {
        true => "SHOW ALL SLAVES STATUS",
        false => "SHOW REPLICA STATUS",
    };
    let mut read = |sql: &str| conn.query_iter(sql).and_then(all);
    let rows = match read(statement) {
        // MySQL before 8.0.22.
        Err(error) if is_parse_error(&error) => read("SHOW SLAVE STATUS"),
        rows => rows,
    };
    let rows = rows.map_err(failed)?;
    let hint = "leave --max-replica-lag out, or read from a replica that runs";
    let lags: Option<Vec<u64>> = rows.iter().map(seconds_behind).collect();
    let what = match lags {
        Some(lags) if !lags.is_empty() => {
            return Ok(Duration::from_secs(lags.into_iter().max().unwrap_or(0)));
        }
        Some(_) => "the server is no replica, and behind no source",
        None => "the server's replication does not run, and how far it is behind is not known",
    };
    Err(Error::new(ErrorKind::Query, what).with_hint(hint))
}

/// Returns the seconds in a row of a replica's status, if replication runs.
fn seconds_behind(row: &Row) -> Option<u64> {
    let seconds = by_name(row, "Seconds_Behind_Source");
    let seconds = seconds.or_else(|| by_name(row, "Seconds_Behind_Master"));
    seconds?.parse().ok()
}
