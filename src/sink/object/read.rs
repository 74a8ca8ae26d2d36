//! Reads, lists and removes objects.

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{ObjectStoreExt, path::Path as Key};

use super::{
    errors::read_error,
    runtime,
    store::{self, Store},
    url::ObjectUrl,
};
use crate::error::Error;

/// The object at a URL.
struct Object {
    store: Arc<Store>,
    url: ObjectUrl,
    key: Key,
}

impl Object {
    fn at(path: &Path) -> io::Result<Self> {
        let wrong = |problem| io::Error::new(io::ErrorKind::InvalidInput, problem);
        let url = ObjectUrl::parse(path).map_err(wrong)?;
        let store = store::open(&url).map_err(other)?;
        let key = Key::parse(&url.key).map_err(io::Error::other)?;
        Ok(Self { store, url, key })
    }
}

fn other(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Runs `request`, and waits for its result.
fn run<T: Send + 'static>(
    request: impl Future<Output = io::Result<T>> + Send + 'static,
) -> io::Result<T> {
    runtime::run(request, None).map_err(other)?
}

/// Returns all bytes of the object at `path`, which is small.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], if there is none; another one, if it cannot be read.
pub(in crate::sink) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let Object { store, url, key } = Object::at(path)?;
    run(async move {
        let failed = |error| read_error(&url, &error);
        let found = store.objects.get(&key).await.map_err(failed)?;
        Ok(found.bytes().await.map_err(failed)?.to_vec())
    })
}

/// Returns the size of the object at `path`.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], if there is none; another one, if it cannot be seen.
pub(in crate::sink) fn size(path: &Path) -> io::Result<u64> {
    let Object { store, url, key } = Object::at(path)?;
    run(async move {
        let found = store.objects.head(&key).await;
        Ok(found.map_err(|error| read_error(&url, &error))?.size)
    })
}

/// Removes the object at `path`.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], where the store tells it; another one, if it cannot be
/// removed.
pub(in crate::sink) fn remove(path: &Path) -> io::Result<()> {
    let Object { store, url, key } = Object::at(path)?;
    run(async move {
        let removed = store.objects.delete(&key).await;
        removed.map_err(|error| read_error(&url, &error))
    })
}

/// Returns the URLs of all objects whose keys begin with that of `path` up to its last `/`.
///
/// # Errors
/// That of the store.
pub(in crate::sink) fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Object { store, url, .. } = Object::at(path)?;
    run(async move {
        let folder = url.key.rsplit_once('/').map(|(folder, _)| folder);
        let folder = folder.and_then(|folder| Key::parse(folder).ok());
        let found = store.objects.list(folder.as_ref());
        let named = found.map_ok(|found| {
            let key = found.location.as_ref().to_owned();
            PathBuf::from(ObjectUrl { key, ..url.clone() }.to_string())
        });
        let named = named.try_collect::<Vec<_>>().await;
        named.map_err(|error| read_error(&url, &error))
    })
}

/// Reads an object from its beginning to its end.
pub struct Source {
    url: ObjectUrl,
    /// `None` while a request has it, and after an error.
    pieces: Option<BoxStream<'static, object_store::Result<Vec<u8>>>>,
    piece: Vec<u8>,
    used: usize,
    /// The first error, which is returned again: what follows it is not known.
    failed: Option<(io::ErrorKind, String)>,
    /// The number of its bytes.
    pub size: u64,
}

/// Opens the object at `path` for reading.
///
/// # Errors
/// [`io::ErrorKind::NotFound`], if there is none; another one, if it cannot be read.
pub(in crate::sink) fn source(path: &Path) -> io::Result<Source> {
    let Object { store, url, key } = Object::at(path)?;
    run(async move {
        let found = store.objects.get(&key).await;
        let found = found.map_err(|error| read_error(&url, &error))?;
        Ok(Source {
            size: found.meta.size,
            pieces: Some(found.into_stream().map_ok(|bytes| bytes.to_vec()).boxed()),
            url,
            piece: Vec::new(),
            used: 0,
            failed: None,
        })
    })
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used == self.piece.len() {
            let Some(mut pieces) = self.pieces.take() else {
                let failed = self.failed.clone();
                let (kind, text) =
                    failed.unwrap_or((io::ErrorKind::Other, "it is closed".to_owned()));
                return Err(io::Error::new(kind, text));
            };
            let next = async move {
                let piece = pieces.try_next().await;
                Ok((piece, pieces))
            };
            let (piece, pieces) = run(next)?;
            let piece = piece.map_err(|error| {
                let error = read_error(&self.url, &error);
                self.failed = Some((error.kind(), error.to_string()));
                error
            });
            let Some(piece) = piece? else {
                self.pieces = Some(pieces);
                return Ok(0);
            };
            (self.pieces, self.piece, self.used) = (Some(pieces), piece, 0);
        }
        let left = &self.piece[self.used..];
        let length = left.len().min(buffer.len());
        buffer[..length].copy_from_slice(&left[..length]);
        self.used += length;
        Ok(length)
    }
}
