//! Finds the tables that match the patterns of an export, and puts an export of each into
//! its place.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    event::Observer,
    export::warn,
    plan::{
        ExportPlan, IncrementPlan, LoadPlan, PartPlan, RowsOf, RunPlan, SchemaFile, SplitPlan,
        TableSelection,
    },
    retry::retry,
    status::Status,
};
use crate::{
    artifacts::template::OutputName,
    cancel::CancelToken,
    error::{Error, Result},
    format::Sql,
    row::Value,
    sink::Target,
    source::{
        ConnectOptions, IncrementOptions, Protocol, QueryExecutor, RowSource, SessionUse,
        SplitOptions,
    },
    sql::{NameCase, Parameter, ParameterValue, Query, TableName, TablePattern, TableQuery},
    text::counted,
};

/// The databases of the servers themselves, which only a pattern with their name finds.
const SYSTEM_DATABASES: [&str; 4] = ["information_schema", "performance_schema", "mysql", "sys"];

/// The types of tables that patterns with wildcards find: those with rows of their own,
/// and those of information_schema (MySQL manual, "The INFORMATION_SCHEMA TABLES Table"; MariaDB documentation, the same).
const TYPES_WITH_ROWS: [&str; 3] = ["BASE TABLE", "SYSTEM VERSIONED", "SYSTEM VIEW"];

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
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if a pattern finds no table; those
/// of the connection and of the questions for the tables.
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
    let listing = Listing::read(&mut session, plan, &found.selections)?;
    let special = special_columns(&mut session, &found.selections, &listing)?;
    let (mut lists, mut warnings) = (Vec::new(), Vec::new());
    for export in &plan.exports {
        let Some(selection) = &export.tables else {
            lists.push(vec![export.clone()]);
            continue;
        };
        let located = |error: Error| match &export.name {
            Some(name) => error.with_location(name),
            None => error,
        };
        if export.rows_of == RowsOf::Statement {
            warnings.extend(listing.unused_exclusions(selection));
        }
        let tables = listing.select(selection).map_err(located)?;
        if export.rows_of == RowsOf::Statement {
            warnings.extend(warn_of_columns(export, selection, &tables, &special));
        }
        let exports = tables
            .iter()
            .map(|table| export_of(export, selection, table));
        lists.push(exports.collect::<Result<_>>().map_err(located)?);
        found.names.extend(tables);
    }
    let exports = in_order(lists);
    tracing::info!("found {}", counted(found.names.len() as u64, "table"));
    let plan = RunPlan {
        exports,
        found_tables: Some(found),
        ..plan.clone()
    };
    Ok((plan, warnings))
}

/// Returns the exports of all `lists`, in each of which are the tables of one pattern. The
/// outputs of a table that is read once stand one behind the other.
fn in_order(lists: Vec<Vec<ExportPlan>>) -> Vec<ExportPlan> {
    let mut exports = Vec::new();
    let mut lists = lists.into_iter().peekable();
    let is_further = |list: &Vec<ExportPlan>| {
        let first = list.first();
        first.is_some_and(|export| export.rows_of == RowsOf::ExportBefore)
    };
    while let Some(first) = lists.next() {
        let mut group = vec![first.into_iter()];
        while let Some(further) = lists.next_if(is_further) {
            group.push(further.into_iter());
        }
        while let Some(export) = group[0].next() {
            exports.push(export);
            exports.extend(group[1..].iter_mut().filter_map(Iterator::next));
        }
    }
    exports
}

