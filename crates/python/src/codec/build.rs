//! The encoder behind the builders of `nnrp.core`: the one that sessions use, on values that come from Python.

use bytes::Bytes;
use nnrp::wire::{
    EncodedPacket, Header, MessageType, ObjectRefMask, ObjectReferenceBlock, Packet, PayloadKind,
    ResultFrame, Revision, SubmitFrame, SubmitMode, TileIndexMode, TypedPayload, tile_index,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::values::{self, Arguments};
use super::{refused, with_bytes};
use crate::buffer::take_bytes;

/// Packed metadata and body.
type Parts<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>);

/// The bytes of a tile index block.
#[pyfunction]
pub(super) fn encode_tile_index<'py>(
    tile_ids: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    tile_base_id: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mode = TileIndexMode::from(values::number::<u8>(mode, "mode")?);
    let base = values::number(tile_base_id, "tile_base_id")?;
    let ids = values::numbers(tile_ids, "tile ids")?;
    let block = tile_index::encode(mode, base, &ids).map_err(|error| refused(&error))?;
    Ok(PyBytes::new(tile_ids.py(), &block))
}

/// The bytes of a tensor section.
#[pyfunction]
pub(super) fn encode_section<'py>(section: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = values::section(section)?.encode().map_err(|error| refused(&error))?;
    Ok(PyBytes::new(section.py(), &bytes))
}

/// Metadata and body of a FRAME_SUBMIT. A missing argument is 0 or empty.
#[pyfunction]
pub(super) fn encode_submit<'py>(arguments: &Bound<'py, PyDict>) -> PyResult<Parts<'py>> {
    parts(arguments.py(), submit_frame(&Arguments::Named(arguments))?.encode(0, Revision::Current))
}

/// The frame that the arguments describe, without what its header says.
///
/// # Errors
/// Values of another type, or that do not fit.
pub(crate) fn submit_frame(given: &Arguments<'_, '_>) -> PyResult<SubmitFrame> {
    let py = given.py();
    let typed_payloads = given.typed_payloads()?;
    let mut frame = SubmitFrame {
        src_width: given.number(intern!(py, "src_width"))?,
        src_height: given.number(intern!(py, "src_height"))?,
        tile_width: given.number(intern!(py, "tile_width"))?,
        tile_height: given.number(intern!(py, "tile_height"))?,
        frame_class: given.number::<u8>(intern!(py, "frame_class"))?.into(),
        input_profile: given.number::<u8>(intern!(py, "input_profile"))?.into(),
        tile_index_mode: given.number::<u8>(intern!(py, "tile_index_mode"))?.into(),
        latency_budget_ms: given.milliseconds(intern!(py, "latency_budget_ms"))?,
        target_fps_x100: given.number(intern!(py, "target_fps_x100"))?,
        retry_of_frame: given.number(intern!(py, "retry_of_frame"))?,
        tile_base_id: given.number(intern!(py, "tile_base_id"))?,
        budget_policy: given.number::<u8>(intern!(py, "budget_policy"))?.into(),
        dependency_frame_id: given.number(intern!(py, "dependency_frame_id"))?,
        payload_kind: announced(given, &typed_payloads)?,
        tile_ids: given.tile_ids()?,
        sections: given.sections()?,
        typed_payloads,
        ..SubmitFrame::default()
    };
    if let Some(camera) = given.get(intern!(py, "camera_block"))? {
        frame.camera = take_bytes(&camera)?;
    }
    if let Some(level) = given.get(intern!(py, "loss_tolerance_policy"))? {
        frame.loss_tolerance_policy = values::number(&level, "loss_tolerance_policy")?;
    }
    if let Some(mode) = given.get(intern!(py, "submit_mode"))? {
        frame.submit_mode = Some(SubmitMode::from(values::number::<u8>(&mode, "submit_mode")?));
    }
    let mask = given.number(intern!(py, "object_ref_mask"))?;
    frame.camera_reference = reference(given, intern!(py, "camera_reference"))?;
    frame.tile_index_reference = reference(given, intern!(py, "tile_index_reference"))?;
    frame.section_table_reference = reference(given, intern!(py, "section_table_reference"))?;
    check_mask(&frame, mask)?;
    Ok(frame)
}

/// Checks a mask that was stated beside the references; 0 leaves it to them.
fn check_mask(frame: &SubmitFrame, stated: u32) -> PyResult<()> {
    let slots = [
        (frame.camera_reference, ObjectRefMask::CAMERA_BLOCK),
        (frame.tile_index_reference, ObjectRefMask::TILE_INDEX_BLOCK),
        (frame.section_table_reference, ObjectRefMask::TENSOR_SECTION_TABLE),
    ];
    let given = slots.into_iter().filter(|(reference, _)| reference.is_some());
    let mask = given.fold(ObjectRefMask::NONE, |mask, (_, bit)| mask | bit);
    if stated == 0 || stated == mask.bits() {
        return Ok(());
    }
    let text = format!("object_ref_mask must match the references: {stated:#x} is not {:#x}", mask.bits());
    Err(PyValueError::new_err(text))
}

