//! Goes on with the chunks that an earlier run has left whole, and keeps those of this run
//! for a later one.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use ring::digest;
use serde::Serialize;

use super::{
    export::ExportContext,
    load, parts,
    plan::{ExportPlan, RunPlan, SplitPlan, WholeChunks},
    session::Session,
};
use crate::{
    artifacts::{
        checkpoint::{
            self, Asked, Checkpoint, CheckpointPlan, Origin, Published, PublishedFile, WholeChunk,
        },
        manifest::{self, ManifestColumn},
        verify,
    },
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::{Compression, Format, stored},
    pipeline::Part,
    schema::Schema,
    sink::{self, Target},
    source::Chunks,
    sql::CHUNK,
    sync::lock,
    text::{counted, hex},
};

/// The rows of a chunk: a part that can be committed, or a file to be joined to others.
pub(super) struct ChunkOutput {
    pub(super) part: Part,
    pub(super) file: Option<File>,
    /// Where the rows come from.
    pub(super) origin: Origin,
    /// The record of the earlier run that has read them; `None` if it is this run.
    pub(super) kept: Option<WholeChunk>,
}

/// An export whose whole chunks are kept, until the run succeeds.
pub(super) struct Resumable {
    checkpoint: Checkpoint,
    plan: CheckpointPlan,
    /// The columns as the server announces them.
    pub(super) schema: Schema,
    /// What is published, or about to be.
    published: Mutex<Option<Published>>,
}

/// Returns the path of the checkpoint of `export`.
///
/// # Errors
/// [`ErrorKind::Output`], if it has no place beside the output.
pub(super) fn path(export: &ExportPlan) -> Result<PathBuf> {
    let named = match &export.parts {
        Some(parts) => {
            let dataset = parts::dataset_path(parts)?;
            let name = dataset.file_name().and_then(|name| name.to_str());
            let name = name.and_then(|name| name.strip_suffix(crate::artifacts::dataset::SUFFIX));
            name.map(|name| dataset.with_file_name(name))
        }
        None => export.target.path().map(Path::to_owned),
    };
    let Some(named) = named.filter(|path| !sink::is_stream(path)) else {
        let what = format!(
            "chunks are kept beside a file, and {} is none",
            export.target
        );
        return Err(Error::new(ErrorKind::Output, what).with_hint("leave --resume out"));
    };
    match (&export.split, sink::is_object(&named)) {
        (
            Some(SplitPlan {
                whole: WholeChunks::KeepIn(folder),
                ..
            }),
            _,
        ) => Ok(checkpoint::path(&folder.join(local_name(&named)))),
        (_, true) => {
            let what = format!("chunks of {} are not kept", export.target);
            Err(Error::new(ErrorKind::Output, what).with_hint("leave --resume out"))
        }
        _ => Ok(checkpoint::path(&named)),
    }
}

/// The longest part of a URL that stands in the name of a local folder, in bytes.
const MAX_SHOWN: usize = 100;

/// Returns the name of a local folder for the object at `url`: its last characters, as far as
/// file names have them, and a hash of all.
fn local_name(url: &Path) -> String {
    let text = url.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let shown: String = text
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let shown = &shown[shown.len().saturating_sub(MAX_SHOWN)..];
    let hash = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    format!("{}-{}", shown.trim_start_matches('.'), &hash[..16])
}

