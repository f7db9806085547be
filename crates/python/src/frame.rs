//! Frames and results as applications hand them in.

use nnrp::FrameKey;
use nnrp::wire::{
    BudgetPolicy, Header, HeaderFlags, MessageType, PayloadKind, ResultClass, ResultFrame, Revision, Section,
    SubmitFrame,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::codec::build;
use crate::codec::values::{self, Arguments, number};

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

/// What `send_result` is given: what nearly everybody says, and what else there is.
pub(crate) struct GivenResult<'a, 'py> {
    pub(crate) frame_id: &'a Bound<'py, PyAny>,
    pub(crate) view_id: &'a Bound<'py, PyAny>,
    pub(crate) sections: &'a Bound<'py, PyAny>,
    /// The other arguments, by name. Made for this call: it is changed.
    pub(crate) others: &'a Bound<'py, PyDict>,
}

/// The names of the other arguments.
const OTHERS: [&str; 20] = [
    "tile_ids",
    TYPED_PAYLOADS,
    "result_flags",
    "active_profile_id",
    "inference_ms",
    "queue_ms",
    "server_total_ms",
    "status_code",
    "tile_index_mode",
    "tile_base_id",
    "result_class",
    "applied_budget_policy",
    "reused_frame_id",
    "covered_tile_count",
    "dropped_tile_count",
    PAYLOAD_KINDS,
    "payload_frame_count",
    "flags",
    "route_id",
    "trace_id",
];
const TYPED_PAYLOADS: &str = "typed_payloads";
const PAYLOAD_KINDS: &str = "payload_kind_bitmap";

impl GivenResult<'_, '_> {
    /// The result that is described.
    ///
    /// A result that is less than complete without saying what allowed it gets the policy that belongs to its class.
    ///
    /// # Errors
    /// `TypeError` and `ValueError` naming the argument.
    pub(crate) fn result(&self) -> PyResult<ResultFrame> {
        let sections = if self.sections.is_none() { Vec::new() } else { values::sections(self.sections)? };
        same_tiles(&sections)?;
        Ok(ResultFrame {
            frame_id: number(self.frame_id, "frame_id")?,
            view_id: if self.view_id.is_none() { 0 } else { number(self.view_id, "view_id")? },
            sections,
            ..match self.others.is_empty() {
                // Without anything in it, it is still one of tensors.
                true => ResultFrame { payload_kind: PayloadKind::TENSOR, ..ResultFrame::default() },
                false => self.with_others()?,
            }
        })
    }

    fn with_others(&self) -> PyResult<ResultFrame> {
        let others = self.others;
        for name in others.keys() {
            let name = name.cast::<PyString>()?.to_str()?;
            if !OTHERS.contains(&name) {
                let text = format!("ServerSession.send_result() got an unexpected keyword argument '{name}'");
                return Err(PyTypeError::new_err(text));
            }
        }
        if !others.contains(PAYLOAD_KINDS)? {
            others.set_item(PAYLOAD_KINDS, PayloadKind::TENSOR.bits())?;
        }
        if let Some(payloads) = others.get_item(TYPED_PAYLOADS)? {
            others.set_item("frames", payloads)?; // as the builders of packets call them
        }
        let given = Arguments::Named(others);
        let mut frame = build::result_frame(&given)?;
        if frame.applied_budget_policy.is_empty() {
            frame.applied_budget_policy = match frame.result_class {
                ResultClass::Partial => BudgetPolicy::ALLOW_PARTIAL,
                ResultClass::StaleReuse => BudgetPolicy::ALLOW_STALE_REUSE,
                ResultClass::Degraded => BudgetPolicy::ALLOW_DEGRADED,
                _ => BudgetPolicy::NONE,
            };
        }
        let Header { route_id, trace_id, flags, .. } = header(&given, MessageType::ResultPush)?;
        Ok(ResultFrame { route_id, trace_id, flags, ..frame })
    }
}

fn same_tiles(sections: &[Section]) -> PyResult<()> {
    let tiles = sections.first().map_or(0, |section| section.tiles.len());
    let Some(other) = sections.iter().find(|section| section.tiles.len() != tiles) else { return Ok(()) };
    let text = format!(
        "sections must have the same number of tiles: role {} has {}, the first one has {tiles}",
        other.role_id,
        other.tiles.len()
    );
    Err(PyValueError::new_err(text))
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
    frame_id: &Bound<'py, PyAny>,
    view_id: &Bound<'py, PyAny>,
    sections: &Bound<'py, PyAny>,
    others: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut frame = GivenResult { frame_id, view_id, sections, others }.result()?;
    if frame.tile_ids.is_empty() {
        let tiles = frame.sections.first().map_or(0, |section| section.tiles.len());
        frame.tile_ids = (frame.tile_base_id..).take(tiles).map_while(|id| u16::try_from(id).ok()).collect();
    }
    let packet = frame
        .encode(session_id, Revision::Current)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(PyBytes::new(py, &packet.to_bytes()))
}