/// Metadata and body of a RESULT_PUSH. A missing argument is 0 or empty.
#[pyfunction]
pub(super) fn encode_result<'py>(arguments: &Bound<'py, PyDict>) -> PyResult<Parts<'py>> {
    parts(arguments.py(), result_frame(&Arguments::Named(arguments))?.encode(0, Revision::Current))
}

/// The result that the arguments describe, without what its header says.
///
/// # Errors
/// Values of another type, or that do not fit.
pub(crate) fn result_frame(given: &Arguments<'_, '_>) -> PyResult<ResultFrame> {
    let py = given.py();
    let covered = given.get(intern!(py, "covered_tile_count"))?;
    let typed_payloads = given.typed_payloads()?;
    let mut frame = ResultFrame {
        status_code: given.number(intern!(py, "status_code"))?,
        result_flags: given.number::<u16>(intern!(py, "result_flags"))?.into(),
        active_profile_id: given.number(intern!(py, "active_profile_id"))?,
        inference_ms: given.milliseconds(intern!(py, "inference_ms"))?,
        queue_ms: given.milliseconds(intern!(py, "queue_ms"))?,
        server_total_ms: given.milliseconds(intern!(py, "server_total_ms"))?,
        tile_base_id: given.number(intern!(py, "tile_base_id"))?,
        result_class: given.number::<u8>(intern!(py, "result_class"))?.into(),
        applied_budget_policy: given.number::<u8>(intern!(py, "applied_budget_policy"))?.into(),
        reused_frame_id: given.number(intern!(py, "reused_frame_id"))?,
        covered_tile_count: covered.map(|count| values::number(&count, "covered_tile_count")).transpose()?,
        dropped_tile_count: given.number(intern!(py, "dropped_tile_count"))?,
        payload_kind: announced(given, &typed_payloads)?,
        tile_ids: given.tile_ids()?,
        sections: given.sections()?,
        typed_payloads,
        ..ResultFrame::default()
    };
    if let Some(mode) = given.get(intern!(py, "tile_index_mode"))? {
        frame.tile_index_mode = values::number::<u8>(&mode, "tile_index_mode")?.into();
    }
    Ok(frame)
}

/// The kinds that a frame announces beyond its payloads; with typed payloads they follow from those. Whether a tensor frame announces
/// more is for its caller: other kinds would give its body another layout.
fn announced(given: &Arguments<'_, '_>, typed: &[TypedPayload]) -> PyResult<PayloadKind> {
    if !typed.is_empty() {
        return Ok(PayloadKind::NONE);
    }
    let kinds = PayloadKind::from(given.number::<u32>(intern!(given.py(), "payload_kind_bitmap"))?);
    Ok(if kinds.contains(PayloadKind::TENSOR) { PayloadKind::TENSOR } else { kinds })
}

fn reference<'py>(
    given: &Arguments<'_, 'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Option<ObjectReferenceBlock>> {
    let Some(block) = given.get(name)? else { return Ok(None) };
    with_bytes(&block, ObjectReferenceBlock::decode)?.map(Some).map_err(|error| refused(&error))
}

fn parts(py: Python<'_>, encoded: Result<EncodedPacket, nnrp::wire::WireError>) -> PyResult<Parts<'_>> {
    let encoded = encoded.map_err(|error| refused(&error))?;
    let metadata = encoded.metadata();
    let mut rest = encoded.pieces().map(Bytes::as_ref);
    let first = rest.next().and_then(|first| first.get(Header::LEN + metadata.len()..)).unwrap_or_default();
    let body = PyBytes::new_with(py, encoded.header().body_len as usize, |mut out| {
        for piece in std::iter::once(first).chain(rest) {
            let (place, left) = out.split_at_mut(piece.len().min(out.len()));
            place.copy_from_slice(piece);
            out = left;
        }
        Ok(())
    })?;
    Ok((PyBytes::new(py, metadata), body))
}

/// Checks a whole message by every rule of the codec: its lengths, its metadata, its body, and what they say of each other.
#[pyfunction]
pub(super) fn check_message(
    msg_type: &Bound<'_, PyAny>,
    session_id: &Bound<'_, PyAny>,
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let msg_type = MessageType::from(values::number::<u8>(msg_type, "msg_type")?);
    let header = Header { session_id: values::number(session_id, "session_id")?, ..Header::new(msg_type) };
    let packet = Packet::build(header, take_bytes(metadata)?, take_bytes(body)?);
    packet.message().map(drop).map_err(|error| refused(&error))
}
