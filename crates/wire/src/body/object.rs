//! Low-frequency objects: inline blocks, references, and the regions of a composed body.

use bytes::Bytes;

use super::Span;
use crate::{
    BodyRegionPrelude, CacheObjectKind, Detail, InlineObjectBlockHeader, ObjectReferenceBlock, Part, RuleId,
    WireError,
    reader::{self, Reader, align8},
};

/// An object inside a body, received or to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineObject {
    /// What the object is.
    pub kind: CacheObjectKind,
    /// 0 unless the application sets it.
    pub profile_id: u16,
    /// The object without padding.
    pub data: Bytes,
}

/// The inline objects of a body in their order.
#[derive(Clone, Debug)]
pub struct InlineObjects {
    region: Bytes,
    position: usize,
}

impl InlineObjects {
    /// Decodes a region of inline objects.
    ///
    /// # Errors
    /// R-OBJ-1 to 3.
    pub fn decode(region: &Bytes) -> Result<Self, WireError> {
        for_each_inline(region, Span { start: 0, end: region.len() }, |_, _| Ok(()))?;
        Ok(Self::of_checked(region.clone()))
    }

    pub(super) fn of_checked(region: Bytes) -> Self {
        Self { region, position: 0 }
    }
}

impl Iterator for InlineObjects {
    type Item = InlineObject;

    fn next(&mut self) -> Option<InlineObject> {
        let header = InlineObjectBlockHeader::parse(reader::array_at(&self.region, self.position)?);
        let start = self.position + InlineObjectBlockHeader::LEN;
        let end = start + header.object_bytes as usize;
        self.position = end.next_multiple_of(8);
        let data = reader::slice(&self.region, start, end);
        Some(InlineObject { kind: header.object_kind, profile_id: header.profile_id, data })
    }
}

/// The object references of a body in their order.
#[derive(Clone, Debug)]
pub struct ObjectReferences {
    region: Bytes,
    position: usize,
}

impl ObjectReferences {
    /// Decodes a region of references.
    ///
    /// # Errors
    /// R-BODY-5, R-OBJ-2 and R-OBJ-3.
    pub fn decode(region: &Bytes) -> Result<Self, WireError> {
        if !region.len().is_multiple_of(ObjectReferenceBlock::LEN) {
            let text = format!("object_reference_bytes must be a multiple of 16, got {}", region.len());
            let detail = Detail::Explained(text.into());
            return Err(WireError::new(RuleId::BODY_5, Part::Body, 0, "object_reference_bytes", detail));
        }
        for_each_reference(region, Span { start: 0, end: region.len() }, |_, _| Ok(()))?;
        Ok(Self::of_checked(region.clone()))
    }

    pub(super) fn of_checked(region: Bytes) -> Self {
        Self { region, position: 0 }
    }
}

impl Iterator for ObjectReferences {
    type Item = ObjectReferenceBlock;

    fn next(&mut self) -> Option<ObjectReferenceBlock> {
        let reference = ObjectReferenceBlock::parse(reader::array_at(&self.region, self.position)?);
        self.position += ObjectReferenceBlock::LEN;
        Some(reference)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.region.len().saturating_sub(self.position) / ObjectReferenceBlock::LEN;
        (left, Some(left))
    }
}

impl ExactSizeIterator for ObjectReferences {}

/// Checks the inline objects in `span` of `body` and hands each to `visit`: its header and where its data is.
pub(super) fn for_each_inline(
    body: &[u8],
    span: Span,
    mut visit: impl FnMut(InlineObjectBlockHeader, Span) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut reader = Reader::new(body, span.start, span.end);
    while reader.remaining() > 0 {
        let at = reader.position();
        let left = reader.remaining();
        let Some(raw) = reader.take(InlineObjectBlockHeader::LEN as u64) else {
            let text = format!("inline object header needs 16 bytes, {left} are left in the region");
            return Err(WireError::new(RuleId::OBJ_1, Part::Body, at, "", Detail::Explained(text.into())));
        };
        let header = InlineObjectBlockHeader::decode(raw).map_err(|error| error.moved_by(at))?;
        let start = reader.position();
        let length = u64::from(header.object_bytes);
        let (Some(_), Some(padding)) = (reader.take(length), reader.take(align8(length) - length)) else {
            let text = format!("inline object of {length} bytes runs past its region");
            let detail = Detail::Explained(text.into());
            return Err(InlineObjectBlockHeader::refuse(RuleId::OBJ_1, "object_bytes", detail).moved_by(at));
        };
        let end = reader.position() - padding.len();
        if !reader::all_zero(padding) {
            let detail = Detail::Because("padding bytes must be zero");
            return Err(WireError::new(RuleId::OBJ_1, Part::Body, end, "", detail));
        }
        visit(header, Span { start, end })?;
    }
    Ok(())
}

