//! A frame's stream, and what was read of it ahead of its reader.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use nnrp_wire::{Header, Packet};
use quinn::{ReadError, ReadExactError, RecvStream, VarInt};

use crate::buffer::{BodyBuffer, BufferPool};
use crate::buffered::SHARED_BODY;

/// Pieces read at once of a stream that has just been opened: a frame of 4 KiB, which takes three or four packets of the size that
/// the Internet carries. More is read only when there is room for the frame.
const FIRST_PIECES: usize = 5;

/// Memory that the smallest packets of a turn share at most, and that each of them keeps alive: a multiple of what one has by itself,
/// and still less than on TCP.
const SHARED_BYTES: usize = 8 * 1024;

/// Metadata and body of a packet that shares memory. What is larger does not notice an allocation of its own.
const SHARING_BYTES: usize = 1024;

/// Pieces of a body read at once.
const BODY_PIECES: usize = 32;

/// Code of STOP_SENDING on a stream whose packet was refused: limit_exceeded.
const REFUSED_STREAM: u32 = 7;

/// See the module.
pub(super) struct FrameStream {
    stream: RecvStream,
    ahead: Ahead,
}

impl FrameStream {
    /// A stream that was opened, with the beginning of what has arrived of it.
    pub(super) fn begin(mut stream: RecvStream) -> Self {
        let mut ahead = Ahead::default();
        ahead.read(&mut stream);
        FrameStream { stream, ahead }
    }

    /// Reads what has arrived since: streams that were opened later may have been looked at meanwhile, and must not be handled before
    /// this one if all of it is there.
    pub(super) fn read_on(&mut self) {
        self.ahead.read(&mut self.stream);
    }

    pub(super) fn id(&self) -> u64 {
        u64::from(self.stream.id())
    }

    /// The next packet's header, if it has been read.
    pub(super) fn header(&self) -> Option<[u8; Header::LEN]> {
        let mut bytes = [0; Header::LEN];
        let mut room = bytes.as_mut_slice();
        for piece in self.ahead.pieces() {
            room.put_slice(piece.get(..room.len()).unwrap_or(piece));
        }
        room.is_empty().then_some(bytes)
    }

    /// Whether what follows this header, which was skipped, has been read, and nothing more.
    pub(super) fn has_rest(&self, header: &Header) -> bool {
        self.ahead.len() == header.meta_len as usize + header.body_len as usize
    }

    /// The header was handled; what comes next is its metadata.
    pub(super) fn skip_header(&mut self) {
        self.ahead.move_to(Header::LEN, |_| {});
    }

    /// The packet of a header that was skipped, of which everything has been read. A copy: what quinn hands out are views of all
    /// that came from the socket with it.
    pub(super) fn take_packet(
        &mut self,
        header: Header,
        pool: &BufferPool,
        small: &mut SmallPackets,
    ) -> Packet {
        let (meta_len, body_len) = (header.meta_len as usize, header.body_len as usize);
        if body_len > SHARED_BODY {
            let mut metadata = BytesMut::with_capacity(meta_len);
            self.ahead.move_to(meta_len, |bytes| metadata.put_slice(bytes));
            let mut body = pool.take(body_len);
            self.ahead.move_to(body_len, |bytes| body.put(bytes));
            return Packet::build(header, metadata.freeze(), body.freeze());
        }
        let memory = small.room_for(meta_len + body_len);
        self.ahead.move_to(meta_len + body_len, |bytes| memory.put_slice(bytes));
        let metadata = memory.split_to(meta_len.min(memory.len())).freeze();
        Packet::build(header, metadata, memory.split().freeze())
    }

    /// Whether the stream has ended, as far as can be said now. Nothing is left of what was read.
    pub(super) fn is_over(&mut self) -> bool {
        match self.stream.read_chunk(1, true).now_or_never() {
            Some(Ok(None)) => true,
            Some(Ok(Some(more))) => {
                self.ahead.hold(more.bytes);
                false
            }
            _ => false,
        }
    }

    /// What was read ahead is kept while others are waited for: a copy of its own, see [`FrameStream::take_packet`].
    pub(super) fn keep(&mut self) {
        let mut kept = BytesMut::with_capacity(self.ahead.len());
        self.ahead.move_to(usize::MAX, |bytes| kept.put_slice(bytes));
        self.ahead.hold(kept.freeze());
    }