impl Resumable {
    /// Opens the checkpoint of `export`, whose query `session` has bound. Divides the rows if
    /// there is none. Also returns the chunks.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], if something else was asked for than now.
    pub(super) fn open(
        run: &RunPlan,
        export: &ExportPlan,
        split: &SplitPlan,
        session: &mut dyn Session,
        cancel: &CancelToken,
    ) -> Result<(Self, Chunks)> {
        let checkpoint = Checkpoint::open(&path(export)?, export.create_dirs)?;
        let found = checkpoint.plan()?;
        let things = things(run, export, split)?;
        let refuse = |difference: Option<String>| match difference {
            Some(difference) => Err(checkpoint.refused(&difference)),
            None => Ok(()),
        };
        if let Some(found) = &found {
            refuse(found.other_thing(&things))?;
        }
        let (asked, schema) = asked(things, export, split, session)?;
        if let Some(found) = &found {
            refuse(found.difference(&asked))?;
        }
        let published = checkpoint.published().filter(|_| has_side_files(export));
        let is_current = published.is_some() || !checkpoint.has_published();
        if !is_current {
            let folder = checkpoint.path().display();
            tracing::warn!("what {folder} says is published has changed: all is read again");
        }
        let (plan, chunks) = match found {
            Some(plan) if is_current => {
                let chunks = Chunks {
                    conditions: plan.conditions.clone(),
                    order: plan.order.clone(),
                    moment: plan.moment.clone(),
                    warnings: Vec::new(),
                };
                (plan, chunks)
            }
            _ => {
                let chunks = session.chunks(&split.options)?;
                let (conditions, order) = (chunks.conditions.clone(), chunks.order.clone());
                let started = format!("{:.3}", Timestamp::now());
                let moment = chunks.moment.clone();
                let plan = CheckpointPlan::new(started, asked, conditions, order, moment);
                checkpoint.begin(&plan, cancel)?;
                (plan, chunks)
            }
        };
        let resumable = Self {
            checkpoint,
            plan,
            schema,
            published: Mutex::new(published),
        };
        resumable.tell();
        Ok((resumable, chunks))
    }

    fn tell(&self) {
        let count = self.plan.conditions.len();
        let whole = self.whole_chunks();
        let folder = self.checkpoint.path().display();
        match whole {
            0 => tracing::info!("chunks that are whole are kept in {folder}"),
            _ => tracing::info!("{whole} of {count} chunks are in {folder}"),
        }
    }

    /// The number of chunks that are recorded as whole.
    fn whole_chunks(&self) -> usize {
        let numbers = 0..self.plan.conditions.len();
        numbers
            .filter(|number| matches!(self.checkpoint.chunk(*number), Ok(Some(_))))
            .count()
    }

    /// What a run that did not come to its end leaves, as a warning; `None` if that is
    /// nothing.
    pub(super) fn what_is_kept(&self) -> Option<String> {
        let (whole, count) = (self.whole_chunks(), self.plan.conditions.len());
        let folder = self.checkpoint.path().display();
        (whole > 0).then(|| {
            format!("{whole} of {count} chunks are kept in {folder}: run the same again, and only the others are read")
        })
    }

    /// What an earlier run has published of the export. Its files are there.
    pub(super) fn already_published(&self) -> Option<Published> {
        lock(&self.published).clone()
    }

    /// Where the rows of the chunk with the index `number` are written.
    pub(super) fn chunk_path(&self, number: usize) -> PathBuf {
        self.checkpoint.chunk_path(number)
    }

    /// Returns the chunk with the index `number`, if an earlier run has left it whole.
    pub(super) fn kept(
        &self,
        context: ExportContext<'_>,
        number: usize,
    ) -> Result<Option<ChunkOutput>> {
        let chunk = match self.checkpoint.chunk(number) {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(None),
            Err(_) => {
                tell_changed(number);
                return Ok(None);
            }
        };
        let path = self.chunk_path(number);
        let is_whole = |path: &Path| verify::is_whole(path, chunk.stored_bytes, &chunk.sha256);
        let target = part_target(context, number)?;
        let (part, file) = if is_whole(&path) {
            self.adopt(context, number, &chunk)?
        } else if context.export.parts.is_some() && !sink::is_object(&target) && is_whole(&target) {
            // A run that was killed while it published has moved it to its place.
            let staged = sink::in_place(&target, chunk.sha256.clone())?;
            (part(context, staged, &chunk), None)
        } else {
            tell_changed(number);
            return Ok(None);
        };
        Ok(Some(ChunkOutput {
            part,
            file,
            origin: chunk.origin.clone(),
            kept: Some(chunk),
        }))
    }

