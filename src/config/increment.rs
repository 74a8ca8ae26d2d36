//! Resolves whether an export reads only what is new since the last run.

use std::{collections::BTreeSet, str::FromStr};

use super::{
    layers::Layers,
    origin::Origin,
    query,
    run::RunSettings,
    selection::{command_line_query, if_applicable},
    settings::keys,
    split,
    timeout::Timeout,
};
use crate::{
    error::Result,
    jobs::plan::{ExportPlan, IncrementPlan, Since},
    source::{Access, IncrementForm, IncrementOptions, Lag, SessionOptions, SnapshotMode},
    sql::{INCREMENT, Query, SINCE, TableName, UNTIL},
};

/// A lag: a time such as `5m`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LagSetting(pub Lag);

impl FromStr for LagSetting {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.parse().ok().filter(|count| *count > 0).map(Lag::Count);
        let time = || text.parse().map(|Timeout(time)| Lag::Time(time)).ok();
        let lag = count.or_else(time).map(Self);
        lag.ok_or("write a time, such as 30s or 5m, or a number of ids, such as 1000")
    }
}

/// Whether only what is new is read.
pub(super) fn is_on(layers: &Layers) -> bool {
    layers.get(keys::INCREMENTAL).is_some()
}

/// Returns the name by which the last row of `table` is kept: rows of another condition are
/// others. `database` is the default one.
fn entry_name(layers: &Layers, table: &TableName, database: Option<&str>) -> String {
    let table = TableName {
        database: table.database.clone().or(database.map(str::to_owned)),
        table: table.table.clone(),
    };
    match layers.value(keys::QUERY_WHERE) {
        Some(condition) => format!("{} where {}", table.to_text(), String::from(condition)),
        None => table.to_text(),
    }
}

/// Returns how the export of `query`, called `name`, reads only what is new, if it does.
/// `database` is the default one.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a query that has no place for
/// the bounds, or compares with them so that rows would be lost or doubled, and for settings
/// that contradict each other.
pub(super) fn plan(
    layers: &Layers,
    query: &Query,
    name: Option<&str>,
    database: Option<&str>,
) -> Result<Option<IncrementPlan>> {
    let Some(by) = layers.get(keys::INCREMENTAL) else {
        for setting in [keys::SINCE.setting(), keys::LAG.setting()] {
            if layers.origin(setting).is_some() {
                let refused = layers.refuse(setting, "is for what is new, and all rows are read");
                return Err(refused.with_hint("add --incremental COLUMN"));
            }
        }
        return Ok(None);
    };
    let refuse = |what: &str, hint: &str| {
        let refused = by.origin.refuse(keys::INCREMENTAL, what);
        Err(refused.with_hint(hint))
    };
    let limits = [
        split::size(layers).map(|(setting, _)| setting),
        layers
            .origin(keys::QUERY_LIMIT)
            .map(|_| keys::QUERY_LIMIT.setting()),
    ];
    if let Some(other) = limits.into_iter().flatten().next() {
        let what = format!("reads what is new, and cannot stand beside {}", other.key());
        return refuse(&what, "leave one of them out");
    }
    let names = by.value.names.iter().map(|name| name.to_lowercase());
    if names.collect::<BTreeSet<_>>().len() < by.value.names.len() {
        return refuse("has a column twice", "name each once");
    }
    let table = query::table(layers);
    let is_table = table.is_some() || query::is_table_set(layers);
    if let (true, Some(_)) = (is_table, &by.value.qualifier) {
        return refuse(
            "names a table, and the rows are those of a table already",
            "name the columns alone",
        );
    }
    let form = match [INCREMENT, SINCE].map(|name| query.has_parameter(name)) {
        [true, false] => IncrementForm::Condition,
        [false, true] => IncrementForm::Values,
        [true, true] => {
            return refuse(
                "reads what is new, and the query has both :increment and :since",
                "keep one of them",
            );
        }
        [false, false] => {
            return refuse(
                "reads what is new, and the query has neither :increment nor :since",
                "write WHERE :increment, or WHERE COLUMN > :since AND COLUMN <= :until",
            );
        }
    };
    if let Err(problem) = query.check_increment(&by.value) {
        let what = format!("reads what is new, and the query {problem}");
        return refuse(
            &what,
            "each row must be in one increment: see docs/incremental.md",
        );
    }
    let lag = layers.value(keys::LAG).map(|LagSetting(lag)| lag);
    if form == IncrementForm::Values {
        if by.value.names.len() > 1 {
            return refuse(
                "has several columns, and :since is one value",
                "write :increment",
            );
        }
        if !query.has_parameter(UNTIL) {
            return refuse(
                "keeps the last row, and the query has no :until",
                "add AND COLUMN <= :until",
            );
        }
    }
    let is_typed = command_line_query(layers).is_some();
    if if_applicable(layers, keys::STATE, is_typed).is_none() {
        return refuse(
            "keeps the last row in a state file, and none is named",
            "add --state FILE, or [run] state = \"FILE\"",
        );
    }
    let of_table = || {
        table
            .as_ref()
            .map(|table| entry_name(layers, table, database))
    };
    let name = name.map(str::to_owned).or_else(of_table);
    let Some(name) = name.or_else(|| is_table.then(String::new)) else {
        return refuse(
            "keeps the last row by the name of the export, and it has none",
            "write the query as an [[export]] with a name",
        );
    };
    let since = layers.get(keys::SINCE).map(|since| match since.origin {
        Origin::Flag(_) => Since::Backfill(since.value),
        _ => Since::First(since.value),
    });
    Ok(Some(IncrementPlan {
        name,
        since,
        options: IncrementOptions {
            table,
            by: by.value,
            lag,
            form,
        },
    }))
}

impl RunSettings {
    /// Has increments be read from a snapshot.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where there can be none.
    pub(super) fn suit_increments(
        &mut self,
        layers: &Layers,
        session: &SessionOptions,
        exports: &[ExportPlan],
    ) -> Result<()> {
        if exports.iter().all(|export| export.increment.is_none())
            || self.snapshot != SnapshotMode::None
        {
            return Ok(());
        }
        if layers.is_said(keys::SNAPSHOT) || session.access == Access::ReadWrite {
            let what = "reads up to a row that is looked up before, and that needs a snapshot";
            let refused = layers.refuse(keys::INCREMENTAL, what);
            return Err(refused.with_hint("leave out --snapshot=false and --read-write"));
        }
        self.begin_snapshot();
        Ok(())
    }
}
