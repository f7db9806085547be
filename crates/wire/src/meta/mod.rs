//! Fixed metadata of the messages and fixed blocks of the bodies, one family a file.
//!
//! Each layout is a table; see [`FieldSpec`](crate::FieldSpec). Rules between fields stand beside their table.

mod body;
mod cache;
mod error;
mod flow;
mod hello;
mod migrate;
mod patch;
mod probe;
mod result;
mod submit;

pub use body::*;
pub use cache::*;
pub use error::*;
pub use flow::*;
pub use hello::*;
pub use migrate::*;
pub use patch::*;
pub use probe::*;
pub use result::*;
pub use submit::*;

use crate::StructSpec;

/// Every fixed layout except the header, for generators and tests.
pub static METADATA: &[&StructSpec] = &[
    ClientHelloMetadata::SPEC,
    ServerHelloAckMetadata::SPEC,
    SessionPatchMetadata::SPEC,
    SessionPatchAckMetadata::SPEC,
    TensorProfilePatchBlock::SPEC,
    TensorProfilePatchAckBlock::SPEC,
    ErrorMetadata::SPEC,
    FrameSubmitMetadata::SPEC,
    ResultPushMetadata::SPEC,
    CachePutMetadata::SPEC,
    CacheAckMetadata::SPEC,
    CacheInvalidateMetadata::SPEC,
    FlowUpdateMetadata::SPEC,
    ResultHintMetadata::SPEC,
    TransportProbeMetadata::SPEC,
    TransportProbeAckMetadata::SPEC,
    SessionMigrateMetadata::SPEC,
    SessionMigrateAckMetadata::SPEC,
    BodyRegionPrelude::SPEC,
    InlineObjectBlockHeader::SPEC,
    ObjectReferenceBlock::SPEC,
    TypedPayloadDescriptor::SPEC,
    ExtensionFrameDescriptor::SPEC,
    TensorSectionDesc::SPEC,
];
