//! Finds the tables that match the patterns of an export, and puts an export of each into
//! its place.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    claims::claims_of,
    event::Observer,
    export::warn,
    plan::{ExportPlan, LoadPlan, PartPlan, RunPlan, SchemaFile, TableSelection},
    retry::retry,
    status::Status,
};
use crate::{
    artifacts::template::OutputName,
    cancel::CancelToken,
    error::{Error, Result},
    format::Sql,
    row::Value,
    sink::{self, Target},
    source::{Protocol, QueryExecutor, RowSource, SessionUse},
    sql::{Parameter, ParameterValue, Query, TableName, TablePattern, TableQuery},
    text::counted,
};

/// The databases of the servers themselves, which only a pattern with their name finds.
const SYSTEM_DATABASES: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The types of tables that patterns with wildcards find: those with rows of their own
/// (MySQL manual, "The INFORMATION_SCHEMA TABLES Table"; MariaDB documentation, the same).
const TYPES_WITH_ROWS: [&str; 2] = ["BASE TABLE", "SYSTEM VERSIONED"];

/// The tables that the patterns of a run have found.
#[derive(Clone, Debug)]
pub struct FoundTables {
    names: BTreeSet<TableName>,
    selections: Vec<TableSelection>,
}

/// Returns `plan` with an export of each table in the place of those that stand for tables;
/// `None` if there are no such exports, without connecting. Tries again as often as `plan`
/// says. Warnings go to `observer` and to `status`, which is the run's.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if a pattern finds no table, or if
/// two tables would go to one file; those of the connection and of the question for the
/// tables.
pub fn find_tables(
    plan: &RunPlan,
    status: &Status,
    observer: &dyn Observer,
    cancel: &CancelToken,
) -> Result<Option<RunPlan>> {
    if plan.exports.iter().all(|export| export.tables.is_none()) {
        return Ok(None);
    }
    let warn = |text| warn(observer, None, status, text);
    let find = || {
        let cancel = cancel.child()?;
        cancel.prefer_cause(try_find(plan, &cancel))
    };
    let (plan, warnings) = retry(plan.retries, cancel, find, Ok, warn)?;
    warnings.into_iter().for_each(warn);
    Ok(Some(plan))
}

/// Finds the tables of `plan`, and what is to be said of them.
fn try_find(plan: &RunPlan, cancel: &CancelToken) -> Result<(RunPlan, Vec<String>)> {
    let selections = plan
        .exports
        .iter()
        .filter_map(|export| export.tables.clone());
    let mut found = FoundTables {
        names: BTreeSet::new(),
        selections: selections.collect(),
    };
    let mut session =
        QueryExecutor::connect(&plan.connect, &plan.session, SessionUse::Exclusive, cancel)?;
    let default = plan.connect.database.as_deref();
    let tables = list(&mut session, &found.selections, default)?;
    let mut warnings = invisible_columns(&mut session, &found.selections, &tables, default);
    let mut exports = Vec::new();
    for export in &plan.exports {
        let Some(selection) = &export.tables else {
            exports.push(export.clone());
            continue;
        };
        warnings.extend(unused_exclusions(selection, &tables, default));
        for table in select(selection, &tables, default)? {
            exports.push(export_of(export, selection, &table)?);
            found.names.insert(table);
        }
    }
    refuse_common_targets(&exports)?;
    tracing::info!("found {}", counted(found.names.len() as u64, "table"));
    let plan = RunPlan {
        exports,
        found_tables: Some(found),
        ..plan.clone()
    };
    Ok((plan, warnings))
}

impl FoundTables {
    /// Returns what has changed since the tables were found, as warnings.
    pub(super) fn changes(&self, plan: &RunPlan, cancel: &CancelToken) -> Vec<String> {
        let default = plan.connect.database.as_deref();
        let found =
            QueryExecutor::connect(&plan.connect, &plan.session, SessionUse::Exclusive, cancel)
                .and_then(|mut session| list(&mut session, &self.selections, default));
        let tables = match found {
            Ok(tables) => tables,
            Err(error) => {
                let problem = error.message();
                return vec![format!(
                    "whether tables were created or dropped meanwhile is not known: {problem}"
                )];
            }
        };
        let matched = self
            .selections
            .iter()
            .flat_map(|one| matching(one, &tables, default));
        let names: BTreeSet<TableName> = matched.collect();
        let created = names.difference(&self.names).map(|name| {
            format!(
                "the table {name} was created after the tables were listed, and is not exported"
            )
        });
        let dropped = self
            .names
            .difference(&names)
            .map(|name| format!("the table {name} was dropped or renamed while the run went on"));
        created.chain(dropped).collect()
    }
}