    /// Keeps the chunk with the index `number`, which has just been written as `written`, and
    /// whose rows come from `origin`.
    pub(super) fn keep(
        &self,
        context: ExportContext<'_>,
        number: usize,
        written: Part,
        origin: Origin,
    ) -> Result<ChunkOutput> {
        let details = context.status.status.details();
        let schema = Schema {
            columns: details.columns,
        };
        let chunk = WholeChunk {
            rows: written.rows,
            bytes: written.bytes,
            stored_bytes: written.staged.stored_bytes().unwrap_or(written.bytes),
            sha256: written.staged.sha256().unwrap_or_default().to_owned(),
            origin: origin.clone(),
            columns: ManifestColumn::describe(&schema, &*context.export.format)?,
            format_warnings: written.warnings,
            warnings: details.warnings,
            server_version: details.server_version,
            time_zone: details.time_zone,
            load_statement: details.load_statement,
            create_statement: details.create_statement,
        };
        written.staged.commit()?;
        self.checkpoint.add_chunk(number, &chunk, context.cancel)?;
        let (part, file) = self.adopt(context, number, &chunk)?;
        Ok(ChunkOutput {
            part,
            file,
            origin,
            kept: None,
        })
    }

    /// Returns the file of `chunk` as a part that can be committed, or as one that can be
    /// joined to others.
    fn adopt(
        &self,
        context: ExportContext<'_>,
        number: usize,
        chunk: &WholeChunk,
    ) -> Result<(Part, Option<File>)> {
        let path = self.chunk_path(number);
        if context.export.parts.is_none() {
            let file = File::open(&path).map_err(|error| {
                let what = format!("cannot open {}: {error}", path.display());
                Error::new(ErrorKind::Output, what).with_source(error)
            })?;
            return Ok((part(context, sink::Staged::written(), chunk), Some(file)));
        }
        let target = part_target(context, number)?;
        let (sha256, create_dirs) = (chunk.sha256.clone(), context.export.create_dirs);
        let staged = sink::adopt(path, &target, sha256, create_dirs, context.cancel)?;
        Ok((part(context, staged, chunk), None))
    }

    /// Notes what is about to be published as `parts`, for [`record`](Self::record).
    pub(super) fn stage(&self, context: ExportContext<'_>, parts: &[Part]) -> Result<()> {
        let files = parts.iter().zip(1..).map(|(part, number)| {
            let target = parts::target(context, number)?;
            Ok(PublishedFile {
                path: sink::resolve(target.path().unwrap_or(Path::new(""))),
                bytes: part.staged.stored_bytes().unwrap_or(part.bytes),
                sha256: part.staged.sha256().unwrap_or_default().to_owned(),
            })
        });
        *lock(&self.published) = Some(Published {
            rows: parts.iter().map(|part| part.rows).sum(),
            bytes: parts.iter().map(|part| part.bytes).sum(),
            started: context.status.status.started_text(),
            files: files.collect::<Result<_>>()?,
        });
        Ok(())
    }

    /// See [`Checkpoint::keep_surplus`].
    pub(super) fn keep_surplus(&self, paths: &mut Vec<PathBuf>) -> Result<()> {
        self.checkpoint.keep_surplus(paths)
    }

    /// Records that what was staged is published.
    pub(super) fn record(&self) -> Result<()> {
        match &*lock(&self.published) {
            Some(published) => self
                .checkpoint
                .publish(published, self.plan.conditions.len()),
            None => Ok(()),
        }
    }

    /// Whether it is there still.
    pub(super) fn is_kept(&self) -> bool {
        self.checkpoint.path().exists()
    }

    /// Removes the checkpoint.
    pub(super) fn remove(&self) -> Result<()> {
        self.checkpoint.remove()
    }

    /// The warning that `outputs` are not of one moment; `None` if this run has read all.
    pub(super) fn warning(&self, outputs: &[ChunkOutput]) -> Option<String> {
        let kept = outputs
            .iter()
            .filter(|output| output.kept.is_some())
            .count();
        (kept > 0).then(|| {
            let all = counted(outputs.len() as u64, "chunk");
            let started = &self.plan.started;
            format!("{kept} of {all} were read by earlier runs, from {started} on: the rows are not of one moment")
        })
    }
}

fn tell_changed(number: usize) {
    tracing::warn!(
        "chunk {} is no longer as it was: it is read again",
        number + 1
    );
}

/// Whether the files are there that are published with the rows of `export`.
fn has_side_files(export: &ExportPlan) -> bool {
    let dataset = export.parts.as_ref().map(parts::dataset_path);
    let dataset = dataset.and_then(Result::ok);
    let manifest = match (&export.manifest, &export.parts) {
        (Some(_), None) => export.target.path().map(manifest::path),
        _ => None,
    };
    let statement = load::statement_file(export).map(Path::to_owned);
    let schema = export.schema_file.as_ref().map(|file| file.path.clone());
    let files = [dataset, manifest, statement, schema];
    let is_there = |path: &PathBuf| match sink::is_object(path) {
        true => sink::size(path).is_ok(),
        false => path.exists(),
    };
    files.iter().flatten().all(is_there)
}

