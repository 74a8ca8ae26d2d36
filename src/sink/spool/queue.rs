//! The bytes of one output that wait, first in, first out: in memory, and what finds no room
//! there in files. As long as there are files, what comes later goes behind them.

use std::{
    collections::VecDeque,
    fs::File,
    io, mem,
    os::unix::fs::FileExt,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use nix::errno::Errno;

use super::{Place, Spool};
use crate::{
    error::{Error, Result},
    format::CHUNK,
    sync::lock,
};

/// The smallest size from which on a file is followed by the next one, but for a low limit,
/// which is divided among at least so many files; one is removed when all of it has been
/// read. A high limit is divided among at most so many, as each is open.
const FILE_SIZE: u64 = 64 << 20;
const MIN_FILES: u64 = 8;
const MAX_FILES: u64 = 256;

/// The smallest size of a block in memory. Small writes share one.
const BLOCK: usize = 64 << 10;

/// The number of bytes that have come and are not sent.
#[derive(Clone, Debug, Default)]
pub struct Unsent(Arc<AtomicU64>);

impl Unsent {
    /// Returns the number.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.0.fetch_sub(bytes as u64, Relaxed);
    }
}

/// The bytes of one output that wait.
pub(super) struct Queue {
    spool: Arc<Spool>,
    unsent: Unsent,
    state: Mutex<State>,
    /// Notified when something comes, or the end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What is older than all files. Each block has whole writes.
    memory: VecDeque<Vec<u8>>,
    files: VecDeque<Piece>,
    /// Whether the last file is being written to, or the first one made.
    is_writing: bool,
    end: Option<End>,
    failed: Option<Error>,
}

/// A file of blocks.
struct Piece {
    file: Arc<File>,
    size: u64,
    /// Where the next block begins.
    next: u64,
    /// The lengths of the blocks that have not been read. Each has whole writes.
    lengths: VecDeque<usize>,
}

/// What becomes of the bytes that wait when no more come.
pub(super) enum End {
    /// They are sent, and the output is completed. The place is given back then.
    Complete(Place),
    /// They are sent, but the output is not complete.
    Send,
    /// They are dropped.
    Discard,
}

/// What comes next from the queue.
pub(super) enum Next<'a> {
    Block(Block<'a>),
    /// No more come.
    End(End),
}

/// Bytes that are being sent. They are counted until it is dropped.
pub(super) struct Block<'a> {
    queue: &'a Queue,
    place: BlockPlace,
}

enum BlockPlace {
    Memory(Vec<u8>),
    File {
        file: Arc<File>,
        offset: u64,
        length: usize,
    },
}

impl Block<'_> {
    /// Returns the bytes, which are read into `buffer` if they are in a file.
    ///
    /// # Errors
    /// That of the system.
    pub(super) fn bytes<'b>(&'b self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        match &self.place {
            BlockPlace::Memory(bytes) => Ok(bytes),
            BlockPlace::File {
                file,
                offset,
                length,
            } => {
                buffer.resize(*length, 0);
                file.read_exact_at(buffer, *offset)?;
                Ok(buffer)
            }
        }
    }
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        let Queue { spool, unsent, .. } = self.queue;
        match &self.place {
            BlockPlace::Memory(bytes) => {
                let capacity = bytes.capacity() as u64;
                spool.give_back(|used| used.memory -= capacity);
                unsent.subtract(bytes.len());
            }
            BlockPlace::File { length, .. } => unsent.subtract(*length),
        }
    }
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    Done,
    /// There is no room, for this reason.
    Full(&'static str),
}

