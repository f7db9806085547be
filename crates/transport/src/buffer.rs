//! Body buffers: aligned and recycled.
//!
//! Page-faulting fresh megabytes costs more than copying them, so the memory of a body goes back to a pool when
//! the last view of it is dropped. Each body starts on a multiple of [`ALIGNMENT`] so that SIMD code and DLPack
//! consumers accept it.
//!
//! Sockets are read into memory that has contents, since only that is a `&mut [u8]`. What is fresh is filled with zeros before the
//! first read into it; what comes out of the pool has the contents of the last body, and is not filled again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};

/// Where a body starts: a cache line, and what DLPack asks for.
pub const ALIGNMENT: usize = 64;

/// Memory smaller than this is not pooled: the allocator is as fast, and such bodies are copied into it, not read.
const SMALLEST_POOLED: usize = 16 * 1024;

/// Largest buffer kept, so that one giant frame does not pin its memory for ever.
const LARGEST_POOLED: usize = 64 * 1024 * 1024;

/// Bytes a pool keeps at most. Four bodies of the default limit.
const POOL_CAPACITY: usize = 128 * 1024 * 1024;

/// What a body is given before any of it has arrived.
const FIRST_PIECE: usize = 256 * 1024;

/// Bytes of fresh memory that are filled with zeros at once: what most bodies need for one read. The pages of the rest are not ours
/// before there is something to read into them.
const ZEROED: usize = 128 * 1024;

/// Bytes that may be read together with a body: its head before it, some of the next packet behind it. Smaller bodies than
/// [`SMALLEST_READ_BESIDE`] are copied out of a read buffer, and read with nothing.
const BESIDE: usize = 2 * 1024;
const SMALLEST_READ_BESIDE: usize = 16 * 1024;

/// How much larger its memory gets whenever that is full.
const GROWTH: usize = 4;

/// Recycles the memory of bodies. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct BufferPool(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    /// By their size class. What came back last is given out first: it is the most likely to be in a cache.
    free: BTreeMap<usize, Vec<Vec<u8>>>,
    bytes: usize,
    reused: u64,
    fresh: u64,
}

/// How a pool has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Bytes waiting to be used again.
    pub idle_bytes: usize,
    /// Buffers that came from the pool.
    pub reused: u64,
    /// Buffers that had to be allocated.
    pub fresh: u64,
}

impl BufferPool {
    /// A buffer for a body of exactly `len` bytes. Memory that has to be fresh is taken as bytes arrive: a peer that only
    /// declares a large body makes us hold 256 KiB (`FIRST_PIECE`).
    pub fn take(&self, len: usize) -> BodyBuffer {
        self.take_behind(0, len)
    }

    /// The same where the `head` bytes before the body are read into this memory too: they are missing first.
    pub(crate) fn take_behind(&self, head: usize, len: usize) -> BodyBuffer {
        let beside = if len < SMALLEST_READ_BESIDE { 0 } else { BESIDE };
        let wanted = len + ALIGNMENT + beside.max(head.next_multiple_of(ALIGNMENT));
        if !(SMALLEST_POOLED..=LARGEST_POOLED).contains(&wanted) {
            return BodyBuffer::over(Vec::with_capacity(wanted.min(FIRST_PIECE)), head, len, wanted, None);
        }
        let class = size_class(wanted);
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = match shelf.free.get_mut(&class).and_then(Vec::pop) {
            Some(buffer) => {
                shelf.bytes -= buffer.capacity();
                shelf.reused += 1;
                buffer
            }
            None => {
                shelf.fresh += 1;
                Vec::with_capacity(class.min(FIRST_PIECE))
            }
        };
        drop(shelf);
        BodyBuffer::over(memory, head, len, class, Some(Arc::downgrade(&self.0)))
    }

    /// Counters.
    pub fn stats(&self) -> PoolStats {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        PoolStats { idle_bytes: shelf.bytes, reused: shelf.reused, fresh: shelf.fresh }
    }
}

/// Sizes that buffers come in, four to each power of two: little is wasted, and the next body of about this size fits.
fn size_class(wanted: usize) -> usize {
    wanted.next_multiple_of(wanted.next_power_of_two() / 8)
}

/// A body being received. Write with [`BodyBuffer::put`], or into [`BodyBuffer::spare`] and say so with [`BodyBuffer::advance`];
/// then [`BodyBuffer::freeze`].
#[derive(Debug)]
pub struct BodyBuffer {
    /// All of it has contents; from `filled` on they mean nothing.
    memory: Vec<u8>,
    start: usize,
    filled: usize,
    len: usize,
    /// What the memory may grow to.
    capacity: usize,
    pool: Option<Weak<Mutex<Shelf>>>,
}

