//! Frames and results as applications hand them in.

use nnrp::FrameKey;
use nnrp::wire::{
    BudgetPolicy, Header, HeaderFlags, MessageType, ResultClass, ResultFrame, Revision, SubmitFrame,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::codec::build;
use crate::codec::values::{Arguments, number};

/// What the arguments say about the packet's header.
///
/// # Errors
/// `TypeError` and `ValueError` naming the argument.
pub(crate) fn header(given: &Arguments<'_, '_>, message: MessageType) -> PyResult<Header> {
    let py = given.py();
    Ok(Header {
        flags: HeaderFlags::from_bits(given.number(intern!(py, "flags"))?),
        // `None` is no frame, and must not become frame 0.
        frame_id: given.given(intern!(py, "frame_id"))?.map_or(Ok(0), |id| number(&id, "frame_id"))?,
        view_id: given.number(intern!(py, "view_id"))?,
        route_id: given.number(intern!(py, "route_id"))?,
        trace_id: given.number(intern!(py, "trace_id"))?,
        ..Header::new(message)
    })
}

/// What names a frame.
///
/// # Errors
/// As [`header`].
pub(crate) fn key(frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<FrameKey> {
    Ok(FrameKey { frame_id: number(frame_id, "frame_id")?, view_id: number(view_id, "view_id")? })
}

/// The result that the arguments of `send_result` describe.
///
/// A result that is less than complete without saying what allowed it gets the policy that belongs to its class.
///
/// # Errors
/// `TypeError` and `ValueError` naming the argument.
pub(crate) fn result(given: &Arguments<'_, '_>) -> PyResult<ResultFrame> {
    let header = header(given, MessageType::ResultPush)?;
    let mut frame = build::result_frame(given)?;
    if frame.applied_budget_policy.is_empty() {
        frame.applied_budget_policy = match frame.result_class {
            ResultClass::Partial => BudgetPolicy::ALLOW_PARTIAL,
            ResultClass::StaleReuse => BudgetPolicy::ALLOW_STALE_REUSE,
            ResultClass::Degraded => BudgetPolicy::ALLOW_DEGRADED,
            _ => BudgetPolicy::NONE,
        };
    }
    let tiles = frame.sections.first().map_or(0, |section| section.tiles.len());
    if let Some(other) = frame.sections.iter().find(|section| section.tiles.len() != tiles) {
        let text = format!(
            "sections must have the same number of tiles: role {} has {}, the first one has {tiles}",
            other.role_id,
            other.tiles.len()
        );
        return Err(PyValueError::new_err(text));
    }
    Ok(ResultFrame {
        frame_id: header.frame_id,
        view_id: header.view_id,
        route_id: header.route_id,
        trace_id: header.trace_id,
        flags: header.flags,
        ..frame
    })
}

/// The frame that the fields of a `SubmitRequest` describe.
///
/// # Errors
/// `TypeError` and `ValueError` naming the field.
pub(crate) fn submit(given: &Arguments<'_, '_>) -> PyResult<SubmitFrame> {
    let header = header(given, MessageType::FrameSubmit)?;
    Ok(SubmitFrame {
        frame_id: header.frame_id,
        view_id: header.view_id,
        route_id: header.route_id,
        trace_id: header.trace_id,
        flags: header.flags,
        zero_prelude: true,
        ..build::submit_frame(given)?
    })
}

/// The bytes of the result packet that the arguments of `send_result` describe, for sessions over connections
/// that are not this package's. Tile ids that are left out are a range.
#[pyfunction]
pub(crate) fn encode_result<'py>(
    py: Python<'py>,
    session_id: u32,
    names: &Bound<'py, PyTuple>,
    values: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut frame = result(&Arguments::listed(names, values))?;
    if frame.tile_ids.is_empty() {
        let tiles = frame.sections.first().map_or(0, |section| section.tiles.len());
        frame.tile_ids = (frame.tile_base_id..).take(tiles).map_while(|id| u16::try_from(id).ok()).collect();
    }
    let packet = frame
        .encode(session_id, Revision::Current)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &packet.to_bytes()))
}
