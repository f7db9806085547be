//! Values an application may hand in, made from arbitrary bytes: every field of every message, legal ones more often than others.

use bytes::Bytes;

use crate::{
    CacheAckMetadata, CacheInvalidateMetadata, CacheObjectKind, CachePut, CachePutMetadata, ClientHello,
    ClientHelloMetadata, Close, ControlExtension, ErrorMessage, ErrorMetadata, ExtensionFrame, FieldKind,
    FieldSpec, FlowUpdateMetadata, FrameSubmitMetadata, Header, HeaderLayout, InlineObject,
    LossToleranceAckExtension, LossToleranceExtension, Message, MessageType, ObjectReferenceBlock,
    PayloadCapabilitiesAckExtension, PayloadCapabilitiesExtension, PayloadKind, Reserved, ResultFrame,
    ResultHintMetadata, ResultPushMetadata, Section, ServerHelloAck, ServerHelloAckMetadata, SessionMigrate,
    SessionMigrateAck, SessionMigrateAckMetadata, SessionMigrateMetadata, SessionPatch, SessionPatchAck,
    SessionPatchAckMetadata, SessionPatchMetadata, SubmitFrame, TensorProfilePatchAckBlock,
    TensorProfilePatchBlock, TransportPolicyAckExtension, TransportPolicyExtension, TransportProbe,
    TransportProbeAckMetadata, TransportProbeMetadata, TypedPayload, field::Code,
};

/// A choice of this or more is the rare one: a value without a meaning, a large payload, a count that fits nothing.
const RARE: u8 = 0xF0;
/// Payloads from here on are attached, not copied, by the encoder.
const LARGE: usize = 1024;

/// Bytes that are taken for values one after the other; when they are used up, everything is 0.
pub(super) struct Values<'a> {
    data: &'a [u8],
    position: usize,
}

/// A fixed layout with a value in each of its fields.
macro_rules! layout {
    ($values:expr, $Layout:ident) => {
        $Layout::parse(&$values.layout($Layout::FIELDS))
    };
}

