//! One export: its query, its target, and what its result must be like. What
//! its own table does not set comes from the sections of the configuration file.

use std::cell::LazyCell;

use super::{
    format,
    layers::{Layers, Sourced},
    output::{self, Destination},
    query,
    run::refuse,
    selection::{meant, own_query, target_above},
};
use crate::{
    artifacts::template::{self, Now, OutputName},
    error::Result,
    jobs::{
        guard::{Guards, SchemaPolicy},
        plan::{EmptyResult, ExportPlan},
    },
    sink::{Partial, Target},
    source::Protocol,
    sql::{Parameter, Query},
};

/// What the layers give for an export, before its parts are checked together;
/// `--dump-config` shows it.
pub(super) struct UnresolvedExport {
    pub destination: Destination,
    protocol: Protocol,
    pub query: Option<(Query, Vec<Parameter>)>,
}

impl UnresolvedExport {
    /// Reads what the layers give for the export called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for whatever is
    /// wrong about it.
    pub fn new(
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self> {
        let (destination, protocol) = Self::destination(layers, now, database)?;
        Ok(Self {
            destination,
            protocol,
            query: Some(query::query(layers, protocol, name)?),
        })
    }

    /// The same where a missing query is no error.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_query(
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self> {
        if query::is_given(layers) {
            return Self::new(layers, now, database, name);
        }
        let (destination, protocol) = Self::destination(layers, now, database)?;
        Ok(Self {
            destination,
            protocol,
            query: None,
        })
    }

    fn destination(
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
    ) -> Result<(Destination, Protocol)> {
        let destination = output::destination(layers, now, database)?;
        format::refuse_flags_of_other_formats(layers, &destination)?;
        let protocol = layers.choice("query.protocol")?.unwrap_or_default();
        Ok((destination, protocol))
    }

    /// Checks the parts together and makes the export's plan.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn resolve(
        self,
        name: Option<&str>,
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
    ) -> Result<ExportPlan> {
        let (query, parameters) = self.query.ok_or_else(|| query::missing(name))?;
        let guards = guards_of(name, layers)?;
        let manifest = output_name(layers, &self.destination.target, now, database)?;
        Ok(ExportPlan {
            name: name.map(str::to_owned),
            query,
            parameters,
            protocol: self.protocol,
            target: self.destination.target,
            flush: layers.choice("output.flush")?.unwrap_or_default(),
            format: format::format(layers, self.destination.format)?,
            empty_result: if layers.is_on("output.allow_empty") {
                EmptyResult::Allow
            } else {
                EmptyResult::Refuse
            },
            guards,
            partial: if layers.is_on("output.keep_partial") {
                Partial::Keep
            } else {
                Partial::Remove
            },
            create_dirs: output::create_dirs(layers),
            manifest,
        })
    }
}

/// The guards of the export called `name`. Those that compare with the last
/// success need a name and a state file.
fn guards_of(name: Option<&str>, layers: &Layers) -> Result<Guards> {
    let mut guards = guards(layers)?;
    if name.is_none() && own_query(layers).is_some() {
        // These settings of the file are for its exports.
        (guards.max_change, guards.schema) = (None, SchemaPolicy::Any);
    }
    if !guards.needs_history() {
        return Ok(guards);
    }
    let key = match guards.max_change {
        Some(_) => "guards.max_change",
        None => "guards.schema",
    };
    if name.is_none() {
        let what = "compares with the last success, which needs a name";
        return Err(
            refuse(layers, key, what).with_hint("write the query as an [[export]] with a name")
        );
    }
    if layers.get("run.state").is_none() {
        let what = "compares with the last success, which nothing keeps";
        return Err(refuse(layers, key, what).with_hint("name a file: [run] state = \"FILE\""));
    }
    Ok(guards)
}

fn guards(layers: &Layers) -> Result<Guards> {
    let guards = Guards {
        min_rows: layers.parsed("guards.min_rows")?,
        max_rows: layers.parsed("guards.max_rows")?,
        columns: layers.list("guards.columns"),
        max_change: layers.parsed("guards.max_change")?,
        schema: layers.choice("guards.schema")?.unwrap_or_default(),
    };
    if let (Some(min), Some(max)) = (guards.min_rows, guards.max_rows)
        && min > max
    {
        let what = format!("is more than the {max} rows that there may be at most");
        return Err(refuse(layers, "guards.min_rows", &what));
    }
    Ok(guards)
}

/// What a manifest must know of the target's name, where there is to be one.
fn output_name(
    layers: &Layers,
    target: &Target,
    now: &LazyCell<Now>,
    database: Option<&str>,
) -> Result<Option<OutputName>> {
    // What the file says for its exports is not meant for a query that stands by
    // itself, nor for a target that is typed, where it does not fit.
    let is_typed = own_query(layers).is_some() || target_above(layers).is_some();
    let is_meant = |name| meant(layers, name, is_typed).is_some();
    let keep = layers.parsed("output.keep")?;
    let keep = keep.filter(|_| is_meant("output.keep"));
    let mut wanted = layers.is_on("output.manifest");
    if *target == Target::Stdout && !is_meant("output.manifest") {
        wanted = false;
    }
    let template = layers.get("output.path").and_then(Sourced::text);
    let (Target::Path(_), Some(template)) = (target, template) else {
        let has_file = if wanted {
            "output.manifest"
        } else {
            "output.keep"
        };
        return match wanted || keep.is_some() {
            false => Ok(None),
            true => Err(refuse(
                layers,
                has_file,
                "needs a file, and the rows go to standard output",
            )
            .with_hint("name one: -o FILE, or path = \"FILE\"")),
        };
    };
    let is_dated = template::has_time(template);
    if keep.is_some() {
        let (what, hint) = match (wanted, is_dated) {
            (false, _) => (
                "knows its files by their manifests, and there are none",
                "add manifest = true, or --manifest",
            ),
            (_, false) => (
                "keeps files of several dates, and the path has none",
                "put {date} into the path",
            ),
            (true, true) => ("", ""),
        };
        if !what.is_empty() {
            return Err(refuse(layers, "output.keep", what).with_hint(hint));
        }
    }
    Ok(wanted.then(|| OutputName {
        template: template.into(),
        time: is_dated.then(|| now.as_ref().ok().cloned()).flatten(),
        database: database.map(str::to_owned),
        keep,
    }))
}
