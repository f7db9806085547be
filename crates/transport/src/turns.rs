//! How much of a large body is moved before others have their turn.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes read or written in one turn of a task: about 0.05 ms for the kernel. A body of megabytes would otherwise hold up the
/// small frames of every other session on its thread for as long as it takes.
pub(crate) const TURN_BYTES: usize = 128 * 1024;

/// Ordered streams and QUIC connections of this process that are open.
static STREAMS: AtomicUsize = AtomicUsize::new(0);

/// Stands for one of them.
#[derive(Debug)]
pub(crate) struct Stream(());

impl Stream {
    pub(crate) fn open() -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        Stream(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether there is nobody else in this process who might be kept waiting.
pub(crate) fn is_alone() -> bool {
    STREAMS.load(Ordering::Relaxed) <= 1
}

/// Bytes that may be moved in one turn now: a stream that is the only one keeps nobody waiting, and large steps are faster.
pub(crate) fn bytes() -> usize {
    if is_alone() { usize::MAX } else { TURN_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_short_as_soon_as_there_are_two() {
        let (one, other) = (Stream::open(), Stream::open());
        assert_eq!(bytes(), TURN_BYTES);
        drop((one, other));
    }
}
