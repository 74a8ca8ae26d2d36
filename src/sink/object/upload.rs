//! An upload in parts: sends each on the runtime's thread, and is completed or aborted as a
//! whole.

use std::{
    borrow::Cow,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use object_store::{
    Attribute, AttributeValue, Attributes, GetOptions, MultipartId, MultipartUpload,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    multipart::{MultipartStore, PartId},
    path::Path as Key,
};
use tokio::task::AbortHandle;

use super::{
    errors::store_error,
    runtime,
    store::{S3, Store},
    url::ObjectUrl,
};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    sink::{Existing, errors::output_error},
    sync::lock,
};

/// Marks an object as one attempt's.
pub(super) const ATTEMPT: Attribute = Attribute::Metadata(Cow::Borrowed("attempt"));

/// The parts that are sent at a time. While one is on its way, the next one is filled.
const IN_FLIGHT: usize = 2;

/// How long the end of an upload that is given up may take.
const ABORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a store may copy an object within itself.
const COPY_TIMEOUT: Duration = Duration::from_secs(300);

/// How often a thread that waits for a part looks whether its work is cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The place of an object.
pub(super) struct Place {
    pub store: Arc<Store>,
    pub url: ObjectUrl,
    pub key: Key,
    /// What happens to an object that is there.
    pub existing: Existing,
}

impl Place {
    /// Connects to the store of `url`.
    pub(super) fn new(url: ObjectUrl, existing: Existing) -> Result<Self> {
        let store = super::store::open(&url)?;
        // Checked by `ObjectUrl`.
        let key = Key::parse(&url.key).unwrap_or_else(|_| Key::from(&*url.key));
        Ok(Self {
            store,
            url,
            key,
            existing,
        })
    }

    /// Puts a small object there, as a whole.
    pub(super) async fn put(&self, bytes: Vec<u8>, attributes: Attributes) -> Result<()> {
        let attempt = attributes.get(&ATTEMPT).cloned();
        let options = PutOptions {
            mode: match self.existing {
                Existing::Replace => PutMode::Overwrite,
                Existing::Refuse => PutMode::Create,
            },
            attributes,
            ..PutOptions::default()
        };
        let put = self
            .store
            .objects
            .put_opts(&self.key, bytes.into(), options);
        match put.await {
            Ok(_) => Ok(()),
            Err(error) => self.unless_there(attempt, "write", error).await,
        }
    }

    /// Returns `error`, unless the object is there from the attempt that failed: the answer
    /// to a request may be lost.
    async fn unless_there(
        &self,
        attempt: Option<AttributeValue>,
        verb: &str,
        error: object_store::Error,
    ) -> Result<()> {
        match self.size_at(&self.key, attempt.as_ref()).await {
            Some(_) => Ok(()),
            None => Err(store_error(&self.url, verb, &error)),
        }
    }

    /// Returns the size of the object at `key` if it is the one of `attempt`.
    async fn size_at(&self, key: &Key, attempt: Option<&AttributeValue>) -> Option<u64> {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = self.store.objects.get_opts(key, options).await.ok()?;
        let is_own = attempt.is_some() && found.attributes.get(&ATTEMPT) == attempt;
        is_own.then_some(found.meta.size)
    }
}

/// An upload that has begun.
pub(super) struct Upload {
    place: Place,
    /// Marks the object as this attempt's.
    attempt: Option<AttributeValue>,
    state: Mutex<State>,
    /// Notified when a part has been sent, or could not be.
    sent: Condvar,
}

struct State {
    /// `None` once the upload is completed or aborted, or while that is tried.
    parts: Option<Parts>,
    /// Whether a thread is aborting it.
    is_aborting: bool,
    /// The number of parts so far.
    count: usize,
    tasks: Vec<AbortHandle>,
    in_flight: usize,
    failed: Option<Error>,
}

enum Parts {
    /// S3's, whose parts are named at the end.
    S3 {
        id: MultipartId,
        parts: Vec<Option<PartId>>,
    },
    /// Those of another store. Where nothing may be replaced, they are of another key, from
    /// which the object is copied.
    Other {
        upload: Box<dyn MultipartUpload>,
        key: Key,
    },
}

/// Records the end of a part, also if its task panics.
struct Record {
    upload: Arc<Upload>,
    index: usize,
    cancel: CancelToken,
    is_recorded: bool,
}

impl Record {
    fn new(upload: Arc<Upload>, index: usize, cancel: CancelToken) -> Self {
        Self {
            upload,
            index,
            cancel,
            is_recorded: false,
        }
    }

    fn end(&mut self, sent: object_store::Result<Option<PartId>>) {
        self.is_recorded = true;
        self.upload.record(self.index, sent, &self.cancel);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.end(Err(object_store::Error::Generic {
                store: "the store",
                source: "a request has ended early".into(),
            }));
        }
    }
}

