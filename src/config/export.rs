//! One export: its query, where the rows go, and what they must be like. What
//! is not its own it has from the sections of the configuration file.

use std::{
    cell::LazyCell,
    ffi::{OsStr, OsString},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
};

use clap::ValueEnum;
use jiff::Zoned;

use super::{
    Protocol,
    layers::{Layers, Sourced},
    output::{self, Destination},
    query,
    run::refuse,
    selection::{meant, own_query, target_above},
};
use crate::{
    artifacts::template::{self, Now},
    error::Result,
    format::{Format, FormatOptions},
    pipeline::output::Flush,
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

/// What `--dump-config` shows of an export.
pub(super) struct Draft {
    pub destination: Destination,
    protocol: Protocol,
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
        Ok(Self {
            destination,
            protocol,
            query,
        })
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
                return Err(refuse(layers, key, what)
                    .with_hint("write the query as an [[export]] with a name"));
            }
            if layers.get("run.state").is_none() {
                let what = "compares with the last success, which nothing keeps";
                return Err(
                    refuse(layers, key, what).with_hint("name a file: [run] state = \"FILE\"")
                );
            }
        }
        let manifest = naming(layers, &self.destination.target, now, database)?;
        Ok(Export {
            name: name.map(str::to_owned),
            query,
            parameters,
            protocol: self.protocol,
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
    let is_meant = |name| meant(layers, name, is_typed).is_some();
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
    Ok(wanted.then(|| Naming {
        template: template.to_owned(),
        time: is_dated.then(|| now.as_ref().ok().cloned()).flatten(),
        database: database.map(str::to_owned),
        keep,
    }))
}

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