/// A table, view or the like that the server lists.
struct Listed {
    name: TableName,
    /// Whether it has rows of its own.
    has_rows: bool,
}

/// Returns all tables in the databases of `selections`.
fn list(
    session: &mut QueryExecutor,
    selections: &[TableSelection],
    default: Option<&str>,
) -> Result<Vec<Listed>> {
    let columns = "SELECT table_schema, table_name, table_type FROM information_schema.tables \
                   WHERE table_type IS NOT NULL";
    let rows = read(session, columns, selections, default)?;
    let listed = rows.into_iter().map(|[database, table, kind]| Listed {
        name: TableName {
            database: Some(database),
            table,
        },
        has_rows: TYPES_WITH_ROWS.contains(&&*kind),
    });
    Ok(listed.collect())
}

/// Reads three texts of each row of `select` in the databases of `selections`.
fn read(
    session: &mut QueryExecutor,
    select: &str,
    selections: &[TableSelection],
    default: Option<&str>,
) -> Result<Vec<[String; 3]>> {
    let patterns = selections.iter().flat_map(|selection| &selection.include);
    let databases = patterns.map(|pattern| pattern.database(default));
    let databases: Option<BTreeSet<String>> = databases.collect();
    // Servers look into no other database then.
    let databases =
        databases.and_then(|names| ParameterValue::list(names.into_iter().collect()).ok());
    let (query, parameters) = match databases {
        Some(value) => {
            let name = "databases".to_owned();
            (
                format!("{select} AND table_schema IN (:databases)"),
                vec![Parameter { name, value }],
            )
        }
        None => (select.to_owned(), Vec::new()),
    };
    session.bind(&Query::parse(query)?, &parameters, Protocol::Auto)?;
    let mut rows = Vec::new();
    let mut source = session.run()?;
    while let Some(row) = source.next_row()? {
        rows.push([0, 1, 2].map(|index| match row.value(index) {
            Value::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        }));
    }
    Box::new(source).finish()?;
    session.close_statement();
    Ok(rows)
}

/// Returns the tables that `selection` matches.
fn matching(
    selection: &TableSelection,
    tables: &[Listed],
    default: Option<&str>,
) -> BTreeSet<TableName> {
    let is_matched = |table: &&Listed| {
        let mut include = selection.include.iter();
        let mut exclude = selection.exclude.iter();
        include.any(|pattern| finds(pattern, table, default))
            && !exclude.any(|pattern| is_like(pattern, &table.name, default))
    };
    let tables = tables.iter().filter(is_matched);
    tables.map(|table| table.name.clone()).collect()
}

/// Whether `pattern` finds `table`: what has no rows of its own only by its full name, and
/// what is in a database of the server itself only by that database's name.
fn finds(pattern: &TablePattern, table: &Listed, default: Option<&str>) -> bool {
    let database = table.name.database.as_deref().unwrap_or_default();
    let is_system = SYSTEM_DATABASES
        .iter()
        .any(|name| name.eq_ignore_ascii_case(database));
    is_like(pattern, &table.name, default)
        && (table.has_rows || pattern.is_full_name())
        && (!is_system || pattern.database(default).is_some())
}

fn is_like(pattern: &TablePattern, name: &TableName, default: Option<&str>) -> bool {
    pattern.matches(
        name.database.as_deref().unwrap_or_default(),
        &name.table,
        default,
    )
}

/// Returns the tables of `selection`, in the order of their names.
fn select(
    selection: &TableSelection,
    tables: &[Listed],
    default: Option<&str>,
) -> Result<BTreeSet<TableName>> {
    for pattern in &selection.include {
        if !tables.iter().any(|table| finds(pattern, table, default)) {
            let message = format!("{pattern} finds no table that this account can see");
            return Err(Error::config(message).with_hint(
                "upper and lower case differ, and views and sequences are found by their full names",
            ));
        }
    }
    let found = matching(selection, tables, default);
    match found.is_empty() {
        true => Err(Error::config("all tables that are found are excluded")),
        false => Ok(found),
    }
}

