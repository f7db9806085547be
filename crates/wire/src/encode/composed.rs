//! Writing a composed body: prelude and regions.

use bytes::Bytes;

use super::{Section, count, section};
use crate::{
    BodyRegionPrelude, CacheObjectKind, ExtensionFrame, ExtensionFrameDescriptor, InlineObject,
    InlineObjectBlockHeader, ObjectReferenceBlock, RuleId, TypedPayload, TypedPayloadDescriptor, WireError,
    message::length,
    writer::{PieceWriter, copied_bytes},
};

/// What goes into the regions.
#[derive(Default)]
pub(super) struct ComposedBody<'a> {
    pub(super) camera: Option<&'a Bytes>,
    pub(super) tile_index: Option<&'a Bytes>,
    pub(super) sections: Option<&'a [Section]>,
    pub(super) objects: &'a [InlineObject],
    pub(super) references: &'a [ObjectReferenceBlock],
    pub(super) typed_payloads: &'a [TypedPayload],
    pub(super) extension_frames: &'a [ExtensionFrame],
}

/// What an inline object is made from.
enum Source<'a> {
    Bytes(&'a Bytes),
    Sections(&'a [Section]),
}

impl ComposedBody<'_> {
    pub(super) fn write(&self, tile_count: u16, writer: &mut PieceWriter) -> Result<(), WireError> {
        let place = writer.reserve::<{ BodyRegionPrelude::LEN }>();
        let start = writer.position();
        self.write_objects(tile_count, writer)?;
        let objects = writer.position();
        for reference in self.references {
            reference.check()?;
            writer.put(&reference.encode());
        }
        let references = writer.position();
        self.write_typed_descriptors(writer)?;
        let typed_descriptors = writer.position();
        self.typed_payloads.iter().for_each(|payload| writer.attach(&payload.data));
        let typed_payloads = writer.position();
        self.write_extension_descriptors(writer)?;
        let extension_descriptors = writer.position();
        self.extension_frames.iter().for_each(|frame| writer.attach(&frame.data));
        let extension_payloads = writer.position();

        let prelude = BodyRegionPrelude {
            inline_object_bytes: length("inline_object_bytes", objects - start)?,
            object_reference_bytes: length("object_reference_bytes", references - objects)?,
            typed_payload_descriptor_bytes: length(
                "typed_payload_descriptor_bytes",
                typed_descriptors - references,
            )?,
            typed_payload_frame_bytes: length(
                "typed_payload_frame_bytes",
                typed_payloads - typed_descriptors,
            )?,
            extension_descriptor_bytes: length(
                "extension_descriptor_bytes",
                extension_descriptors - typed_payloads,
            )?,
            extension_payload_bytes: length(
                "extension_payload_bytes",
                extension_payloads - extension_descriptors,
            )?,
            ..BodyRegionPrelude::default()
        };
        writer.fill(place, prelude.encode());
        Ok(())
    }

    /// Writes the inline objects in the order of their kinds, which for the standard slots is the slot order.
    fn write_objects(&self, tile_count: u16, writer: &mut PieceWriter) -> Result<(), WireError> {
        let tensor = [
            (CacheObjectKind::CameraBlock, self.camera.map(Source::Bytes)),
            (CacheObjectKind::TileIndexBlock, self.tile_index.map(Source::Bytes)),
            (CacheObjectKind::TensorSectionTable, self.sections.map(Source::Sections)),
        ];
        let tensor = tensor.into_iter().filter_map(|(kind, source)| Some((kind, 0, source?)));
        let others =
            self.objects.iter().map(|object| (object.kind, object.profile_id, Source::Bytes(&object.data)));
        let mut objects: Vec<_> = tensor.chain(others).collect();
        objects.sort_by_key(|(kind, ..)| kind.value());
        for (kind, profile_id, source) in objects {
            let place = writer.reserve::<{ InlineObjectBlockHeader::LEN }>();
            let start = writer.position();
            match source {
                Source::Bytes(data) => writer.attach(data),
                Source::Sections(sections) => section::write_all(sections, tile_count, writer)?,
            }
            let header = InlineObjectBlockHeader {
                object_kind: kind,
                profile_id,
                object_bytes: length("object_bytes", writer.position() - start)?,
                ..InlineObjectBlockHeader::default()
            };
            header.check()?;
            writer.fill(place, header.encode());
            writer.pad8();
        }
        Ok(())
    }

    fn write_typed_descriptors(&self, writer: &mut PieceWriter) -> Result<(), WireError> {
        count(RuleId::LIM_15, "payload_frame_count", self.typed_payloads.len())?;
        let mut offset = 0;
        for payload in self.typed_payloads {
            let descriptor = TypedPayloadDescriptor {
                payload_kind: payload.kind,
                profile_id: payload.profile_id,
                payload_offset: length("payload_offset", offset)?,
                payload_length: length("payload_length", payload.data.len())?,
                ..TypedPayloadDescriptor::default()
            };
            descriptor.check()?;
            writer.put(&descriptor.encode());
            offset += payload.data.len();
        }
        Ok(())
    }

    fn write_extension_descriptors(&self, writer: &mut PieceWriter) -> Result<(), WireError> {
        let mut offset = 0;
        for frame in self.extension_frames {
            let descriptor = ExtensionFrameDescriptor {
                extension_kind: frame.kind,
                extension_flags: frame.flags,
                profile_id: frame.profile_id,
                reserved0: 0,
                payload_offset: length("payload_offset", offset)?,
                payload_length: length("payload_length", frame.data.len())?,
            };
            descriptor.check()?;
            writer.put(&descriptor.encode());
            offset += frame.data.len();
        }
        Ok(())
    }

    /// Small bytes the body will take, about.
    pub(super) fn small_bytes(&self) -> usize {
        let sections: usize = self.sections.unwrap_or_default().iter().map(Section::small_bytes).sum();
        let blocks = 8 + self.objects.len() + self.references.len();
        let frames = self.typed_payloads.len() + self.extension_frames.len();
        let payloads = (self.camera.into_iter())
            .chain(self.objects.iter().map(|object| &object.data))
            .chain(self.typed_payloads.iter().map(|payload| &payload.data))
            .chain(self.extension_frames.iter().map(|frame| &frame.data));
        let copied: usize = payloads.map(copied_bytes).sum();
        sections + (blocks + frames) * InlineObjectBlockHeader::LEN + copied
    }
}
