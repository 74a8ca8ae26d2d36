//! Publishes complete outputs: removes the manifest of the file that is replaced,
//! and publishes the output, and then its manifest.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;

use super::{export::ExportContext, load, parts, plan::PartPlan, resume::Resumable, text_file};
use crate::{
    artifacts::{
        checkpoint::Origin,
        dataset::{self, Dataset, DatasetFile},
        manifest::{self, Manifest, ManifestColumn},
        template::OutputName,
    },
    cancel::CancelToken,
    error::Result,
    format::Header,
    pipeline::Part,
    schema::Schema,
    sink::{self, Existing, Staged, Target},
};

/// A complete output, and the files that are published after it: the statements that load
/// it and that create its table, and the manifests.
pub(super) struct StagedExport {
    /// Cancels the export, until it is published.
    cancel: CancelToken,
    files: Vec<StagedFile>,
    load_statement: Option<Staged>,
    schema_file: Option<Staged>,
    dataset: Option<StagedDataset>,
    /// What happens to a file that is there.
    existing: Existing,
    /// Keeps what a run would forget that is killed while it publishes.
    resumable: Option<Arc<Resumable>>,
}

/// A complete file of rows, and its manifest.
struct StagedFile {
    target: Staged,
    /// The path as the user named it, if it is a regular file.
    path: Option<PathBuf>,
    manifest: Option<Staged>,
}

/// The manifest of several files, and how they are named.
struct StagedDataset {
    manifest: Staged,
    path: PathBuf,
    output: OutputName,
}

impl StagedExport {
    /// Waits until all of `parts`, the output of the export of `context`, is sent, and
    /// writes their manifests, if the export has them.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if something cannot be
    /// written.
    pub(super) fn new(context: ExportContext<'_>, parts: Vec<Part>) -> Result<Self> {
        let complete = |part: Part| {
            let staged = part.staged.complete()?;
            Ok(Part { staged, ..part })
        };
        let parts: Vec<Part> = parts.into_iter().map(complete).collect::<Result<_>>()?;
        let export = context.export;
        let details = context.status.status.details();
        let cancel = context.cancel.child()?;
        let write = |path, text: String| text_file::write(export, path, &text, &cancel);
        let load_statement = load::statement_file(export).zip(details.load_statement);
        let schema_file = export.schema_file.as_ref().map(|file| &*file.path);
        let schema_file = schema_file.zip(details.create_statement);
        let targets = (1..).map(|number| parts::target(context, number));
        let parts: Vec<(Part, Target)> = parts
            .into_iter()
            .zip(targets)
            .map(|(part, target)| Ok((part, target?)))
            .collect::<Result<_>>()?;
        let dataset = export
            .parts
            .as_ref()
            .map(|plan| write_dataset(context, plan, &parts));
        let dataset = dataset.transpose()?;
        let files = parts
            .into_iter()
            .enumerate()
            .map(|(number, (part, target))| {
                let origin = context.origin(number);
                let name = export.manifest.as_ref();
                let manifest =
                    name.map(|name| write_manifest(context, name, &part, &target, origin));
                Ok(StagedFile {
                    manifest: manifest.transpose()?,
                    path: part.staged.path().and(target.path()).map(Into::into),
                    target: part.staged,
                })
            });
        Ok(Self {
            cancel: context.cancel.clone(),
            files: files.collect::<Result<_>>()?,
            load_statement: load_statement
                .map(|(path, text)| write(path, text))
                .transpose()?,
            schema_file: schema_file
                .map(|(path, text)| write(path, text))
                .transpose()?,
            dataset,
            existing: export.existing,
            resumable: None,
        })
    }

    /// Returns the export, which `resumable` keeps something of.
    pub(super) fn kept_by(mut self, resumable: Option<Arc<Resumable>>) -> Self {
        self.resumable = resumable;
        self
    }

    /// Checks whether publication can succeed, as far as can be known before.
    pub(super) fn check(&self) -> Result<()> {
        for file in &self.files {
            file.target.check()?;
            file.manifest.as_ref().map_or(Ok(()), Staged::check)?;
        }
        let dataset = self.dataset.as_ref().map(|dataset| &dataset.manifest);
        let others = [
            self.load_statement.as_ref(),
            self.schema_file.as_ref(),
            dataset,
        ];
        others.into_iter().flatten().try_for_each(Staged::check)
    }

