//! Writes an object: gathers its bytes into parts, and decides how it becomes visible.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use object_store::{Attribute, Attributes};
use ring::digest;

use super::{
    runtime,
    upload::{ATTEMPT, Place, Upload},
    url::ObjectUrl,
};
use crate::{
    cancel::{CancelToken, Discard},
    error::{Error, Result},
    sink::{Commit, Existing, Restart, Sink, SinkOptions, Staged, check_absent},
    text::hex,
};

/// The size of the first parts. S3 takes none that is smaller than 5 MiB, but for the last.
const PART: usize = 8 << 20;

/// The number of parts after which they grow by [`PART`]: S3 takes 10,000 parts. Of one size,
/// these would be 78 GiB; so, they are 430 GiB.
const PARTS_OF_A_SIZE: usize = 1000;

/// The size up to which an object is sent in one request, at the commit, and how many bytes
/// of such objects may wait for it in all: beyond that, they are sent before.
const SMALL: usize = 64 << 10;
const SMALL_IN_ALL: usize = 4 << 20;

/// The bytes of small objects that wait for their commit.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes of a small object while it waits.
struct Waiting(usize);

impl Waiting {
    fn new(bytes: usize) -> Self {
        WAITING.fetch_add(bytes, Relaxed);
        Self(bytes)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.0, Relaxed);
    }
}

const SHA256: Attribute = Attribute::Metadata(Cow::Borrowed("sha256"));

/// The types of contents, by the end of the key (IANA's registry of media types).
const CONTENT_TYPES: [(&str, &str); 13] = [
    ("csv", "text/csv; charset=utf-8"),
    ("tsv", "text/tab-separated-values; charset=utf-8"),
    ("json", "application/json"),
    ("ndjson", "application/x-ndjson"),
    ("jsonl", "application/x-ndjson"),
    ("sql", "application/sql"),
    ("md", "text/markdown; charset=utf-8"),
    ("parquet", "application/vnd.apache.parquet"),
    ("arrow", "application/vnd.apache.arrow.file"),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    ("gz", "application/gzip"),
    ("zst", "application/zstd"),
    ("lz4", "application/x-lz4"),
];

/// Opens the object at `path`, a URL. Its bucket must be there and take it.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub(in crate::sink) fn create(
    path: &Path,
    options: SinkOptions,
    cancel: &CancelToken,
) -> Result<Box<dyn Sink>> {
    let writer = Writer::new(path, options.existing)?;
    let upload = writer.begin(None, cancel)?;
    Ok(Box::new(ObjectSink {
        writer,
        upload: UploadGuard::new(upload, cancel),
        buffer: Vec::new(),
        parts: 0,
        hash: digest::Context::new(&digest::SHA256),
        cancel: cancel.clone(),
    }))
}

/// Returns the output that puts `bytes` at `path`, a URL, when it is committed.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the store cannot be opened.
pub(in crate::sink) fn stage(path: &Path, bytes: &[u8], cancel: &CancelToken) -> Result<Staged> {
    let writer = Writer::new(path, Existing::Replace)?;
    let sha256 = hex(digest::digest(&digest::SHA256, bytes).as_ref());
    writer.stage_small(bytes.to_vec(), sha256, cancel)
}

/// The place of an object, and its attempt.
struct Writer {
    path: PathBuf,
    url: ObjectUrl,
    existing: Existing,
    attempt: String,
}

impl Writer {
    fn new(path: &Path, existing: Existing) -> Result<Self> {
        let wrong = |problem| Error::config(format!("the path of the output {problem}"));
        let random = ring::rand::generate::<[u8; 16]>(&ring::rand::SystemRandom::new());
        let random = random.map_err(|_| Error::config("the system gives no random bytes"))?;
        Ok(Self {
            path: path.to_owned(),
            url: ObjectUrl::parse(path).map_err(wrong)?,
            existing,
            attempt: hex(&random.expose()),
        })
    }

    fn place(&self) -> Result<Place> {
        Place::new(self.url.clone(), self.existing)
    }