impl BodyBuffer {
    fn over(
        mut memory: Vec<u8>,
        head: usize,
        len: usize,
        capacity: usize,
        pool: Option<Weak<Mutex<Shelf>>>,
    ) -> Self {
        let start = aligned_start(&memory) + head.next_multiple_of(ALIGNMENT);
        let filled = start - head;
        if memory.len() < filled {
            memory.resize(filled, 0);
        }
        BodyBuffer { memory, start, filled, len, capacity, pool }
    }

    /// Bytes still to come.
    pub fn missing(&self) -> usize {
        (self.start + self.len).saturating_sub(self.filled)
    }

    /// Room for some of the missing bytes, and for no others; none only when none are missing.
    pub fn spare(&mut self) -> &mut [u8] {
        self.spare_beyond(0, usize::MAX)
    }

    /// The same, and for up to `beyond` bytes that follow the body: see [`BodyBuffer::take_surplus`]. At most `limit` in all.
    pub(crate) fn spare_beyond(&mut self, beyond: usize, limit: usize) -> &mut [u8] {
        self.make_room(1);
        let wanted = (self.missing() + beyond).min(limit);
        let end = (self.filled + wanted).min(self.memory.capacity());
        if self.memory.len() < end {
            self.memory.resize(end.min(self.memory.len().max(self.filled + ZEROED)), 0);
        }
        let end = end.min(self.memory.len());
        self.memory.get_mut(self.filled..end).unwrap_or_default()
    }

    /// `bytes` more have been written where they had [room](BodyBuffer::spare); more than that do not count.
    pub fn advance(&mut self, bytes: usize) {
        self.filled = self.filled.saturating_add(bytes).min(self.memory.len());
    }

    /// Moves what has arrived beyond the body to where it belongs.
    pub(crate) fn take_surplus(&mut self, rest: &mut BytesMut) {
        let end = self.start + self.len;
        rest.extend_from_slice(self.memory.get(end..self.filled).unwrap_or_default());
        self.filled = self.filled.min(end);
    }

    /// The last `head` bytes before the body, once they have arrived.
    pub(crate) fn head(&self, head: usize) -> Option<&[u8]> {
        self.memory.get(self.start - head..self.start).filter(|_| self.start <= self.filled)
    }

    /// Everything that has arrived from `head` bytes before the body on.
    pub(crate) fn arrived(&self, head: usize) -> &[u8] {
        self.memory.get(self.start - head..self.filled).unwrap_or_default()
    }

    /// Adds bytes that have arrived; those beyond the body's length are left out.
    pub fn put(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..self.missing()).unwrap_or(bytes);
        self.make_room(bytes.len());
        let known = self.memory.get_mut(self.filled..).unwrap_or_default();
        let (over, behind) = bytes.split_at(bytes.len().min(known.len()));
        if let Some(known) = known.get_mut(..over.len()) {
            known.copy_from_slice(over);
        }
        self.memory.extend_from_slice(behind);
        self.filled += bytes.len();
    }

    /// Memory for `more` bytes of the body: large steps, so that what has arrived is moved a few times at most.
    fn make_room(&mut self, more: usize) {
        let needed = self.filled + more.min(self.missing());
        if needed <= self.memory.capacity() {
            return;
        }
        let capacity = (self.memory.capacity() * GROWTH).max(needed).min(self.capacity).max(needed);
        self.memory.truncate(self.filled);
        self.memory.reserve_exact(capacity - self.memory.len());
        // The new place may be aligned in another way.
        let (old, new) = (self.start, aligned_start(&self.memory));
        if new > old {
            self.memory.splice(..0, std::iter::repeat_n(0, new - old));
        } else {
            self.memory.drain(..old - new);
        }
        self.start = new;
        self.filled = self.memory.len();
    }

    /// The bytes received so far, as a body whose memory returns to the pool with its last view.
    pub fn freeze(self) -> Bytes {
        let start = self.start;
        let end = self.filled.min(start + self.len);
        Bytes::from_owner(Recycled { memory: self.memory, pool: self.pool }).slice(start..end)
    }
}

/// How far from the beginning of its memory a body starts.
fn aligned_start(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT)
}

struct Recycled {
    memory: Vec<u8>,
    pool: Option<Weak<Mutex<Shelf>>>,
}

impl AsRef<[u8]> for Recycled {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let Some(pool) = self.pool.as_ref().and_then(Weak::upgrade) else { return };
        let memory = std::mem::take(&mut self.memory);
        let mut shelf = pool.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.bytes + memory.capacity() <= POOL_CAPACITY {
            shelf.bytes += memory.capacity();
            shelf.free.entry(memory.capacity()).or_default().push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &BufferPool, len: usize) -> Bytes {
        let mut buffer = pool.take(len);
        while buffer.missing() > 0 {
            let step = buffer.missing().min(1000);
            buffer.put(&[7; 1000][..step]);
        }
        buffer.freeze()
    }

