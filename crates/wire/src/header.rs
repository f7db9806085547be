//! The 40 bytes every packet starts with.

use crate::{
    BodyRule, Detail, HeaderFlags, Limits, MessageSpec, MessageType, Revision, RuleId,
    TensorProfilePatchBlock, WireError,
    field::{Code, wire_struct},
};

/// The first four bytes of every packet.
pub const MAGIC: [u8; 4] = *b"NNRP";

/// The header's size, which is also the value of its `header_len`.
const LENGTH: u8 = 40;

/// The common header, without the fields whose value is fixed by the revision.
/// [`HeaderLayout`] has its bytes.
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

wire_struct! {
    /// The header as it is on the wire.
    pub struct HeaderLayout: 40, length PKT_3, in Header {
        /// "NNRP" as a little-endian number.
        0 magic: u32;
        /// 1.
        4 version_major: u8;
        /// 0.
        5 wire_format: u8 as WireFormat;
        /// What the packet is.
        6 msg_type: u8 as MessageType;
        /// 40.
        7 header_len: u8;
        /// Hints; unknown bits are kept.
        8 flags: u32 as HeaderFlags;
        /// Bytes of metadata.
        12 meta_len: u32;
        /// Bytes of body.
        16 body_len: u32;
        /// The session, or 0.
        20 session_id: u32;
        /// The frame, or 0.
        24 frame_id: u32;
        /// The lane of the frame.
        28 view_id: u16;
        /// Carried unchanged.
        30 route_id: u16;
        /// Carried unchanged; answers echo it.
        32 trace_id: u64;
    }
    contract layout_contract;
}

/// Checks what is the same in every header; the order matters, because what is no NNRP packet has no version.
fn layout_contract(layout: &HeaderLayout) -> Result<(), WireError> {
    let revision = Revision::Current;
    let refuse = |rule, field, detail| Err(HeaderLayout::refuse(rule, field, detail));
    if layout.magic != u32::from_le_bytes(MAGIC) {
        return refuse(RuleId::HDR_1, "magic", Detail::Because("unexpected magic, not an NNRP packet"));
    }
    if layout.version_major != revision.version_major() {
        let (version, ours) = (layout.version_major, revision.version_major());
        let text = format!("version_major {version} is not supported, expected {ours}");
        return refuse(RuleId::HDR_2, "version_major", Detail::Explained(text.into()));
    }
    if let Some(detail) = layout.wire_format.refusal() {
        return refuse(RuleId::HDR_3, "wire_format", detail);
    }
    if layout.header_len != LENGTH {
        let text = format!("unexpected header_len: {}", layout.header_len);
        return refuse(RuleId::HDR_5, "header_len", Detail::Explained(text.into()));
    }
    Ok(())
}

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
        let layout = HeaderLayout::parse(raw);
        layout.check()?;
        Ok(Self {
            msg_type: layout.msg_type,
            flags: layout.flags,
            meta_len: layout.meta_len,
            body_len: layout.body_len,
            session_id: layout.session_id,
            frame_id: layout.frame_id,
            view_id: layout.view_id,
            route_id: layout.route_id,
            trace_id: layout.trace_id,
        })
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let revision = Revision::Current;
        let layout = HeaderLayout {
            magic: u32::from_le_bytes(MAGIC),
            version_major: revision.version_major(),
            wire_format: revision.wire_format(),
            msg_type: self.msg_type,
            header_len: LENGTH,
            flags: self.flags,
            meta_len: self.meta_len,
            body_len: self.body_len,
            session_id: self.session_id,
            frame_id: self.frame_id,
            view_id: self.view_id,
            route_id: self.route_id,
            trace_id: self.trace_id,
        };
        layout.encode()
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
            return Err(self.refuse(RuleId::HDR_4, "msg_type", detail));
        };
        if self.meta_len as usize != spec.meta_len {
            let detail = Detail::Length { expected: spec.meta_len as u64, actual: self.meta_len.into() };
            return Err(self.refuse(RuleId::PKT_1, "meta_len", detail));
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
            return Err(self.refuse(RuleId::PKT_2, "body_len", Detail::Explained(text.into())));
        }
        Ok(spec)
    }

    fn refuse(&self, rule: RuleId, field: &'static str, detail: Detail) -> WireError {
        HeaderLayout::refuse(rule, field, detail).in_message(self.msg_type)
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
        return Err(header.refuse(rule, "body_len", detail));
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