/// Returns the path of the part that is the chunk with the index `number`.
fn part_target(context: ExportContext<'_>, number: usize) -> Result<PathBuf> {
    let number = u32::try_from(number + 1).unwrap_or(u32::MAX);
    match parts::target(context, number)? {
        Target::Path(path) => Ok(path),
        target => Err(manifest::no_file(&target)),
    }
}

/// Returns `chunk` as a part with the output `staged`.
fn part(context: ExportContext<'_>, staged: sink::Staged, chunk: &WholeChunk) -> Part {
    Part {
        staged: match context.export.compression {
            Some(_) => staged.stored_in(chunk.stored_bytes),
            None => staged,
        },
        rows: chunk.rows,
        bytes: chunk.bytes,
        warnings: chunk.format_warnings.clone(),
    }
}

/// Returns what is asked for, with `things`, and the columns as `session` announces them.
fn asked(
    things: BTreeMap<String, String>,
    export: &ExportPlan,
    split: &SplitPlan,
    session: &mut dyn Session,
) -> Result<(Asked, Schema)> {
    let key = session.chunk_key(&split.options)?;
    let described = session.describe()?;
    let unknown = |reason| {
        let what = format!("whether the columns stay the same is not known: {reason}");
        Error::new(ErrorKind::Query, what).with_hint("leave --resume out")
    };
    let schema = described.map_err(unknown)?;
    let asked = Asked {
        things,
        key,
        session: manifest::text_sha256(&session.variables_of_rows()?),
        columns: ManifestColumn::describe(&schema, &*export.format)?,
    };
    Ok((asked, schema))
}

/// Returns the SHA-256 of each thing on which the bytes of the chunks of `export` depend, by
/// its name.
fn things(
    run: &RunPlan,
    export: &ExportPlan,
    split: &SplitPlan,
) -> Result<BTreeMap<String, String>> {
    let parameters: Vec<_> = export
        .parameters
        .iter()
        .filter(|one| one.name != CHUNK)
        .collect();
    let format = export_format(export)?;
    let endpoint = run.connect.endpoint.to_string();
    let things = [
        ("the statement", export.query.text().to_owned()),
        ("the list of parameters", to_json(&parameters)?),
        (
            "the size of the chunks, or what divides the rows,",
            to_json(split)?,
        ),
        ("the format, an option of it, or the compression,", format),
        ("the list of guards", to_json(&export.guards.of_a_part())?),
        ("the program that loads the output", to_json(&export.load)?),
        ("the schema file", to_json(&export.schema_file)?),
        ("the session's time zone", to_json(&run.session.time_zone)?),
        ("the list of init statements", to_json(&run.session.init)?),
        ("the manifest", export.manifest.is_some().to_string()),
        (
            "the policy for warnings",
            format!("{:?}", run.session.warnings),
        ),
        (
            "the access of the session",
            format!("{:?}", run.session.access),
        ),
        ("the wire protocol", to_json(&export.protocol)?),
        ("the account", run.connect.user.clone()),
        ("the server", endpoint),
        ("the database", to_json(&run.connect.database)?),
    ];
    let sums = things.map(|(name, text)| (name.to_owned(), manifest::text_sha256(&text)));
    Ok(sums.into())
}

/// Returns the format of `export` with all options, and how its bytes are stored, as JSON.
fn export_format(export: &ExportPlan) -> Result<String> {
    #[derive(Serialize)]
    struct Stored<'a> {
        #[serde(serialize_with = "stored::serialize")]
        format: &'a Arc<dyn Format>,
        /// More threads make other bytes of the same content.
        compression: Option<Compression>,
        has_parts: bool,
    }
    to_json(&Stored {
        format: &export.format,
        compression: export.compression.map(|options| options.compression),
        has_parts: export.parts.is_some(),
    })
}

fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(not_stored)
}

fn not_stored(error: serde_json::Error) -> Error {
    let what = format!("what is asked for cannot be kept for --resume: {error}");
    Error::config(what).with_source(error)
}
