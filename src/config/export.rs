//! One export: its query, where the rows go, and what they must be like. What
//! is not its own it has from the sections of the configuration file.

use std::{
    cell::LazyCell,
    collections::HashMap,
    ffi::{OsStr, OsString},
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::ValueEnum;
use jiff::Zoned;

use super::{
    Protocol,
    file::ExportTable,
    layers::{Layers, Origin, Sourced, Value},
    output::{self, Destination},
    query,
    run::refuse,
    settings::JOB,
    template::Now,
};
use crate::{
    error::{Error, Result},
    format::{Format, FormatOptions},
    journal::Journal,
    manifest,
    output::Flush,
    sink,
    sql::{Parameter, Query},
};

/// One export, as it will run.
#[derive(Clone, Debug)]
pub struct Export {
    /// What the configuration file calls it, where it lists exports.
    pub name: Option<String>,
    /// The statement.
    pub query: Query,
    /// The values of its parameters.
    pub parameters: Vec<Parameter>,
    /// The way that its rows travel.
    pub protocol: Protocol,
    /// Where the bytes go.
    pub target: Target,
    /// When they do.
    pub flush: Flush,
    /// How rows become bytes.
    pub format: &'static Format,
    /// The formats' settings.
    pub format_options: FormatOptions,
    /// What a result without rows means.
    pub empty_result: EmptyResult,
    /// What the result must be like.
    pub guards: Guards,
    /// What becomes of a file that gets no end.
    pub partial: Partial,
    /// What stands beside the file, if anything does.
    pub manifest: Option<Naming>,
}

/// How a target that has a manifest got its name.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The path with its placeholders.
    pub template: OsString,
    /// The time that they stand for, where one of them does.
    pub time: Option<Zoned>,
    /// The default database.
    pub database: Option<String>,
    /// How many files of this template are kept, if others are to go.
    pub keep: Option<NonZeroU32>,
}

/// Where the bytes go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, or what stands under that name: a FIFO, a device, a descriptor.
    Path(PathBuf, MissingFolders),
}

/// What becomes of a target whose folder is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFolders {
    /// It cannot be written.
    Refuse,
    /// The folder is made.
    Create,
}

/// What becomes of a file that gets no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// It is removed.
    Remove,
    /// It is kept as `NAME.partial`.
    Keep,
}

/// As it is typed: `-` is standard output.
impl From<&OsStr> for Target {
    fn from(path: &OsStr) -> Self {
        if path == "-" {
            Self::Stdout
        } else {
            Self::Path(path.into(), MissingFolders::Refuse)
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Path(path, _) => write!(f, "{}", path.display()),
        }
    }
}

/// What a result must be like to be published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// It has no fewer rows.
    pub min_rows: Option<u64>,
    /// It has no more rows.
    pub max_rows: Option<u64>,
    /// It has these columns, in this order; or any, where there are none.
    pub columns: Vec<String>,
    /// It has not so many rows more or fewer than the last success.
    pub max_change: Option<Share>,
    /// Whether its columns are those of the last success.
    pub schema: PinnedSchema,
}

impl Guards {
    /// Whether any of them looks back at the last success.
    #[must_use]
    pub fn look_back(&self) -> bool {
        self.max_change.is_some() || self.schema == PinnedSchema::Pinned
    }
}

/// Whether the columns must be those of the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PinnedSchema {
    /// They may be others
    #[default]
    Any,
    /// Their names, order and types must be the same
    Pinned,
}

