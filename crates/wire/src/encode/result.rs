//! RESULT_PUSH as an application hands it in.

use bytes::Bytes;

use super::{Section, composed::ComposedBody, count, kinds_of, refuse, section};
use crate::{
    BodyLayout, BudgetPolicy, CacheObjectKind, EncodedPacket, ExtensionFrame, FrameBody, Header, HeaderFlags,
    InlineObject, MessageType, ObjectReferenceBlock, PayloadKind, ResultClass, ResultFlags,
    ResultPushMetadata, Revision, RuleId, TileIndexMode, TypedPayload, WireError,
    body::{result_layout, tile_index},
    message::length,
    writer::PieceWriter,
};

/// One result to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultFrame {
    /// The frame this is a result of.
    pub frame_id: u32,
    /// The lane of that frame.
    pub view_id: u16,
    /// Carried unchanged.
    pub route_id: u16,
    /// Carried unchanged.
    pub trace_id: u64,
    /// Header flags; none is added.
    pub flags: HeaderFlags,
    /// 0 for success; other values belong to the application.
    pub status_code: u16,
    /// Properties of the result.
    pub result_flags: ResultFlags,
    /// The profile that was used.
    pub active_profile_id: u16,
    /// Milliseconds computing.
    pub inference_ms: u16,
    /// Milliseconds waiting in the queue.
    pub queue_ms: u16,
    /// Milliseconds from receipt to sending.
    pub server_total_ms: u16,
    /// Raw u16 or dense range; a result cannot say the others.
    pub tile_index_mode: TileIndexMode,
    /// First tile id of a dense range; carried unchanged in raw mode.
    pub tile_base_id: u32,
    /// How complete the result is.
    pub result_class: ResultClass,
    /// What was made use of.
    pub applied_budget_policy: BudgetPolicy,
    /// The frame the content came from; 0 for none.
    pub reused_frame_id: u32,
    /// Tiles with a result; `None` for all that are not dropped.
    pub covered_tile_count: Option<u16>,
    /// Tiles left out.
    pub dropped_tile_count: u16,
    /// The tiles, covered and dropped ones together. When the index is referenced, only their number matters.
    pub tile_ids: Vec<u16>,
    /// Number of tiles behind a referenced index; `None` for the length of `tile_ids`.
    pub tile_count: Option<u16>,
    /// Number of sections behind a referenced table; `None` for the length of `sections`.
    pub section_count: Option<u16>,
    /// The tensors. When the table is referenced, only their number matters.
    pub sections: Vec<Section>,
    /// The typed payloads.
    pub typed_payloads: Vec<TypedPayload>,
    /// Other inline objects; only in a body that is composed.
    pub objects: Vec<InlineObject>,
    /// References to objects in the client's cache; only together with typed payloads, because a result without them cannot be
    /// told from one without references.
    pub references: Vec<ObjectReferenceBlock>,
    /// Extension frames; only in a body that is composed.
    pub extension_frames: Vec<ExtensionFrame>,
    /// Payload kinds to announce beyond those that are there; says the kind of a result without payload.
    pub payload_kind: PayloadKind,
}

impl Default for ResultFrame {
    fn default() -> Self {
        Self {
            frame_id: 0,
            view_id: 0,
            route_id: 0,
            trace_id: 0,
            flags: HeaderFlags::NONE,
            status_code: 0,
            result_flags: ResultFlags::NONE,
            active_profile_id: 0,
            inference_ms: 0,
            queue_ms: 0,
            server_total_ms: 0,
            tile_index_mode: TileIndexMode::RawU16,
            tile_base_id: 0,
            result_class: ResultClass::default(),
            applied_budget_policy: BudgetPolicy::NONE,
            reused_frame_id: 0,
            covered_tile_count: None,
            dropped_tile_count: 0,
            tile_ids: Vec::new(),
            tile_count: None,
            section_count: None,
            sections: Vec::new(),
            typed_payloads: Vec::new(),
            objects: Vec::new(),
            references: Vec::new(),
            extension_frames: Vec::new(),
            payload_kind: PayloadKind::NONE,
        }
    }
}

impl ResultFrame {
    /// A result without payload.
    pub fn new(frame_id: u32) -> Self {
        Self { frame_id, ..Self::default() }
    }

