//! The load statement of an export, and the check of its values against what the
//! target of the load can hold.

use std::path::Path;

use super::plan::{ExportPlan, LoadPlan};
use crate::{
    error::{Error, Result},
    load::{LimitCheck, Load, STANDARD_INPUT, UTC, is_offset, is_utc},
    pipeline::{RowObserver, value_error},
    row::Row,
    schema::Schema,
    sink::Target,
};

/// Makes the load statement from the columns of a result, and checks its values.
pub(super) struct LoadObserver<'a> {
    plan: &'a LoadPlan,
    export: &'a ExportPlan,
    /// The time zone of the session; `None` if the server's applies.
    time_zone: Option<&'a str>,
    /// The columns and the check of their values, once they are known.
    check: Option<(Schema, LimitCheck)>,
    /// The load statement, if there is one.
    pub statement: Option<String>,
    /// The warnings about the result.
    pub warnings: Vec<String>,
}

impl<'a> LoadObserver<'a> {
    /// Creates the observer of `export`, if it has a target that loads it.
    pub(super) fn new(export: &'a ExportPlan, time_zone: Option<&'a str>) -> Option<Self> {
        Some(Self {
            plan: export.load.as_ref()?,
            export,
            // That name means the server's own zone.
            time_zone: time_zone.filter(|zone| !zone.eq_ignore_ascii_case("SYSTEM")),
            check: None,
            statement: None,
            warnings: Vec::new(),
        })
    }

    /// Makes the statement for a result with the columns of `schema`.
    fn make_statement(&self, schema: &Schema) -> Result<String, String> {
        if self.export.parts.is_some() {
            return Err("the rows are in several files".to_owned());
        }
        let file = match &self.export.target {
            Target::Path(path) => path.to_str().ok_or("the file's name is not UTF-8")?,
            _ => STANDARD_INPUT,
        };
        self.plan.target.statement(&self.load(schema, file))
    }

    /// Returns the statement that creates the table for a result with the columns of
    /// `schema`.
    ///
    /// # Errors
    /// The reason why there is none.
    pub(super) fn create_table(&self, schema: &Schema) -> Result<String, String> {
        let load = self.load(schema, STANDARD_INPUT);
        self.plan.target.create_table(&load)
    }

    fn load<'b>(&'b self, schema: &'b Schema, file: &'b str) -> Load<'b> {
        let compression = self.export.compression;
        Load {
            schema,
            table: &self.plan.table,
            file,
            format: &*self.export.format,
            compression: compression.map(|options| options.compression.codec),
            time_zone: self.time_zone,
        }
    }

    /// Warns about TIMESTAMPs that are no moments, because they are in another zone than
    /// UTC and the statement does not say so.
    fn warn_of_time_zone(&mut self, schema: &Schema) {
        let target = self.plan.target;
        let zone = match self.time_zone {
            _ if target.preset_value("session.time_zone").is_none() => return,
            None => "the session's time zone".to_owned(),
            Some(zone) if is_utc(zone) => return,
            Some(zone) if target.knows_time_zones() && is_offset(zone) => return,
            Some(zone) => format!("the time zone {zone}"),
        };
        if schema.has_timestamps() {
            let problem = match target.knows_time_zones() {
                true => "in which an hour may come twice".to_owned(),
                false => format!("which {} does not know", target.name),
            };
            self.warnings.push(format!(
                "TIMESTAMPs are in {zone}, {problem}; \
                 [session] time_zone = \"{UTC}\" makes them moments"
            ));
        }
    }
}

impl RowObserver for LoadObserver<'_> {
    fn columns(&mut self, schema: &Schema) -> Result<()> {
        let target = self.plan.target;
        match self.make_statement(schema) {
            Ok(statement) => self.statement = Some(statement),
            Err(reason) if self.plan.statement_file.is_some() => {
                let what = format!("there is no statement that loads this file: {reason}");
                let hint = match target.check_names(schema) {
                    Err(_) => {
                        "rename the column in the query with AS, or leave --load-statement out"
                    }
                    Ok(()) => "leave --load-statement out",
                };
                return Err(Error::config(what).with_hint(hint));
            }
            Err(reason) => tracing::info!("no load statement for {}: {reason}", target.name),
        }
        self.warn_of_time_zone(schema);
        let format = &self.export.format;
        let check = LimitCheck::new(target, schema, format.text_options(), format.null_text());
        self.check = check.is_needed().then(|| (schema.clone(), check));
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, number: u64) -> Result<()> {
        let Some((schema, check)) = &mut self.check else {
            return Ok(());
        };
        let checked = check.row(row);
        checked.map_err(|error| value_error(&error, number, schema))
    }

    fn end(&mut self, rows: u64) -> Result<()> {
        if let Some((_, check)) = &self.check {
            self.warnings.extend(check.warnings(rows));
        }
        Ok(())
    }
}

/// The path of the load statement of `export`, if it goes to a file.
pub(super) fn statement_file(export: &ExportPlan) -> Option<&Path> {
    export.load.as_ref()?.statement_file.as_deref()
}
