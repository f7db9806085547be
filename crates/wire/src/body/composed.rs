//! The composed layout: a prelude, six regions, and the rules about which objects a frame must and may have.

use super::{FrameBody, Regions, Slot, Span, object, payload, section, tiles};
use crate::{
    BodyRegionPrelude, CacheObjectKind, Detail, FrameSubmitMetadata, ObjectRefMask, ObjectReferenceBlock,
    Part, PayloadKind, ResultPushMetadata, RuleId, SubmitMode, TypedPayloadDescriptor, WireError,
};

/// The standard slots of a submit in slot order, with the bit that masks each.
pub(crate) const SLOTS: [(CacheObjectKind, ObjectRefMask); 4] = [
    (CacheObjectKind::CameraBlock, ObjectRefMask::CAMERA_BLOCK),
    (CacheObjectKind::TileIndexBlock, ObjectRefMask::TILE_INDEX_BLOCK),
    (CacheObjectKind::TensorSectionTable, ObjectRefMask::TENSOR_SECTION_TABLE),
    (CacheObjectKind::PayloadLayoutTemplate, ObjectRefMask::PAYLOAD_LAYOUT_TEMPLATE),
];

/// The slots that make up tensors.
pub(crate) const TENSOR_SLOTS: ObjectRefMask =
    ObjectRefMask::KNOWN.without(ObjectRefMask::PAYLOAD_LAYOUT_TEMPLATE);

/// Whether an object of this kind fills one of the tensor slots.
pub(crate) fn is_tensor_object(kind: CacheObjectKind) -> bool {
    SLOTS.into_iter().any(|(slot, bit)| slot == kind && TENSOR_SLOTS.contains(bit))
}

/// The objects that make up tensors, as far as a body has them inline.
#[derive(Default)]
struct Inline {
    camera: Option<Span>,
    tile_index: Option<Span>,
    sections: Option<Span>,
}

impl Inline {
    fn slot(span: Option<Span>, referenced: bool) -> Slot {
        match span {
            Some(span) => Slot::Inline(span),
            None if referenced => Slot::Referenced,
            None => Slot::Absent,
        }
    }
}

impl FrameBody {
    pub(super) fn decode_composed_submit(
        &mut self,
        metadata: &FrameSubmitMetadata,
        known_extension_kinds: &[u16],
    ) -> Result<(), WireError> {
        self.decode_regions(metadata.payload_frame_count)?;
        check_submit_mode(metadata, self.regions.references)?;
        let inline = self.inline_of_submit(metadata)?;
        self.check_submit_references(metadata.object_ref_mask)?;
        let masked = |bit| metadata.object_ref_mask.contains(bit);

        check_length(RuleId::OBJ_18, "camera_bytes", metadata.camera_bytes, inline.camera)?;
        let index_masked = masked(ObjectRefMask::TILE_INDEX_BLOCK);
        self.check_tile_index(
            metadata.tile_index_bytes,
            inline.tile_index,
            index_masked,
            IndexRules { length: RuleId::OBJ_19, missing: RuleId::OBJ_20, referenced: RuleId::OBJ_21 },
        )?;
        let table_masked = masked(ObjectRefMask::TENSOR_SECTION_TABLE);
        self.check_section_table(inline.sections, table_masked, RuleId::OBJ_22, RuleId::OBJ_23)?;

        self.camera = Inline::slot(inline.camera, masked(ObjectRefMask::CAMERA_BLOCK));
        self.tile_index = Inline::slot(inline.tile_index, index_masked);
        self.sections = Inline::slot(inline.sections, table_masked);
        self.check_payloads(metadata.payload_kind_bitmap, known_extension_kinds)?;
        Ok(())
    }

    pub(super) fn decode_composed_result(
        &mut self,
        metadata: &ResultPushMetadata,
        known_extension_kinds: &[u16],
    ) -> Result<(), WireError> {
        self.decode_regions(metadata.payload_frame_count)?;
        let inline = self.inline_of_result()?;
        let (index_referenced, table_referenced) = self.check_result_references(&inline)?;
        self.check_tile_index(
            metadata.tile_index_bytes,
            inline.tile_index,
            index_referenced,
            IndexRules { length: RuleId::OBJ_33, missing: RuleId::OBJ_34, referenced: RuleId::OBJ_35 },
        )?;
        self.check_section_table(inline.sections, table_referenced, RuleId::OBJ_36, RuleId::OBJ_36)?;

        self.mode_by_length = index_referenced;
        self.camera = Inline::slot(inline.camera, false);
        self.tile_index = Inline::slot(inline.tile_index, index_referenced);
        self.sections = Inline::slot(inline.sections, table_referenced);
        self.check_payloads(metadata.payload_kind_bitmap, known_extension_kinds)?;
        Ok(())
    }

