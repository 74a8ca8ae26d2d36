//! Whether files still are what their manifests say: size, SHA-256, and rows.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use ring::digest;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    artifacts::manifest::{self, Manifest},
    error::{Error, ErrorKind, Result},
    text::{hex, printable},
};

/// Checks each of `paths` once, and says of each what came of it to `tell`, and
/// whether that is good.
///
/// # Errors
/// [`ErrorKind::Verification`] where one is not what its manifest says, or has
/// none.
pub fn verify(paths: &[PathBuf], mut tell: impl FnMut(String, bool)) -> Result<()> {
    let (mut failed, mut seen) = (0, BTreeSet::new());
    for path in paths {
        let file = file_of(path);
        if !seen.insert(file.clone()) {
            continue;
        }
        let shown = printable(&file.display().to_string());
        match check(&file) {
            Ok(Manifest { rows, bytes, .. }) => {
                tell(format!("{shown}: OK ({rows} rows, {bytes} bytes)"), true);
            }
            Err(what) => {
                failed += 1;
                tell(format!("{shown}: FAILED: {}", printable(&what)), false);
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    let what = format!("{failed} of {} files failed the verification", seen.len());
    Err(Error::new(ErrorKind::Verification, what)
        .with_hint("export them again, or fetch them again from where they are whole"))
}

/// The file that `path` means, which may be its manifest's.
fn file_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str());
    let of_manifest = name.and_then(|name| name.strip_suffix(manifest::SUFFIX));
    match of_manifest {
        Some(name) => path.with_file_name(name),
        None => path.to_owned(),
    }
}

/// The manifest of the file at `path`, where all that it says is so.
fn check(path: &Path) -> Result<Manifest, String> {
    if path.is_dir() {
        return Err("it is a folder: name the files in it".to_owned());
    }
    let beside = manifest::path(path);
    let manifest = Manifest::read(&beside)
        .map_err(|error| format!("cannot read {}: {error}", beside.display()))?;
    let failed = |error: io::Error| format!("cannot read it: {error}");
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size != manifest.bytes {
        return Err(format!("it has {size} bytes, not {}", manifest.bytes));
    }
    let mut file = Hashed {
        file,
        hash: digest::Context::new(&digest::SHA256),
    };
    let counted = count(&mut file, &manifest);
    // What a mistake in the text leaves unread counts too.
    io::copy(&mut file, &mut io::sink()).map_err(failed)?;
    if hex(file.hash.finish().as_ref()) != manifest.sha256 {
        return Err("its SHA-256 is another one".to_owned());
    }
    let rows = counted.map_err(|error| format!("its rows cannot be counted: {error}"))?;
    if rows != manifest.rows {
        return Err(format!("it has {rows} rows, not {}", manifest.rows));
    }
    Ok(manifest)
}

/// A file that is hashed as it is read.
struct Hashed {
    file: File,
    hash: digest::Context,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

const CHUNK: usize = 256 << 10;

fn count(file: &mut Hashed, manifest: &Manifest) -> Result<u64, String> {
    let header = u64::from(manifest.header);
    let lines = match manifest.format.as_str() {
        "csv" => count_records(file),
        "tsv" => count_lines(file),
        "json" => {
            let mut text =
                serde_json::Deserializer::from_reader(BufReader::with_capacity(CHUNK, file));
            let rows = Elements.deserialize(&mut text);
            return rows.map_err(|error| error.to_string());
        }
        format => return Err(format!("this version does not know the format {format:?}")),
    };
    let lines = lines.map_err(|error| error.to_string())?;
    let too_few = || "it has no header".to_owned();
    lines.checked_sub(header).ok_or_else(too_few)
}

/// Records of CSV as this program writes it: quotes stand around values, and
/// double in them, so that a line that ends between quotes does not end a record.
/// (The csv crate passes over blank lines, which a lone NULL is.)
fn count_records(file: &mut Hashed) -> io::Result<u64> {
    let (mut records, mut is_quoted) = (0, false);
    each_chunk(file, |bytes| {
        for byte in bytes {
            match byte {
                b'"' => is_quoted = !is_quoted,
                b'\n' if !is_quoted => records += 1,
                _ => {}
            }
        }
    })?;
    Ok(records)
}

/// Lines of TSV, whose values have no line ends.
fn count_lines(file: &mut Hashed) -> io::Result<u64> {
    let mut lines = 0;
    each_chunk(file, |bytes| {
        lines += bytes
            .iter()
            .map(|byte| u64::from(*byte == b'\n'))
            .sum::<u64>();
    })?;
    Ok(lines)
}

fn each_chunk(file: &mut Hashed, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Counts the elements of an array, or of the one array in an object.
struct Elements;

impl<'de> DeserializeSeed<'de> for Elements {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Elements {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<u64, A::Error> {
        let mut elements = 0;
        while array.next_element::<IgnoredAny>()?.is_some() {
            elements += 1;
        }
        Ok(elements)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<u64, A::Error> {
        let Some(IgnoredAny) = object.next_key()? else {
            return Err(A::Error::custom("an empty object"));
        };
        let elements = object.next_value_seed(Self)?;
        match object.next_key()? {
            Some(IgnoredAny) => Err(A::Error::custom("several arrays")),
            None => Ok(elements),
        }
    }
}