    /// The result that was received, to be sent on. Reserved fields and the profile ids of the tensors' own objects are not
    /// carried over; tiles, sections and payloads are views of the received body.
    pub fn from_received(header: &Header, metadata: &ResultPushMetadata, body: &FrameBody) -> Self {
        Self {
            frame_id: header.frame_id,
            view_id: header.view_id,
            route_id: header.route_id,
            trace_id: header.trace_id,
            flags: header.flags,
            status_code: metadata.status_code,
            result_flags: metadata.result_flags,
            active_profile_id: metadata.active_profile_id,
            inference_ms: metadata.inference_ms,
            queue_ms: metadata.queue_ms,
            server_total_ms: metadata.server_total_ms,
            tile_index_mode: metadata.tile_index_mode(),
            tile_base_id: metadata.tile_base_id,
            result_class: metadata.result_class,
            applied_budget_policy: metadata.applied_budget_policy,
            reused_frame_id: metadata.reused_frame_id,
            covered_tile_count: Some(metadata.covered_tile_count),
            dropped_tile_count: metadata.dropped_tile_count,
            tile_ids: body.tile_ids().collect(),
            tile_count: Some(metadata.tile_count),
            section_count: Some(metadata.section_count),
            sections: body.sections().map(|section| section.to_section()).collect(),
            typed_payloads: body.typed_payloads().collect(),
            objects: body.inline_objects().filter(|object| !is_own_object(object.kind)).collect(),
            references: body.references().collect(),
            extension_frames: body.extension_frames().collect(),
            payload_kind: metadata.payload_kind_bitmap,
        }
    }

    /// Encodes the result. Layout, counts and lengths follow from what is given.
    ///
    /// # Errors
    /// Values that do not fit the wire or that every receiver would refuse, with the rule that says so.
    pub fn encode(&self, session_id: u32, revision: Revision) -> Result<EncodedPacket, WireError> {
        self.encode_about(&self.tile_ids, session_id, revision)
    }