/// A part of a whole, in ten thousandths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    const OF_A_PERCENT: u64 = 10_000;

    /// Whether `change` is a larger part of `whole` than this.
    #[must_use]
    pub fn is_exceeded(self, change: u64, whole: u64) -> bool {
        let all = u128::from(100 * Self::OF_A_PERCENT);
        u128::from(change) * all > u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Share {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "write a percentage, such as 20% or 0.5%";
        let number = text.strip_suffix('%').ok_or(WRONG)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.is_empty() || fraction.len() > 4 {
            return Err(WRONG);
        }
        let whole: u32 = whole.parse().map_err(|_| WRONG)?;
        let fraction: u64 = format!("{fraction:0<4}").parse().map_err(|_| WRONG)?;
        Ok(Self(u64::from(whole) * Self::OF_A_PERCENT + fraction))
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, fraction) = (self.0 / Self::OF_A_PERCENT, self.0 % Self::OF_A_PERCENT);
        let fraction = format!(".{fraction:04}");
        write!(f, "{whole}{}%", fraction.trim_end_matches(['0', '.']))
    }
}

/// What a result without rows means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyResult {
    /// Exit 1 and leave the target as it was.
    Refuse,
    /// An ordinary success: an empty document.
    Allow,
}

/// The tables of the exports that were asked for, in the file's order; one of
/// none where a query stands by itself.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where nothing has a
/// name that was asked for.
pub(super) fn selected(
    layers: &Layers,
    tables: Vec<ExportTable>,
) -> Result<Vec<Option<ExportTable>>> {
    let asked = layers.get(JOB);
    let own_query = own_query(layers);
    if let (Some(asked), Some(query)) = (asked, own_query) {
        let what = format!(
            "names exports of the configuration file, and {} is another query",
            query.origin.subject("query.sql")
        );
        let refused = asked.origin.refuse(JOB, &what);
        return Err(refused.hint("leave one of them out"));
    }
    if let Some(query) = own_query {
        let text = query.text().and_then(OsStr::to_str).unwrap_or_default();
        if tables.iter().any(|table| table.name == text) {
            let refused = query.origin.refuse("query.sql", "is the name of an export");
            return Err(refused.hint(format!("--job {text} runs it")));
        }
        if let (Origin::Variable(_), false) = (&query.origin, tables.is_empty()) {
            let what = "would run in the place of all exports that the configuration file lists";
            let refused = query.origin.refuse("query.sql", what);
            return Err(refused.hint("unset it, or give the query as an argument"));
        }
        return Ok(vec![None]);
    }
    if tables.is_empty() && asked.is_none() {
        return Ok(vec![None]);
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let mut patterns = Vec::new();
    for text in layers.list(JOB) {
        let refuse = |what: &str| refuse(layers, JOB, what);
        let pattern = glob::Pattern::new(&text);
        let pattern = pattern.map_err(|error| refuse(&format!("is no pattern: {error}")))?;
        if !names.iter().any(|name| pattern.matches(name)) {
            let hint = match &names[..] {
                [] => "a configuration file (--config) lists exports as [[export]]".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            return Err(refuse(&format!("finds no export that is called {text}")).hint(hint));
        }
        patterns.push(pattern);
    }
    let is_wanted = |table: &ExportTable| {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(&table.name))
    };
    Ok(tables.into_iter().filter(is_wanted).map(Some).collect())
}

/// The query that stands by itself, whatever the configuration file has.
pub(super) fn own_query(layers: &Layers) -> Option<&Sourced> {
    let mut above = layers.0[..ABOVE_EXPORTS].iter();
    above.find_map(|layer| layer.get("query.sql").or_else(|| layer.get("query.file")))
}

/// The target that flags or the environment name.
fn target_above(layers: &Layers) -> Option<&Sourced> {
    let mut above = layers.0[..ABOVE_EXPORTS].iter();
    above.find_map(|layer| layer.get("output.path"))
}

/// How many layers are above those of single exports: flags and environment.
pub(super) const ABOVE_EXPORTS: usize = 2;

/// What `--dump-config` shows of an export.
pub(super) struct Draft {
    pub destination: Destination,
    pub query: Option<(Query, Vec<Parameter>)>,
}

impl Draft {
    /// What the layers say of an export, as far as they can say without one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for whatever is
    /// wrong about it; a query that is missing only where it `needs_query`.
    pub fn new(
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
        needs_query: bool,
        name: Option<&str>,
    ) -> Result<Self> {
        let destination = output::destination(layers, now, database)?;
        output::refuse_flags_of_other_formats(layers, &destination)?;
        let protocol = layers.choice("query.protocol")?.unwrap_or_default();
        let query = match query::query(layers, protocol, name) {
            Err(_) if !needs_query && !query::is_given(layers) => None,
            query => Some(query?),
        };
        Ok(Self { destination, query })
    }

    /// The export.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn finish(
        self,
        name: Option<&str>,
        layers: &Layers,
        now: &LazyCell<Now>,
        database: Option<&str>,
    ) -> Result<Export> {
        let (query, parameters) = self.query.ok_or_else(|| query::missing(name))?;
        let mut guards = guards(layers)?;
        if name.is_none() && own_query(layers).is_some() {
            // The file's exports are meant.
            (guards.max_change, guards.schema) = (None, PinnedSchema::Any);
        }
        if guards.look_back() {
            let key = match guards.max_change {
                Some(_) => "guards.max_change",
                None => "guards.schema",
            };
            if name.is_none() {
                let what = "compares with the last success, which needs a name";
                return Err(
                    refuse(layers, key, what).hint("write the query as an [[export]] with a name")
                );
            }
            if layers.get("run.state").is_none() {
                let what = "compares with the last success, which nothing keeps";
                return Err(refuse(layers, key, what).hint("name a file: [run] state = \"FILE\""));
            }
        }
        let manifest = naming(layers, &self.destination.target, now, database)?;
        Ok(Export {
            name: name.map(str::to_owned),
            query,
            parameters,
            protocol: layers.choice("query.protocol")?.unwrap_or_default(),
            target: self.destination.target,
            flush: layers.choice("output.flush")?.unwrap_or_default(),
            format: self.destination.format,
            format_options: output::format_options(layers)?,
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
            manifest,
        })
    }
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
fn naming(
    layers: &Layers,
    target: &Target,
    now: &LazyCell<Now>,
    database: Option<&str>,
) -> Result<Option<Naming>> {
    // What the file says for its exports is not meant for a query that stands by
    // itself, nor for a target that is typed, where it does not fit.
    let is_typed = own_query(layers).is_some() || target_above(layers).is_some();
    let is_meant = |name| {
        let found = layers.get(name);
        found.is_some_and(|found| !is_typed || matches!(found.origin, Origin::Flag(_)))
    };
    let keep = layers.parsed("output.keep")?;
    let keep = keep.filter(|_| is_meant("output.keep"));
    let mut wanted = layers.is_on("output.manifest");
    if *target == Target::Stdout && !is_meant("output.manifest") {
        wanted = false;
    }
    let template = layers.get("output.path").and_then(Sourced::text);
    let (Target::Path(..), Some(template)) = (target, template) else {
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
            .hint("name one: -o FILE, or path = \"FILE\"")),
        };
    };
    let is_dated = super::template::has_time(template);
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
            return Err(refuse(layers, "output.keep", what).hint(hint));
        }
    }
    Ok(wanted.then(|| Naming {
        template: template.to_owned(),
        time: is_dated.then(|| now.as_ref().ok().cloned()).flatten(),
        database: database.map(str::to_owned),
        keep,
    }))
}