    #[test]
    fn bodies_are_aligned_and_exact() {
        let pool = BufferPool::default();
        for len in [0, 1, 63, 64, 1000, 70_000, 3_000_000] {
            let body = filled(&pool, len);
            assert_eq!(body.len(), len);
            assert_eq!(body.as_ptr().align_offset(ALIGNMENT), 0, "{len}");
            assert!(body.iter().all(|byte| *byte == 7));
        }
    }

    #[test]
    fn memory_comes_with_the_bytes_and_not_with_the_promise() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(32 << 20);
        assert!(buffer.memory.capacity() <= FIRST_PIECE);
        let mut written = 0;
        while buffer.missing() > 0 {
            let spare = buffer.spare();
            spare.fill(7);
            let step = spare.len();
            buffer.advance(step);
            written += step;
            assert!(buffer.memory.capacity() <= FIRST_PIECE.max(GROWTH * (written + ALIGNMENT)));
            assert!(buffer.memory.len() <= written + ALIGNMENT + ZEROED, "pages that nobody needs yet");
        }
        assert_eq!(written, 32 << 20);
        // Bytes beyond the end are nobody's.
        buffer.put(b"more");
        let body = buffer.freeze();
        assert!(body.len() == 32 << 20 && body.iter().all(|byte| *byte == 7));
        assert_eq!(body.as_ptr().align_offset(ALIGNMENT), 0);
    }

    /// As if `bytes` were read from a socket.
    fn write(buffer: &mut BodyBuffer, bytes: &[u8]) {
        let spare = buffer.spare_beyond(100, bytes.len());
        assert_eq!(spare.len(), bytes.len());
        spare.copy_from_slice(bytes);
        buffer.advance(bytes.len());
    }

    #[test]
    fn what_is_read_around_a_body_can_be_told_from_it() {
        let pool = BufferPool::default();
        for (head, len) in [(0, 70_000), (112, 65_600), (64, 20_000), (5_000, 70_000)] {
            let mut buffer = pool.take_behind(head, len);
            assert_eq!(buffer.missing(), head + len);
            assert!(buffer.head(head).is_none() || head == 0);
            write(&mut buffer, &vec![1; head]);
            assert_eq!(buffer.arrived(head), vec![1; head]);
            write(&mut buffer, &vec![2; len]);
            write(&mut buffer, &[3; 100]);
            assert_eq!((buffer.missing(), buffer.head(head)), (0, Some(&*vec![1; head])));
            let mut rest = BytesMut::new();
            buffer.take_surplus(&mut rest);
            assert_eq!(rest, [3; 100][..]);
            let body = buffer.freeze();
            assert_eq!((&*body, body.as_ptr().align_offset(ALIGNMENT)), (&*vec![2; len], 0));
        }
    }

    #[test]
    fn a_size_class_wastes_little() {
        for wanted in [SMALLEST_POOLED, 70_000, (1 << 20) + ALIGNMENT, (32 << 20) + ALIGNMENT, LARGEST_POOLED]
        {
            let class = size_class(wanted);
            assert!(class >= wanted && class <= wanted + wanted / 4, "{wanted}: {class}");
        }
    }

    #[test]
    fn memory_returns_when_the_last_view_is_dropped() {
        let pool = BufferPool::default();
        let body = filled(&pool, 100_000);
        let view = body.slice(10..20);
        drop(body);
        assert_eq!(pool.stats().idle_bytes, 0);
        drop(view);
        assert!(pool.stats().idle_bytes >= 100_000);
        let again = filled(&pool, 99_000);
        assert_eq!(pool.stats(), PoolStats { idle_bytes: 0, reused: 1, fresh: 1 });
        drop(again);
    }

    #[test]
    fn a_body_has_nothing_of_the_one_whose_memory_it_got() {
        let pool = BufferPool::default();
        drop(filled(&pool, 100_000));
        let mut buffer = pool.take_behind(64, 99_000);
        assert_eq!((buffer.head(64), buffer.arrived(64)), (None, &[][..]));
        buffer.put(&[1; 64]);
        assert_eq!((buffer.head(64), buffer.missing()), (Some(&[1; 64][..]), 99_000));
        write(&mut buffer, &[2; 10]);
        buffer.put(&[3; 10]);
        assert_eq!(buffer.freeze(), [[2; 10], [3; 10]].concat());
        assert_eq!(pool.stats().reused, 1);
    }

    #[test]
    fn a_pool_keeps_no_more_than_its_capacity() {
        let pool = BufferPool::default();
        let many: Vec<Bytes> = (0..5).map(|_| filled(&pool, 30 << 20)).collect();
        drop(many);
        assert!(pool.stats().idle_bytes <= POOL_CAPACITY);
    }
}
