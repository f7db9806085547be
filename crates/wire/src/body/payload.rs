//! Typed payloads and extension frames: a region of 16-byte descriptors and a region of bytes.

use bytes::Bytes;

use crate::{
    Detail, ExtensionFrameDescriptor, ExtensionFrameFlags, PayloadKind, RuleId, TypedPayloadDescriptor,
    WireError, reader,
};

/// One typed payload, received or to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedPayload {
    /// Exactly one kind, not tensor.
    pub kind: PayloadKind,
    /// 0 for no profile.
    pub profile_id: u16,
    /// The payload; may be empty.
    pub data: Bytes,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident $KIND:ident;)+) => {
        impl TypedPayload {
            $( $(#[$doc])* pub fn $name(data: impl Into<Bytes>) -> Self { Self::new(PayloadKind::$KIND, data) } )+
        }
    };
}

constructors! {
    /// A piece of generated text or tokens.
    token_chunk TOKEN_CHUNK;
    /// A piece of sound.
    audio_chunk AUDIO_CHUNK;
    /// A piece of video.
    video_chunk VIDEO_CHUNK;
    /// An event with a structure the application knows.
    structured_event STRUCTURED_EVENT;
    /// A step of a tool call.
    tool_delta TOOL_DELTA;
    /// Bytes without a stated meaning.
    opaque_bytes OPAQUE_BYTES;
}

impl TypedPayload {
    /// A payload of any kind, without a profile.
    pub fn new(kind: PayloadKind, data: impl Into<Bytes>) -> Self {
        Self { kind, profile_id: 0, data: data.into() }
    }

    /// The same payload with a profile.
    #[must_use]
    pub fn profile(mut self, profile_id: u16) -> Self {
        self.profile_id = profile_id;
        self
    }
}

/// One extension frame, received or to be sent. No kind is assigned in this generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionFrame {
    /// The frame's kind.
    pub kind: u16,
    /// Whether a receiver that does not know the kind must refuse the body.
    pub flags: ExtensionFrameFlags,
    /// 0 for no profile.
    pub profile_id: u16,
    /// The frame's bytes.
    pub data: Bytes,
}

/// The typed payloads of a body in their order.
#[derive(Clone, Debug)]
pub struct TypedPayloads {
    descriptors: Bytes,
    payloads: Bytes,
    position: usize,
}

impl TypedPayloads {
    /// Decodes a region of descriptors and the region of their bytes.
    ///
    /// # Errors
    /// R-BODY-5 and R-TYP-1 to 4.
    pub fn decode(descriptors: &Bytes, payloads: &Bytes) -> Result<Self, WireError> {
        check_whole_blocks::<{ TypedPayloadDescriptor::LEN }>("typed_payload_descriptor_bytes", descriptors)?;
        check_typed(descriptors, 0, payloads.len(), None)?;
        Ok(Self::of_checked(descriptors.clone(), payloads.clone()))
    }

    pub(super) fn of_checked(descriptors: Bytes, payloads: Bytes) -> Self {
        Self { descriptors, payloads, position: 0 }
    }
}

impl Iterator for TypedPayloads {
    type Item = TypedPayload;

    fn next(&mut self) -> Option<TypedPayload> {
        let descriptor = TypedPayloadDescriptor::parse(reader::array_at(&self.descriptors, self.position)?);
        self.position += TypedPayloadDescriptor::LEN;
        let start = descriptor.payload_offset as usize;
        let data = reader::slice(&self.payloads, start, start + descriptor.payload_length as usize);
        Some(TypedPayload { kind: descriptor.payload_kind, profile_id: descriptor.profile_id, data })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.descriptors.len().saturating_sub(self.position) / TypedPayloadDescriptor::LEN;
        (left, Some(left))
    }
}

impl ExactSizeIterator for TypedPayloads {}

/// The extension frames of a body in their order, those of unknown kinds included: skip what you do not know.
#[derive(Clone, Debug)]
pub struct ExtensionFrames {
    descriptors: Bytes,
    payloads: Bytes,
    position: usize,
}

impl ExtensionFrames {
    /// Decodes a region of descriptors and the region of their bytes. `known` lists the kinds the caller understands; `None`
    /// accepts critical frames of any kind.
    ///
    /// # Errors
    /// R-BODY-5 and R-XF-1 to 4.
    pub fn decode(descriptors: &Bytes, payloads: &Bytes, known: Option<&[u16]>) -> Result<Self, WireError> {
        check_whole_blocks::<{ ExtensionFrameDescriptor::LEN }>("extension_descriptor_bytes", descriptors)?;
        check_extensions(descriptors, 0, payloads.len(), known)?;
        Ok(Self::of_checked(descriptors.clone(), payloads.clone()))
    }

