//! The 40 bytes every packet starts with.

use crate::{
    BodyRule, Detail, HeaderFlags, Limits, MessageSpec, MessageType, Part, Revision, RuleId,
    TensorProfilePatchBlock, WireError, WireFormat, field::Code, reader, writer,
};

/// The first four bytes of every packet.
pub const MAGIC: [u8; 4] = *b"NNRP";

/// The header's size, which is also the value of its `header_len`.
const LENGTH: u8 = 40;

/// The common header, without the fields whose value is fixed by the revision.
///
/// ```text
///  0 magic "NNRP"          4 version  5 format  6 msg_type  7 header_len
///  8 flags                12 meta_len
/// 16 body_len             20 session_id
/// 24 frame_id             28 view_id           30 route_id
/// 32 trace_id
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// What the packet is.
    pub msg_type: MessageType,
    /// Hints; unknown bits are kept.
    pub flags: HeaderFlags,
    /// Bytes of metadata.
    pub meta_len: u32,
    /// Bytes of body.
    pub body_len: u32,
    /// The session, or 0.
    pub session_id: u32,
    /// The frame, or 0.
    pub frame_id: u32,
    /// The lane of the frame.
    pub view_id: u16,
    /// Carried unchanged.
    pub route_id: u16,
    /// Carried unchanged; answers echo it.
    pub trace_id: u64,
}

// Where the header's fields are; the table of the header, in the order of the wire.
const VERSION_MAJOR: usize = 4;
const WIRE_FORMAT: usize = 5;
const MSG_TYPE: usize = 6;
const HEADER_LEN: usize = 7;
const FLAGS: usize = 8;
const META_LEN: usize = 12;
const BODY_LEN: usize = 16;
const SESSION_ID: usize = 20;
const FRAME_ID: usize = 24;
const VIEW_ID: usize = 28;
const ROUTE_ID: usize = 30;
const TRACE_ID: usize = 32;

/// Whether a session is active, which decides what may be large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The handshake is not finished.
    BeforeActive,
    /// The session is active or draining.
    Active,
}

impl Header {
    /// Size in bytes.
    pub const LEN: usize = LENGTH as usize;

    /// A header of `msg_type` with everything else 0.
    pub fn new(msg_type: MessageType) -> Self {
        Self { msg_type, ..Self::default() }
    }

