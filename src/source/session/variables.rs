//! Keeps the variables of a session that several exports use one after the other: a
//! function or a procedure of one must not change the rows of the next.

use std::collections::BTreeMap;

use mysql::Conn;

use super::{
    super::{
        driver::{self, text},
        errors::{allow_refusal, query_error},
    },
    quoted,
};
use crate::error::Result;

/// The session variables that change which rows or values come, or what is refused, and
/// that this program does not set itself (docs/reliability.md, "Variables of the
/// server"). Servers pass over names that they do not have. What is set later in the list
/// may depend on what is set before.
///
/// Left out are `rand_seed1` and `rand_seed2`, which not every server tells,
/// `collation_database`, which follows the database that an init statement chooses, and
/// `autocommit`, because setting it can end the transaction.
const VARIABLES: [&str; 55] = [
    TIME_ZONE,
    TIMESTAMP,
    "block_encryption_mode",
    "character_set_collations",
    "character_set_filesystem",
    "collation_connection",
    "collation_server",
    "completion_type",
    "cte_max_recursion_depth",
    "default_collation_for_utf8mb4",
    "default_regex_flags",
    "default_week_format",
    "div_precision_increment",
    "end_markers_in_json",
    "explain_format",
    "explain_json_format_version",
    "explicit_defaults_for_timestamp",
    "group_concat_max_len",
    "group_replication_consistency",
    "information_schema_stats_expiry",
    "innodb_ft_enable_stopword",
    USER_STOPWORDS,
    "innodb_lock_wait_timeout",
    "innodb_snapshot_isolation",
    "last_insert_id",
    "lc_messages",
    "lc_time_names",
    "lock_wait_timeout",
    "max_join_size",
    "max_points_in_geometry",
    "max_recursive_iterations",
    "max_sort_length",
    "max_sp_recursion_depth",
    "mhnsw_default_distance",
    "mhnsw_ef_search",
    "new_mode",
    "note_verbosity",
    "old",
    "old_mode",
    "profiling",
    "pseudo_thread_id",
    "query_cache_type",
    "query_cache_wlock_invalidate",
    "show_create_table_verbosity",
    "show_gipk_in_create_table_and_information_schema",
    "sql_auto_is_null",
    // The server sets it with max_join_size.
    "sql_big_selects",
    "sql_mode",
    "sql_quote_show_create",
    "standard_compliant_cte",
    AS_OF,
    "use_secondary_engine",
    "windowing_use_high_precision",
    "wsrep_dirty_reads",
    "wsrep_sync_wait",
];

const TIME_ZONE: &str = "time_zone";
const TIMESTAMP: &str = "timestamp";
const USER_STOPWORDS: &str = "innodb_ft_user_stopword_table";
const AS_OF: &str = "system_versioning_asof";

/// Values by the names of their variables.
type Values = BTreeMap<String, String>;

/// What is known of the variables of a session.
#[derive(Debug)]
pub(in crate::source) enum Variables {
    /// One export uses the session, so that they may change.
    Free,
    /// They are kept from the first call of [`hold`](Self::hold) on.
    Unread,
    /// They had these values.
    Kept(Values),
}

impl Variables {
    /// Reads the variables at the first call. Later, sets those back that have changed.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) if the server refuses one.
    pub(in crate::source) fn hold(&mut self, conn: &mut Conn) -> Result<()> {
        match self {
            Self::Free => {}
            Self::Unread => *self = Self::Kept(read(conn)?),
            Self::Kept(values) => restore(conn, values)?,
        }
        Ok(())
    }
}

/// Reads the variables, as far as the server tells them.
fn read(conn: &mut Conn) -> Result<Values> {
    let names = VARIABLES.map(|name| format!("'{name}'")).join(", ");
    let sql = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})");
    let rows = allow_refusal(driver::ask(conn, &sql))
        .map_err(|error| query_error("cannot read the session's variables", error))?;
    let rows = rows.unwrap_or_default();
    let pair = |row| Some((text(row, 0)?, text(row, 1).unwrap_or_default()));
    Ok(rows.iter().filter_map(pair).collect())
}

/// Sets back what differs from the values `before`.
fn restore(conn: &mut Conn, before: &Values) -> Result<()> {
    let mut changed = changes(before, &read(conn)?);
    if changed.first() == Some(&TIME_ZONE) {
        // Times among the others are shown in it.
        set(conn, before, &[TIME_ZONE])?;
        changed = changes(before, &read(conn)?);
    }
    let Some(at) = changed.iter().position(|name| *name == TIMESTAMP) else {
        return set(conn, before, &changed);
    };
    // The clock has moved on, or somebody has stopped it: nothing tells which.
    let failed = |error| query_error("cannot set the session's variables back", error);
    if allow_refusal(set_all(conn, before, &changed))
        .map_err(failed)?
        .is_ok()
    {
        return Ok(());
    }
    // The server may let nobody set the clock (MariaDB's `secure_timestamp`): then nobody
    // has.
    changed.remove(at);
    set(conn, before, &changed)
}

/// Returns the names of the variables whose values `before` differ from those `now`.
fn changes(before: &Values, now: &Values) -> Vec<&'static str> {
    let differs = |name: &&str| matches!((before.get(*name), now.get(*name)), (Some(before), Some(now)) if before != now);
    VARIABLES.into_iter().filter(differs).collect()
}

/// Sets the variables called `names` to their values in `before`.
fn set(conn: &mut Conn, before: &Values, names: &[&str]) -> Result<()> {
    set_all(conn, before, names).map_err(|error| {
        let what = format!(
            "cannot set back what an earlier export has changed in the session ({})",
            names.join(", ")
        );
        let hint = "export what changes it by a run of its own, without a snapshot";
        query_error(&what, error).hint_or(hint)
    })
}

fn set_all(conn: &mut Conn, before: &Values, names: &[&str]) -> mysql::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let assignments = names.iter().map(|name| {
        let value = before.get(*name).map_or("", String::as_str);
        format!("{name} = {}", expression(name, value))
    });
    let assignments: Vec<String> = assignments.collect();
    driver::run(conn, &format!("SET {}", assignments.join(", ")))
}

/// Returns the SQL of a variable's value, which the server shows as `value`.
fn expression(name: &str, value: &str) -> String {
    match (name, value) {
        (TIMESTAMP, _) | (AS_OF, "DEFAULT") => "DEFAULT".to_owned(),
        (USER_STOPWORDS, "") => "NULL".to_owned(),
        _ if value.starts_with(|c: char| c.is_ascii_digit()) && value.parse::<f64>().is_ok() => {
            value.to_owned()
        }
        _ => quoted(value),
    }
}
