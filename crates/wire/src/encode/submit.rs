//! FRAME_SUBMIT as an application hands it in.

use bytes::Bytes;

use super::{Section, composed::ComposedBody, count, kinds_of, refuse, section};
use crate::{
    BodyLayout, BudgetPolicy, CacheObjectKind, EncodedPacket, ExtensionFrame, FrameBody, FrameClass,
    FrameSubmitMetadata, Header, HeaderFlags, INHERIT, InlineObject, InputProfile, MessageType,
    ObjectRefMask, ObjectReferenceBlock, PayloadKind, Revision, RuleId, SubmitMode, TileIndexMode,
    TypedPayload, WireError,
    body::{SLOTS, TENSOR_SLOTS, is_tensor_object, submit_layout, tile_index},
    message::length,
    writer::PieceWriter,
};

/// One frame to be submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitFrame {
    /// The frame's id, unique for its view in the session.
    pub frame_id: u32,
    /// The lane.
    pub view_id: u16,
    /// Carried unchanged.
    pub route_id: u16,
    /// Carried unchanged.
    pub trace_id: u64,
    /// Header flags; none is added.
    pub flags: HeaderFlags,
    /// Width of the source in pixels; 0 without tensors, like the next three.
    pub src_width: u16,
    /// Height of the source in pixels.
    pub src_height: u16,
    /// Width of a tile in pixels.
    pub tile_width: u16,
    /// Height of a tile in pixels.
    pub tile_height: u16,
    /// How the frame relates to its neighbours.
    pub frame_class: FrameClass,
    /// What the tensors are a picture of.
    pub input_profile: InputProfile,
    /// How the tile ids are written.
    pub tile_index_mode: TileIndexMode,
    /// Deadline in milliseconds from receipt; 0 for none.
    pub latency_budget_ms: u16,
    /// Frames per second, times 100; 0 for not stated.
    pub target_fps_x100: u16,
    /// The frame this one retries; 0 for none.
    pub retry_of_frame: u32,
    /// First tile id of a dense range; carried unchanged in the other modes.
    pub tile_base_id: u32,
    /// What is taken instead of a complete result.
    pub budget_policy: BudgetPolicy,
    /// A [`crate::LossTolerance`] or [`INHERIT`].
    pub loss_tolerance_policy: u8,
    /// The frame whose context this one needs; 0 for none.
    pub dependency_frame_id: u32,
    /// The tiles. When the index is referenced, only their number matters; see `tile_count`.
    pub tile_ids: Vec<u16>,
    /// The camera block; empty for none.
    pub camera: Bytes,
    /// The tensors. When the table is referenced, only their number matters; see `section_count`.
    pub sections: Vec<Section>,
    /// The typed payloads.
    pub typed_payloads: Vec<TypedPayload>,
    /// Other inline objects, never the three of the tensors; only in a body that is composed.
    pub objects: Vec<InlineObject>,
    /// Extension frames; only in a body that is composed.
    pub extension_frames: Vec<ExtensionFrame>,
    /// The camera block in the server's cache.
    pub camera_reference: Option<ObjectReferenceBlock>,
    /// The tile index in the server's cache.
    pub tile_index_reference: Option<ObjectReferenceBlock>,
    /// The table of sections in the server's cache.
    pub section_table_reference: Option<ObjectReferenceBlock>,
    /// The payload layout template in the server's cache.
    pub layout_template_reference: Option<ObjectReferenceBlock>,
    /// Number of tiles behind `tile_index_reference`; `None` for the length of `tile_ids`.
    pub tile_count: Option<u16>,
    /// Number of sections behind `section_table_reference`; `None` for the length of `sections`.
    pub section_count: Option<u16>,
    /// `None` derives the mode from the references.
    pub submit_mode: Option<SubmitMode>,
    /// Payload kinds to announce beyond those that are there; says the kind of a frame without payload.
    pub payload_kind: PayloadKind,
    /// Sends a frame without payload as 32 zero bytes instead of no body; servers of the reference peer want it so.
    pub zero_prelude: bool,
}