    fn decode_regions(&mut self, payload_frame_count: u16) -> Result<(), WireError> {
        let (prelude, regions) = Regions::decode(&self.body)?;
        let expected = usize::from(payload_frame_count) * TypedPayloadDescriptor::LEN;
        if prelude.typed_payload_descriptor_bytes as usize != expected {
            let detail = Detail::Mismatch {
                expected: expected as u64,
                actual: prelude.typed_payload_descriptor_bytes.into(),
            };
            return Err(BodyRegionPrelude::refuse(RuleId::BODY_6, "typed_payload_descriptor_bytes", detail));
        }
        if payload_frame_count == 0 && prelude.typed_payload_frame_bytes != 0 {
            let detail = Detail::Mismatch { expected: 0, actual: prelude.typed_payload_frame_bytes.into() };
            return Err(BodyRegionPrelude::refuse(RuleId::BODY_7, "typed_payload_frame_bytes", detail));
        }
        self.prelude = Some(prelude);
        self.regions = regions;
        Ok(())
    }

    /// Checks the inline objects of a submit and finds the tensor objects among them.
    fn inline_of_submit(&self, metadata: &FrameSubmitMetadata) -> Result<Inline, WireError> {
        let mut inline = Inline::default();
        let mut taken = ObjectRefMask::NONE;
        let tensor = metadata.payload_kind_bitmap.contains(PayloadKind::TENSOR);
        object::for_each_inline(&self.body, self.regions.inline_objects, |header, span| {
            let kind = header.object_kind;
            let Some((_, bit)) = SLOTS.into_iter().find(|(slot, _)| *slot == kind) else { return Ok(()) };
            if metadata.submit_mode == SubmitMode::Reference {
                let text = format!("a submit by reference has {kind} inline");
                return Err(refuse(RuleId::OBJ_12, span.start, "submit_mode", text));
            }
            if (taken | metadata.object_ref_mask).contains(bit) {
                return Err(refuse(RuleId::OBJ_14, span.start, "", format!("{kind} is there twice")));
            }
            taken |= bit;
            inline.put(kind, span);
            if !tensor && TENSOR_SLOTS.contains(bit) {
                return Err(without_tensor(kind, span.start));
            }
            Ok(())
        })?;
        Ok(inline)
    }

    /// Checks that the references are exactly the masked slots in slot order.
    fn check_submit_references(&self, mask: ObjectRefMask) -> Result<(), WireError> {
        let mut expected = SLOTS.into_iter().filter(|(_, bit)| mask.contains(*bit)).map(|(kind, _)| kind);
        object::for_each_reference(&self.body, self.regions.references, |reference, at| {
            if expected.next() == Some(reference.object_kind) {
                return Ok(());
            }
            let text =
                format!("a reference to {} does not follow object_ref_mask {mask}", reference.object_kind);
            Err(refuse(RuleId::OBJ_13, at, "object_ref_mask", text))
        })?;
        match expected.next() {
            None => Ok(()),
            Some(kind) => {
                let text = format!("object_ref_mask names {kind}, which is not referenced");
                Err(refuse(RuleId::OBJ_13, self.regions.references.end, "object_ref_mask", text))
            }
        }
    }

    /// Checks the inline objects of a result and finds the tensor objects among them.
    fn inline_of_result(&self) -> Result<Inline, WireError> {
        let mut inline = Inline::default();
        object::for_each_inline(&self.body, self.regions.inline_objects, |header, span| {
            let kind = header.object_kind;
            let twice = match kind {
                CacheObjectKind::TileIndexBlock => inline.tile_index.is_some(),
                CacheObjectKind::TensorSectionTable => inline.sections.is_some(),
                _ => false,
            };
            if twice {
                return Err(refuse(RuleId::OBJ_32, span.start, "", format!("{kind} is inline twice")));
            }
            inline.put(kind, span);
            Ok(())
        })?;
        Ok(inline)
    }

    /// Checks the references of a result; tells whether tile index and section table are among them.
    fn check_result_references(&self, inline: &Inline) -> Result<(bool, bool), WireError> {
        let (mut index, mut table) = (false, false);
        let mut previous: Option<ObjectReferenceBlock> = None;
        let order = |block: &ObjectReferenceBlock| {
            (block.object_kind.value(), block.cache_namespace, block.cache_key_hi, block.cache_key_lo)
        };
        object::for_each_reference(&self.body, self.regions.references, |reference, at| {
            let kind = reference.object_kind;
            if previous.as_ref().is_some_and(|previous| order(previous) >= order(&reference)) {
                return Err(refuse(RuleId::OBJ_30, at, "", "references of a result must ascend".to_owned()));
            }
            previous = Some(reference);
            let (referenced, inline) = match kind {
                CacheObjectKind::TileIndexBlock => (&mut index, inline.tile_index),
                CacheObjectKind::TensorSectionTable => (&mut table, inline.sections),
                _ => return Ok(()),
            };
            if *referenced || inline.is_some() {
                return Err(refuse(RuleId::OBJ_32, at, "", format!("{kind} is there twice")));
            }
            *referenced = true;
            Ok(())
        })?;
        Ok((index, table))
    }