/// Warns of patterns of `selection` that exclude no table.
fn unused_exclusions<'a>(
    selection: &'a TableSelection,
    tables: &'a [Listed],
    default: Option<&'a str>,
) -> impl Iterator<Item = String> + 'a {
    let is_unused = move |pattern: &&TablePattern| {
        !tables
            .iter()
            .any(|table| is_like(pattern, &table.name, default))
    };
    let unused = selection.exclude.iter().filter(is_unused);
    unused.map(|pattern| format!("{pattern} excludes no table"))
}

/// Warns of the invisible columns that the selected tables have and that are not exported.
/// Servers that know no such columns may refuse the question.
fn invisible_columns(
    session: &mut QueryExecutor,
    selections: &[TableSelection],
    tables: &[Listed],
    default: Option<&str>,
) -> Vec<String> {
    let open: Vec<TableSelection> = selections
        .iter()
        .filter(|selection| selection.columns.is_empty())
        .cloned()
        .collect();
    if open.is_empty() {
        return Vec::new();
    }
    let columns = "SELECT table_schema, table_name, column_name FROM information_schema.columns \
                   WHERE extra LIKE '%INVISIBLE%'";
    let rows = read(session, columns, &open, default).unwrap_or_default();
    let mut found: BTreeMap<TableName, Vec<String>> = BTreeMap::new();
    for [database, table, column] in rows {
        let database = Some(database);
        found
            .entry(TableName { database, table })
            .or_default()
            .push(column);
    }
    let exported: BTreeSet<TableName> = open
        .iter()
        .flat_map(|selection| matching(selection, tables, default))
        .collect();
    let found = found
        .into_iter()
        .filter(|(table, _)| exported.contains(table));
    found
        .map(|(table, columns)| {
            let columns = columns.join(", ");
            format!("{table}: invisible columns are not exported unless they are named: {columns}")
        })
        .collect()
}

/// Makes the export of `table` from `pattern`, which stands for the tables of `selection`.
fn export_of(
    pattern: &ExportPlan,
    selection: &TableSelection,
    table: &TableName,
) -> Result<ExportPlan> {
    let query = TableQuery {
        table: table.clone(),
        columns: selection.columns.clone(),
        condition: selection.condition.clone(),
        limit: selection.limit,
    };
    let output = OutputName {
        database: table.database.clone(),
        table: Some(table.table.clone()),
        ..selection.output.clone()
    };
    let name = format!(
        "{}.{}",
        table.database.as_deref().unwrap_or_default(),
        table.table
    );
    let load = pattern.load.as_ref().map(|load| -> Result<LoadPlan> {
        let file = selection.statement_file.as_ref();
        Ok(LoadPlan {
            table: table.table.clone(),
            statement_file: file.map(|file| path(file, &output)).transpose()?,
            ..load.clone()
        })
    });
    let schema_file = selection
        .schema_file
        .as_ref()
        .map(|file| -> Result<SchemaFile> {
            Ok(SchemaFile {
                table: table.clone(),
                path: path(file, &output)?,
            })
        });
    let any: &dyn Any = &*pattern.format;
    Ok(ExportPlan {
        query: query.to_query()?,
        target: Target::Path(path(&output.template, &output)?),
        format: match any.downcast_ref::<Sql>() {
            Some(sql) => Arc::new(Sql {
                table: table.table.clone(),
                ..sql.clone()
            }),
            None => Arc::clone(&pattern.format),
        },
        manifest: pattern.manifest.as_ref().map(|manifest| OutputName {
            database: output.database.clone(),
            table: output.table.clone(),
            ..manifest.clone()
        }),
        name: Some(match &pattern.name {
            Some(pattern) => format!("{pattern}:{name}"),
            None => name,
        }),
        load: load.transpose()?,
        parts: pattern.parts.as_ref().map(|parts| PartPlan {
            output,
            ..parts.clone()
        }),
        schema_file: schema_file.transpose()?,
        tables: None,
        ..pattern.clone()
    })
}

/// Expands `template` for the table of `output`. The part's number stays a placeholder.
fn path(template: &Path, output: &OutputName) -> Result<PathBuf> {
    output.expand(template, Some("{part}")).map_err(|problem| {
        let message = format!("the path {} {problem}", template.display());
        Error::config(message)
    })
}

/// Refuses two files with one path.
fn refuse_common_targets(exports: &[ExportPlan]) -> Result<()> {
    let mut taken = BTreeMap::new();
    for claim in exports.iter().flat_map(claims_of) {
        if let Some(other) = taken.insert(sink::resolve(&claim.path), claim.name.clone()) {
            let hint = "put {database} and {table} into the path";
            return Err(claim.refuse(&other).with_hint(hint));
        }
    }
    Ok(())
}