    pub(super) fn of_checked(descriptors: Bytes, payloads: Bytes) -> Self {
        Self { descriptors, payloads, position: 0 }
    }
}

impl Iterator for ExtensionFrames {
    type Item = ExtensionFrame;

    fn next(&mut self) -> Option<ExtensionFrame> {
        let descriptor = ExtensionFrameDescriptor::parse(reader::array_at(&self.descriptors, self.position)?);
        self.position += ExtensionFrameDescriptor::LEN;
        let start = descriptor.payload_offset as usize;
        Some(ExtensionFrame {
            kind: descriptor.extension_kind,
            flags: descriptor.extension_flags,
            profile_id: descriptor.profile_id,
            data: reader::slice(&self.payloads, start, start + descriptor.payload_length as usize),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.descriptors.len().saturating_sub(self.position) / ExtensionFrameDescriptor::LEN;
        (left, Some(left))
    }
}

impl ExactSizeIterator for ExtensionFrames {}

/// Checks the descriptors at `base` of the body. `announced` are the kinds of the metadata; `None` accepts any.
pub(super) fn check_typed(
    descriptors: &[u8],
    base: usize,
    payload_bytes: usize,
    announced: Option<PayloadKind>,
) -> Result<(), WireError> {
    let (blocks, _) = descriptors.as_chunks::<{ TypedPayloadDescriptor::LEN }>();
    let mut previous_end = 0;
    for (index, raw) in blocks.iter().enumerate() {
        let at = base + index * raw.len();
        let descriptor = TypedPayloadDescriptor::decode(raw).map_err(|error| error.moved_by(at))?;
        let (offset, length) = (descriptor.payload_offset, descriptor.payload_length);
        previous_end = check_place(offset, length, previous_end, payload_bytes).map_err(|detail| {
            TypedPayloadDescriptor::refuse(RuleId::TYP_4, "payload_offset", detail).moved_by(at)
        })?;
        if announced.is_some_and(|kinds| !kinds.contains(descriptor.payload_kind)) {
            let text = format!("payload_kind {} is not in payload_kind_bitmap", descriptor.payload_kind);
            let detail = Detail::Explained(text.into());
            return Err(TypedPayloadDescriptor::refuse(RuleId::TYP_5, "payload_kind", detail).moved_by(at));
        }
    }
    Ok(())
}

/// Checks the descriptors at `base` of the body.
pub(super) fn check_extensions(
    descriptors: &[u8],
    base: usize,
    payload_bytes: usize,
    known: Option<&[u16]>,
) -> Result<(), WireError> {
    let (blocks, _) = descriptors.as_chunks::<{ ExtensionFrameDescriptor::LEN }>();
    let mut previous_end = 0;
    for (index, raw) in blocks.iter().enumerate() {
        let at = base + index * raw.len();
        let descriptor = ExtensionFrameDescriptor::decode(raw).map_err(|error| error.moved_by(at))?;
        let (offset, length) = (descriptor.payload_offset, descriptor.payload_length);
        previous_end = check_place(offset, length, previous_end, payload_bytes).map_err(|detail| {
            ExtensionFrameDescriptor::refuse(RuleId::XF_3, "payload_offset", detail).moved_by(at)
        })?;
        let kind = descriptor.extension_kind;
        let critical = descriptor.extension_flags.contains(ExtensionFrameFlags::CRITICAL);
        if critical && known.is_some_and(|known| !known.contains(&kind)) {
            let detail = Detail::Explained(format!("unknown critical extension frame kind: {kind}").into());
            return Err(ExtensionFrameDescriptor::refuse(RuleId::XF_4, "extension_kind", detail).moved_by(at));
        }
    }
    Ok(())
}

/// Where a frame ends in its region, if it lies behind the one before and inside.
fn check_place(offset: u32, length: u32, previous_end: u64, region: usize) -> Result<u64, Detail> {
    let end = u64::from(offset) + u64::from(length);
    if u64::from(offset) < previous_end {
        let text =
            format!("payload_offset {offset} is before the end of the previous payload, {previous_end}");
        Err(Detail::Explained(text.into()))
    } else if end > region as u64 {
        Err(Detail::Explained(format!("payload ends at {end}, beyond its region of {region} bytes").into()))
    } else {
        Ok(end)
    }
}

fn check_whole_blocks<const LEN: usize>(field: &'static str, region: &Bytes) -> Result<(), WireError> {
    if region.len().is_multiple_of(LEN) {
        return Ok(());
    }
    let text = format!("{field} must be a multiple of {LEN}, got {}", region.len());
    Err(WireError::new(RuleId::BODY_5, crate::Part::Body, 0, field, Detail::Explained(text.into())))
}