impl FoundTables {
    /// Returns what has changed since the tables were found, as warnings.
    pub(super) fn changes(&self, plan: &RunPlan, cancel: &CancelToken) -> Vec<String> {
        // The files are published: nobody waits longer for this.
        let connect = ConnectOptions {
            read_timeout: Some(plan.connect.read_timeout.unwrap_or(LISTING_TIMEOUT)),
            ..plan.connect.clone()
        };
        let found = QueryExecutor::connect(&connect, &plan.session, SessionUse::Exclusive, cancel)
            .and_then(|mut session| Listing::read(&mut session, plan, &self.selections));
        let listing = match found {
            Ok(listing) => listing,
            Err(error) => {
                let problem = error.message();
                return vec![format!(
                    "whether tables were created or dropped meanwhile is not known: {problem}"
                )];
            }
        };
        let matched = self.selections.iter().flat_map(|one| listing.matched(one));
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

/// The time that the server may be silent while the tables are listed at the end.
const LISTING_TIMEOUT: Duration = Duration::from_secs(30);

/// The tables that the server lists, and how it compares their names.
struct Listing {
    tables: Vec<Listed>,
    /// The session's database.
    default: Option<String>,
    case: NameCase,
}

/// A table, view or the like that the server lists.
struct Listed {
    name: TableName,
    /// Whether it has rows of its own.
    has_rows: bool,
}

impl Listing {
    /// Reads the tables in the databases of `selections`.
    fn read(
        session: &mut QueryExecutor,
        plan: &RunPlan,
        selections: &[TableSelection],
    ) -> Result<Self> {
        let question = "SELECT DATABASE(), @@lower_case_table_names";
        let facts = read_texts(session, question, Vec::new())?;
        let [database, lower_case] = facts.into_iter().next().unwrap_or_default();
        // (An init statement may have chosen another one.)
        let default = Some(database).filter(|name| !name.is_empty());
        let default = default.or_else(|| plan.connect.database.clone());
        let (condition, parameters) = in_databases(selections, default.as_deref());
        let question = format!(
            "SELECT table_schema, table_name, table_type FROM information_schema.tables \
             WHERE {condition}"
        );
        let rows = read_texts(session, &question, parameters)?;
        let listed = rows.into_iter().map(|[database, table, kind]| Listed {
            name: TableName {
                database: Some(database),
                table,
            },
            has_rows: TYPES_WITH_ROWS.contains(&&*kind),
        });
        Ok(Self {
            tables: listed.collect(),
            default,
            case: match &*lower_case {
                "0" | "" => NameCase::Differs,
                _ => NameCase::Ignored,
            },
        })
    }

    /// Returns the tables that `selection` matches.
    fn matched(&self, selection: &TableSelection) -> BTreeSet<TableName> {
        let is_matched = |table: &&Listed| {
            let mut include = selection.include.iter();
            let mut exclude = selection.exclude.iter();
            include.any(|pattern| self.includes(pattern, table))
                && !exclude.any(|pattern| self.matches_name(pattern, &table.name))
        };
        let tables = self.tables.iter().filter(is_matched);
        tables.map(|table| table.name.clone()).collect()
    }

    /// Whether `pattern` includes `table`: what has no rows of its own only by its full
    /// name, and what is in a database of the server itself only by that database's name.
    fn includes(&self, pattern: &TablePattern, table: &Listed) -> bool {
        let database = table.name.database.as_deref().unwrap_or_default();
        let is_system = SYSTEM_DATABASES
            .iter()
            .any(|name| name.eq_ignore_ascii_case(database));
        self.matches_name(pattern, &table.name)
            && (table.has_rows || pattern.is_full_name())
            && (!is_system || pattern.database(self.default.as_deref()).is_some())
    }

    fn matches_name(&self, pattern: &TablePattern, name: &TableName) -> bool {
        let database = name.database.as_deref().unwrap_or_default();
        pattern.matches(database, &name.table, self.default.as_deref(), self.case)
    }

    /// Returns the tables of `selection`, in the order of their names.
    fn select(&self, selection: &TableSelection) -> Result<BTreeSet<TableName>> {
        for pattern in &selection.include {
            let mut tables = self.tables.iter();
            if !tables.any(|table| self.includes(pattern, table)) {
                let message =
                    format!("the pattern {pattern} finds no table that this account can see");
                let hint = match self.case {
                    NameCase::Differs => {
                        "upper and lower case differ, and views and sequences are found by their full names"
                    }
                    NameCase::Ignored => "views and sequences are found by their full names",
                };
                return Err(Error::config(message).with_hint(hint));
            }
        }
        let found = self.matched(selection);
        match found.is_empty() {
            true => Err(Error::config("all tables that are found are excluded")),
            false => Ok(found),
        }
    }

    /// Warns of patterns of `selection` that exclude no table.
    fn unused_exclusions(&self, selection: &TableSelection) -> Vec<String> {
        let is_unused = |pattern: &&TablePattern| {
            let mut tables = self.tables.iter();
            !tables.any(|table| self.matches_name(pattern, &table.name))
        };
        let unused = selection.exclude.iter().filter(is_unused);
        unused
            .map(|pattern| format!("the pattern {pattern} excludes no table"))
            .collect()
    }
}

/// Returns the condition that a row is about a table in one of the databases of
/// `selections`, if they are known: servers look into no other one then. It is true for
/// all rows otherwise.
fn in_databases(
    selections: &[TableSelection],
    default: Option<&str>,
) -> (&'static str, Vec<Parameter>) {
    let patterns = selections.iter().flat_map(|selection| &selection.include);
    let databases = patterns.map(|pattern| pattern.database(default));
    let databases: Option<BTreeSet<String>> = databases.collect();
    let names = databases.map(|names| names.into_iter().collect());
    match names.map(ParameterValue::list) {
        Some(Ok(value)) => {
            let name = "databases".to_owned();
            (
                "table_schema IN (:databases)",
                vec![Parameter { name, value }],
            )
        }
        _ => ("TRUE", Vec::new()),
    }
}

/// Reads the first `N` values of each row of `question` as texts.
fn read_texts<const N: usize>(
    session: &mut QueryExecutor,
    question: &str,
    parameters: Vec<Parameter>,
) -> Result<Vec<[String; N]>> {
    // Without a limit, one that an init statement sets for the query would hold.
    let query = Query::parse(format!("{question} LIMIT 18446744073709551615"))?;
    session.bind(&query, &parameters, Protocol::Auto)?;
    let mut rows = Vec::new();
    let mut source = session.run()?;
    while let Some(row) = source.next_row()? {
        rows.push(std::array::from_fn(|index| match row.value(index) {
            Value::Bytes(text) => String::from_utf8_lossy(text).into_owned(),
            Value::Int(number) => number.to_string(),
            Value::UInt(number) => number.to_string(),
            _ => String::new(),
        }));
    }
    Box::new(source).finish()?;
    session.close_statement();
    Ok(rows)
}

/// The columns of a table that `SELECT *` leaves out, and those that INSERT cannot set.
#[derive(Default)]
struct SpecialColumns {
    invisible: Vec<String>,
    generated: Vec<String>,
}

/// Returns the special columns of all tables in the databases of `selections`, unless all
/// of them name their columns.
fn special_columns(
    session: &mut QueryExecutor,
    selections: &[TableSelection],
    listing: &Listing,
) -> Result<BTreeMap<TableName, SpecialColumns>> {
    let mut found: BTreeMap<TableName, SpecialColumns> = BTreeMap::new();
    if selections
        .iter()
        .all(|selection| !selection.columns.is_empty())
    {
        return Ok(found);
    }
    let (condition, parameters) = in_databases(selections, listing.default.as_deref());
    let question = format!(
        "SELECT table_schema, table_name, column_name, extra FROM information_schema.columns \
         WHERE {condition} AND (extra LIKE '%INVISIBLE%' OR extra LIKE '% GENERATED%')"
    );
    for [database, table, column, extra] in read_texts(session, &question, parameters)? {
        let database = Some(database);
        let columns = found.entry(TableName { database, table }).or_default();
        // A default that is an expression is DEFAULT_GENERATED.
        if extra.contains(" GENERATED") {
            columns.generated.push(column.clone());
        }
        if extra.contains("INVISIBLE") {
            columns.invisible.push(column);
        }
    }
    Ok(found)
}

/// Warns of the columns of `tables` that are not exported, and of those that cannot be
/// loaded.
fn warn_of_columns(
    export: &ExportPlan,
    selection: &TableSelection,
    tables: &BTreeSet<TableName>,
    special: &BTreeMap<TableName, SpecialColumns>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if !selection.columns.is_empty() {
        return warnings;
    }
    let any: &dyn Any = &*export.format;
    for (table, columns) in special.iter().filter(|(table, _)| tables.contains(table)) {
        let (invisible, generated) = (columns.invisible.join(", "), columns.generated.join(", "));
        if !invisible.is_empty() {
            warnings.push(format!(
                "{table}: invisible columns are not exported unless they are named: {invisible}"
            ));
        }
        if !generated.is_empty() && any.is::<Sql>() {
            warnings.push(format!(
                "{table}: INSERT statements cannot set generated columns: name the others by --columns, without {generated}"
            ));
        }
    }
    warnings
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
        conditions: pattern.conditions(),
    };
    let output = OutputName {
        database: table.database.clone(),
        table: Some(table.table.clone()),
        ..selection.output.clone()
    };
    let name = table.to_text();
    let export_name = match &pattern.name {
        Some(pattern) => format!("{pattern}:{name}"),
        None => name,
    };
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
        name: Some(export_name.clone()),
        load: load.transpose()?,
        split: pattern.split.as_ref().map(|split| SplitPlan {
            options: SplitOptions {
                table: Some(table.clone()),
                ..split.options.clone()
            },
            ..split.clone()
        }),
        increment: pattern.increment.as_ref().map(|increment| IncrementPlan {
            name: export_name.clone(),
            options: IncrementOptions {
                table: Some(table.clone()),
                ..increment.options.clone()
            },
            ..increment.clone()
        }),
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
