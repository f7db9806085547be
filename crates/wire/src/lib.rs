//! NNRP/1 packets: bytes to typed values and back.
//!
//! ```text
//!        40 bytes      fixed per message     body_len bytes
//!      ┌──────────┬──────────────────────┬───────────────────────────────┐
//!      │  Header  │  metadata (meta/)    │  body (body/, message/)       │
//!      └──────────┴──────────────────────┴───────────────────────────────┘
//! ```
//!
//! No input and output, no clock, no session state: a value of this crate says what a packet *is*, not whether it may come
//! now. Bodies are views into one received buffer and are never copied; what is sent is a short list of pieces, so that a
//! caller's payload is not copied either.
//!
//! Where to read on: [`codes`] (every number with a name), [`rules`] (what is refused, and with which answer), [`Header`] and
//! [`Packet`], [`meta`] (the fixed layouts), [`Message`] (a whole packet, checked), [`FrameBody`] (tensors and payloads),
//! [`SubmitFrame`] and [`ResultFrame`] (what an application sends).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod body;
#[doc(hidden)]
pub mod check;
pub mod codes;
mod encode;
mod error;
pub mod extension;
mod field;
mod header;
pub mod limits;
mod message;
pub mod meta;
mod packet;
mod reader;
mod revision;
pub mod rules;
mod writer;

pub use body::{
    BodyLayout, BodyRegions, ExtensionFrame, ExtensionFrames, FrameBody, InlineObject, InlineObjects,
    ObjectReferences, SectionView, Sections, TileIds, TileLengths, Tiles, TypedPayload, TypedPayloads,
    tile_index,
};
pub use codes::*;
pub use encode::{ResultFrame, Section, SubmitFrame};
pub use error::{Detail, Part, Sentence, WireError};
pub use extension::{
    ControlExtension, ControlExtensions, LossToleranceAckExtension, LossToleranceExtension,
    PayloadCapabilitiesAckExtension, PayloadCapabilitiesExtension, TransportPolicyAckExtension,
    TransportPolicyExtension,
};
pub use field::{FieldKind, FieldSpec, Reserved, StructSpec};
pub use header::{Header, HeaderLayout, MAGIC, Phase, check_lengths};
pub use limits::Limits;
pub use message::{
    CachePut, ClientHello, Close, ErrorMessage, Message, ServerHelloAck, SessionMigrate, SessionMigrateAck,
    SessionPatch, SessionPatchAck, TransportProbe, check_flow_session,
};
pub use meta::*;
pub use packet::{EncodedPacket, Packet};
pub use revision::{BodyRule, Channel, Direction, MessageSpec, Revision};
pub use rules::{Answer, Layer, RULES, Rule, RuleId};