impl Default for SubmitFrame {
    fn default() -> Self {
        Self {
            frame_id: 0,
            view_id: 0,
            route_id: 0,
            trace_id: 0,
            flags: HeaderFlags::NONE,
            src_width: 0,
            src_height: 0,
            tile_width: 0,
            tile_height: 0,
            frame_class: FrameClass::default(),
            input_profile: InputProfile::default(),
            tile_index_mode: TileIndexMode::RawU16,
            latency_budget_ms: 0,
            target_fps_x100: 0,
            retry_of_frame: 0,
            tile_base_id: 0,
            budget_policy: BudgetPolicy::NONE,
            loss_tolerance_policy: INHERIT,
            dependency_frame_id: 0,
            tile_ids: Vec::new(),
            camera: Bytes::new(),
            sections: Vec::new(),
            typed_payloads: Vec::new(),
            objects: Vec::new(),
            extension_frames: Vec::new(),
            camera_reference: None,
            tile_index_reference: None,
            section_table_reference: None,
            layout_template_reference: None,
            tile_count: None,
            section_count: None,
            submit_mode: None,
            payload_kind: PayloadKind::NONE,
            zero_prelude: false,
        }
    }
}

impl SubmitFrame {
    /// A frame without payload.
    pub fn new(frame_id: u32) -> Self {
        Self { frame_id, ..Self::default() }
    }

    /// The frame that was received, to be sent on. Reserved fields and the profile ids of the tensors' own objects are not
    /// carried over; tiles, sections and payloads are views of the received body.
    pub fn from_received(header: &Header, metadata: &FrameSubmitMetadata, body: &FrameBody) -> Self {
        let reference = |kind| body.references().find(|reference| reference.object_kind == kind);
        let camera_reference = reference(CacheObjectKind::CameraBlock);
        Self {
            frame_id: header.frame_id,
            view_id: header.view_id,
            route_id: header.route_id,
            trace_id: header.trace_id,
            flags: header.flags,
            src_width: metadata.src_width,
            src_height: metadata.src_height,
            tile_width: metadata.tile_width,
            tile_height: metadata.tile_height,
            frame_class: metadata.frame_class,
            input_profile: metadata.input_profile,
            tile_index_mode: metadata.tile_index_mode,
            latency_budget_ms: metadata.latency_budget_ms,
            target_fps_x100: metadata.target_fps_x100,
            retry_of_frame: metadata.retry_of_frame,
            tile_base_id: metadata.tile_base_id,
            budget_policy: metadata.budget_policy,
            loss_tolerance_policy: metadata.loss_tolerance_policy,
            dependency_frame_id: metadata.dependency_frame_id,
            tile_ids: body.tile_ids().collect(),
            camera: body.camera().filter(|_| camera_reference.is_none()).unwrap_or_default(),
            sections: body.sections().map(|section| section.to_section()).collect(),
            typed_payloads: body.typed_payloads().collect(),
            objects: body.inline_objects().filter(|object| !is_tensor_object(object.kind)).collect(),
            extension_frames: body.extension_frames().collect(),
            camera_reference,
            tile_index_reference: reference(CacheObjectKind::TileIndexBlock),
            section_table_reference: reference(CacheObjectKind::TensorSectionTable),
            layout_template_reference: reference(CacheObjectKind::PayloadLayoutTemplate),
            tile_count: Some(metadata.tile_count),
            section_count: Some(metadata.section_count),
            submit_mode: Some(metadata.submit_mode),
            payload_kind: metadata.payload_kind_bitmap,
            zero_prelude: body.layout() == BodyLayout::Composed,
        }
    }

    /// Encodes the frame. Layout, counts, lengths, mode and mask follow from what is given.
    ///
    /// # Errors
    /// Values that do not fit the wire or that every receiver would refuse, with the rule that says so.
    pub fn encode(&self, session_id: u32, revision: Revision) -> Result<EncodedPacket, WireError> {
        let Revision::Current = revision;
        let references = self.references()?;
        let mask = references.iter().fold(ObjectRefMask::NONE, |mask, (bit, _)| mask | *bit);
        let references: Vec<_> = references.into_iter().map(|(_, reference)| reference).collect();
        self.check_objects(mask)?;
        let tile_index = match mask.contains(ObjectRefMask::TILE_INDEX_BLOCK) {
            true => Bytes::new(),
            false => tile_index::encode(self.tile_index_mode, self.tile_base_id, &self.tile_ids)?,
        };
        let body = self.body(mask, &references, &tile_index);
        let metadata = self.metadata(mask, &body, &tile_index)?;
        metadata.check()?;
        let writer = self.write_body(&metadata, &body, &tile_index)?;
        let header = Header {
            msg_type: MessageType::FrameSubmit,
            flags: self.flags,
            meta_len: length("meta_len", FrameSubmitMetadata::LEN)?,
            body_len: length("body_len", writer.position())?,
            session_id,
            frame_id: self.frame_id,
            view_id: self.view_id,
            route_id: self.route_id,
            trace_id: self.trace_id,
        };
        Ok(writer.finish(header, &metadata.encode()).with_checked_metadata())
    }