    /// Publishes the output, and then its statements and its manifests. Earlier
    /// manifests are removed before: at no moment does a manifest stand beside another
    /// file than its own. Of an earlier, longer dataset, the files that are left are
    /// removed. Its manifest comes last. Where nothing may be replaced, nothing is removed
    /// before the output has its place: it may be another run's.
    ///
    /// Once it has begun, nothing cancels it: of many files, all are published.
    pub(super) fn publish(self) -> Result<()> {
        let commit = self.cancel.begin_commit()?;
        // Another run to the same target must not publish between the steps.
        let first = self.files.first().and_then(|file| file.path.as_deref());
        let dataset_path = self.dataset.as_ref().map(|dataset| &*dataset.path);
        let _locked = dataset_path.or(first).and_then(sink::lock_target);
        let count = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let mut surplus = Vec::new();
        if let Some(StagedDataset { path, output, .. }) = &self.dataset {
            surplus = dataset::surplus_parts(path, output, count);
            if let Some(resumable) = &self.resumable {
                resumable.keep_surplus(&mut surplus)?;
            }
            if self.existing == Existing::Replace {
                dataset::remove_outdated(path)?;
            }
        }
        let mut paths = self.files.iter().filter_map(|file| file.path.as_deref());
        if self.existing == Existing::Replace {
            paths.try_for_each(manifest::remove_outdated)?;
        }
        let mut manifests = Vec::new();
        for file in self.files {
            file.target.commit()?;
            if let (Existing::Refuse, Some(path)) = (self.existing, &file.path) {
                manifest::remove_outdated(path)?;
            }
            manifests.extend(file.manifest);
        }
        surplus.iter().try_for_each(|path| remove_surplus(path))?;
        let others = [self.load_statement, self.schema_file]
            .into_iter()
            .flatten();
        let dataset = self.dataset.map(|dataset| dataset.manifest);
        let mut all = others.chain(manifests).chain(dataset);
        all.try_for_each(Staged::commit)?;
        commit.committed();
        Ok(())
    }
}

/// Removes the file at `path`, which an earlier, longer dataset has left, and its manifest.
fn remove_surplus(path: &Path) -> Result<()> {
    manifest::remove_outdated(path)?;
    sink::check_origin(path)?;
    sink::remove(path, "remove the part of an earlier run")?;
    tracing::info!("removed {}, which an earlier run left", path.display());
    Ok(())
}

/// Returns the name of the file of `part`, its size as it is stored, and its SHA-256.
fn stored(part: &Part, target: &Target) -> Result<(String, u64, String)> {
    let (Some(path), Some(sha256)) = (target.path(), part.staged.sha256()) else {
        return Err(manifest::no_file(target));
    };
    let name = path.file_name().unwrap_or_default();
    Ok((
        name.to_string_lossy().into_owned(),
        part.staged.stored_bytes().unwrap_or(part.bytes),
        sha256.to_owned(),
    ))
}

/// Writes the manifest of the dataset of `parts`. It is not yet visible.
fn write_dataset(
    context: ExportContext<'_>,
    plan: &PartPlan,
    parts: &[(Part, Target)],
) -> Result<StagedDataset> {
    let (export, connect) = (context.export, &context.plan.connect);
    let status = &context.status.status;
    let details = status.details();
    let schema = Schema {
        columns: details.columns,
    };
    let files = parts.iter().enumerate().map(|(number, (part, target))| {
        let (file, bytes, sha256) = stored(part, target)?;
        let origin = context.origin(number);
        Ok(DatasetFile {
            snapshot: origin.snapshot,
            started: origin.started,
            file,
            rows: part.rows,
            bytes,
            sha256,
        })
    });
    let files: Vec<DatasetFile> = files.collect::<Result<_>>()?;
    let dataset = Dataset {
        generator: manifest::GENERATOR.to_owned(),
        export: export.name.clone(),
        format: export.format.name().to_owned(),
        compression: export.compression.map(|options| options.compression.codec),
        header: export.format.header() == Header::Names,
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        columns: ManifestColumn::describe(&schema, &*export.format)?,
        query_sha256: manifest::query_sha256(&export.query),
        server: connect.endpoint.to_string(),
        server_version: details.server_version,
        database: connect.database.clone(),
        snapshot: context.position.cloned(),
        started: status.started_text(),
        finished: format!("{:.3}", Timestamp::now()),
    };
    let path = parts::dataset_path(plan)?;
    let first = parts::path(plan, 1)?;
    Ok(StagedDataset {
        manifest: dataset::write(&dataset, &path, &first, &context.cancel.child()?)?,
        path,
        output: plan.output.clone(),
    })
}

/// Writes the manifest of `part`, the file at `target`. It is not yet visible.
fn write_manifest(
    context: ExportContext<'_>,
    name: &OutputName,
    part: &Part,
    target: &Target,
    origin: Origin,
) -> Result<Staged> {
    let (export, connect) = (context.export, &context.plan.connect);
    let (file, bytes, sha256) = stored(part, target)?;
    let status = &context.status.status;
    let details = status.details();
    let schema = Schema {
        columns: details.columns,
    };
    let manifest = Manifest {
        generator: manifest::GENERATOR.to_owned(),
        export: export.name.clone(),
        file,
        format: export.format.name().to_owned(),
        compression: export.compression.map(|options| options.compression.codec),
        header: export.format.header() == Header::Names,
        dialect: export.format.dialect(),
        time_zone: details.time_zone,
        rows: part.rows,
        bytes,
        sha256,
        columns: ManifestColumn::describe(&schema, &*export.format)?,
        load_statement: details.load_statement,
        query_sha256: manifest::query_sha256(&export.query),
        server: connect.endpoint.to_string(),
        server_version: details.server_version,
        database: connect.database.clone(),
        snapshot: origin.snapshot,
        started: origin.started,
        finished: format!("{:.3}", Timestamp::now()),
        named_for: name.time.as_ref().map(ToString::to_string),
    };
    let path = target.path().unwrap_or_else(|| Path::new(""));
    manifest::write(&manifest, path, &context.cancel.child()?)
}
