//! Bodies of FRAME_SUBMIT and RESULT_PUSH.
//!
//! A body is decoded once, in one pass and without allocating: every rule is checked, and what is kept is where things are.
//! The accessors of [`FrameBody`] are views into the same bytes. There are two layouts: *plain* (tensors only, no prelude) and
//! *composed* (a prelude and six regions); the metadata tells which one it is.

mod composed;
mod object;
mod payload;
mod plain;
mod section;
mod tiles;

use std::fmt;

use bytes::Bytes;

pub use object::{BodyRegions, InlineObject, InlineObjects, ObjectReferences};
pub use payload::{ExtensionFrame, ExtensionFrames, TypedPayload, TypedPayloads};
pub use section::{SectionView, Sections, TileLengths, Tiles};
pub use tiles::TileIds;

use crate::{
    BodyRegionPrelude, CacheObjectKind, Detail, FrameSubmitMetadata, Limits, MessageType, ObjectRefMask,
    Part, PayloadKind, ResultPushMetadata, RuleId, SubmitMode, TileIndexMode, WireError, reader,
};
pub(crate) use composed::{SLOTS, TENSOR_SLOTS, is_tensor_object};
use object::Regions;

/// Encoding and decoding of tile index blocks.
pub mod tile_index {
    pub use super::tiles::{decode, encode};
}

/// A range of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn of(self, body: &[u8]) -> &[u8] {
        body.get(self.start..self.end).unwrap_or_default()
    }

    fn slice(self, body: &Bytes) -> Bytes {
        reader::slice(body, self.start, self.end)
    }
}

/// Where one of the tensor objects of a frame is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    /// The frame has none.
    #[default]
    Absent,
    /// In the body.
    Inline(Span),
    /// In the receiver's cache.
    Referenced,
}

/// How a body is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyLayout {
    /// No body: a frame without payload.
    #[default]
    Empty,
    /// Camera block, tile index and tensor sections, without a prelude.
    Plain,
    /// A prelude and six regions.
    Composed,
    /// A result with a body but without any announced payload; its bytes are not looked at.
    Skipped,
}

/// The decoded body of a FRAME_SUBMIT or RESULT_PUSH: views into the received bytes.
#[derive(Clone, Default)]
pub struct FrameBody {
    body: Bytes,
    layout: BodyLayout,
    prelude: Option<BodyRegionPrelude>,
    regions: Regions,
    camera: Slot,
    tile_index: Slot,
    sections: Slot,
    tile_index_mode: TileIndexMode,
    /// Results do not say how a referenced tile index is written; then the object's length tells.
    mode_by_length: bool,
    tile_base_id: u32,
    tile_count: u16,
    section_count: u16,
    /// Referenced objects that the session has filled in; most frames have none.
    resolved: Option<Box<Resolved>>,
}

#[derive(Clone, Default)]
struct Resolved {
    camera: Option<Bytes>,
    tile_index: Option<Bytes>,
    sections: Option<Bytes>,
}

impl FrameBody {
    /// Decodes the body of a FRAME_SUBMIT. `known_extension_kinds` are the extension frames the receiver understands; in a
    /// session it is empty.
    ///
    /// # Errors
    /// The first rule of R-PLAIN, R-BODY, R-TILE, R-SEC, R-OBJ, R-TYP or R-XF that the body breaks. References are not looked up
    /// (R-OBJ-24, see [`Self::with_resolved`]).
    pub fn decode_submit(
        metadata: &FrameSubmitMetadata,
        body: &Bytes,
        known_extension_kinds: &[u16],
    ) -> Result<Self, WireError> {
        let mut frame = Self {
            body: body.clone(),
            layout: submit_layout(metadata, body.is_empty()),
            tile_index_mode: metadata.tile_index_mode,
            tile_base_id: metadata.tile_base_id,
            tile_count: metadata.tile_count,
            section_count: metadata.section_count,
            ..Self::default()
        };
        let decoded = match frame.layout {
            BodyLayout::Plain => frame.decode_plain(metadata.camera_bytes, metadata.tile_index_bytes),
            BodyLayout::Composed => frame.decode_composed_submit(metadata, known_extension_kinds),
            BodyLayout::Empty | BodyLayout::Skipped => Ok(()),
        };
        match decoded {
            Ok(()) => Ok(frame),
            Err(error) => Err(error.in_message(MessageType::FrameSubmit)),
        }
    }

