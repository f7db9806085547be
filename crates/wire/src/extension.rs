//! Control extensions: typed entries that messages of the handshake carry in front of their own body.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    ControlExtensionFlags, Detail, LossTolerance, MessageType, Part, PayloadKind, RuleId, StructSpec,
    WireError,
    field::{Code, wire_struct},
    limits::MAX_CONTROL_EXTENSIONS,
    reader::{self, Reader, align8},
    writer,
};

/// `ext_type` of [`TransportPolicyExtension`].
pub const TRANSPORT_POLICY: u16 = 0x0101;
/// `ext_type` of [`TransportPolicyAckExtension`].
pub const TRANSPORT_POLICY_ACK: u16 = 0x0102;
/// `ext_type` of [`LossToleranceExtension`].
pub const LOSS_TOLERANCE: u16 = 0x0103;
/// `ext_type` of [`LossToleranceAckExtension`].
pub const LOSS_TOLERANCE_ACK: u16 = 0x0104;
/// `ext_type` of [`PayloadCapabilitiesExtension`].
pub const PAYLOAD_CAPABILITIES: u16 = 0x0105;
/// `ext_type` of [`PayloadCapabilitiesAckExtension`].
pub const PAYLOAD_CAPABILITIES_ACK: u16 = 0x0106;

/// The extensions that mean something in CLIENT_HELLO.
pub const CLIENT_HELLO_EXTENSIONS: &[u16] = &[TRANSPORT_POLICY, LOSS_TOLERANCE, PAYLOAD_CAPABILITIES];
/// The extensions that mean something in SERVER_HELLO_ACK.
pub const SERVER_HELLO_ACK_EXTENSIONS: &[u16] =
    &[TRANSPORT_POLICY_ACK, LOSS_TOLERANCE_ACK, PAYLOAD_CAPABILITIES_ACK];

/// The layouts of the handshake extensions' payloads, for generators and tests.
pub static LAYOUTS: &[&StructSpec] = &[
    TransportPolicyExtension::SPEC,
    TransportPolicyAckExtension::SPEC,
    LossToleranceExtension::SPEC,
    LossToleranceAckExtension::SPEC,
    PayloadCapabilitiesExtension::SPEC,
    PayloadCapabilitiesAckExtension::SPEC,
];

/// Size of an entry's header: type, flags and payload length.
const ENTRY_HEADER_LEN: usize = 8;

/// One entry of an extension block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlExtension {
    /// What the payload is.
    pub ext_type: u16,
    /// Whether a receiver that does not know the type must refuse the message; unknown bits are kept.
    pub flags: ControlExtensionFlags,
    /// The payload without padding.
    pub payload: Bytes,
}

/// Blocks of control extensions.
#[derive(Clone, Copy, Debug)]
pub struct ControlExtensions;

