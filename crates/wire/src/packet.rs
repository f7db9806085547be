//! Whole packets: received ones, and ones ready to be written.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::{
    Detail, FrameSubmitMetadata, Header, MessageType, Part, ResultPushMetadata, RuleId, WireError, reader,
    writer::PieceWriter,
};

/// A packet whose bytes are all here. The header says how long the other two are.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The common header.
    pub header: Header,
    /// `header.meta_len` bytes.
    pub metadata: Bytes,
    /// `header.body_len` bytes.
    pub body: Bytes,
}

impl Packet {
    /// Puts a packet together; the lengths in `header` are replaced by those of the parts.
    ///
    /// A part of 4 GiB or more has no length on the wire; its length saturates, which every receiver refuses.
    pub fn build(mut header: Header, metadata: Bytes, body: Bytes) -> Self {
        header.meta_len = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
        header.body_len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self { header, metadata, body }
    }

    /// Reads exactly one packet: header and lengths. What metadata and body hold is for [`Packet::message`].
    ///
    /// # Errors
    /// A bad header, or bytes that are fewer or more than the header announces (R-PKT-3).
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let Some(raw) = reader::array_at::<{ Header::LEN }>(&bytes, 0) else {
            let text = format!("expected at least {} bytes, got {}", Header::LEN, bytes.len());
            return Err(WireError::new(RuleId::PKT_3, Part::Header, 0, "", Detail::Explained(text.into())));
        };
        let header = Header::decode(raw)?;
        if header.packet_len() != bytes.len() as u64 {
            let detail = Detail::Length { expected: header.packet_len(), actual: bytes.len() as u64 };
            return Err(
                WireError::new(RuleId::PKT_3, Part::Header, 0, "", detail).in_message(header.msg_type)
            );
        }
        let body_start = Header::LEN + header.meta_len as usize;
        let metadata = reader::slice(&bytes, Header::LEN, body_start);
        let body = reader::slice(&bytes, body_start, bytes.len());
        Ok(Self { header, metadata, body })
    }

    /// Checks that metadata and body are as long as the header says, which holds for every packet that was received or built.
    ///
    /// # Errors
    /// A part of another length.
    pub fn check_parts(&self) -> Result<(), WireError> {
        let parts = [
            ("metadata", "meta_len", self.header.meta_len, self.metadata.len()),
            ("body", "body_len", self.header.body_len, self.body.len()),
        ];
        for (name, field, announced, actual) in parts {
            if announced as usize != actual {
                let text = format!("{name} length mismatch: the header says {announced}, got {actual} bytes");
                let error =
                    WireError::new(RuleId::PKT_3, Part::Header, 0, field, Detail::Explained(text.into()));
                return Err(error.in_message(self.header.msg_type));
            }
        }
        Ok(())
    }

    /// The packet as pieces to write. A large body is not copied.
    pub fn encode(&self) -> EncodedPacket {
        let writer = PieceWriter::for_parts(&self.metadata, &self.body);
        writer.finish(self.header, &self.metadata)
    }

    /// The packet as one run of bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.encode().to_bytes()
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({:?}, {} + {} bytes)", self.header, self.metadata.len(), self.body.len())
    }
}

/// A packet as an ordered list of pieces for one vectored write. The first piece holds header and metadata; payloads that
/// the caller handed in are pieces of their own and have not been copied.
#[derive(Clone)]
pub struct EncodedPacket {
    header: Header,
    first: Bytes,
    /// Most packets of small frames have none.
    more: Vec<Bytes>,
    /// Its metadata was checked when it was written.
    is_checked: bool,
}

/// The same bytes.
impl PartialEq for EncodedPacket {
    fn eq(&self, other: &Self) -> bool {
        (self.header, &self.first, &self.more) == (other.header, &other.first, &other.more)
    }
}

impl Eq for EncodedPacket {}