    /// Decodes the body of a RESULT_PUSH.
    ///
    /// # Errors
    /// As [`Self::decode_submit`].
    pub fn decode_result(
        metadata: &ResultPushMetadata,
        body: &Bytes,
        known_extension_kinds: &[u16],
    ) -> Result<Self, WireError> {
        let mut frame = Self {
            body: body.clone(),
            layout: result_layout(metadata, body.is_empty()),
            tile_index_mode: metadata.tile_index_mode(),
            tile_base_id: metadata.tile_base_id,
            tile_count: metadata.tile_count,
            section_count: metadata.section_count,
            ..Self::default()
        };
        let decoded = match frame.layout {
            BodyLayout::Plain => frame.decode_plain(0, metadata.tile_index_bytes),
            BodyLayout::Composed => frame.decode_composed_result(metadata, known_extension_kinds),
            BodyLayout::Empty | BodyLayout::Skipped => Ok(()),
        };
        match decoded {
            Ok(()) => Ok(frame),
            Err(error) => Err(error.in_message(MessageType::ResultPush)),
        }
    }

    /// Checks the counts against the limits of the receiver (R-LIM-4).
    ///
    /// # Errors
    /// More sections than `limits` allows.
    pub fn check_limits(&self, limits: &Limits) -> Result<(), WireError> {
        if self.section_count > limits.max_sections {
            let detail =
                Detail::TooMany { limit: limits.max_sections.into(), actual: self.section_count.into() };
            return Err(WireError::new(RuleId::LIM_4, Part::Metadata, 0, "section_count", detail));
        }
        Ok(())
    }

    /// How the body is laid out.
    pub fn layout(&self) -> BodyLayout {
        self.layout
    }

    /// The whole body as it was received.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The prelude of a composed body.
    pub fn prelude(&self) -> Option<BodyRegionPrelude> {
        self.prelude
    }

    /// The camera block. `None` when there is none, or when it is referenced and not resolved.
    pub fn camera(&self) -> Option<Bytes> {
        self.object(self.camera, |resolved| resolved.camera.as_ref())
    }

    /// The tile index as bytes. `None` when there is none (a dense range in a plain body has an empty one), or when it is
    /// referenced and not resolved.
    pub fn tile_index_block(&self) -> Option<Bytes> {
        self.object(self.tile_index, |resolved| resolved.tile_index.as_ref())
    }

    /// The ids of the tiles, in tile order; empty when the tile index is referenced and not resolved.
    pub fn tile_ids(&self) -> TileIds {
        if let Slot::Inline(span) = self.tile_index
            && let Some(ids) = TileIds::of_bytes(
                self.tile_index_mode,
                self.tile_base_id,
                self.tile_count,
                span.of(&self.body),
            )
        {
            return ids;
        }
        match self.tile_index_block() {
            Some(block) => {
                TileIds::of_checked(self.mode_of(&block), self.tile_base_id, self.tile_count, block)
            }
            None => TileIds::none(),
        }
    }

    /// How the tile ids are written.
    pub fn tile_index_mode(&self) -> TileIndexMode {
        self.tile_index_mode
    }

    /// Tiles of the frame, as the metadata says.
    pub fn tile_count(&self) -> usize {
        self.tile_count.into()
    }

    /// Tensor sections of the frame, as the metadata says.
    pub fn section_count(&self) -> usize {
        self.section_count.into()
    }

    /// The tensor sections; empty when the section table is referenced and not resolved.
    pub fn sections(&self) -> Sections {
        match self.sections {
            Slot::Inline(span) => Sections::of_checked(self.body.clone(), span.start, self.section_count),
            Slot::Referenced => match self.resolved.as_ref().and_then(|resolved| resolved.sections.clone()) {
                Some(table) => Sections::of_checked(table, 0, self.section_count),
                None => Sections::none(),
            },
            Slot::Absent => Sections::none(),
        }
    }

    /// The table of sections as bytes, as a cache object would hold it.
    pub fn section_table(&self) -> Option<Bytes> {
        self.object(self.sections, |resolved| resolved.sections.as_ref())
    }

    /// The typed payloads in their order.
    pub fn typed_payloads(&self) -> TypedPayloads {
        let regions = &self.regions;
        TypedPayloads::of_checked(
            regions.typed_descriptors.slice(&self.body),
            regions.typed_payloads.slice(&self.body),
        )
    }