impl Queue {
    pub(super) fn new(spool: Arc<Spool>, unsent: Unsent) -> Self {
        Self {
            spool,
            unsent,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Adds `bytes`, if there is room. Only one thread does so.
    ///
    /// # Errors
    /// The one that the destination has failed with; that of the system otherwise.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<Put, PutError> {
        let mut state = lock(&self.state);
        if let Some(error) = &state.failed {
            return Err(PutError::Failed(error.clone()));
        }
        let length = bytes.len() as u64;
        if state.files.is_empty() && state.add_to_memory(bytes, &self.spool) {
            self.unsent.add(bytes.len());
            drop(state);
            self.changed.notify_one();
            return Ok(Put::Done);
        }
        if !self.spool.take_disk(length) {
            return Ok(Put::Full("its limit is reached"));
        }
        state.is_writing = true;
        let limit = self.spool.options.limit;
        let file_size = FILE_SIZE.max(limit / MAX_FILES).min(limit / MIN_FILES);
        let last = state.files.back().filter(|last| last.size < file_size);
        let last = last.map(|last| (Arc::clone(&last.file), last.size));
        drop(state);
        let written = self.write(last, bytes);
        let mut state = lock(&self.state);
        state.is_writing = false;
        let put = match written {
            Ok(new) => {
                self.unsent.add(bytes.len());
                state.files.extend(new);
                state.add_to_file(bytes.len());
                Ok(Put::Done)
            }
            Err(error) => {
                self.spool.give_back(|used| used.disk -= length);
                let errno = error.raw_os_error().map(Errno::from_raw);
                match errno {
                    Some(Errno::ENOSPC | Errno::EDQUOT) => Ok(Put::Full("its disk is full")),
                    Some(Errno::EMFILE | Errno::ENFILE) => {
                        Ok(Put::Full("no more files may be open (ulimit -n)"))
                    }
                    _ => Err(PutError::System(error)),
                }
            }
        };
        self.drop_read_files(&mut state);
        drop(state);
        self.changed.notify_one();
        put
    }

    /// Writes `bytes` to the file `last` behind its size, or to a new file, which is returned.
    fn write(&self, last: Option<(Arc<File>, u64)>, bytes: &[u8]) -> io::Result<Option<Piece>> {
        if let Some((file, size)) = last {
            return file.write_all_at(bytes, size).map(|()| None);
        }
        let file = self.spool.folder.file()?;
        file.write_all_at(bytes, 0)?;
        Ok(Some(Piece {
            file: Arc::new(file),
            size: 0,
            next: 0,
            lengths: VecDeque::new(),
        }))
    }

    /// Waits for the next bytes.
    pub(super) fn next(&self) -> Next<'_> {
        let mut state = lock(&self.state);
        loop {
            if matches!(state.end, Some(End::Discard)) {
                return Next::End(End::Discard);
            }
            if let Some(place) = state.next_block() {
                return Next::Block(Block { queue: self, place });
            }
            self.drop_read_files(&mut state);
            if let Some(end) = state.end.take() {
                return Next::End(end);
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the bytes that wait are not wanted.
    pub(super) fn is_discarded(&self) -> bool {
        matches!(lock(&self.state).end, Some(End::Discard))
    }

    /// Waits for a moment, or until there is room.
    pub(super) fn wait_for_room(&self) {
        drop(self.spool.wait(lock(&self.spool.used)));
    }

    /// Says what becomes of the bytes that wait; no more come. Only the first end counts.
    pub(super) fn end(&self, end: End) {
        lock(&self.state).end.get_or_insert(end);
        self.changed.notify_one();
    }

    /// Drops the bytes that wait, whatever was to become of them.
    pub(super) fn discard(&self) {
        let mut state = lock(&self.state);
        state.end = Some(End::Discard);
        self.clear(&mut state);
        drop(state);
        self.changed.notify_one();
    }

    /// Drops the bytes that wait.
    fn clear(&self, state: &mut State) {
        let memory = mem::take(&mut state.memory);
        let files = mem::take(&mut state.files);
        let capacity: usize = memory.iter().map(Vec::capacity).sum();
        let disk: u64 = files.iter().map(|piece| piece.size).sum();
        let in_memory: usize = memory.iter().map(Vec::len).sum();
        let in_files = files.iter().flat_map(|piece| &piece.lengths);
        self.unsent.subtract(in_memory + in_files.sum::<usize>());
        self.spool.give_back(|used| {
            used.memory -= capacity as u64;
            used.disk -= disk;
        });
    }

    /// Records why the destination has failed.
    pub(super) fn fail(&self, error: Error) {
        lock(&self.state).failed = Some(error);
    }

    /// Drops the files at the front that have been read, which frees their room.
    fn drop_read_files(&self, state: &mut State) {
        while let Some(piece) = state.files.front()
            && piece.lengths.is_empty()
            && (state.files.len() > 1 || !state.is_writing)
        {
            let size = piece.size;
            state.files.pop_front();
            self.spool.give_back(|used| used.disk -= size);
        }
    }
}

/// Why a write has failed.
pub(super) enum PutError {
    /// The destination has failed.
    Failed(Error),
    /// A file of the spool has.
    System(io::Error),
}

impl State {
    /// Takes the oldest block.
    fn next_block(&mut self) -> Option<BlockPlace> {
        if let Some(bytes) = self.memory.pop_front() {
            return Some(BlockPlace::Memory(bytes));
        }
        let piece = self.files.iter_mut().find(|one| !one.lengths.is_empty())?;
        let (length, offset) = (piece.lengths.pop_front()?, piece.next);
        piece.next += length as u64;
        Some(BlockPlace::File {
            file: Arc::clone(&piece.file),
            offset,
            length,
        })
    }

    /// Adds `bytes` to the last block in memory, or to a new one. Returns whether there was
    /// room. If nothing waits, there is: an output that keeps no other waiting goes on.
    fn add_to_memory(&mut self, bytes: &[u8], spool: &Spool) -> bool {
        if let Some(last) = self.memory.back_mut()
            && last.len() + bytes.len() <= last.capacity()
        {
            last.extend_from_slice(bytes);
            return true;
        }
        let mut block = Vec::with_capacity(bytes.len().max(BLOCK));
        if !spool.take_memory(block.capacity(), self.memory.is_empty()) {
            return false;
        }
        block.extend_from_slice(bytes);
        self.memory.push_back(block);
        true
    }

    /// Adds `length` bytes, which have been written, to the last block of the last file.
    fn add_to_file(&mut self, length: usize) {
        let Some(piece) = self.files.back_mut() else {
            return;
        };
        piece.size += length as u64;
        match piece.lengths.back_mut() {
            Some(last) if *last + length <= CHUNK => *last += length,
            _ => piece.lengths.push_back(length),
        }
    }
}

/// What waits is dropped with it.
impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = mem::take(&mut *lock(&self.state));
        self.clear(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::sink::{SpoolFull, SpoolOptions};

    /// Puts writes of many lengths into a queue while a thread takes them in its own pace.
    /// Returns whether files were used.
    fn copy(memory: u64, limit: u64, pause: u64) -> bool {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(SpoolOptions {
            folder: folder.path().to_owned(),
            memory,
            limit,
            full: SpoolFull::Wait,
        })
        .expect("a folder");
        let unsent = Unsent::default();
        let queue = Queue::new(Arc::clone(&spool), unsent.clone());
        let writes: Vec<Vec<u8>> = (0..2000_u32)
            .map(|n| n.to_le_bytes().repeat(1 + (n * 7919 % 1500) as usize))
            .collect();
        let mut used_files = false;
        let taken = thread::scope(|scope| {
            let taker = scope.spawn(|| {
                let (mut taken, mut buffer, mut count) = (Vec::new(), Vec::new(), 0_u64);
                while let Next::Block(block) = queue.next() {
                    taken.extend_from_slice(block.bytes(&mut buffer).expect("a block"));
                    count += 1;
                    (0..count % 7 * pause).for_each(|_| thread::yield_now());
                }
                taken
            });
            for bytes in &writes {
                while queue.put(bytes).ok().expect("a place") != Put::Done {
                    queue.wait_for_room();
                }
                used_files |= !lock(&queue.state).files.is_empty();
            }
            queue.end(End::Send);
            taker.join().expect("no panic")
        });
        assert!(taken == writes.concat());
        assert_eq!(unsent.bytes(), 0);
        drop(queue);
        let used = lock(&spool.used);
        assert_eq!((used.memory, used.disk), (0, 0));
        used_files
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        for pause in [0, 1, 50] {
            copy(10_000, 1 << 30, pause);
            copy(10_000, 50_000, pause);
            copy(0, 1 << 30, pause);
            assert!(!copy(1 << 30, 0, pause));
            assert!(!copy(0, 0, pause));
        }
        assert!(copy(10_000, 1 << 30, 1000));
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SpoolOptions {
            folder: folder.path().to_owned(),
            memory: 100,
            limit: 1000,
            full: SpoolFull::Fail,
        };
        let spool = Spool::open(options).expect("a folder");
        let unsent = Unsent::default();
        let queue = Queue::new(Arc::clone(&spool), unsent.clone());
        let put = |length| queue.put(&vec![b'x'; length]).ok().expect("a place");
        // The first write always finds room.
        assert_eq!(put(BLOCK), Put::Done);
        assert_eq!(put(900), Put::Done);
        assert_eq!(put(200), Put::Full("its limit is reached"));
        assert_eq!(unsent.bytes(), BLOCK as u64 + 900);
        let Next::Block(block) = queue.next() else {
            panic!("a block");
        };
        drop(block);
        assert_eq!(unsent.bytes(), 900);
        queue.discard();
        assert!(matches!(queue.next(), Next::End(End::Discard)));
        drop(queue);
        assert_eq!(unsent.bytes(), 0);
        let used = lock(&spool.used);
        assert_eq!((used.memory, used.disk), (0, 0));
    }
}