impl Upload {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the store refuses it: there
    /// is no such bucket, or no permission.
    pub(super) fn begin(
        place: Place,
        attributes: Attributes,
        cancel: &CancelToken,
    ) -> Result<Arc<Self>> {
        let attempt = attributes.get(&ATTEMPT).cloned();
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let (store, key) = (Arc::clone(&place.store), place.key.clone());
        let suffix = attempt
            .as_ref()
            .map(|attempt| format!(".{}.tmp", attempt.as_ref()));
        let existing = place.existing;
        let begin = async move {
            if let Some(S3 { plain, .. }) = &store.s3 {
                let id = plain.create_multipart_opts(&key, options).await?;
                let parts = Vec::new();
                return Ok(Parts::S3 { id, parts });
            }
            let key = match (existing, suffix) {
                (Existing::Refuse, Some(suffix)) => Key::parse(format!("{key}{suffix}"))?,
                _ => key,
            };
            let upload = store.objects.put_multipart_opts(&key, options).await?;
            Ok(Parts::Other { upload, key })
        };
        let begun: object_store::Result<Parts> = runtime::run(begin, Some(cancel))?;
        let parts = begun.map_err(|error| store_error(&place.url, "open", &error))?;
        Ok(Arc::new(Self {
            place,
            attempt,
            state: Mutex::new(State {
                parts: Some(parts),
                is_aborting: false,
                count: 0,
                tasks: Vec::new(),
                in_flight: 0,
                failed: None,
            }),
            sent: Condvar::new(),
        }))
    }

    /// Sends the next part, as soon as fewer than [`IN_FLIGHT`] are on their way.
    ///
    /// # Errors
    /// That of an earlier part, or the cause, if `cancel` is cancelled.
    pub(super) fn send(self: &Arc<Self>, bytes: Vec<u8>, cancel: &CancelToken) -> Result<()> {
        let handle = runtime::handle()?;
        let mut state = self.wait(IN_FLIGHT, cancel)?;
        let index = state.count;
        let (store, key) = (Arc::clone(&self.place.store), self.place.key.clone());
        let (upload, watched) = (Arc::clone(self), cancel.clone());
        let task = match &mut state.parts {
            None => return Err(self.lost(cancel)),
            Some(Parts::S3 { id, parts }) => {
                parts.push(None);
                let id = id.clone();
                let mut record = Record::new(upload, index, watched);
                handle.spawn(async move {
                    let sent = match &store.s3 {
                        Some(S3 { plain, .. }) => {
                            plain.put_part(&key, &id, index, bytes.into()).await
                        }
                        None => Err(object_store::Error::NotImplemented {
                            operation: "put_part".into(),
                            implementer: "the store".into(),
                        }),
                    };
                    record.end(sent.map(Some));
                })
            }
            Some(Parts::Other { upload: other, .. }) => {
                let part = other.put_part(bytes.into());
                let mut record = Record::new(upload, index, watched);
                handle.spawn(async move {
                    let sent = part.await;
                    record.end(sent.map(|()| None));
                })
            }
        };
        state.count += 1;
        state.in_flight += 1;
        state.tasks.retain(|task| !task.is_finished());
        state.tasks.push(task.abort_handle());
        Ok(())
    }

    /// Records that part `index` has been sent, or why it could not be: the export ends at
    /// once.
    fn record(
        &self,
        index: usize,
        sent: object_store::Result<Option<PartId>>,
        cancel: &CancelToken,
    ) {
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        match (sent, &mut state.parts) {
            (Ok(id), Some(Parts::S3 { parts, .. })) => {
                if let Some(part) = parts.get_mut(index) {
                    *part = id;
                }
            }
            (Ok(_), _) => {}
            // It is aborted.
            (Err(_), None) => {}
            (Err(error), Some(_)) => {
                let error = store_error(&self.place.url, "write to", &error);
                if state.failed.is_none() {
                    state.failed = Some(error.clone());
                    let cancel = cancel.clone();
                    // Not on this thread: it may wait for the server.
                    std::thread::spawn(move || cancel.cancel(error));
                }
            }
        }
        drop(state);
        self.sent.notify_all();
    }

    /// Waits until fewer than `below` parts are on their way.
    fn wait(&self, below: usize, cancel: &CancelToken) -> Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            if state.parts.is_none() {
                return Err(self.lost(cancel));
            }
            if state.in_flight < below {
                return Ok(state);
            }
            if let Some(cause) = cancel.cause() {
                return Err(cause);
            }
            let waited = self.sent.wait_timeout(state, POLL_INTERVAL);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the error of an upload that another thread has given up.
    fn lost(&self, cancel: &CancelToken) -> Error {
        let lost = || output_error(&self.place.url, "write to", "it is given up");
        cancel.cause().unwrap_or_else(lost)
    }

    /// Waits until all parts have been sent.
    pub(super) fn wait_for_all(&self, cancel: &CancelToken) -> Result<()> {
        self.wait(1, cancel).map(drop)
    }

    /// Makes the object visible.
    pub(super) fn complete(self: &Arc<Self>) -> Result<()> {
        let upload = Arc::clone(self);
        runtime::run(async move { upload.complete_parts().await }, None)?
    }

