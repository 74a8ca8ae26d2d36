//! Retention: removes the oldest dated files of an export. A file belongs to the
//! export only if the export's template gives its name for the time in its
//! manifest.

use std::{
    cell::LazyCell,
    cmp::Reverse,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use glob::Pattern;

use crate::{
    artifacts::{
        manifest::{self, Manifest},
        template::{self, NameTime, OutputName},
    },
    sink::{self, folder},
};

/// A file of the export, and the time in its name.
struct DatedFile {
    time: NameTime,
    path: PathBuf,
    manifest: Manifest,
}

/// Removes the files of the export called `name` that are older than the newest
/// ones that `naming` keeps, and their folders once those are empty. A file that is
/// missing or is not what its manifest says does not count as one of those. `target`
/// is the new file. `warn` reports what cannot be removed.
pub fn remove_old(name: Option<&str>, naming: &OutputName, target: &Path, warn: impl Fn(String)) {
    let Some(keep) = naming.keep else {
        return;
    };
    let found = match manifests(naming) {
        Ok(found) => found,
        Err(problem) => {
            warn(format!("old files are kept: {problem}"));
            return;
        }
    };
    let dated = |path: PathBuf| match_own_file(&path, name, naming);
    let Some(now) = &naming.time else {
        return;
    };
    let mut files: Vec<DatedFile> = found.into_iter().filter_map(dated).collect();
    let all_times = || files.iter().map(|file| &file.time).chain([now]);
    let are_moments = all_times().all(|time| time.moment().is_some());
    // Where clocks go back, and in another zone, a later moment may show an earlier time.
    let order = |time: &NameTime| (time.moment().filter(|_| are_moments), time.civil());
    // A wrong clock may have dated a file later: such a file is not older.
    files.retain(|file| order(&file.time) <= order(now));
    files.sort_by_key(|file| Reverse(order(&file.time)));
    let keep = usize::try_from(keep.get()).unwrap_or(usize::MAX);
    let mut whole = 0;
    let is_old = |file: &&DatedFile| {
        let is_old = whole >= keep;
        whole += usize::from(matches!(find(file), Found::Whole));
        is_old
    };
    for file in files.iter().filter(is_old) {
        if let Err(error) = remove(file) {
            let path = file.path.display();
            warn(format!("the old file {path} stays: {error}"));
        } else {
            tracing::info!("removed the old file {}", file.path.display());
            // The folder of another time, if it is empty now. Stores have none.
            if folder(&file.path) != folder(target) && !sink::is_object(target) {
                let _ = fs::remove_dir(folder(&file.path));
            }
        }
    }
}

/// Returns the paths that the manifests of the files of `naming` may have.
///
/// # Errors
/// Why they cannot be listed.
fn manifests(naming: &OutputName) -> Result<Vec<PathBuf>, String> {
    let pattern = template::glob(naming.template.as_os_str()).ok_or("the path is not UTF-8")?;
    let pattern = pattern + manifest::SUFFIX;
    if !sink::is_object(&naming.template) {
        let found = glob::glob(&pattern).map_err(|error| error.to_string())?;
        return Ok(found.flatten().collect());
    }
    let matcher = Pattern::new(&pattern).map_err(|error| error.to_string())?;
    // All keys that begin with what stands before the first placeholder.
    let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let found = sink::list_objects(Path::new(&format!("{}x", &pattern[..literal])));
    let found = found.map_err(|error| error.to_string())?;
    let is_named = |path: &PathBuf| matcher.matches_path(path);
    Ok(found.into_iter().filter(is_named).collect())
}

/// Returns the file of the manifest at `path` if it belongs to the export called
/// `name`: the export's template gives its name for the time in the manifest, and no
/// other user has put it there.
fn match_own_file(path: &Path, name: Option<&str>, naming: &OutputName) -> Option<DatedFile> {
    let file = path.to_str()?.strip_suffix(manifest::SUFFIX)?;
    let file = PathBuf::from(file);
    sink::check_origin(path).ok()?;
    sink::check_origin(&file).ok()?;
    let manifest = Manifest::read(path).ok()?;
    let time: NameTime = manifest.named_for.as_deref()?.parse().ok()?;
    let now = LazyCell::new(|| Ok(time.clone()));
    let template = naming.template.as_os_str();
    let expected = template::expand(template, &now, naming.names()).ok()?;
    let is_own = manifest::is_by_this_program(&manifest.generator)
        && manifest.export.as_deref() == name
        && file.file_name() == Some(OsStr::new(&manifest.file))
        && sink::resolve(&file) == sink::resolve(Path::new(&expected));
    is_own.then_some(DatedFile {
        time,
        path: file,
        manifest,
    })
}

/// What is at the path of a file that a manifest describes.
enum Found {
    /// A regular file of the size that its manifest says.
    Whole,
    /// Something else.
    Other,
    /// Nothing.
    Nothing,
    /// It cannot be seen.
    Failed(io::Error),
}

fn find(file: &DatedFile) -> Found {
    match sink::size(&file.path) {
        Ok(found) if found == Some(file.manifest.bytes) => Found::Whole,
        Ok(_) => Found::Other,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Failed(error),
    }
}

/// Removes a file and its manifest, the file first: a file without a manifest is
/// never removed later.
fn remove(file: &DatedFile) -> io::Result<()> {
    match find(file) {
        Found::Whole => sink::remove_file(&file.path)?,
        Found::Other => return Err(io::Error::other("it is not what its manifest says")),
        Found::Nothing => {}
        Found::Failed(error) => return Err(error),
    }
    sink::remove_file(&manifest::path(&file.path))
}