impl ControlExtensions {
    /// Decodes a block. All entries are returned in their order, those of unknown types included: skip what you do not know.
    ///
    /// `known` lists the types that mean something in `message`; an unknown type that is critical is refused. `None` takes
    /// every type for known. In the handshake a known type may come once only.
    ///
    /// # Errors
    /// R-EXT-1, 2, 3, 5, or more than [`MAX_CONTROL_EXTENSIONS`] entries (R-LIM-13).
    pub fn decode(
        block: &Bytes,
        known: Option<&[u16]>,
        message: MessageType,
    ) -> Result<Vec<ControlExtension>, WireError> {
        let refuse = |rule, offset, field, detail| {
            Err(WireError::new(rule, Part::Extension, offset, field, detail).in_message(message))
        };
        let handshake = matches!(message, MessageType::ClientHello | MessageType::ServerHelloAck);
        let mut reader = Reader::new(block, 0, block.len());
        let mut entries: Vec<ControlExtension> = Vec::new();
        while reader.remaining() > 0 {
            let at = reader.position();
            let Some(header) = reader.take(ENTRY_HEADER_LEN as u64).and_then(|raw| raw.first_chunk()) else {
                return refuse(RuleId::EXT_1, at, "", Detail::Because("truncated control extension header"));
            };
            let header: &[u8; ENTRY_HEADER_LEN] = header;
            let ext_type = reader::u16(header, 0);
            let flags = ControlExtensionFlags::from_bits(reader::u16(header, 2));
            let length = u64::from(reader::u32(header, 4));
            let start = reader.position();
            if reader.take(length).is_none() {
                let detail = Detail::Because("truncated control extension payload");
                return refuse(RuleId::EXT_1, at, "ext_len", detail);
            }
            let end = reader.position();
            match reader.take(align8(length) - length) {
                Some(padding) if reader::all_zero(padding) => {}
                Some(_) => {
                    let detail = Detail::Because("control extension padding must be zero");
                    return refuse(RuleId::EXT_2, end, "", detail);
                }
                None => {
                    let detail = Detail::Because("truncated control extension padding");
                    return refuse(RuleId::EXT_1, end, "", detail);
                }
            }
            let is_known = known.is_none_or(|known| known.contains(&ext_type));
            if !is_known && flags.contains(ControlExtensionFlags::CRITICAL) {
                let text = format!("unknown critical control extension type: 0x{ext_type:04X}");
                return refuse(RuleId::EXT_3, at, "ext_type", Detail::Explained(text.into()));
            }
            if handshake
                && known.is_some()
                && is_known
                && entries.iter().any(|earlier| earlier.ext_type == ext_type)
            {
                return refuse(RuleId::EXT_5, at, "ext_type", twice(ext_type));
            }
            if entries.len() == MAX_CONTROL_EXTENSIONS {
                let text = format!("more than {MAX_CONTROL_EXTENSIONS} control extensions");
                return refuse(RuleId::LIM_13, at, "", Detail::Explained(text.into()));
            }
            entries.push(ControlExtension { ext_type, flags, payload: reader::slice(block, start, end) });
        }
        Ok(entries)
    }

    /// Encodes a block. Its length is a multiple of 8.
    ///
    /// # Errors
    /// More than [`MAX_CONTROL_EXTENSIONS`] entries, or a payload whose length does not fit 32 bits.
    pub fn encode(entries: &[ControlExtension]) -> Result<Bytes, WireError> {
        let refuse = |rule, detail| Err(WireError::new(rule, Part::Extension, 0, "", detail));
        if entries.len() > MAX_CONTROL_EXTENSIONS {
            let detail =
                Detail::TooMany { limit: MAX_CONTROL_EXTENSIONS as u64, actual: entries.len() as u64 };
            return refuse(RuleId::LIM_13, detail);
        }
        let mut block = BytesMut::new();
        for entry in entries {
            let Ok(length) = u32::try_from(entry.payload.len()) else {
                return refuse(
                    RuleId::EXT_1,
                    Detail::Because("control extension payload is longer than 32 bits can say"),
                );
            };
            let mut header = [0; ENTRY_HEADER_LEN];
            writer::u16(&mut header, 0, entry.ext_type);
            writer::u16(&mut header, 2, entry.flags.bits());
            writer::u32(&mut header, 4, length);
            block.put_slice(&header);
            block.put_slice(&entry.payload);
            block.put_bytes(0, entry.payload.len().next_multiple_of(8) - entry.payload.len());
        }
        Ok(block.freeze())
    }
}

