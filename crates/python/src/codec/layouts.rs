//! Checks of single layouts: the header and the fixed metadata.

use nnrp::wire::{self, Header, RuleId, WireError};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;

use super::{refused, with_bytes};

/// Checks the 40 bytes of a header, its message type included.
#[pyfunction]
pub(super) fn check_header(payload: &Bound<'_, PyAny>) -> PyResult<()> {
    with_bytes(payload, |raw| {
        let raw: &[u8; Header::LEN] = raw.try_into().map_err(|_| {
            PyValueError::new_err(format!("expected {} bytes, got {}", Header::LEN, raw.len()))
        })?;
        let header = Header::decode(raw).map_err(|error| refused(&error))?;
        if header.msg_type.is_assigned() {
            return Ok(());
        }
        let value = header.msg_type.value();
        Err(PyValueError::new_err(format!("{value} is not a valid MessageType ({})", RuleId::HDR_4)))
    })?
}

macro_rules! layouts {
    ($($Layout:ident)+) => {
        /// Decodes `raw` as the layout called `name`; `None` when there is no such layout.
        fn decode(name: &str, raw: &[u8]) -> Option<Result<(), WireError>> {
            match name {
                $( wire::$Layout::NAME => Some(wire::$Layout::decode(raw).map(drop)), )+
                _ => None,
            }
        }
    };
}
// One line for each row of `nnrp::wire::meta::METADATA`; a test compares the two through Python.
layouts! {
    ClientHelloMetadata ServerHelloAckMetadata SessionPatchMetadata SessionPatchAckMetadata
    TensorProfilePatchBlock TensorProfilePatchAckBlock ErrorMetadata
    FrameSubmitMetadata ResultPushMetadata
    CachePutMetadata CacheAckMetadata CacheInvalidateMetadata
    FlowUpdateMetadata ResultHintMetadata
    TransportProbeMetadata TransportProbeAckMetadata SessionMigrateMetadata SessionMigrateAckMetadata
    BodyRegionPrelude InlineObjectBlockHeader ObjectReferenceBlock TypedPayloadDescriptor ExtensionFrameDescriptor
    TensorSectionDesc
}

/// Whether a rule of a metadata record is about its body as well.
///
/// Python builds and reads metadata apart from bodies, so there these rules are left to the functions that are given the
/// body: `validate_result_push_tensor_coverage`, the body validators, and the patch body functions.
fn is_about_the_body(error: &WireError) -> bool {
    let rule = matches!(error.rule, RuleId::RES_6 | RuleId::RES_7 | RuleId::PATCH_5 | RuleId::PACK_3);
    rule && !error.field.is_empty()
}

/// Checks the bytes of the fixed layout called `name` by the rules of its fields and between its fields.
#[pyfunction]
pub(super) fn check_metadata(name: &str, payload: &Bound<'_, PyAny>) -> PyResult<()> {
    match with_bytes(payload, |raw| decode(name, raw))? {
        Some(Err(error)) if !is_about_the_body(&error) => Err(refused(&error)),
        Some(_) => Ok(()),
        None => Err(PyKeyError::new_err(name.to_owned())),
    }
}

/// Checks the tile counts of RESULT_PUSH metadata (R-RES-6, R-RES-7).
#[pyfunction]
pub(super) fn check_coverage(metadata: &Bound<'_, PyAny>) -> PyResult<()> {
    with_bytes(metadata, wire::ResultPushMetadata::decode)?.map(drop).map_err(|error| refused(&error))
}