    /// The same about these tiles, in place of its own `tile_ids`.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_about(
        &self,
        tile_ids: &[u16],
        session_id: u32,
        revision: Revision,
    ) -> Result<EncodedPacket, WireError> {
        let Revision::Current = revision;
        if !matches!(self.tile_index_mode, TileIndexMode::RawU16 | TileIndexMode::DenseRange) {
            let text = format!("RESULT_PUSH cannot say tile_index_mode {}", self.tile_index_mode);
            return Err(refuse(RuleId::RES_5, "tile_index_mode", text));
        }
        if let Some(object) = self.objects.iter().find(|object| is_own_object(object.kind)) {
            let text = format!("{} belongs to the tensors, not to the other objects", object.kind);
            return Err(refuse(RuleId::OBJ_32, "objects", text));
        }
        let references = self.sorted_references()?;
        let referenced = |kind| references.iter().any(|reference| reference.object_kind == kind);
        let index_referenced = referenced(CacheObjectKind::TileIndexBlock);
        let table_referenced = referenced(CacheObjectKind::TensorSectionTable);
        let tile_index = match index_referenced {
            true => Bytes::new(),
            false => tile_index::encode(self.tile_index_mode, self.tile_base_id, tile_ids)?,
        };
        let body = ComposedBody {
            tile_index: (!tile_ids.is_empty() && !index_referenced).then_some(&tile_index),
            sections: (!self.sections.is_empty() && !table_referenced).then_some(&*self.sections),
            objects: &self.objects,
            references: &references,
            typed_payloads: &self.typed_payloads,
            extension_frames: &self.extension_frames,
            ..ComposedBody::default()
        };
        let metadata = self.metadata(tile_ids, index_referenced, table_referenced, &tile_index)?;
        metadata.check()?;
        let writer = self.write_body(&metadata, &body, &tile_index)?;
        let header = Header {
            msg_type: MessageType::ResultPush,
            flags: self.flags,
            meta_len: length("meta_len", ResultPushMetadata::LEN)?,
            body_len: length("body_len", writer.position())?,
            session_id,
            frame_id: self.frame_id,
            view_id: self.view_id,
            route_id: self.route_id,
            trace_id: self.trace_id,
        };
        Ok(writer.finish(header, &metadata.encode()).with_checked_metadata())
    }

    fn metadata(
        &self,
        tile_ids: &[u16],
        index_referenced: bool,
        table_referenced: bool,
        tile_index: &Bytes,
    ) -> Result<ResultPushMetadata, WireError> {
        let tile_count = match self.tile_count.filter(|_| index_referenced) {
            Some(stated) => stated,
            None => count(RuleId::RES_5, "tile_count", tile_ids.len())?,
        };
        let section_count = match self.section_count.filter(|_| table_referenced) {
            Some(stated) => stated,
            None => count(RuleId::RES_5, "section_count", self.sections.len())?,
        };
        let mut kinds = self.payload_kind | kinds_of(&self.typed_payloads)?;
        if tile_count != 0 || section_count != 0 {
            kinds |= PayloadKind::TENSOR;
        }
        Ok(ResultPushMetadata {
            status_code: self.status_code,
            result_flags: self.result_flags,
            section_count,
            tile_count,
            active_profile_id: self.active_profile_id,
            inference_ms: self.inference_ms,
            queue_ms: self.queue_ms,
            server_total_ms: self.server_total_ms,
            tile_base_id: self.tile_base_id,
            tile_index_bytes: length("tile_index_bytes", tile_index.len())?,
            result_class: self.result_class,
            applied_budget_policy: self.applied_budget_policy,
            reused_frame_id: self.reused_frame_id,
            covered_tile_count: match self.covered_tile_count {
                Some(covered) => covered,
                // More dropped than there are is refused by the metadata's own check.
                None => tile_count.saturating_sub(self.dropped_tile_count),
            },
            dropped_tile_count: self.dropped_tile_count,
            payload_kind_bitmap: kinds,
            payload_frame_count: count(RuleId::LIM_15, "payload_frame_count", self.typed_payloads.len())?,
            ..ResultPushMetadata::default()
        })
    }

    fn write_body(
        &self,
        metadata: &ResultPushMetadata,
        body: &ComposedBody<'_>,
        tile_index: &Bytes,
    ) -> Result<PieceWriter, WireError> {
        let extra =
            !self.objects.is_empty() || !self.extension_frames.is_empty() || !body.references.is_empty();
        let layout = result_layout(metadata, !extra);
        let small = match layout {
            BodyLayout::Plain => section::plain_small_bytes(&Bytes::new(), tile_index, &self.sections),
            _ => body.small_bytes() + tile_index.len(),
        };
        let mut writer = PieceWriter::new(ResultPushMetadata::LEN, small);
        match layout {
            BodyLayout::Plain | BodyLayout::Skipped if extra => {
                let text =
                    "references, objects and extension frames of a result need a typed payload".to_owned();
                return Err(refuse(RuleId::PLAIN_3, "references", text));
            }
            BodyLayout::Plain => {
                writer.attach(tile_index);
                section::write_all(&self.sections, metadata.tile_count, &mut writer)?;
                debug_assert!(small == 0 || writer.is_full(), "of {small} bytes");
            }
            BodyLayout::Composed => body.write(metadata.tile_count, &mut writer)?,
            BodyLayout::Empty | BodyLayout::Skipped => {}
        }
        Ok(writer)
    }

    /// The references in the order the wire wants; the same one twice is refused.
    fn sorted_references(&self) -> Result<Vec<ObjectReferenceBlock>, WireError> {
        let order = |block: &ObjectReferenceBlock| {
            (block.object_kind.value(), block.cache_namespace, block.cache_key_hi, block.cache_key_lo)
        };
        if self.references.is_empty() {
            return Ok(Vec::new());
        }
        let mut references = self.references.clone();
        references.sort_by_key(order);
        if references
            .iter()
            .zip(references.iter().skip(1))
            .any(|(earlier, later)| order(earlier) == order(later))
        {
            return Err(refuse(RuleId::OBJ_30, "references", "a reference is there twice".to_owned()));
        }
        // The two objects a result has one of each; references to other kinds may be many.
        for own in [CacheObjectKind::TileIndexBlock, CacheObjectKind::TensorSectionTable] {
            if references.iter().filter(|reference| reference.object_kind == own).count() > 1 {
                return Err(refuse(RuleId::OBJ_32, "references", format!("{own} is referenced twice")));
            }
        }
        Ok(references)
    }
}

/// Whether the result itself writes objects of this kind.
fn is_own_object(kind: CacheObjectKind) -> bool {
    matches!(kind, CacheObjectKind::TileIndexBlock | CacheObjectKind::TensorSectionTable)
}
