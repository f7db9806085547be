//! Packets put together from parts that need not fit each other.

use bytes::{BufMut, Bytes, BytesMut};
use nnrp_wire::{
    BodyRegionPrelude, CacheObjectKind, ControlExtension, ControlExtensionFlags, ControlExtensions,
    FrameSubmitMetadata, Header, InlineObjectBlockHeader, MessageType, ObjectReferenceBlock, Packet,
    PayloadKind, ResultPushMetadata, SectionFlags, TensorDType, TensorSectionDesc, TileIndexMode,
    TypedPayloadDescriptor,
};

/// A packet of session 7, frame 42.
pub(crate) fn packet(message: MessageType, metadata: &[u8], body: impl Into<Bytes>) -> Bytes {
    let header = Header { session_id: 7, frame_id: 42, ..Header::new(message) };
    Packet::build(header, Bytes::copy_from_slice(metadata), body.into()).to_bytes()
}

/// A copy with one byte replaced.
pub(crate) fn with_byte(raw: &Bytes, offset: usize, value: u8) -> Bytes {
    let mut raw = raw.to_vec();
    raw[offset] = value;
    raw.into()
}

pub(crate) fn submit(metadata: FrameSubmitMetadata, body: impl Into<Bytes>) -> Bytes {
    packet(MessageType::FrameSubmit, &metadata.encode(), body)
}

pub(crate) fn result(metadata: ResultPushMetadata, body: impl Into<Bytes>) -> Bytes {
    packet(MessageType::ResultPush, &metadata.encode(), body)
}

/// Metadata of a plain submit with this many tiles and sections and a raw index.
pub(crate) fn plain(tiles: u16, sections: u16) -> FrameSubmitMetadata {
    FrameSubmitMetadata {
        tile_count: tiles,
        section_count: sections,
        tile_index_mode: TileIndexMode::RawU16,
        tile_index_bytes: u32::from(tiles) * 2,
        payload_kind_bitmap: PayloadKind::TENSOR,
        ..FrameSubmitMetadata::default()
    }
}

/// Metadata of a submit of typed payloads.
pub(crate) fn typed(kinds: PayloadKind, payloads: u16) -> FrameSubmitMetadata {
    FrameSubmitMetadata {
        payload_kind_bitmap: kinds,
        payload_frame_count: payloads,
        ..FrameSubmitMetadata::default()
    }
}

/// Metadata of a result of typed payloads.
pub(crate) fn typed_result(kinds: PayloadKind, payloads: u16) -> ResultPushMetadata {
    ResultPushMetadata {
        payload_kind_bitmap: kinds,
        payload_frame_count: payloads,
        ..ResultPushMetadata::default()
    }
}

/// A descriptor of a uint8 section with these tables.
pub(crate) fn desc(role: u16, tiles: u32, payload: u32) -> TensorSectionDesc {
    TensorSectionDesc {
        role_id: role,
        dtype_id: TensorDType::Uint8,
        length_table_bytes: tiles * 4,
        payload_bytes: payload,
        ..TensorSectionDesc::default()
    }
}

/// A section: descriptor, codec table, lengths, payload.
pub(crate) fn section(desc: TensorSectionDesc, codecs: &[u8], lengths: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = desc.encode().to_vec();
    bytes.extend_from_slice(codecs);
    lengths.iter().for_each(|length| bytes.put_u32_le(*length));
    bytes.extend_from_slice(payload);
    bytes
}

/// A section of role 1 with two tiles of 3 and 2 bytes.
pub(crate) fn two_tiles() -> Vec<u8> {
    section(desc(1, 2, 5), &[], &[3, 2], b"abcde")
}

/// A fixed-stride section of role 1 with two slots of 4 bytes.
pub(crate) fn strided(lengths: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let desc =
        TensorSectionDesc { flags: SectionFlags::FIXED_STRIDE, payload_stride_bytes: 4, ..desc(1, 2, 8) };
    section(desc, &[], &lengths, payload)
}