/// Every parameter that a flag gives must be one of an export's: whatever is
/// above all exports belongs to some of them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for one that none has.
pub(super) fn refuse_unused_parameters(layers: &Layers, exports: &[Export]) -> Result<()> {
    if exports.iter().all(|export| export.name.is_none()) {
        return Ok(());
    }
    let above = layers.0[..ABOVE_EXPORTS].iter();
    for found in above.filter_map(|layer| layer.get("query.params")) {
        let Value::Parameters(given) = &found.value else {
            continue;
        };
        let is_unused = |one: &&Parameter| {
            let mut queries = exports.iter().map(|export| &export.query);
            !queries.any(|query| query.has_parameter(&one.name))
        };
        if let Some(unused) = given.iter().find(is_unused) {
            let name = &unused.name;
            let what = format!("gives {name} a value, but no export that runs has :{name}");
            return Err(found.origin.refuse("query.params", &what));
        }
    }
    Ok(())
}

/// A target above all exports is that of one of them.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming its place.
pub(super) fn refuse_one_target_for_several(layers: &Layers, count: usize) -> Result<()> {
    match target_above(layers) {
        Some(found) if count > 1 => {
            let what = format!("names one target, and {count} exports would go there");
            let refused = found.origin.refuse("output.path", &what);
            Err(refused.hint("choose one export with --job, or leave it out"))
        }
        _ => Ok(()),
    }
}