    /// What is kept with the object. Its SHA-256 must be known before its first byte is sent.
    fn attributes(&self, sha256: Option<&str>) -> Attributes {
        let extension = self
            .path
            .extension()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let found = CONTENT_TYPES.iter().find(|(name, _)| *name == extension);
        let content_type = found.map_or("application/octet-stream", |(_, name)| name);
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::ContentType, content_type.into());
        attributes.insert(ATTEMPT, self.attempt.clone().into());
        if let Some(sha256) = sha256 {
            attributes.insert(SHA256, sha256.to_owned().into());
        }
        attributes
    }

    fn begin(&self, sha256: Option<&str>, cancel: &CancelToken) -> Result<Arc<Upload>> {
        Upload::begin(self.place()?, self.attributes(sha256), cancel)
    }

    fn stage_small(self, bytes: Vec<u8>, sha256: String, cancel: &CancelToken) -> Result<Staged> {
        let staged = StagedObject {
            what: Ready::Bytes {
                place: self.place()?,
                _waiting: Waiting::new(bytes.len()),
                bytes,
                attributes: self.attributes(Some(&sha256)),
            },
            path: self.path,
            existing: self.existing,
            cancel: cancel.clone(),
        };
        Ok(Staged::new(Box::new(staged), Some(sha256)))
    }
}

/// Aborts its upload on drop, unless that is completed, and lets a token do so.
struct UploadGuard(Arc<Upload>);

impl UploadGuard {
    fn new(upload: Arc<Upload>, cancel: &CancelToken) -> Self {
        cancel.on_discard(Box::new(DiscardHook(Arc::clone(&upload))));
        Self(upload)
    }
}

impl Drop for UploadGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct DiscardHook(Arc<Upload>);

impl Discard for DiscardHook {
    fn discard(self: Box<Self>) {
        self.0.abort();
    }
}

struct ObjectSink {
    writer: Writer,
    upload: UploadGuard,
    buffer: Vec<u8>,
    /// The number of parts that have been sent.
    parts: usize,
    hash: digest::Context,
    cancel: CancelToken,
}

impl ObjectSink {
    /// The size of the next part.
    fn part_size(&self) -> usize {
        PART * (1 + self.parts / PARTS_OF_A_SIZE)
    }

    fn send(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.buffer);
        self.parts += 1;
        self.upload.0.send(bytes, &self.cancel)
    }
}

impl Sink for ObjectSink {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        while !bytes.is_empty() {
            let size = self.part_size();
            if self.buffer.capacity() == 0 {
                // Small objects stay small.
                self.buffer.reserve(bytes.len().min(size));
            }
            let room = size - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == size {
                self.send()?;
            }
        }
        Ok(())
    }

    fn restart(&self) -> Restart {
        Restart::Allowed
    }

    fn finish(mut self: Box<Self>) -> Result<Staged> {
        if self.parts > 0 {
            if !self.buffer.is_empty() {
                self.send()?;
            }
            self.upload.0.wait_for_all(&self.cancel)?;
        }
        let Self {
            writer,
            mut upload,
            buffer,
            parts,
            hash,
            cancel,
            ..
        } = *self;
        let sha256 = hex(hash.finish().as_ref());
        if parts == 0 {
            // Now it can begin with its SHA-256.
            upload.0.abort();
            if buffer.len() <= SMALL && WAITING.load(Relaxed) < SMALL_IN_ALL {
                return writer.stage_small(buffer, sha256, &cancel);
            }
            let begun = writer.begin(Some(&sha256), &cancel)?;
            upload = UploadGuard::new(begun, &cancel);
            upload.0.send(buffer, &cancel)?;
            upload.0.wait_for_all(&cancel)?;
        }
        let staged = StagedObject {
            path: writer.path,
            existing: writer.existing,
            what: Ready::Upload(upload),
            cancel,
        };
        Ok(Staged::new(Box::new(staged), Some(sha256)))
    }
}

/// A complete object that is not yet visible.
struct StagedObject {
    path: PathBuf,
    existing: Existing,
    what: Ready,
    cancel: CancelToken,
}

enum Ready {
    /// Its parts are in the store.
    Upload(UploadGuard),
    /// It is sent at the commit.
    Bytes {
        place: Place,
        bytes: Vec<u8>,
        attributes: Attributes,
        _waiting: Waiting,
    },
}

impl Commit for StagedObject {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn check(&self) -> Result<()> {
        match self.existing {
            Existing::Refuse => check_absent(&self.path),
            Existing::Replace => Ok(()),
        }
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let commit = self.cancel.begin_commit()?;
        match self.what {
            Ready::Upload(upload) => upload.0.complete()?,
            Ready::Bytes {
                place,
                bytes,
                attributes,
                _waiting,
            } => {
                let put = async move { place.put(bytes, attributes).await };
                runtime::run(put, None)??;
            }
        }
        commit.committed();
        Ok(())
    }
}
