//! Writing numbers into fixed layouts, and packets as pieces.

use bytes::Bytes;

use crate::{EncodedPacket, Header, reader};

macro_rules! fixed_writers {
    ($($int:ident)+) => { $(
        /// Writes a little-endian number at `offset`, which the layout tables check when compiling.
        #[inline]
        pub(crate) fn $int<const N: usize>(raw: &mut [u8; N], offset: usize, value: $int) {
            if let Some(place) = raw.get_mut(offset..).and_then(<[u8]>::first_chunk_mut) {
                *place = value.to_le_bytes();
            }
        }
    )+ };
}
fixed_writers!(u8 u16 u32 u64);

/// Payloads below this size are copied into the small buffer. A piece of its own costs a reference count, a place in the list and
/// an element of the system's vectored write, together about as much as copying a kilobyte.
const COPY_BELOW: usize = 1024;

/// Bytes of a payload that are copied into the small buffer: all or none.
pub(crate) fn copied_bytes(payload: &Bytes) -> usize {
    if payload.len() < COPY_BELOW { payload.len() } else { 0 }
}

/// Writes a packet as few pieces: everything small goes into one buffer, large payloads stay where they are and are only put
/// between the parts of it.
pub(crate) struct PieceWriter {
    small: Vec<u8>,
    /// The first large payload, with the length of `small` at the place where it belongs: mostly there is one or none.
    attached: Option<(usize, Bytes)>,
    /// The others, likewise.
    further: Vec<(usize, Bytes)>,
    attached_bytes: usize,
    body_start: usize,
}

/// A place in the small buffer to be filled in later.
#[derive(Clone, Copy)]
pub(crate) struct Reserved<const N: usize>(usize);

impl PieceWriter {
    /// A writer for a packet with this much metadata; `small_bytes` is what of the body will be copied, about.
    pub(crate) fn new(meta_len: usize, small_bytes: usize) -> Self {
        let body_start = Header::LEN + meta_len;
        let mut small = Vec::with_capacity(body_start + small_bytes);
        small.resize(body_start, 0);
        Self { small, attached: None, further: Vec::new(), attached_bytes: 0, body_start }
    }

    /// A writer for a packet that is there already, with its body in it.
    pub(crate) fn for_parts(metadata: &[u8], body: &Bytes) -> Self {
        let mut writer = Self::new(metadata.len(), copied_bytes(body));
        writer.attach(body);
        writer
    }

    /// Whether the small buffer has exactly the room it needed.
    pub(crate) fn is_full(&self) -> bool {
        self.small.len() == self.small.capacity()
    }

    /// Bytes of body so far.
    pub(crate) fn position(&self) -> usize {
        self.small.len() - self.body_start + self.attached_bytes
    }

    /// Appends a copy.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.small.extend_from_slice(bytes);
    }

    /// Appends numbers.
    pub(crate) fn put_u32s(&mut self, numbers: impl ExactSizeIterator<Item = u32>) {
        let start = self.small.len();
        self.put_zeros(numbers.len() * 4);
        let places = self.small.get_mut(start..).unwrap_or_default().as_chunks_mut().0;
        places.iter_mut().zip(numbers).for_each(|(place, number)| *place = number.to_le_bytes());
    }

    /// Appends a payload, without copying it when it is large.
    pub(crate) fn attach(&mut self, payload: &Bytes) {
        if payload.len() < COPY_BELOW {
            self.put(payload);
        } else {
            let attached = (self.small.len(), payload.clone());
            match &self.attached {
                None => self.attached = Some(attached),
                Some(_) => self.further.push(attached),
            }
            self.attached_bytes += payload.len();
        }
    }

    /// Appends zeros.
    pub(crate) fn put_zeros(&mut self, count: usize) {
        self.small.resize(self.small.len() + count, 0);
    }

    /// Appends zeros up to a multiple of 8 of the body.
    pub(crate) fn pad8(&mut self) {
        self.put_zeros(self.position().next_multiple_of(8) - self.position());
    }

    /// Appends a fixed layout whose values are not known yet.
    pub(crate) fn reserve<const N: usize>(&mut self) -> Reserved<N> {
        let place = Reserved(self.small.len());
        self.put_zeros(N);
        place
    }

    /// Fills in a fixed layout.
    pub(crate) fn fill<const N: usize>(&mut self, place: Reserved<N>, bytes: [u8; N]) {
        if let Some(target) = self.small.get_mut(place.0..).and_then(<[u8]>::first_chunk_mut) {
            *target = bytes;
        }
    }

    /// The body alone, in one run of bytes, for parts that are not sent as a packet.
    pub(crate) fn into_body(self) -> Bytes {
        self.finish(Header::default(), &[]).body_to_bytes()
    }

    /// The finished packet. `header` and `metadata` are written as they are, so their lengths must be those of the packet.
    pub(crate) fn finish(mut self, header: Header, metadata: &[u8]) -> EncodedPacket {
        self.fill(Reserved(0), header.encode());
        if let Some(target) = self.small.get_mut(Header::LEN..self.body_start)
            && target.len() == metadata.len()
        {
            target.copy_from_slice(metadata);
        }
        let small = Bytes::from(self.small);
        let Some((first_end, attached)) = self.attached else {
            return EncodedPacket::from_pieces(header, small, Vec::new());
        };
        if self.further.is_empty() && first_end == small.len() {
            return EncodedPacket::from_pieces(header, small, vec![attached]);
        }
        let first = reader::slice(&small, 0, first_end);
        let mut more = Vec::with_capacity((1 + self.further.len()) * 2);
        more.push(attached);
        let mut start = first_end;
        for (end, payload) in self.further {
            if start < end {
                more.push(reader::slice(&small, start, end));
            }
            more.push(payload);
            start = end;
        }
        if start < small.len() {
            more.push(reader::slice(&small, start, small.len()));
        }
        EncodedPacket::from_pieces(header, first, more)
    }
}