/// No two outputs may go to one place: the one would undo the other. Where the
/// `summary` is one of them, `journal` keeps it from being written.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming both.
pub(super) fn refuse_common_targets(
    exports: &[Export],
    inputs: &[(&'static str, PathBuf)],
    state: Option<&Path>,
    summary: Option<&Path>,
    journal: &Journal,
) -> Result<()> {
    let mut claims: Vec<(&Path, String)> = Vec::new();
    claims.extend(summary.map(|path| (path, SUMMARY.to_owned())));
    claims.extend(state.map(|path| (path, "the state".to_owned())));
    let manifest_of = |export: &Export| match (&export.manifest, &export.target) {
        (Some(_), Target::Path(path, _)) => Some(manifest::path(path)),
        _ => None,
    };
    let partial_of = |export: &Export| match (export.partial, &export.target) {
        (Partial::Keep, Target::Path(path, _)) => Some(sink::partial(path)),
        _ => None,
    };
    let beside = |export: &Export| [manifest_of(export), partial_of(export)];
    let beside: Vec<[Option<PathBuf>; 2]> = exports.iter().map(beside).collect();
    for (export, [manifest, partial]) in exports.iter().zip(&beside) {
        let name = match &export.name {
            Some(name) => format!("the rows of {name}"),
            None => "the rows".to_owned(),
        };
        for (path, what) in [(manifest, "the manifest"), (partial, "what is kept")] {
            claims.extend(
                path.as_deref()
                    .map(|path| (path, format!("{what} of {name}"))),
            );
        }
        match &export.target {
            Target::Stdout => claims.push((Path::new("/dev/stdout"), name)),
            // It takes any number.
            Target::Path(path, _) if path == "/dev/null" => {}
            Target::Path(path, _) => claims.push((path, name)),
        }
    }
    // Several may read one file.
    let input = |(what, path): &(&str, PathBuf)| (sink::place(path), (*what).to_owned());
    let mut taken: HashMap<PathBuf, String> = inputs.iter().map(input).collect();
    let mut result = Ok(());
    for (path, name) in claims {
        let Some(other) = taken.insert(sink::place(path), name.clone()) else {
            continue;
        };
        if [&other, &name].into_iter().any(|one| one == SUMMARY) {
            journal.note(|known| known.has_no_summary = true);
        }
        let what = format!(
            "{other} and {name} would go to the same place, {}",
            path.display()
        );
        let refused = Error::config(what).hint("give each a path of its own");
        result = result.and(Err(refused));
    }
    result
}

const SUMMARY: &str = "the summary";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        for (text, change, whole, exceeded) in [
            ("20%", 20, 100, false),
            ("20%", 21, 100, true),
            ("0%", 1, u64::MAX, true),
            ("0.5%", 5, 1000, false),
            ("0.0001 %", 2, 1_000_000, true),
            ("300%", u64::MAX, u64::MAX, false),
        ] {
            let share: Share = text.parse().expect(text);
            assert_eq!(share.is_exceeded(change, whole), exceeded, "{text}");
        }
        for text in ["20", "%", ".5%", "-1%", "1.23456%", "1,5%", "99999999999%"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
        assert_eq!(
            "0.50%".parse().map(|share: Share| share.to_string()),
            Ok("0.5%".to_owned())
        );
        assert_eq!(
            "20%".parse().map(|share: Share| share.to_string()),
            Ok("20%".to_owned())
        );
    }
}