    async fn complete_parts(&self) -> Result<()> {
        let Place {
            store,
            key,
            existing,
            ..
        } = &self.place;
        let Some(parts) = lock(&self.state).parts.take() else {
            return Err(self.lost(&CancelToken::new()));
        };
        let error = match (parts, &store.s3) {
            (Parts::S3 { id, parts }, Some(s3)) => {
                let parts: Option<Vec<PartId>> = parts.into_iter().collect();
                let parts = parts.ok_or_else(|| self.lost(&CancelToken::new()))?;
                let client = match existing {
                    Existing::Replace => &s3.plain,
                    Existing::Refuse => &s3.if_absent,
                };
                match client.complete_multipart(key, &id, parts).await {
                    Ok(_) => return Ok(()),
                    Err(error) => {
                        // Put back, so that the upload is aborted.
                        let parts = Vec::new();
                        lock(&self.state).parts = Some(Parts::S3 { id, parts });
                        error
                    }
                }
            }
            (
                Parts::Other {
                    mut upload,
                    key: sent,
                },
                _,
            ) => match upload.complete().await {
                Ok(_) if sent == *key => return Ok(()),
                Ok(_) => return self.copy_from(&sent).await,
                // The answer may be lost.
                Err(_) if sent != *key && self.size_at(&sent).await.is_some() => {
                    return self.copy_from(&sent).await;
                }
                Err(error) => {
                    let parts = Parts::Other { upload, key: sent };
                    lock(&self.state).parts = Some(parts);
                    error
                }
            },
            (Parts::S3 { .. }, None) => return Err(self.lost(&CancelToken::new())),
        };
        let done = self
            .place
            .unless_there(self.attempt.clone(), "complete", error);
        done.await.inspect(|()| lock(&self.state).parts = None)
    }

    /// Returns the size of the object at `key` if it is this attempt's.
    async fn size_at(&self, key: &Key) -> Option<u64> {
        self.place.size_at(key, self.attempt.as_ref()).await
    }

    /// Copies the object at `sent` to its place, if nothing is there, and removes it.
    async fn copy_from(&self, sent: &Key) -> Result<()> {
        let Place {
            store, key, url, ..
        } = &self.place;
        let size = self.size_at(sent).await;
        let copied = store.objects.copy_if_not_exists(sent, key).await;
        // A store may copy for a while, and the answer may be lost.
        let deadline = Instant::now() + COPY_TIMEOUT;
        let mut is_whole = false;
        while size.is_some() && Instant::now() < deadline {
            let found = self.size_at(key).await;
            is_whole = found == size;
            if is_whole || found.is_none() {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if let Err(error) = store.objects.delete(sent).await {
            let error = store_error(url, "remove the temporary copy of", &error);
            tracing::warn!("{}: {sent}", error.message());
        }
        match (is_whole, copied) {
            (true, _) => Ok(()),
            (false, Err(error)) => Err(store_error(url, "write", &error)),
            (false, Ok(())) => Err(output_error(url, "write", "the store has not copied it")),
        }
    }

    /// Gives the upload up, unless it has ended: the store removes its parts. Waits for
    /// another thread that does so.
    pub(super) fn abort(&self) {
        let (parts, tasks) = {
            let mut state = lock(&self.state);
            let deadline = Instant::now() + ABORT_TIMEOUT;
            while state.is_aborting && Instant::now() < deadline {
                let waited = self.sent.wait_timeout(state, POLL_INTERVAL);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.is_aborting = state.parts.is_some();
            (state.parts.take(), std::mem::take(&mut state.tasks))
        };
        tasks.iter().for_each(AbortHandle::abort);
        self.sent.notify_all();
        let Some(parts) = parts else { return };
        self.abort_parts(parts);
        lock(&self.state).is_aborting = false;
        self.sent.notify_all();
    }

    fn abort_parts(&self, parts: Parts) {
        let (store, key) = (Arc::clone(&self.place.store), self.place.key.clone());
        let abort = async move {
            match parts {
                Parts::S3 { id, .. } => match &store.s3 {
                    Some(S3 { plain, .. }) => plain.abort_multipart(&key, &id).await,
                    None => Ok(()),
                },
                Parts::Other {
                    mut upload,
                    key: sent,
                } => {
                    if sent != key {
                        // If it was completed after all.
                        let _ = store.objects.delete(&sent).await;
                    }
                    upload.abort().await
                }
            }
        };
        let limited = async { tokio::time::timeout(ABORT_TIMEOUT, abort).await };
        let url = &self.place.url;
        let problem = match runtime::run(limited, None) {
            // It has ended already.
            Ok(Ok(Ok(()) | Err(object_store::Error::NotFound { .. }))) => return,
            Ok(Ok(Err(error))) => store_error(url, "abort the upload of", &error),
            Ok(Err(_)) => output_error(url, "abort the upload of", "the store does not answer"),
            Err(error) => error,
        };
        tracing::warn!(
            "{}; its parts stay until a lifecycle rule of the bucket removes them",
            problem.message()
        );
    }
}
