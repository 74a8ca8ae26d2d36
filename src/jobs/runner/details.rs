//! What the chunks of an export tell of its result.

use crate::{
    artifacts::{checkpoint::WholeChunk, manifest::ManifestColumn},
    error::{Error, ErrorKind, Result},
    format::Format,
    jobs::{resume::ChunkOutput, status::StatusDetails},
    schema::{Nullability, Schema},
};

/// Returns what the first of the chunks that this run has `read` tells of the result, after
/// a check that the others, and those of `outputs` that an earlier run has read, tell the
/// same of its columns. Whether these can be NULL may depend on the condition of a chunk.
/// Where this run has read none, the columns are those that are `announced`.
///
/// # Errors
/// [`ErrorKind::Query`], if the columns are others.
pub(super) fn details_of_all(
    mut read: impl Iterator<Item = StatusDetails>,
    outputs: &[ChunkOutput],
    announced: Option<&Schema>,
    format: &dyn Format,
) -> Result<Option<StatusDetails>> {
    let kept: Vec<&WholeChunk> = outputs.iter().filter_map(|one| one.kept.as_ref()).collect();
    let of_kept = || Some(details_of_kept(announced?, kept.first()?));
    let Some(mut first) = read.next().or_else(of_kept) else {
        return Ok(None);
    };
    for details in read {
        let mut columns = details.columns;
        for (column, own) in columns.iter_mut().zip(&mut first.columns) {
            let nullability = &mut column.metadata.nullability;
            if *nullability != own.metadata.nullability {
                own.metadata.nullability = Nullability::Unknown;
                *nullability = Nullability::Unknown;
            }
        }
        if columns != first.columns {
            return Err(columns_changed());
        }
    }
    let schema = Schema {
        columns: first.columns.clone(),
    };
    let described = ManifestColumn::describe(&schema, format)?;
    for chunk in &kept {
        let same = chunk.columns.iter().zip(&described);
        let are_alike = same.clone().all(|(a, b)| a.is_alike(b));
        if !are_alike || chunk.columns.len() != described.len() {
            return Err(columns_changed());
        }
        for ((then, now), column) in same.zip(&mut first.columns) {
            if then.nullable != now.nullable {
                column.metadata.nullability = Nullability::Unknown;
            }
        }
    }
    let beginning = outputs.first().and_then(|output| output.kept.as_ref());
    if let Some(statement) = beginning.and_then(|chunk| chunk.create_statement.clone()) {
        first.create_statement = Some(statement);
    }
    Ok(Some(first))
}

fn columns_changed() -> Error {
    let what = "the columns of the table changed while its chunks were read";
    Error::new(ErrorKind::Query, what).with_hint("run the export again")
}

/// Returns what `chunk` tells of the result, where this run has read none.
fn details_of_kept(announced: &Schema, chunk: &WholeChunk) -> StatusDetails {
    StatusDetails {
        columns: announced.columns.clone(),
        server_version: chunk.server_version.clone(),
        time_zone: chunk.time_zone.clone(),
        load_statement: chunk.load_statement.clone(),
        create_statement: chunk.create_statement.clone(),
        attempts: 1,
        ..StatusDetails::default()
    }
}