/// Checks the references in `span` of `body` and hands each to `visit` with its offset.
pub(super) fn for_each_reference(
    body: &[u8],
    span: Span,
    mut visit: impl FnMut(ObjectReferenceBlock, usize) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let (blocks, _) = span.of(body).as_chunks::<{ ObjectReferenceBlock::LEN }>();
    for (index, raw) in blocks.iter().enumerate() {
        let at = span.start + index * raw.len();
        let reference = ObjectReferenceBlock::decode(raw).map_err(|error| error.moved_by(at))?;
        visit(reference, at)?;
    }
    Ok(())
}

/// Where the six regions of a composed body are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Regions {
    pub(super) inline_objects: Span,
    pub(super) references: Span,
    pub(super) typed_descriptors: Span,
    pub(super) typed_payloads: Span,
    pub(super) extension_descriptors: Span,
    pub(super) extension_payloads: Span,
}

impl Regions {
    /// Reads the prelude of a composed body and divides the rest (R-BODY-1, 2, 3, 5).
    pub(super) fn decode(body: &[u8]) -> Result<(BodyRegionPrelude, Self), WireError> {
        let Some(raw) = reader::array_at::<{ BodyRegionPrelude::LEN }>(body, 0) else {
            let text = format!("expected at least 32 bytes for the body's prelude, got {}", body.len());
            return Err(WireError::new(RuleId::BODY_1, Part::Body, 0, "", Detail::Explained(text.into())));
        };
        let prelude = BodyRegionPrelude::decode(raw)?;
        let lengths = [
            prelude.inline_object_bytes,
            prelude.object_reference_bytes,
            prelude.typed_payload_descriptor_bytes,
            prelude.typed_payload_frame_bytes,
            prelude.extension_descriptor_bytes,
            prelude.extension_payload_bytes,
        ];
        let total = raw.len() as u64 + lengths.iter().map(|length| u64::from(*length)).sum::<u64>();
        if total != body.len() as u64 {
            let text = format!("the prelude announces a body of {total} bytes, got {}", body.len());
            return Err(WireError::new(RuleId::BODY_3, Part::Body, 0, "", Detail::Explained(text.into())));
        }
        // The sum fits the body, so no step below can leave it.
        let mut end = raw.len();
        let [
            inline_objects,
            references,
            typed_descriptors,
            typed_payloads,
            extension_descriptors,
            extension_payloads,
        ] = lengths.map(|length| {
            let start = end;
            end += length as usize;
            Span { start, end }
        });
        let regions = Self {
            inline_objects,
            references,
            typed_descriptors,
            typed_payloads,
            extension_descriptors,
            extension_payloads,
        };
        Ok((prelude, regions))
    }
}

/// The regions of a composed body as views, without a look at what they hold.
#[derive(Clone, Debug)]
pub struct BodyRegions {
    /// The prelude that announced them.
    pub prelude: BodyRegionPrelude,
    /// See [`InlineObjects`].
    pub inline_objects: Bytes,
    /// See [`ObjectReferences`].
    pub object_references: Bytes,
    /// Descriptors for [`super::TypedPayloads`].
    pub typed_payload_descriptors: Bytes,
    /// Bytes for [`super::TypedPayloads`].
    pub typed_payload_frames: Bytes,
    /// Descriptors for [`super::ExtensionFrames`].
    pub extension_descriptors: Bytes,
    /// Bytes for [`super::ExtensionFrames`].
    pub extension_payloads: Bytes,
}

impl BodyRegions {
    /// Divides a composed body.
    ///
    /// # Errors
    /// R-BODY-1, 2, 3 and 5.
    pub fn decode(body: &Bytes) -> Result<Self, WireError> {
        let (prelude, regions) = Regions::decode(body)?;
        Ok(Self {
            prelude,
            inline_objects: regions.inline_objects.slice(body),
            object_references: regions.references.slice(body),
            typed_payload_descriptors: regions.typed_descriptors.slice(body),
            typed_payload_frames: regions.typed_payloads.slice(body),
            extension_descriptors: regions.extension_descriptors.slice(body),
            extension_payloads: regions.extension_payloads.slice(body),
        })
    }
}
