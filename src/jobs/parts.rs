//! The files among which the rows of an export are divided.

use std::path::PathBuf;

use super::{export::ExportContext, plan::PartPlan};
use crate::{
    artifacts::dataset::{self, PartNames},
    error::{Error, ErrorKind, Result},
    sink::{self, Target},
};

/// Returns the path of part `number`.
///
/// # Errors
/// [`ErrorKind::Output`], if no file can be there.
pub(super) fn path(plan: &PartPlan, number: u32) -> Result<PathBuf> {
    let path =
        dataset::part_path(&plan.output, number).map_err(|problem| no_path(plan, &problem))?;
    match sink::is_stream(&path) {
        true => {
            let message = format!("{} is no regular file, and a part is one", path.display());
            Err(Error::new(ErrorKind::Output, message))
        }
        false => Ok(path),
    }
}

/// Returns the path of the manifest of all parts.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be made.
pub(super) fn dataset_path(plan: &PartPlan) -> Result<PathBuf> {
    dataset::path(&plan.output).map_err(|problem| no_path(plan, &problem))
}

/// Removes the temporary files that killed runs have left of any part, and of its manifest.
pub(super) fn remove_stale_files(plan: &PartPlan) {
    if let Some(names) = PartNames::of(&plan.output) {
        sink::remove_stale_files_of(names.folder(), |name| names.is_part(name));
    }
}

fn no_path(plan: &PartPlan, problem: &str) -> Error {
    let template = plan.output.template.display();
    Error::new(ErrorKind::Output, format!("the path {template} {problem}"))
}

/// Returns the target of part `number` of the export of `context`: the target of the whole
/// if its rows are not divided.
///
/// # Errors
/// [`ErrorKind::Output`], if no file can be there.
pub(super) fn target(context: ExportContext<'_>, number: u32) -> Result<Target> {
    match &context.export.parts {
        Some(plan) => path(plan, number).map(Target::Path),
        None => Ok(context.export.target.clone()),
    }
}
