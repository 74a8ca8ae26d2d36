//! Publishes complete outputs: removes the manifest of the file that is replaced,
//! and publishes the output, and then its manifest.

use std::path::PathBuf;

use jiff::Timestamp;

use super::{export::ExportContext, load, text_file};
use crate::{
    artifacts::{
        manifest::{self, Manifest, ManifestColumn},
        template::OutputName,
    },
    error::Result,
    format::Header,
    schema::Schema,
    sink::{self, Staged},
};

/// A complete output, and the files that are published after it: the statements that load
/// it and that create its table, and the manifest.
pub(super) struct StagedExport {
    target: Staged,
    /// The path of the output as the user named it, if the output is a regular file.
    file: Option<PathBuf>,
    load_statement: Option<Staged>,
    schema_file: Option<Staged>,
    manifest: Option<Staged>,
}

impl StagedExport {
    /// Writes the manifest of `target`, the output of the export of `context`, if the
    /// export has one.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the manifest cannot
    /// be written.
    pub(super) fn new(context: ExportContext<'_>, target: Staged) -> Result<Self> {
        let export = context.export;
        let details = context.status.status.details();
        let cancel = context.cancel.child()?;
        let write = |path, text: String| text_file::write(export, path, &text, &cancel);
        let load_statement = load::statement_file(export).zip(details.load_statement);
        let schema_file = export.schema_file.as_ref().map(|file| &*file.path);
        let schema_file = schema_file.zip(details.create_statement);
        let name = export.manifest.as_ref();
        let manifest = name.map(|name| write_manifest(context, name, &target));
        let path = export.target.path();
        Ok(Self {
            manifest: manifest.transpose()?,
            file: target.path().and(path).map(Into::into),
            load_statement: load_statement
                .map(|(path, text)| write(path, text))
                .transpose()?,
            schema_file: schema_file
                .map(|(path, text)| write(path, text))
                .transpose()?,
            target,
        })
    }

    /// Checks whether publication can succeed, as far as can be known before.
    pub(super) fn check(&self) -> Result<()> {
        self.target.check()?;
        let others = [&self.load_statement, &self.schema_file, &self.manifest];
        others.into_iter().flatten().try_for_each(Staged::check)
    }

    /// Publishes the output, and then its statements and its manifest. An earlier
    /// manifest is removed before: at no moment does a manifest stand beside another
    /// file than its own.
    pub(super) fn publish(self) -> Result<()> {
        // Another run to the same target must not publish between the steps.
        let _locked = self.file.as_deref().and_then(sink::lock_target);
        if let Some(file) = &self.file {
            manifest::remove_outdated(file)?;
        }
        self.target.commit()?;
        let others = [self.load_statement, self.schema_file, self.manifest];
        others.into_iter().flatten().try_for_each(Staged::commit)
    }
}

/// Writes the manifest of `staged`. It is not yet visible.
fn write_manifest(
    context: ExportContext<'_>,
    name: &OutputName,
    staged: &Staged,
) -> Result<Staged> {
    let (export, connect) = (context.export, &context.plan.connect);
    let (Some(target), Some(sha256)) = (export.target.path(), staged.sha256()) else {
        return Err(manifest::no_file(&export.target));
    };
    let status = &context.status.status;
    let details = status.details();
    let file = target.file_name().unwrap_or_default();
    let started = status.started();
    let schema = Schema {
        columns: details.columns,
    };
    let manifest = Manifest {
        generator: manifest::GENERATOR.to_owned(),
        export: export.name.clone(),
        file: file.to_string_lossy().into_owned(),
        format: export.format.name().to_owned(),
        compression: export.compression.map(|options| options.compression.codec),
        header: export.format.header() == Header::Names,
        dialect: export.format.dialect(),
        time_zone: details.time_zone,
        rows: status.rows(),
        bytes: details.stored_bytes.unwrap_or_else(|| status.bytes()),
        sha256: sha256.to_owned(),
        columns: ManifestColumn::describe(&schema, &*export.format)?,
        load_statement: details.load_statement,
        query_sha256: manifest::query_sha256(&export.query),
        server: connect.endpoint.to_string(),
        server_version: details.server_version,
        database: connect.database.clone(),
        snapshot: context.position.cloned(),
        started: started.map(|started| format!("{started:.3}")),
        finished: format!("{:.3}", Timestamp::now()),
        named_for: name.time.as_ref().map(ToString::to_string),
    };
    manifest::write(&manifest, target, &context.cancel.child()?)
}