/// Adds what every handshake extension has: its type number, and the way from and to an entry.
macro_rules! handshake_extension {
    ($Name:ident $TYPE:ident $text:literal) => {
        impl $Name {
            /// The `ext_type` of the entry.
            pub const TYPE: u16 = $TYPE;

            /// Reads an entry of this type.
            ///
            /// # Errors
            /// An entry of another type, or a payload that a rule of R-HX refuses.
            pub fn from_extension(entry: &ControlExtension) -> Result<Self, WireError> {
                if entry.ext_type != $TYPE {
                    let text =
                        format!(concat!("unexpected ", $text, " extension type: 0x{:04X}"), entry.ext_type);
                    let detail = Detail::Explained(text.into());
                    return Err(WireError::new(RuleId::EXT_6, Part::Extension, 0, "ext_type", detail));
                }
                Self::decode(&entry.payload)
            }

            /// The entry for these values, not critical.
            pub fn to_extension(&self) -> ControlExtension {
                ControlExtension {
                    ext_type: $TYPE,
                    flags: ControlExtensionFlags::NONE,
                    payload: Bytes::copy_from_slice(&self.encode()),
                }
            }

            /// The first entry of this type, read.
            ///
            /// # Errors
            /// As [`Self::from_extension`].
            pub fn find(entries: &[ControlExtension]) -> Result<Option<Self>, WireError> {
                entries.iter().find(|entry| entry.ext_type == $TYPE).map(Self::from_extension).transpose()
            }
        }
    };
}

wire_struct! {
    /// Which binding the client wants.
    pub struct TransportPolicyExtension: 8, length HX_1, in Extension {
        /// The wish.
        0 transport_policy: u8 as TransportPolicy => HX_2;
        /// Reserved.
        1 reserved0: u8 [rsv];
        /// Reserved.
        2 reserved1: u16 [rsv];
        /// The binding it names; unspecified for no preference.
        4 preferred_transport_id: u32 as TransportId => HX_2;
    }
}
handshake_extension!(TransportPolicyExtension TRANSPORT_POLICY "client hello transport");

wire_struct! {
    /// Which binding is in use.
    pub struct TransportPolicyAckExtension: 8, length HX_1, in Extension {
        /// The wish as it was received.
        0 transport_policy: u8 as TransportPolicy => HX_2;
        /// The wish as it was granted.
        1 accepted_transport_policy: u8 as TransportPolicy => HX_2;
        /// Reserved.
        2 reserved0: u16 [rsv];
        /// The binding of this connection; unspecified is read as the binding in use.
        4 active_transport_id: u32 as TransportId => HX_2;
    }
}
handshake_extension!(TransportPolicyAckExtension TRANSPORT_POLICY_ACK "server hello ack transport");

wire_struct! {
    /// How much loss the session tolerates, as the client wants it.
    pub struct LossToleranceExtension: 8, length HX_1, in Extension {
        /// The level.
        0 session_loss_tolerance: u8 as LossTolerance => HX_3;
        /// Reserved.
        1 reserved0: u8 [mbz] => HX_3;
        /// Reserved.
        2 reserved1: u16 [mbz] => HX_3;
        /// Reserved.
        4 reserved2: u32 [mbz] => HX_3;
    }
    default { session_loss_tolerance: LossTolerance::BestEffort }
}
handshake_extension!(LossToleranceExtension LOSS_TOLERANCE "client hello loss tolerance");

wire_struct! {
    /// How much loss the session tolerates, as the server accepts it.
    pub struct LossToleranceAckExtension: 8, length HX_1, in Extension {
        /// The level in force.
        0 accepted_loss_tolerance: u8 as LossTolerance => HX_3;
        /// Reserved.
        1 reserved0: u8 [mbz] => HX_3;
        /// Reserved.
        2 reserved1: u16 [mbz] => HX_3;
        /// Reserved.
        4 reserved2: u32 [mbz] => HX_3;
    }
    default { accepted_loss_tolerance: LossTolerance::BestEffort }
}
handshake_extension!(LossToleranceAckExtension LOSS_TOLERANCE_ACK "server hello ack loss tolerance");

wire_struct! {
    /// Exactly which payload kinds the client uses.
    pub struct PayloadCapabilitiesExtension: 8, length HX_1, in Extension {
        /// The kinds.
        0 payload_kind_bitmap: u32 as PayloadKind;
        /// No extension frame kind is assigned, so no bit is.
        4 critical_extension_frame_bitmap: u32;
    }
    default { payload_kind_bitmap: PayloadKind::TENSOR }
    contract capabilities_contract;
}
handshake_extension!(PayloadCapabilitiesExtension PAYLOAD_CAPABILITIES "client hello payload capabilities");