    /// Every inline object of a composed body, the tensor objects included.
    pub fn inline_objects(&self) -> InlineObjects {
        InlineObjects::of_checked(self.regions.inline_objects.slice(&self.body))
    }

    /// Whether there is any in [`Self::references`].
    pub fn has_references(&self) -> bool {
        self.regions.references.len() > 0
    }

    /// The references of a composed body.
    pub fn references(&self) -> ObjectReferences {
        ObjectReferences::of_checked(self.regions.references.slice(&self.body))
    }

    /// The extension frames of a composed body; those of kinds you do not know are to be skipped.
    pub fn extension_frames(&self) -> ExtensionFrames {
        let regions = &self.regions;
        ExtensionFrames::of_checked(
            regions.extension_descriptors.slice(&self.body),
            regions.extension_payloads.slice(&self.body),
        )
    }

    /// The same body with a referenced object filled in from the cache. Objects that are not part of the tensors are left
    /// alone: the application looks them up by their reference.
    ///
    /// # Errors
    /// A tile index or section table that does not fit the metadata of this frame (R-OBJ-25).
    pub fn with_resolved(mut self, kind: CacheObjectKind, object: Bytes) -> Result<Self, WireError> {
        let unfit = |mut error: WireError| {
            error.rule = RuleId::OBJ_25;
            error
        };
        match kind {
            CacheObjectKind::CameraBlock if self.camera == Slot::Referenced => {
                self.resolved.get_or_insert_default().camera = Some(object);
            }
            CacheObjectKind::TileIndexBlock if self.tile_index == Slot::Referenced => {
                tiles::check(self.mode_of(&object), self.tile_base_id, self.tile_count, &object)
                    .map_err(unfit)?;
                self.tile_index_mode = self.mode_of(&object);
                self.resolved.get_or_insert_default().tile_index = Some(object);
            }
            CacheObjectKind::TensorSectionTable if self.sections == Slot::Referenced => {
                Sections::decode(&object, self.section_count, Some(self.tile_count)).map_err(unfit)?;
                self.resolved.get_or_insert_default().sections = Some(object);
            }
            _ => {}
        }
        Ok(self)
    }

    /// How an index of these bytes is written.
    fn mode_of(&self, block: &Bytes) -> TileIndexMode {
        match (self.mode_by_length, block.is_empty()) {
            (false, _) => self.tile_index_mode,
            (true, true) => TileIndexMode::DenseRange,
            (true, false) => TileIndexMode::RawU16,
        }
    }

    fn object(&self, slot: Slot, resolved: impl Fn(&Resolved) -> Option<&Bytes>) -> Option<Bytes> {
        match slot {
            Slot::Absent => None,
            Slot::Inline(span) => Some(span.slice(&self.body)),
            Slot::Referenced => self.resolved.as_deref().and_then(resolved).cloned(),
        }
    }
}

impl fmt::Debug for FrameBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameBody")
            .field("layout", &self.layout)
            .field("bytes", &self.body.len())
            .field("tiles", &self.tile_count)
            .field("sections", &self.section_count)
            .field("typed_payloads", &self.typed_payloads().len())
            .finish()
    }
}

/// Which layout a submit has. Nothing in the packet says so; it follows from the metadata, and the first match wins.
pub(crate) fn submit_layout(metadata: &FrameSubmitMetadata, empty: bool) -> BodyLayout {
    let inline = metadata.submit_mode == SubmitMode::Inline
        && metadata.object_ref_mask == ObjectRefMask::NONE
        && metadata.payload_frame_count == 0;
    if inline && metadata.payload_kind_bitmap == PayloadKind::TENSOR {
        BodyLayout::Plain
    } else if inline && !metadata.payload_kind_bitmap.contains(PayloadKind::TENSOR) && empty {
        BodyLayout::Empty
    } else {
        BodyLayout::Composed
    }
}

/// Which layout a result has.
pub(crate) fn result_layout(metadata: &ResultPushMetadata, empty: bool) -> BodyLayout {
    let kinds = metadata.payload_kind_bitmap;
    match metadata.payload_frame_count {
        0 if kinds == PayloadKind::TENSOR => BodyLayout::Plain,
        0 if !kinds.contains(PayloadKind::TENSOR) && empty => BodyLayout::Empty,
        0 if kinds.is_empty() => BodyLayout::Skipped,
        _ => BodyLayout::Composed,
    }
}