    /// Refuses objects that would fill a standard slot twice.
    fn check_objects(&self, mask: ObjectRefMask) -> Result<(), WireError> {
        let refuse = |field, text: String| Err(refuse(RuleId::OBJ_14, field, text));
        if mask.contains(ObjectRefMask::CAMERA_BLOCK) && !self.camera.is_empty() {
            return refuse("camera", "camera is given both as bytes and as a reference".to_owned());
        }
        if let Some(object) = self.objects.iter().find(|object| is_tensor_object(object.kind)) {
            return refuse(
                "objects",
                format!("{} belongs to the tensors, not to the other objects", object.kind),
            );
        }
        let room = usize::from(!mask.contains(ObjectRefMask::PAYLOAD_LAYOUT_TEMPLATE));
        if self.objects.iter().filter(|object| is_template(object)).count() > room {
            return refuse("objects", "the payload layout template is given twice".to_owned());
        }
        Ok(())
    }

    /// What the regions of a composed body hold. A plain body has the first three.
    fn body<'a>(
        &'a self,
        mask: ObjectRefMask,
        references: &'a [ObjectReferenceBlock],
        tile_index: &'a Bytes,
    ) -> ComposedBody<'a> {
        let inline = |bit, there: bool| there && !mask.contains(bit);
        ComposedBody {
            camera: (!self.camera.is_empty()).then_some(&self.camera),
            tile_index: inline(ObjectRefMask::TILE_INDEX_BLOCK, !self.tile_ids.is_empty())
                .then_some(tile_index),
            sections: inline(ObjectRefMask::TENSOR_SECTION_TABLE, !self.sections.is_empty())
                .then_some(&*self.sections),
            objects: &self.objects,
            references,
            typed_payloads: &self.typed_payloads,
            extension_frames: &self.extension_frames,
        }
    }

    fn metadata(
        &self,
        mask: ObjectRefMask,
        body: &ComposedBody<'_>,
        tile_index: &Bytes,
    ) -> Result<FrameSubmitMetadata, WireError> {
        let stated = |number: Option<u16>, bit| number.filter(|_| mask.contains(bit));
        let tile_count = match stated(self.tile_count, ObjectRefMask::TILE_INDEX_BLOCK) {
            Some(stated) => stated,
            None => count(RuleId::SUB_9, "tile_count", self.tile_ids.len())?,
        };
        let section_count = match stated(self.section_count, ObjectRefMask::TENSOR_SECTION_TABLE) {
            Some(stated) => stated,
            None => count(RuleId::SUB_9, "section_count", self.sections.len())?,
        };
        Ok(FrameSubmitMetadata {
            src_width: self.src_width,
            src_height: self.src_height,
            tile_width: self.tile_width,
            tile_height: self.tile_height,
            tile_count,
            section_count,
            frame_class: self.frame_class,
            input_profile: self.input_profile,
            tile_index_mode: self.tile_index_mode,
            latency_budget_ms: self.latency_budget_ms,
            target_fps_x100: self.target_fps_x100,
            retry_of_frame: self.retry_of_frame,
            tile_base_id: self.tile_base_id,
            camera_bytes: length("camera_bytes", self.camera.len())?,
            tile_index_bytes: length("tile_index_bytes", tile_index.len())?,
            submit_mode: self.mode(body, mask)?,
            budget_policy: self.budget_policy,
            loss_tolerance_policy: self.loss_tolerance_policy,
            object_ref_mask: mask,
            dependency_frame_id: self.dependency_frame_id,
            payload_kind_bitmap: self.kinds(body, mask)?,
            payload_frame_count: count(RuleId::LIM_15, "payload_frame_count", self.typed_payloads.len())?,
            ..FrameSubmitMetadata::default()
        })
    }

    fn write_body(
        &self,
        metadata: &FrameSubmitMetadata,
        body: &ComposedBody<'_>,
        tile_index: &Bytes,
    ) -> Result<PieceWriter, WireError> {
        let extra = !self.objects.is_empty() || !self.extension_frames.is_empty();
        let layout = submit_layout(metadata, !extra && !self.zero_prelude);
        let small = match layout {
            BodyLayout::Plain => section::plain_small_bytes(&self.camera, tile_index, &self.sections),
            _ => body.small_bytes() + tile_index.len(),
        };
        let mut writer = PieceWriter::new(FrameSubmitMetadata::LEN, small);
        match layout {
            BodyLayout::Plain if extra => {
                let text = "objects and extension frames need a body that is not plain".to_owned();
                return Err(refuse(RuleId::PLAIN_3, "extension_frames", text));
            }
            BodyLayout::Plain => {
                writer.attach(&self.camera);
                writer.pad8();
                writer.attach(tile_index);
                section::write_all(&self.sections, metadata.tile_count, &mut writer)?;
                debug_assert!(small == 0 || writer.is_full(), "of {small} bytes");
            }
            BodyLayout::Composed => body.write(metadata.tile_count, &mut writer)?,
            BodyLayout::Empty | BodyLayout::Skipped => {}
        }
        Ok(writer)
    }

    /// The references in slot order, each with the bit of its slot.
    fn references(&self) -> Result<Vec<(ObjectRefMask, ObjectReferenceBlock)>, WireError> {
        let given = [
            self.camera_reference,
            self.tile_index_reference,
            self.section_table_reference,
            self.layout_template_reference,
        ];
        let mut references = Vec::new();
        for ((kind, bit), reference) in SLOTS.into_iter().zip(given) {
            let Some(reference) = reference else { continue };
            if reference.object_kind != kind {
                let text = format!("expected {kind} reference, got {}", reference.object_kind);
                return Err(refuse(RuleId::OBJ_13, "object_kind", text));
            }
            references.push((bit, reference));
        }
        Ok(references)
    }

    /// The mode that is asked for, or the one that fits.
    fn mode(&self, body: &ComposedBody<'_>, mask: ObjectRefMask) -> Result<SubmitMode, WireError> {
        let inline = body.camera.is_some()
            || body.tile_index.is_some()
            || body.sections.is_some()
            || self.objects.iter().any(is_template);
        let fitting = match (mask.is_empty(), inline) {
            (true, _) => SubmitMode::Inline,
            (false, false) => SubmitMode::Reference,
            (false, true) => SubmitMode::Mixed,
        };
        let rule = match (self.submit_mode, fitting) {
            (None, fitting) => return Ok(fitting),
            (Some(asked), fitting) if asked == fitting => return Ok(asked),
            // Mixed with references only is legal, though nothing calls for it.
            (Some(SubmitMode::Mixed), SubmitMode::Reference) => return Ok(SubmitMode::Mixed),
            (Some(SubmitMode::Inline), _) => RuleId::OBJ_10,
            (Some(_), SubmitMode::Inline) => RuleId::OBJ_11,
            (Some(SubmitMode::Reference), _) => RuleId::OBJ_12,
            (Some(_), _) => RuleId::SUB_4,
        };
        let asked = self.submit_mode.unwrap_or_default();
        Err(refuse(
            rule,
            "submit_mode",
            format!("submit_mode {asked} does not fit, the objects make it {fitting}"),
        ))
    }

    fn kinds(&self, body: &ComposedBody<'_>, mask: ObjectRefMask) -> Result<PayloadKind, WireError> {
        let mut kinds = self.payload_kind | kinds_of(&self.typed_payloads)?;
        if body.camera.is_some()
            || body.tile_index.is_some()
            || body.sections.is_some()
            || mask.intersects(TENSOR_SLOTS)
        {
            kinds |= PayloadKind::TENSOR;
        }
        Ok(kinds)
    }
}

fn is_template(object: &InlineObject) -> bool {
    object.kind == CacheObjectKind::PayloadLayoutTemplate
}
