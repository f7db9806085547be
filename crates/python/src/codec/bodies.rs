//! Checks of bodies and their parts. Python slices its own views; what is handed back is where things are.

use bytes::Bytes;
use nnrp::wire::{
    BodyLayout, BodyRegions, ExtensionFrames, FrameBody, FrameSubmitMetadata, InlineObjects,
    ObjectReferences, PayloadKind, ResultPushMetadata, Sections, TileIndexMode, TypedPayloads, WireError,
    tile_index,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{refused, values, with_bytes};
use crate::buffer::take_bytes;

/// Start and end in the body.
type Range = Option<(usize, usize)>;
/// Whether the body has a prelude, then where camera block, tile index and section table are.
type Parts = (bool, Range, Range, Range);

/// Checks the body of a FRAME_SUBMIT against its metadata.
///
/// With `composed` the body is read as one with a prelude even when its metadata says that it is a plain one. `known` are the
/// kinds a critical extension frame may have; `None` for any.
#[pyfunction]
pub(super) fn check_submit_body(
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
    composed: bool,
    known: Option<&Bound<'_, PyAny>>,
) -> PyResult<Parts> {
    let mut metadata = with_bytes(metadata, FrameSubmitMetadata::decode)?.map_err(|error| refused(&error))?;
    if composed {
        metadata.payload_kind_bitmap = force_composed(metadata.payload_kind_bitmap);
    }
    let body = take_bytes(body)?;
    parts(FrameBody::decode_submit(&metadata, &body, &known_kinds(&body, known)?))
}

/// Checks the body of a RESULT_PUSH against its metadata; the arguments are those of [`check_submit_body`].
#[pyfunction]
pub(super) fn check_result_body(
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
    composed: bool,
    known: Option<&Bound<'_, PyAny>>,
) -> PyResult<Parts> {
    let mut metadata = with_bytes(metadata, ResultPushMetadata::decode)?.map_err(|error| refused(&error))?;
    if composed {
        metadata.payload_kind_bitmap = force_composed(metadata.payload_kind_bitmap);
    }
    let body = take_bytes(body)?;
    parts(FrameBody::decode_result(&metadata, &body, &known_kinds(&body, known)?))
}

/// The extension frame kinds that count as known: those that are listed, else every kind that the body has.
fn known_kinds(body: &Bytes, known: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<u16>> {
    if let Some(known) = known {
        return values::numbers(known, "known_extension_kinds");
    }
    let frames = BodyRegions::decode(body).and_then(|regions| {
        ExtensionFrames::decode(&regions.extension_descriptors, &regions.extension_payloads, None)
    });
    // A body that does not parse is plain or refused below.
    Ok(frames.map_or_else(|_| Vec::new(), |frames| frames.map(|frame| frame.kind).collect()))
}

/// The kinds that have the same meaning for every rule about a composed body but cannot stand for another layout: a kind
/// that is announced without a payload is accepted (R-TYP-7).
fn force_composed(kinds: PayloadKind) -> PayloadKind {
    if kinds.without(PayloadKind::TENSOR).is_empty() { kinds | PayloadKind::OPAQUE_BYTES } else { kinds }
}

fn parts(decoded: Result<FrameBody, WireError>) -> PyResult<Parts> {
    let frame = decoded.map_err(|error| refused(&error))?;
    let whole = frame.body().as_ptr() as usize;
    let range = |part: Option<Bytes>| {
        part.map(|part| {
            // An empty view does not have to point into the body.
            let start = if part.is_empty() { 0 } else { part.as_ptr() as usize - whole };
            (start, start + part.len())
        })
    };
    let composed = frame.layout() == BodyLayout::Composed;
    Ok((composed, range(frame.camera()), range(frame.tile_index_block()), range(frame.section_table())))
}

/// Checks a composed body by itself: the prelude, and each region without regard to metadata; `known` as in [`check_submit_body`].
#[pyfunction]
pub(super) fn check_regions(body: &Bound<'_, PyAny>, known: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let body = take_bytes(body)?;
    let known = known_kinds(&body, known)?;
    let check = || {
        let regions = BodyRegions::decode(&body)?;
        InlineObjects::decode(&regions.inline_objects)?;
        ObjectReferences::decode(&regions.object_references)?;
        TypedPayloads::decode(&regions.typed_payload_descriptors, &regions.typed_payload_frames)?;
        ExtensionFrames::decode(&regions.extension_descriptors, &regions.extension_payloads, Some(&known))?;
        Ok(())
    };
    check().map_err(|error: WireError| refused(&error))
}

/// Checks a region of inline objects.
#[pyfunction]
pub(super) fn check_inline_objects(region: &Bound<'_, PyAny>) -> PyResult<()> {
    InlineObjects::decode(&take_bytes(region)?).map(drop).map_err(|error| refused(&error))
}

/// Checks a region of object references.
#[pyfunction]
pub(super) fn check_object_references(region: &Bound<'_, PyAny>) -> PyResult<()> {
    ObjectReferences::decode(&take_bytes(region)?).map(drop).map_err(|error| refused(&error))
}

/// Checks a region of typed payload descriptors against the region of their bytes.
#[pyfunction]
pub(super) fn check_typed_payloads(
    descriptors: &Bound<'_, PyAny>,
    payloads: &Bound<'_, PyAny>,
) -> PyResult<()> {
    TypedPayloads::decode(&take_bytes(descriptors)?, &take_bytes(payloads)?)
        .map(drop)
        .map_err(|error| refused(&error))
}

/// Checks a region of extension frame descriptors against the region of their bytes. `known` are the kinds a critical frame
/// may have; `None` for any.
#[pyfunction]
pub(super) fn check_extension_frames(
    descriptors: &Bound<'_, PyAny>,
    payloads: &Bound<'_, PyAny>,
    known: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let known = known.map(|kinds| values::numbers(kinds, "known_extension_kinds")).transpose()?;
    ExtensionFrames::decode(&take_bytes(descriptors)?, &take_bytes(payloads)?, known.as_deref())
        .map(drop)
        .map_err(|error| refused(&error))
}

/// Checks a tile index of `tile_index_bytes` and the `section_count` sections behind it. Without `tile_count` the sections
/// only have to agree with themselves.
#[pyfunction]
pub(super) fn check_tensor_body(
    body: &Bound<'_, PyAny>,
    tile_index_bytes: &Bound<'_, PyAny>,
    section_count: &Bound<'_, PyAny>,
    tile_count: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let body = take_bytes(body)?;
    let section_count = values::number(section_count, "section_count")?;
    let tile_count = tile_count.map(|count| values::number(count, "tile_count")).transpose()?;
    let index_end = values::number::<u32>(tile_index_bytes, "tile_index_bytes")? as usize;
    if index_end > body.len() {
        let left = body.len();
        return Err(PyValueError::new_err(format!(
            "expected at least {index_end} tile index bytes, got {left}"
        )));
    }
    // Sections are aligned from the start of the body, and padded only when there are any.
    let sections = if section_count == 0 { index_end } else { index_end.next_multiple_of(8).min(body.len()) };
    if body.slice(index_end..sections).iter().any(|byte| *byte != 0) {
        return Err(PyValueError::new_err("padding bytes must be zero"));
    }
    Sections::decode(&body.slice(sections..), section_count, tile_count)
        .map(drop)
        .map_err(|error| refused(&error))
}

/// The ids in a tile index block.
#[pyfunction]
pub(super) fn decode_tile_index<'py>(
    block: &Bound<'py, PyAny>,
    mode: &Bound<'py, PyAny>,
    tile_count: &Bound<'py, PyAny>,
    tile_base_id: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyTuple>> {
    let mode = TileIndexMode::from(values::number::<u8>(mode, "mode")?);
    let count = values::number(tile_count, "tile_count")?;
    let base = values::number(tile_base_id, "tile_base_id")?;
    let ids = tile_index::decode(mode, base, count, &take_bytes(block)?).map_err(|error| refused(&error))?;
    PyTuple::new(block.py(), ids)
}