impl EncodedPacket {
    /// Pieces of which the first starts with the encoded `header` and holds the metadata as well.
    pub(crate) fn from_pieces(header: Header, first: Bytes, more: Vec<Bytes>) -> Self {
        Self { header, first, more, is_checked: false }
    }

    /// The same packet, of which every rule of the metadata's layout was checked before it was written.
    pub(crate) fn with_checked_metadata(mut self) -> Self {
        self.is_checked = true;
        self
    }

    /// The metadata of a RESULT_PUSH. What [`ResultFrame::encode`](crate::ResultFrame::encode) wrote is not checked again.
    ///
    /// # Errors
    /// As [`ResultPushMetadata::decode`], for packets put together otherwise.
    #[inline]
    pub fn result_metadata(&self) -> Result<ResultPushMetadata, WireError> {
        match self.checked_metadata(MessageType::ResultPush) {
            Some(raw) => Ok(ResultPushMetadata::parse(raw)),
            None => ResultPushMetadata::decode(self.metadata()),
        }
    }

    /// The metadata of a FRAME_SUBMIT. What [`SubmitFrame::encode`](crate::SubmitFrame::encode) wrote is not checked again.
    ///
    /// # Errors
    /// As [`FrameSubmitMetadata::decode`], for packets put together otherwise.
    #[inline]
    pub fn submit_metadata(&self) -> Result<FrameSubmitMetadata, WireError> {
        match self.checked_metadata(MessageType::FrameSubmit) {
            Some(raw) => Ok(FrameSubmitMetadata::parse(raw)),
            None => FrameSubmitMetadata::decode(self.metadata()),
        }
    }

    /// The metadata of a packet of this type, if it was checked before it was written.
    #[inline]
    fn checked_metadata<const N: usize>(&self, of: MessageType) -> Option<&[u8; N]> {
        let checked = self.is_checked && self.header.msg_type == of;
        self.metadata().try_into().ok().filter(|_| checked)
    }

    /// The packet's header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The pieces in the order of the wire; none is empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.more)
    }

    /// The pieces in the order of the wire.
    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.first).chain(self.more)
    }

    /// The same as the first piece and those after it.
    pub fn into_first_and_more(self) -> (Bytes, Vec<Bytes>) {
        (self.first, self.more)
    }

    /// Bytes of the whole packet.
    #[allow(clippy::len_without_is_empty, reason = "a packet is never empty")]
    pub fn len(&self) -> usize {
        self.pieces().map(Bytes::len).sum()
    }

    /// The metadata.
    pub fn metadata(&self) -> &[u8] {
        self.first.get(Header::LEN..self.body_start()).unwrap_or_default()
    }

    fn body_start(&self) -> usize {
        Header::LEN + self.header.meta_len as usize
    }

    /// The body as one run of bytes; copies unless it is a single piece.
    pub fn body_to_bytes(&self) -> Bytes {
        self.gather(self.body_start())
    }

    /// The packet as one run of bytes; copies unless it is a single piece.
    pub fn to_bytes(&self) -> Bytes {
        self.gather(0)
    }

    /// The same packet with metadata and body apart; copies a body of several pieces.
    pub fn to_packet(&self) -> Packet {
        let metadata = reader::slice(&self.first, Header::LEN, self.body_start());
        Packet { header: self.header, metadata, body: self.body_to_bytes() }
    }

    /// Everything after the first `skip` bytes, all of which are in the first piece.
    fn gather(&self, skip: usize) -> Bytes {
        let first = reader::slice(&self.first, skip, self.first.len());
        match &*self.more {
            [] => first,
            [only] if first.is_empty() => only.clone(),
            more => {
                let mut whole = BytesMut::with_capacity(self.len() - skip);
                whole.extend_from_slice(&first);
                more.iter().for_each(|piece| whole.extend_from_slice(piece));
                whole.freeze()
            }
        }
    }
}

impl fmt::Debug for EncodedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "EncodedPacket({:?}, {} bytes in {} pieces)",
            self.header,
            self.len(),
            self.pieces().count()
        )
    }
}