/// A raw tile index of two tiles and zeros up to the section.
pub(crate) const TWO_IDS: [u8; 8] = [5, 0, 6, 0, 0, 0, 0, 0];

/// The body of a plain submit of two tiles with these sections.
pub(crate) fn two_tile_body(sections: &[u8]) -> Vec<u8> {
    [&TWO_IDS[..], sections].concat()
}

/// An inline object with its header and padding.
pub(crate) fn object(kind: CacheObjectKind, data: &[u8]) -> Vec<u8> {
    let header = InlineObjectBlockHeader {
        object_kind: kind,
        object_bytes: data.len().try_into().unwrap(),
        ..InlineObjectBlockHeader::default()
    };
    let mut bytes = [&header.encode()[..], data].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A reference to an object with this key.
pub(crate) fn reference(kind: CacheObjectKind, key: u32) -> Vec<u8> {
    let block = ObjectReferenceBlock {
        object_kind: kind,
        cache_namespace: 1,
        cache_key_lo: key,
        ..ObjectReferenceBlock::default()
    };
    block.encode().to_vec()
}

/// A descriptor of a token chunk.
pub(crate) fn token(offset: u32, length: u32) -> TypedPayloadDescriptor {
    TypedPayloadDescriptor {
        payload_kind: PayloadKind::TOKEN_CHUNK,
        payload_offset: offset,
        payload_length: length,
        ..TypedPayloadDescriptor::default()
    }
}

/// The regions of a composed body.
#[derive(Clone, Default)]
pub(crate) struct Regions {
    pub(crate) objects: Vec<u8>,
    pub(crate) references: Vec<u8>,
    pub(crate) descriptors: Vec<u8>,
    pub(crate) payloads: Vec<u8>,
    pub(crate) extension_descriptors: Vec<u8>,
    pub(crate) extension_payloads: Vec<u8>,
}

impl Regions {
    pub(crate) fn prelude(&self) -> BodyRegionPrelude {
        let length = |region: &Vec<u8>| u32::try_from(region.len()).unwrap();
        BodyRegionPrelude {
            inline_object_bytes: length(&self.objects),
            object_reference_bytes: length(&self.references),
            typed_payload_descriptor_bytes: length(&self.descriptors),
            typed_payload_frame_bytes: length(&self.payloads),
            extension_descriptor_bytes: length(&self.extension_descriptors),
            extension_payload_bytes: length(&self.extension_payloads),
            ..BodyRegionPrelude::default()
        }
    }

    /// The body with another prelude than its own.
    pub(crate) fn body_with(&self, prelude: BodyRegionPrelude) -> Vec<u8> {
        [
            &prelude.encode()[..],
            &self.objects,
            &self.references,
            &self.descriptors,
            &self.payloads,
            &self.extension_descriptors,
            &self.extension_payloads,
        ]
        .concat()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        self.body_with(self.prelude())
    }
}

/// The body of one token chunk.
pub(crate) fn one_token() -> Regions {
    Regions { descriptors: token(0, 2).encode().to_vec(), payloads: b"hi".to_vec(), ..Regions::default() }
}

pub(crate) fn extension(ext_type: u16, critical: bool, payload: &'static [u8]) -> ControlExtension {
    let flags = if critical { ControlExtensionFlags::CRITICAL } else { ControlExtensionFlags::NONE };
    ControlExtension { ext_type, flags, payload: Bytes::from_static(payload) }
}

pub(crate) fn block(entries: &[ControlExtension]) -> Bytes {
    ControlExtensions::encode(entries).unwrap()
}

/// A block with bytes replaced, to break it.
pub(crate) fn patched(block: &Bytes, offset: usize, bytes: &[u8]) -> Bytes {
    let mut patched = BytesMut::from(&block[..]);
    patched[offset..offset + bytes.len()].copy_from_slice(bytes);
    patched.freeze()
}