fn capabilities_contract(this: &PayloadCapabilitiesExtension) -> Result<(), WireError> {
    match capabilities(this.payload_kind_bitmap, this.critical_extension_frame_bitmap) {
        None => Ok(()),
        Some(detail) => {
            Err(PayloadCapabilitiesExtension::refuse(RuleId::HX_4, "payload_kind_bitmap", detail))
        }
    }
}

wire_struct! {
    /// Exactly which payload kinds the session uses.
    pub struct PayloadCapabilitiesAckExtension: 8, length HX_1, in Extension {
        /// The kinds both sides use.
        0 accepted_payload_kind_bitmap: u32 as PayloadKind;
        /// No extension frame kind is assigned, so no bit is.
        4 accepted_critical_extension_frame_bitmap: u32;
    }
    default { accepted_payload_kind_bitmap: PayloadKind::TENSOR }
    contract capabilities_ack_contract;
}
handshake_extension!(PayloadCapabilitiesAckExtension PAYLOAD_CAPABILITIES_ACK "server hello ack payload capabilities");

fn capabilities_ack_contract(this: &PayloadCapabilitiesAckExtension) -> Result<(), WireError> {
    match capabilities(this.accepted_payload_kind_bitmap, this.accepted_critical_extension_frame_bitmap) {
        None => Ok(()),
        Some(detail) => {
            Err(PayloadCapabilitiesAckExtension::refuse(RuleId::HX_4, "accepted_payload_kind_bitmap", detail))
        }
    }
}

/// What is wrong with declared capabilities (R-HX-4).
fn capabilities(kinds: PayloadKind, critical_frames: u32) -> Option<Detail> {
    if kinds.refusal().is_some() {
        let text = format!("unknown payload kind bits: {:#x}", kinds.unknown_bits());
        return Some(Detail::Explained(text.into()));
    }
    (critical_frames != 0).then_some(Detail::Because("critical extension frame bitmap must be zero"))
}

fn twice(ext_type: u16) -> Detail {
    Detail::Explained(format!("control extension type 0x{ext_type:04X} appears twice").into())
}

/// Checks the entries of a handshake message before it is sent: each of the `known` ones comes once and has a legal payload.
pub(crate) fn check_sent(
    entries: &[ControlExtension],
    known: &[u16],
    message: MessageType,
) -> Result<(), WireError> {
    let count = |ext_type| entries.iter().filter(|entry| entry.ext_type == ext_type).count();
    if let Some(ext_type) = known.iter().find(|ext_type| count(**ext_type) > 1) {
        let error = WireError::new(RuleId::EXT_5, Part::Extension, 0, "ext_type", twice(*ext_type));
        return Err(error.in_message(message));
    }
    check_typed(entries, message)
}

/// Checks the payload of every entry that means something in `message`.
pub(crate) fn check_typed(entries: &[ControlExtension], message: MessageType) -> Result<(), WireError> {
    let check = |entry: &ControlExtension| match (message, entry.ext_type) {
        (MessageType::ClientHello, TRANSPORT_POLICY) => {
            TransportPolicyExtension::from_extension(entry).map(drop)
        }
        (MessageType::ClientHello, LOSS_TOLERANCE) => LossToleranceExtension::from_extension(entry).map(drop),
        (MessageType::ClientHello, PAYLOAD_CAPABILITIES) => {
            PayloadCapabilitiesExtension::from_extension(entry).map(drop)
        }
        (MessageType::ServerHelloAck, TRANSPORT_POLICY_ACK) => {
            TransportPolicyAckExtension::from_extension(entry).map(drop)
        }
        (MessageType::ServerHelloAck, LOSS_TOLERANCE_ACK) => {
            LossToleranceAckExtension::from_extension(entry).map(drop)
        }
        (MessageType::ServerHelloAck, PAYLOAD_CAPABILITIES_ACK) => {
            PayloadCapabilitiesAckExtension::from_extension(entry).map(drop)
        }
        _ => Ok(()),
    };
    entries.iter().try_for_each(check).map_err(|error| error.in_message(message))
}