    fn check_tile_index(
        &self,
        tile_index_bytes: u32,
        inline: Option<Span>,
        referenced: bool,
        rules: IndexRules,
    ) -> Result<(), WireError> {
        match inline {
            Some(span) => {
                check_length(rules.length, "tile_index_bytes", tile_index_bytes, Some(span))?;
                tiles::check(self.tile_index_mode, self.tile_base_id, self.tile_count, span.of(&self.body))
                    .map_err(|error| error.moved_by(span.start))
            }
            None if !referenced && self.tile_count > 0 => {
                let text = format!("{} tiles without a tile index block", self.tile_count);
                Err(refuse(rules.missing, 0, "tile_count", text))
            }
            None => check_length(rules.referenced, "tile_index_bytes", tile_index_bytes, None),
        }
    }

    fn check_section_table(
        &self,
        inline: Option<Span>,
        referenced: bool,
        unfit: RuleId,
        missing: RuleId,
    ) -> Result<(), WireError> {
        match inline {
            Some(span) => {
                let rules = section::TableRules { padding: unfit, leftover: unfit };
                section::check(&self.body, span, self.section_count, Some(self.tile_count), rules)
            }
            None if !referenced && self.section_count > 0 => {
                let text = format!("{} tensor sections without a section table", self.section_count);
                Err(refuse(missing, 0, "section_count", text))
            }
            None => Ok(()),
        }
    }

    fn check_payloads(&self, announced: PayloadKind, known_extension_kinds: &[u16]) -> Result<(), WireError> {
        let regions = &self.regions;
        payload::check_typed(
            regions.typed_descriptors.of(&self.body),
            regions.typed_descriptors.start,
            regions.typed_payloads.len(),
            Some(announced),
        )?;
        payload::check_extensions(
            regions.extension_descriptors.of(&self.body),
            regions.extension_descriptors.start,
            regions.extension_payloads.len(),
            Some(known_extension_kinds),
        )
    }
}

impl Inline {
    fn put(&mut self, kind: CacheObjectKind, span: Span) {
        match kind {
            CacheObjectKind::CameraBlock => self.camera = Some(span),
            CacheObjectKind::TileIndexBlock => self.tile_index = Some(span),
            CacheObjectKind::TensorSectionTable => self.sections = Some(span),
            _ => {}
        }
    }
}

/// The rules about a tile index, which have other ids in results.
struct IndexRules {
    length: RuleId,
    missing: RuleId,
    referenced: RuleId,
}

fn check_submit_mode(metadata: &FrameSubmitMetadata, references: Span) -> Result<(), WireError> {
    let mask = metadata.object_ref_mask;
    let inline = metadata.submit_mode == SubmitMode::Inline;
    if inline && (!mask.is_empty() || references.len() != 0) {
        let text = "an inline submit must not have references".to_owned();
        return Err(refuse(RuleId::OBJ_10, references.start, "submit_mode", text));
    }
    if !inline && mask.is_empty() {
        let text = format!("a submit in mode {} must name referenced slots", metadata.submit_mode);
        return Err(refuse(RuleId::OBJ_11, references.start, "object_ref_mask", text));
    }
    if !metadata.payload_kind_bitmap.contains(PayloadKind::TENSOR) && mask.intersects(TENSOR_SLOTS) {
        let text =
            format!("object_ref_mask {mask} names tensor objects, but payload_kind_bitmap has no tensor bit");
        return Err(refuse(RuleId::OBJ_26, references.start, "object_ref_mask", text));
    }
    Ok(())
}

/// Checks that a length in the metadata is that of the inline object, or 0 when there is none.
fn check_length(
    rule: RuleId,
    field: &'static str,
    length: u32,
    object: Option<Span>,
) -> Result<(), WireError> {
    let actual = object.map_or(0, Span::len) as u64;
    if u64::from(length) == actual {
        return Ok(());
    }
    let text = format!("{field} is {length}, but the inline object has {actual} bytes");
    Err(refuse(rule, object.map_or(0, |span| span.start), field, text))
}

fn without_tensor(kind: CacheObjectKind, at: usize) -> WireError {
    refuse(RuleId::OBJ_26, at, "", format!("{kind} is there, but payload_kind_bitmap has no tensor bit"))
}

fn refuse(rule: RuleId, offset: usize, field: &'static str, text: String) -> WireError {
    WireError::new(rule, Part::Body, offset, field, Detail::Explained(text.into()))
}
