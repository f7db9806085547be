//! The only place in the crate that cuts bytes apart.
//!
//! Nothing here panics: a fixed layout is read from an array of its own size, everything else asks for what it needs and
//! gets `None` when that is not there.

use bytes::{Buf, Bytes};

macro_rules! fixed_readers {
    ($($int:ident)+) => { $(
        /// Reads a little-endian number at `offset`, which the layout tables check when compiling.
        #[inline]
        pub(crate) fn $int<const N: usize>(raw: &[u8; N], offset: usize) -> $int {
            raw.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| $int::from_le_bytes(*bytes))
        }
    )+ };
}
fixed_readers!(u8 u16 u32 u64);

/// The fixed array at `offset`, or `None` when it is not all there.
#[inline]
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<&[u8; N]> {
    bytes.get(offset..)?.first_chunk()
}

/// Rounds up to a multiple of 8. Lengths on the wire have 32 bits, so this cannot overflow.
#[inline]
pub(crate) const fn align8(length: u64) -> u64 {
    (length + 7) & !7
}

/// A place in a body that only moves forward. Offsets count from the first byte of the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes[start..end]`; an impossible range reads nothing.
    pub(crate) fn new(bytes: &'a [u8], start: usize, end: usize) -> Self {
        let end = end.min(bytes.len());
        Self { bytes, position: start.min(end), end }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// The next `length` bytes, or `None` (and nothing read) when fewer are left.
    pub(crate) fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.remaining())?;
        let taken = self.bytes.get(self.position..self.position + length)?;
        self.position += length;
        Some(taken)
    }
}

/// `body[start..end]` without copying; empty when the range is impossible. The ranges come from a finished decode of the same
/// bytes, so they are never impossible.
#[inline]
pub(crate) fn slice(body: &Bytes, start: usize, end: usize) -> Bytes {
    if start <= end && end <= body.len() { body.slice(start..end) } else { Bytes::new() }
}

/// The same of bytes that nobody needs any more: without another reference to them.
#[inline]
pub(crate) fn take(mut body: Bytes, start: usize, end: usize) -> Bytes {
    if start <= end && end <= body.len() {
        body.truncate(end);
        body.advance(start);
        body
    } else {
        Bytes::new()
    }
}

/// Whether every byte is zero.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