    /// Reads a header. An unassigned message type is kept, and the lengths are not compared with the type; both are for
    /// [`check_lengths`].
    ///
    /// # Errors
    /// Wrong magic, version, wire format or header length (R-HDR-1, 2, 3, 5).
    pub fn decode(raw: &[u8; Self::LEN]) -> Result<Self, WireError> {
        let revision = Revision::Current;
        let refuse =
            |rule, offset, field, detail| Err(WireError::new(rule, Part::Header, offset, field, detail));
        if !raw.starts_with(&MAGIC) {
            return refuse(
                RuleId::HDR_1,
                0,
                "magic",
                Detail::Because("unexpected magic, not an NNRP packet"),
            );
        }
        let version = reader::u8(raw, VERSION_MAJOR);
        if version != revision.version_major() {
            let text =
                format!("version_major {version} is not supported, expected {}", revision.version_major());
            return refuse(RuleId::HDR_2, VERSION_MAJOR, "version_major", Detail::Explained(text.into()));
        }
        let format = WireFormat::from(reader::u8(raw, WIRE_FORMAT));
        if let Some(detail) = format.refusal() {
            return refuse(RuleId::HDR_3, WIRE_FORMAT, "wire_format", detail);
        }
        let length = reader::u8(raw, HEADER_LEN);
        if length != LENGTH {
            let text = format!("unexpected header_len: {length}");
            return refuse(RuleId::HDR_5, HEADER_LEN, "header_len", Detail::Explained(text.into()));
        }
        Ok(Self {
            msg_type: reader::u8(raw, MSG_TYPE).into(),
            flags: reader::u32(raw, FLAGS).into(),
            meta_len: reader::u32(raw, META_LEN),
            body_len: reader::u32(raw, BODY_LEN),
            session_id: reader::u32(raw, SESSION_ID),
            frame_id: reader::u32(raw, FRAME_ID),
            view_id: reader::u16(raw, VIEW_ID),
            route_id: reader::u16(raw, ROUTE_ID),
            trace_id: reader::u64(raw, TRACE_ID),
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let revision = Revision::Current;
        let mut raw = [0; Self::LEN];
        writer::u32(&mut raw, 0, u32::from_le_bytes(MAGIC));
        writer::u8(&mut raw, VERSION_MAJOR, revision.version_major());
        writer::u8(&mut raw, WIRE_FORMAT, revision.wire_format().value());
        writer::u8(&mut raw, MSG_TYPE, self.msg_type.value());
        writer::u8(&mut raw, HEADER_LEN, LENGTH);
        writer::u32(&mut raw, FLAGS, self.flags.bits());
        writer::u32(&mut raw, META_LEN, self.meta_len);
        writer::u32(&mut raw, BODY_LEN, self.body_len);
        writer::u32(&mut raw, SESSION_ID, self.session_id);
        writer::u32(&mut raw, FRAME_ID, self.frame_id);
        writer::u16(&mut raw, VIEW_ID, self.view_id);
        writer::u16(&mut raw, ROUTE_ID, self.route_id);
        writer::u64(&mut raw, TRACE_ID, self.trace_id);
        raw
    }

    /// Bytes of the whole packet, header included.
    pub fn packet_len(&self) -> u64 {
        Self::LEN as u64 + u64::from(self.meta_len) + u64::from(self.body_len)
    }

    /// [`check_lengths`] as a method.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, limits: &Limits, phase: Phase) -> Result<&'static MessageSpec, WireError> {
        check_lengths(self, limits, phase)
    }

    /// Checks type and lengths against the message table (R-HDR-4, R-PKT-1, R-PKT-2).
    ///
    /// # Errors
    /// When the type is not assigned or a length is not possible for it.
    pub fn check_shape(&self) -> Result<&'static MessageSpec, WireError> {
        let Some(spec) = Revision::Current.message(self.msg_type) else {
            let detail = Detail::NotAssigned { table: "MessageType", value: self.msg_type.value().into() };
            return Err(self.refuse(RuleId::HDR_4, MSG_TYPE, "msg_type", detail));
        };
        if self.meta_len as usize != spec.meta_len {
            let detail = Detail::Length { expected: spec.meta_len as u64, actual: self.meta_len.into() };
            return Err(self.refuse(RuleId::PKT_1, META_LEN, "meta_len", detail));
        }
        let possible = match spec.body {
            BodyRule::None => self.body_len == 0,
            BodyRule::ProfilePatch => {
                self.body_len == 0 || self.body_len as usize == TensorProfilePatchBlock::LEN
            }
            BodyRule::Handshake | BodyRule::Opaque | BodyRule::Frame => true,
        };
        if !possible {
            let expected =
                if spec.body == BodyRule::None { "an empty body" } else { "a body of 0 or 16 bytes" };
            let text = format!("expected {expected}, got {} bytes", self.body_len);
            return Err(self.refuse(RuleId::PKT_2, BODY_LEN, "body_len", Detail::Explained(text.into())));
        }
        Ok(spec)
    }

    fn refuse(&self, rule: RuleId, offset: usize, field: &'static str, detail: Detail) -> WireError {
        WireError::new(rule, Part::Header, offset, field, detail).in_message(self.msg_type)
    }
}

/// Decides whether the rest of a packet may be read, before anything is allocated for it: type, lengths and limits.
///
/// # Errors
/// R-HDR-4, R-PKT-1, R-PKT-2, then the limit that holds for the message in this phase (R-LIM-1, 2 or 3).
pub fn check_lengths(
    header: &Header,
    limits: &Limits,
    phase: Phase,
) -> Result<&'static MessageSpec, WireError> {
    let spec = header.check_shape()?;
    let (rule, limit) = body_limit(header.msg_type, limits, phase);
    if header.body_len > limit {
        let detail = Detail::TooMany { limit: limit.into(), actual: header.body_len.into() };
        return Err(header.refuse(rule, BODY_LEN, "body_len", detail));
    }
    Ok(spec)
}

/// The largest body of a message, and the rule that says so.
fn body_limit(message: MessageType, limits: &Limits, phase: Phase) -> (RuleId, u32) {
    use MessageType as M;
    match (phase, message) {
        (_, M::TransportProbe) => (RuleId::LIM_2, limits.max_probe_body_bytes),
        (
            Phase::BeforeActive,
            M::ClientHello | M::ServerHelloAck | M::SessionMigrate | M::SessionMigrateAck,
        ) => (RuleId::LIM_2, limits.max_hello_body_bytes),
        (Phase::BeforeActive, _) => (RuleId::LIM_2, limits.max_early_body_bytes),
        (Phase::Active, M::FrameSubmit | M::ResultPush | M::CachePut) => {
            (RuleId::LIM_1, limits.max_body_bytes)
        }
        (Phase::Active, _) => (RuleId::LIM_3, limits.max_control_body_bytes),
    }
}