    /// Reads `bytes.len()` bytes.
    pub(super) async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), ReadExactError> {
        let got = self.ahead.copy_to(bytes);
        let Some(rest) = bytes.get_mut(got..).filter(|rest| !rest.is_empty()) else { return Ok(()) };
        self.stream.read_exact(rest).await.map_err(|error| match error {
            ReadExactError::FinishedEarly(more) => ReadExactError::FinishedEarly(got + more),
            lost @ ReadExactError::ReadError(_) => lost,
        })
    }

    /// Reads what `body` misses: from quinn's reassembly straight into it, the one copy there is. False when the stream ends
    /// too early.
    pub(super) async fn read_body(&mut self, body: &mut BodyBuffer) -> Result<bool, ReadError> {
        self.ahead.move_to(body.missing(), |bytes| body.put(bytes));
        while body.missing() > 0 {
            let FrameStream { stream, ahead } = self;
            // The pieces live no longer than a poll: a thousand streams may be waiting here.
            let complete = poll_fn(|cx| {
                let mut pieces = [const { Bytes::new() }; BODY_PIECES];
                let read = pin!(stream.read_chunks(&mut pieces)).poll(cx);
                let Poll::Ready(read) = read else { return Poll::Pending };
                if read?.is_none() {
                    return Poll::Ready(Ok::<_, ReadError>(false));
                }
                let mut beyond = BytesMut::new();
                for piece in &mut pieces {
                    let ours = piece.split_to(body.missing().min(piece.len()));
                    body.put(&ours);
                    beyond.put_slice(piece);
                }
                ahead.hold(beyond.freeze());
                Poll::Ready(Ok(true))
            })
            .await?;
            if !complete {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The packet was refused: nothing more of the stream is read.
    pub(super) fn refuse(&mut self) {
        let _ = self.stream.stop(VarInt::from_u32(REFUSED_STREAM));
    }
}

/// Memory of the packets of one turn. The smallest share it: one allocation instead of two for each.
pub(super) struct SmallPackets {
    memory: BytesMut,
    /// Streams that are still to be looked at.
    streams: usize,
}

impl SmallPackets {
    pub(super) fn of(streams: usize) -> Self {
        SmallPackets { memory: BytesMut::new(), streams }
    }

    /// Empty memory for the packet of the next stream.
    fn room_for(&mut self, bytes: usize) -> &mut BytesMut {
        if self.memory.capacity() < bytes {
            let sharing = if bytes <= SHARING_BYTES { self.streams } else { 1 };
            let all = bytes.saturating_mul(sharing).min(SHARED_BYTES);
            self.memory = BytesMut::with_capacity(all.max(bytes));
        }
        &mut self.memory
    }

    /// Another stream was looked at.
    pub(super) fn next(&mut self) {
        self.streams = self.streams.saturating_sub(1);
    }
}

/// What was read and not used yet.
#[derive(Default)]
struct Ahead {
    first: Bytes,
    /// Most frames have none: they would only be moved about with their stream.
    more: Vec<Bytes>,
}

impl Ahead {
    /// Reads what is there, as long as all together are few pieces.
    fn read(&mut self, stream: &mut RecvStream) {
        let mut pieces = [const { Bytes::new() }; FIRST_PIECES];
        let used = self.pieces().filter(|piece| !piece.is_empty()).count();
        let free = pieces.get_mut(used..).unwrap_or_default();
        // Whatever else this says, the next read says it again.
        if let Some(Ok(Some(count))) = stream.read_chunks(free).now_or_never() {
            free.iter_mut().take(count).for_each(|piece| self.push(std::mem::take(piece)));
        }
    }

    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = piece;
        } else {
            self.more.push(piece);
        }
    }

    fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn len(&self) -> usize {
        self.pieces().map(Bytes::len).sum()
    }

    /// Takes `bytes`, when nothing else is left.
    fn hold(&mut self, bytes: Bytes) {
        *self = Ahead { first: bytes, more: Vec::new() };
    }

    /// Moves up to `count` bytes out, piece by piece.
    fn move_to(&mut self, mut count: usize, mut put: impl FnMut(&[u8])) {
        for piece in std::iter::once(&mut self.first).chain(&mut self.more) {
            let part = piece.len().min(count);
            if part == 0 {
                continue;
            }
            put(piece.get(..part).unwrap_or_default());
            piece.advance(part);
            count -= part;
        }
    }

    /// Moves as much as there is and fits to `bytes`; returns how much.
    fn copy_to(&mut self, bytes: &mut [u8]) -> usize {
        let mut room = &mut *bytes;
        let wanted = room.len();
        self.move_to(wanted, |part| room.put_slice(part));
        wanted - room.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_ahead_comes_out_in_order_whatever_its_pieces() {
        let mut ahead = Ahead::default();
        for bytes in [&b"ab"[..], b"cdef", b"g"] {
            ahead.push(Bytes::copy_from_slice(bytes));
        }
        assert_eq!(ahead.len(), 7);
        let mut bytes = [0; 3];
        assert_eq!(ahead.copy_to(&mut bytes), 3);
        assert_eq!(&bytes, b"abc");
        let mut moved = Vec::new();
        ahead.move_to(2, |part| moved.extend_from_slice(part));
        assert_eq!((moved.as_slice(), ahead.len()), (&b"de"[..], 2));
        let mut bytes = [b'-'; 3];
        assert_eq!(ahead.copy_to(&mut bytes), 2, "that was all");
        assert_eq!(&bytes, b"fg-");
        ahead.hold(Bytes::from_static(b"more"));
        assert_eq!(ahead.len(), 4);
    }

    #[test]
    fn the_smallest_packets_of_a_turn_share_a_bounded_piece_of_memory() {
        let capacities = |streams: usize, bytes: usize| {
            let mut small = SmallPackets::of(streams);
            let mut used = Vec::new();
            for _ in 0..streams {
                let memory = small.room_for(bytes);
                used.push(memory.capacity());
                memory.put_bytes(0, bytes);
                drop(memory.split());
                small.next();
            }
            used
        };
        assert_eq!(capacities(3, 200), [600, 400, 200]);
        assert_eq!(capacities(1, 200), [200], "alone it has no more than it needs");
        let large = SHARING_BYTES + 1;
        assert_eq!(capacities(2, large), [large, large], "each has its own");
        assert!(capacities(64, SHARING_BYTES).into_iter().all(|bytes| bytes <= SHARED_BYTES));
    }
}
