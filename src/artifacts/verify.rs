//! Verifies files and datasets against their manifests: size, SHA-256, and number of rows.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use ring::digest;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    artifacts::{
        dataset::{self, Dataset},
        manifest::{self, Manifest},
    },
    error::{Error, ErrorKind, Result},
    format::{BuiltIn, CHUNK, Codec},
    sink::{self, decoder},
    text::{counted, hex, printable},
};

mod binary;
#[cfg(feature = "xlsx")]
mod xlsx;

/// Verifies each file of `paths` once. `report` gets one line for each file, and
/// whether the file is as its manifest says.
///
/// # Errors
/// [`ErrorKind::Verification`], if a file differs from its manifest or has none.
pub fn verify(paths: &[PathBuf], mut report: impl FnMut(String, bool)) -> Result<()> {
    let (mut failed, mut seen) = (0, BTreeSet::new());
    for path in paths {
        let file = file_of(path);
        if !seen.insert(file.clone()) {
            continue;
        }
        let shown = printable(&file.display().to_string());
        let checked = match is_dataset(&file) {
            true => check_dataset(&file),
            false => check(&file),
        };
        match checked {
            Ok(facts) => report(format!("{shown}: OK ({facts})"), true),
            Err(problem) => {
                failed += 1;
                report(format!("{shown}: FAILED: {}", printable(&problem)), false);
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    let message = format!(
        "{failed} of {} failed the verification",
        counted(seen.len() as u64, "file")
    );
    Err(Error::new(ErrorKind::Verification, message)
        .with_hint("export them again, or fetch them again from where they are whole"))
}

/// Returns the file that `path` names: `path` itself, or the file of the manifest
/// at `path`.
fn file_of(path: &Path) -> PathBuf {
    let name = path.file_name().and_then(|name| name.to_str());
    let of_manifest = name.and_then(|name| name.strip_suffix(manifest::SUFFIX));
    match of_manifest {
        Some(name) => path.with_file_name(name),
        None => path.to_owned(),
    }
}

/// Whether `path` is that of a dataset's manifest.
fn is_dataset(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(dataset::SUFFIX))
}

/// Checks the files of the dataset whose manifest is at `path`, and returns what they hold.
///
/// # Errors
/// The first difference, as a sentence.
fn check_dataset(path: &Path) -> Result<String, String> {
    let dataset = Dataset::read(path).map_err(|error| format!("cannot read it: {error}"))?;
    let all = dataset.files.iter();
    let (rows, bytes) = all.fold((0_u128, 0_u128), |(rows, bytes), file| {
        (rows + u128::from(file.rows), bytes + u128::from(file.bytes))
    });
    if dataset.files.is_empty() {
        return Err("it lists no file".to_owned());
    }
    if (rows, bytes) != (dataset.rows.into(), dataset.bytes.into()) {
        return Err("its numbers of rows and bytes are not those of its files".to_owned());
    }
    for file in &dataset.files {
        let is_name = Path::new(&file.file).file_name() == Some(OsStr::new(&file.file));
        if !is_name {
            return Err(format!("{:?} is no file beside it", file.file));
        }
        let expected = Expected {
            format: &dataset.format,
            compression: dataset.compression,
            header: dataset.header,
            rows: file.rows,
            bytes: file.bytes,
            sha256: &file.sha256,
        };
        let checked = check_file(&path.with_file_name(&file.file), &expected);
        checked.map_err(|problem| format!("{}: {problem}", file.file))?;
    }
    let files = counted(dataset.files.len() as u64, "file");
    Ok(format!("{files}, {}", facts(dataset.rows, dataset.bytes)))
}

fn facts(rows: u64, bytes: u64) -> String {
    format!("{}, {}", counted(rows, "row"), counted(bytes, "byte"))
}

/// What a file must be.
struct Expected<'a> {
    format: &'a str,
    compression: Option<Codec>,
    header: bool,
    rows: u64,
    bytes: u64,
    sha256: &'a str,
}

/// Checks the file at `path` against its manifest, and returns what it holds.
///
/// # Errors
/// The first difference, as a sentence.
fn check(path: &Path) -> Result<String, String> {
    // A folder has no manifest.
    check_is_file(path)?;
    let manifest_path = manifest::path(path);
    let manifest = Manifest::read(&manifest_path)
        .map_err(|error| format!("cannot read {}: {error}", manifest_path.display()))?;
    let expected = Expected {
        format: &manifest.format,
        compression: manifest.compression,
        header: manifest.header,
        rows: manifest.rows,
        bytes: manifest.bytes,
        sha256: &manifest.sha256,
    };
    check_file(path, &expected)?;
    Ok(facts(manifest.rows, manifest.bytes))
}

fn check_is_file(path: &Path) -> Result<(), String> {
    if sink::is_object(path) {
        return Ok(());
    }
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Err("it is a folder: name the files in it".to_owned()),
        // Opening a FIFO would wait for somebody to write.
        Ok(found) if !found.is_file() => Err("it is no regular file".to_owned()),
        _ => Ok(()),
    }
}