impl<'a> Values<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, position: 0 }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let rest = self.data.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count).unwrap_or(rest);
        self.position += taken.len();
        taken
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        array.iter_mut().zip(self.take(N)).for_each(|(place, byte)| *place = *byte);
        array
    }

    pub(super) fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// A number for a field of `size` bytes.
    fn number(&mut self, kind: FieldKind, size: usize) -> u64 {
        let choice = self.byte();
        match kind {
            FieldKind::Enum(table) if choice < RARE => {
                table.rows.get(usize::from(choice) % table.rows.len()).map_or(0, |row| row.value)
            }
            FieldKind::Mask(table) if choice < RARE => {
                let chosen = u32::from(self.u16());
                let rows = (0..).zip(table.rows).filter(|(row, _)| chosen >> row & 1 == 1);
                rows.fold(0, |bits, (_, row)| bits | row.value)
            }
            FieldKind::Number if choice < 0x80 => 0,
            FieldKind::Number if choice < RARE => (choice & 0x7F).into(),
            _ => self.take(size).iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
        }
    }

    fn code<T: Code>(&mut self) -> T {
        let number = self.number(T::KIND, size_of::<u16>());
        T::from_number(number)
    }

    /// The bytes of a fixed layout, field by field.
    fn layout<const N: usize>(&mut self, fields: &[FieldSpec]) -> [u8; N] {
        let mut raw = [0; N];
        for field in fields {
            let mut number = self.number(field.kind, field.size);
            if field.reserved == Some(Reserved::MustBeZero) && number < RARE.into() {
                number = 0;
            }
            let place = raw.get_mut(field.offset..field.offset + field.size).unwrap_or_default();
            place.iter_mut().zip(number.to_le_bytes()).for_each(|(place, byte)| *place = byte);
        }
        raw
    }

    fn bytes(&mut self) -> Bytes {
        match self.byte() {
            length @ ..RARE => Bytes::copy_from_slice(self.take(length.into())),
            length => Bytes::from(vec![length; LARGE + usize::from(length - RARE)]),
        }
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.flag().then(|| make(self))
    }

    fn list<T>(&mut self, longest: u8, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % (longest + 1)).map(|_| make(self)).collect()
    }

    /// Ids, flags, route and trace id.
    pub(super) fn header(&mut self) -> Header {
        let layout = layout!(self, HeaderLayout);
        Header {
            flags: layout.flags,
            session_id: layout.session_id,
            frame_id: layout.frame_id,
            view_id: layout.view_id,
            route_id: layout.route_id,
            trace_id: layout.trace_id,
            ..Header::default()
        }
    }

    /// A message without tensors and payloads.
    pub(super) fn message(&mut self) -> Message {
        use MessageType as M;
        match self.code() {
            M::ClientHello => ClientHello {
                metadata: layout!(self, ClientHelloMetadata),
                extensions: self.extensions(),
                auth_block: self.bytes(),
            }
            .into(),
            M::ServerHelloAck => ServerHelloAck {
                metadata: layout!(self, ServerHelloAckMetadata),
                extensions: self.extensions(),
                model_name: self.text(),
            }
            .into(),
            M::SessionPatch => SessionPatch {
                metadata: layout!(self, SessionPatchMetadata),
                block: self.option(|values| layout!(values, TensorProfilePatchBlock)),
            }
            .into(),
            M::SessionPatchAck => SessionPatchAck {
                metadata: layout!(self, SessionPatchAckMetadata),
                block: self.option(|values| layout!(values, TensorProfilePatchAckBlock)),
            }
            .into(),
            M::Close => Close { reason: self.text() }.into(),
            M::Error => {
                ErrorMessage { metadata: layout!(self, ErrorMetadata), diagnostic: self.text() }.into()
            }
            M::FrameCancel => Message::FrameCancel,
            M::ResultDrop => Message::ResultDrop,
            M::CachePut => {
                CachePut { metadata: layout!(self, CachePutMetadata), object: self.bytes() }.into()
            }
            M::CacheAck => layout!(self, CacheAckMetadata).into(),
            M::CacheInvalidate => layout!(self, CacheInvalidateMetadata).into(),
            M::FlowUpdate => layout!(self, FlowUpdateMetadata).into(),
            M::ResultHint => layout!(self, ResultHintMetadata).into(),
            M::TransportProbe => {
                TransportProbe { metadata: layout!(self, TransportProbeMetadata), payload: self.bytes() }
                    .into()
            }
            M::TransportProbeAck => layout!(self, TransportProbeAckMetadata).into(),
            M::SessionMigrate => {
                SessionMigrate { metadata: layout!(self, SessionMigrateMetadata), token: self.bytes() }.into()
            }
            M::SessionMigrateAck => {
                SessionMigrateAck { metadata: layout!(self, SessionMigrateAckMetadata), body: self.bytes() }
                    .into()
            }
            M::Ping => Message::Ping,
            // Frames have values of their own.
            M::Pong | M::FrameSubmit | M::ResultPush | M::Unknown(_) => Message::Pong,
        }
    }

    /// Control extensions, now and then more than a block may have.
    fn extensions(&mut self) -> Vec<ControlExtension> {
        match self.byte() {
            0xFF => vec![ControlExtension::default(); 65],
            count => (0..count % 5).map(|_| self.extension()).collect(),
        }
    }

    fn extension(&mut self) -> ControlExtension {
        let entry = match self.byte() {
            0 => layout!(self, TransportPolicyExtension).to_extension(),
            1 => layout!(self, TransportPolicyAckExtension).to_extension(),
            2 => layout!(self, LossToleranceExtension).to_extension(),
            3 => layout!(self, LossToleranceAckExtension).to_extension(),
            4 => layout!(self, PayloadCapabilitiesExtension).to_extension(),
            5 => layout!(self, PayloadCapabilitiesAckExtension).to_extension(),
            _ => ControlExtension {
                ext_type: self.u16(),
                payload: self.bytes(),
                ..ControlExtension::default()
            },
        };
        ControlExtension { flags: self.code(), ..entry }
    }

    /// Tile ids, most of which some mode can say.
    fn tile_ids(&mut self, base: u32) -> Vec<u16> {
        let count = u16::from(self.byte() % 64);
        let first = u16::try_from(base).unwrap_or_default();
        match self.byte() % 4 {
            0 => (0..count).map(|index| first.wrapping_add(index)).collect(),
            1 => (0..count).map(|_| self.u16()).collect(),
            _ => {
                let mut id: u16 = 0;
                (0..count)
                    .map(|_| {
                        let this = id.wrapping_add(self.byte().into());
                        id = this.wrapping_add(1);
                        this
                    })
                    .collect()
            }
        }
    }

    /// Sections, most of them for this many tiles and in the order of their roles.
    fn sections(&mut self, tile_count: usize) -> Vec<Section> {
        let mut role: u16 = 0;
        self.list(3, |values| {
            role = role.wrapping_add(values.byte().into());
            let this = role;
            role = role.wrapping_add(1);
            values.section(this, tile_count)
        })
    }

    fn section(&mut self, role_id: u16, tile_count: usize) -> Section {
        let choice = self.byte();
        let tile_count = if choice < RARE { tile_count } else { (choice & 7).into() };
        let section = Section::new(role_id, self.code())
            .layout(self.code())
            .scale_policy(self.code())
            .codec(self.byte())
            .elements(self.u32())
            .tiles((0..tile_count).map(|_| self.bytes()));
        let section = match self.byte() {
            // The payload would be longer than 32 bits can say; with fewer tiles it would only be long.
            0xFF if tile_count > 1 => section.stride(u32::MAX),
            stride if stride & 1 == 1 => section.stride(stride.into()),
            _ => section,
        };
        match self.byte() {
            0xFF => section.codec_ids([1]),
            choice if choice & 1 == 1 => {
                let codecs: Vec<u8> = (0..tile_count).map(|_| self.byte()).collect();
                section.codec_ids(codecs)
            }
            _ => section,
        }
    }

    fn typed_payload(&mut self) -> TypedPayload {
        let payload = match self.byte() {
            0 => TypedPayload::token_chunk(self.bytes()),
            1 => TypedPayload::audio_chunk(self.bytes()),
            2 => TypedPayload::video_chunk(self.bytes()),
            3 => TypedPayload::structured_event(self.bytes()),
            4 => TypedPayload::tool_delta(self.bytes()),
            5 => TypedPayload::opaque_bytes(self.bytes()),
            RARE.. => TypedPayload::new(PayloadKind::from_bits(self.u32()), self.bytes()),
            _ => TypedPayload::token_chunk(""),
        };
        payload.profile(self.u16())
    }

    fn object(&mut self) -> InlineObject {
        InlineObject { kind: self.code(), profile_id: self.u16(), data: self.bytes() }
    }

    fn extension_frame(&mut self) -> ExtensionFrame {
        ExtensionFrame { kind: self.u16(), flags: self.code(), profile_id: self.u16(), data: self.bytes() }
    }

    fn reference(&mut self, kind: CacheObjectKind) -> ObjectReferenceBlock {
        let reference = layout!(self, ObjectReferenceBlock);
        let object_kind = if self.byte() < RARE { kind } else { reference.object_kind };
        ObjectReferenceBlock { object_kind, ..reference }
    }

    pub(super) fn submit(&mut self) -> SubmitFrame {
        let header = self.header();
        let metadata = self.option(|values| layout!(values, FrameSubmitMetadata)).unwrap_or_default();
        let tile_ids = self.tile_ids(metadata.tile_base_id);
        SubmitFrame {
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
            sections: self.sections(tile_ids.len()),
            tile_ids,
            camera: self.bytes(),
            typed_payloads: self.list(4, Self::typed_payload),
            objects: self.list(3, Self::object),
            extension_frames: self.list(3, Self::extension_frame),
            camera_reference: self.option(|values| values.reference(CacheObjectKind::CameraBlock)),
            tile_index_reference: self.option(|values| values.reference(CacheObjectKind::TileIndexBlock)),
            section_table_reference: self
                .option(|values| values.reference(CacheObjectKind::TensorSectionTable)),
            layout_template_reference: self
                .option(|values| values.reference(CacheObjectKind::PayloadLayoutTemplate)),
            tile_count: self.option(Self::u16),
            section_count: self.option(Self::u16),
            submit_mode: self.option(|_| metadata.submit_mode),
            payload_kind: metadata.payload_kind_bitmap,
            zero_prelude: self.flag(),
        }
    }

    pub(super) fn result(&mut self) -> ResultFrame {
        let header = self.header();
        let metadata = self.option(|values| layout!(values, ResultPushMetadata)).unwrap_or_default();
        let tile_ids = self.tile_ids(metadata.tile_base_id);
        ResultFrame {
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
            tile_index_mode: self.code(),
            tile_base_id: metadata.tile_base_id,
            result_class: metadata.result_class,
            applied_budget_policy: metadata.applied_budget_policy,
            reused_frame_id: metadata.reused_frame_id,
            covered_tile_count: self.option(|_| metadata.covered_tile_count),
            dropped_tile_count: metadata.dropped_tile_count,
            sections: self.sections(tile_ids.len()),
            tile_ids,
            tile_count: self.option(Self::u16),
            section_count: self.option(Self::u16),
            typed_payloads: self.list(4, Self::typed_payload),
            objects: self.list(3, Self::object),
            references: self.list(3, |values| {
                let kind = values.code();
                values.reference(kind)
            }),
            extension_frames: self.list(3, Self::extension_frame),
            payload_kind: metadata.payload_kind_bitmap,
        }
    }
}