/// Checks that the file at `path` is what is `expected`.
///
/// # Errors
/// The first difference, as a sentence.
fn check_file(path: &Path, expected: &Expected<'_>) -> Result<(), String> {
    check_is_file(path)?;
    let failed = |error: io::Error| format!("cannot read it: {error}");
    let (file, size) = open(path).map_err(failed)?;
    if size != expected.bytes {
        let size = counted(size, "byte");
        return Err(format!("it has {size}, not {}", expected.bytes));
    }
    let mut file = HashingReader {
        file,
        hash: digest::Context::new(&digest::SHA256),
    };
    let is_binary = BuiltIn::named(expected.format).is_some_and(|format| !format.is_text());
    // Of a binary file, nothing is read before its bytes are known to be right.
    let found = (!is_binary).then(|| count_stored_rows(&mut file, expected));
    // The hash covers the whole file, also what is left unread after a syntax error.
    let mut copy = None;
    if is_binary && sink::is_object(path) {
        let file_of_copy = copy.insert(tempfile::tempfile().map_err(failed)?);
        io::copy(&mut file, file_of_copy).map_err(failed)?;
    } else {
        io::copy(&mut file, &mut io::sink()).map_err(failed)?;
    }
    if hex(file.hash.finish().as_ref()) != expected.sha256 {
        return Err("its SHA-256 is another one".to_owned());
    }
    let count_binary = || {
        let file = copy.map_or_else(|| File::open(path), Ok);
        let file = file.and_then(|mut file| file.rewind().map(|()| file));
        match file {
            Ok(file) => binary::count_rows(&file, expected.format),
            Err(error) => Some(Err(error.to_string())),
        }
    };
    let unknown = || Err(unknown_format(expected.format));
    let found = found.or_else(count_binary);
    let rows = found
        .unwrap_or_else(unknown)
        .map_err(|error| format!("its rows cannot be counted: {error}"))?;
    if rows != expected.rows {
        let rows = counted(rows, "row");
        return Err(format!("it has {rows}, not {}", expected.rows));
    }
    Ok(())
}

/// Opens the file or the object at `path`, and returns its size.
fn open(path: &Path) -> io::Result<(Box<dyn Read>, u64)> {
    if sink::is_object(path) {
        let object = sink::open_object(path)?;
        let size = object.size;
        return Ok((Box::new(object), size));
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok((Box::new(file), size))
}

/// Whether the regular file at `path` has so many bytes, with this SHA-256 in hexadecimal
/// digits.
#[must_use]
pub fn is_whole(path: &Path, bytes: u64, sha256: &str) -> bool {
    let read = || -> io::Result<bool> {
        let (file, size) = open(path)?;
        if size != bytes {
            return Ok(false);
        }
        let hash = digest::Context::new(&digest::SHA256);
        let mut file = HashingReader { file, hash };
        io::copy(&mut file, &mut io::sink())?;
        Ok(hex(file.hash.finish().as_ref()) == sha256)
    };
    check_is_file(path).is_ok() && read().unwrap_or(false)
}

/// Computes the hash of a file while the file is read.
struct HashingReader {
    file: Box<dyn Read>,
    hash: digest::Context,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.hash.update(&buffer[..length]);
        Ok(length)
    }
}

/// Counts the rows of `file`, which may be compressed.
fn count_stored_rows(file: &mut HashingReader, expected: &Expected<'_>) -> Result<u64, String> {
    let Some(codec) = expected.compression else {
        return count_rows(file, expected);
    };
    let stored = BufReader::with_capacity(CHUNK, file);
    let mut plain = decoder(codec, stored).map_err(|error| error.to_string())?;
    count_rows(&mut plain, expected)
}

/// Counts the rows of `file` in the format that is expected.
fn count_rows(file: &mut dyn Read, expected: &Expected<'_>) -> Result<u64, String> {
    let header = u64::from(expected.header);
    let lines = match expected.format {
        "csv" => count_records(file),
        "tsv" | "ndjson" => count_lines(file),
        // The names, and the line below them.
        "markdown" => count_lines(file).map(|lines| lines.saturating_sub(2)),
        // And the number of rows.
        "table" => count_lines(file).map(|lines| lines.saturating_sub(3)),
        "vertical" => count_beginnings(file, b'*'),
        "sql" => count_beginnings(file, b'('),
        "json" => {
            let mut text =
                serde_json::Deserializer::from_reader(BufReader::with_capacity(CHUNK, file));
            let rows = CountElements.deserialize(&mut text);
            return rows.map_err(|error| error.to_string());
        }
        format => return Err(unknown_format(format)),
    };
    let lines = lines.map_err(|error| error.to_string())?;
    let too_few = || "it has no header".to_owned();
    lines.checked_sub(header).ok_or_else(too_few)
}

fn unknown_format(format: &str) -> String {
    format!("this version does not know the format {format:?}")
}

/// Counts records of CSV as this program writes it. Quotes enclose values and are
/// doubled inside them, so that a line end between quotes does not end a record.
/// (The csv crate skips blank lines, but a lone NULL is a blank line.)
fn count_records(file: &mut dyn Read) -> io::Result<u64> {
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

/// Counts lines of TSV, NDJSON and tables, whose values have no line ends.
fn count_lines(file: &mut dyn Read) -> io::Result<u64> {
    let mut lines = 0;
    each_chunk(file, |bytes| {
        lines += bytes
            .iter()
            .map(|byte| u64::from(*byte == b'\n'))
            .sum::<u64>();
    })?;
    Ok(lines)
}

/// Counts the lines that begin with `byte`: the rows of INSERT statements and of vertical
/// tables, as this program writes them.
fn count_beginnings(file: &mut dyn Read, byte: u8) -> io::Result<u64> {
    let (mut rows, mut is_first) = (0, true);
    each_chunk(file, |bytes| {
        for found in bytes {
            rows += u64::from(is_first && *found == byte);
            is_first = *found == b'\n';
        }
    })?;
    Ok(rows)
}

/// Reads `file` to its end, and passes each piece to `each`.
fn each_chunk(file: &mut dyn Read, mut each: impl FnMut(&[u8])) -> io::Result<()> {
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
struct CountElements;

impl<'de> DeserializeSeed<'de> for CountElements {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CountElements {
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
