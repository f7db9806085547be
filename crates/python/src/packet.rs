//! Received packets and bodies, as the lazy Python objects read them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nnrp::wire::{self, FrameSubmitMetadata, Header, MessageType, PayloadKind, ResultPushMetadata};
use nnrp::{ReceivedSubmit, clock};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyMemoryView, PySlice, PyTuple};

use crate::buffer;

/// The numbers of a header in wire order.
type HeaderValues = (u8, u8, u8, usize, u32, usize, usize, u32, u32, u16, u16, u64);
type Views<'py> = Bound<'py, PyMemoryView>;
/// Kind, flags, namespace and the two halves of the key.
type Reference = (u32, u16, u32, u32, u32);

/// A received packet.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Packet(wire::Packet);

impl Packet {
    pub(crate) fn new(packet: wire::Packet) -> Self {
        Self(packet)
    }
}

#[pymethods]
impl Packet {
    /// Itself, as what was received with a packet has it.
    #[getter(packet)]
    fn itself(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// The header's numbers in wire order, without the magic.
    #[getter]
    fn header(&self) -> HeaderValues {
        header_values(&self.0)
    }

    /// The metadata, copied.
    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.metadata)
    }

    /// The body, copied.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.body)
    }
}

fn header_values(packet: &wire::Packet) -> HeaderValues {
    let header = &packet.header;
    let revision = wire::Revision::Current;
    (
        revision.version_major(),
        revision.wire_format().value(),
        header.msg_type.value(),
        Header::LEN,
        header.flags.bits(),
        packet.metadata.len(),
        packet.body.len(),
        header.session_id,
        header.frame_id,
        header.view_id,
        header.route_id,
        header.trace_id,
    )
}

/// The decoded body of a frame or result.
#[pyclass(frozen, module = "nnrp._native")]
#[derive(Clone)]
pub(crate) struct FrameBody {
    body: wire::FrameBody,
    /// What the metadata announces.
    kinds: PayloadKind,
    whole: Whole,
}

impl FrameBody {
    fn new(body: wire::FrameBody, kinds: PayloadKind) -> Self {
        let whole = Whole::new(body.body().clone());
        Self { body, kinds, whole }
    }
}

#[pymethods]
impl FrameBody {
    /// The tensor sections; `None` without tensors, and where the section table was referenced and not resolved.
    fn sections(&self) -> Option<Vec<Section>> {
        let body = &self.body;
        let referenced = body.section_count() > 0 && body.section_table().is_none();
        if !self.kinds.contains(PayloadKind::TENSOR) || referenced {
            return None;
        }
        Some(body.sections().map(|section| Section { whole: self.whole.clone(), section }).collect())
    }

    /// The tile index block as a view; empty for a dense range, and when it was referenced and not resolved.
    fn tile_index_block<'py>(&self, py: Python<'py>) -> PyResult<Views<'py>> {
        self.whole.part(py, self.body.tile_index_block().unwrap_or_default())
    }

    /// The tile ids; empty when they were referenced and not resolved.
    fn tile_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.body.tile_ids())
    }

    /// The camera block, copied; empty without one.
    fn camera<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.body.camera().unwrap_or_default())
    }

    /// Kind, bytes and profile of each typed payload.
    fn typed_payloads<'py>(&self, py: Python<'py>) -> Vec<(u32, Bound<'py, PyBytes>, u16)> {
        self.body
            .typed_payloads()
            .map(|payload| (payload.kind.bits(), PyBytes::new(py, &payload.data), payload.profile_id))
            .collect()
    }

    /// The values of each object reference.
    fn references(&self) -> Vec<Reference> {
        self.body
            .references()
            .map(|block| {
                let kind = block.object_kind.value();
                (kind, block.ref_flags, block.cache_namespace, block.cache_key_hi, block.cache_key_lo)
            })
            .collect()
    }
}

/// A tensor section of a received body.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Section {
    whole: Whole,
    section: wire::SectionView,
}

#[pymethods]
impl Section {
    /// The values of its descriptor.
    fn descriptor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let desc = &self.section.desc;
        (
            desc.role_id,
            desc.codec_id,
            desc.dtype_id.value(),
            desc.layout_id.value(),
            desc.scale_policy.value(),
            desc.flags.bits(),
            desc.element_count_per_tile,
            desc.codec_table_bytes,
            desc.length_table_bytes,
            desc.payload_bytes,
            desc.payload_stride_bytes,
            desc.reserved,
        )
            .into_pyobject(py)
    }

    /// The codec of each tile, as a view.
    fn codec_table<'py>(&self, py: Python<'py>) -> PyResult<Views<'py>> {
        self.whole.part(py, self.section.codec_table())
    }

    /// The length of each tile, as a view.
    fn length_table<'py>(&self, py: Python<'py>) -> PyResult<Views<'py>> {
        self.whole.part(py, self.section.length_table())
    }

    /// The bytes of all tiles, as a view.
    fn payload<'py>(&self, py: Python<'py>) -> PyResult<Views<'py>> {
        self.whole.part(py, self.section.payload())
    }
}

/// A body, and the one `memoryview` of it of which all others are slices: made when the first is asked for.
#[derive(Clone)]
struct Whole {
    bytes: Bytes,
    view: Arc<PyOnceLock<Py<PyMemoryView>>>,
}

impl Whole {
    fn new(bytes: Bytes) -> Self {
        Self { bytes, view: Arc::new(PyOnceLock::new()) }
    }

    /// The view of `part`: of this body, or of an object that was resolved from the cache.
    fn part<'py>(&self, py: Python<'py>, part: Bytes) -> PyResult<Views<'py>> {
        let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if end <= self.bytes.len() => {
                let make = || Ok::<_, PyErr>(buffer::view(py, self.bytes.clone())?.unbind());
                let view = self.view.get_or_try_init(py, make)?.bind(py);
                // Not PySlice::new, which never lets go of the numbers it makes (found by soaking).
                let slice = py.get_type::<PySlice>().call1((start, end))?;
                Ok(view.get_item(slice)?.cast_into()?)
            }
            _ => buffer::view(py, part),
        }
    }
}

/// A frame a client submitted.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Submit {
    packet: wire::Packet,
    body: FrameBody,
    received_at: Instant,
}

impl From<ReceivedSubmit> for Submit {
    fn from(submit: ReceivedSubmit) -> Self {
        let body = FrameBody::new(submit.body, submit.metadata.payload_kind_bitmap);
        Self { packet: submit.packet, body, received_at: submit.received_at }
    }
}

impl Submit {
    fn has_tensors(&self) -> bool {
        self.body.kinds.contains(PayloadKind::TENSOR)
    }

    /// One of its tensor sections for sending; the tiles stay slices of the body.
    pub(crate) fn section_to_send(&self, place: usize) -> Option<wire::Section> {
        self.body.body.sections().nth(place).map(|section| section.to_section())
    }
}

#[pymethods]
impl Submit {
    /// The packet.
    #[getter]
    fn packet(&self) -> Packet {
        Packet::new(self.packet.clone())
    }

    /// The numbers of the packet's header in wire order, without the magic.
    #[getter]
    fn header(&self) -> HeaderValues {
        header_values(&self.packet)
    }

    /// Its body.
    #[getter]
    fn body(&self) -> FrameBody {
        self.body.clone()
    }

    /// How many tensor sections it has; none where the section table was referenced and not resolved.
    #[getter]
    fn section_count(&self) -> usize {
        if self.has_tensors() { self.body.body.sections().len() } else { 0 }
    }

    /// One of them.
    fn section(&self, place: usize) -> PyResult<Section> {
        let section = self.body.body.sections().nth(place);
        let section = section.ok_or_else(|| PyIndexError::new_err("the frame has fewer sections"))?;
        Ok(Section { whole: self.body.whole.clone(), section })
    }

    /// The frame's id.
    #[getter]
    fn frame_id(&self) -> u32 {
        self.packet.header.frame_id
    }

    /// Its view.
    #[getter]
    fn view_id(&self) -> u16 {
        self.packet.header.view_id
    }

    /// Its routing hint.
    #[getter]
    fn route_id(&self) -> u16 {
        self.packet.header.route_id
    }

    /// What correlates logs.
    #[getter]
    fn trace_id(&self) -> u64 {
        self.packet.header.trace_id
    }

    /// The flags of its header.
    #[getter]
    fn flags(&self) -> u32 {
        self.packet.header.flags.bits()
    }

    /// Milliseconds since it was received.
    #[getter]
    fn age_ms(&self) -> u64 {
        let age = clock::now().saturating_duration_since(self.received_at);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What a server sent for a frame: a result, or a drop.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Result {
    packet: wire::Packet,
    body: Option<FrameBody>,
    drop_reason: Option<u32>,
    beyond_policy: bool,
}

impl Result {
    /// A result or a drop; `None` for a frame that failed.
    pub(crate) fn new(reply: nnrp::Reply) -> Option<Self> {
        match reply {
            nnrp::Reply::Result(pushed) => {
                let nnrp::PushedResult { packet, metadata, body, beyond_policy, .. } = *pushed;
                let body = Some(FrameBody::new(body, metadata.payload_kind_bitmap));
                Some(Self { packet, body, drop_reason: None, beyond_policy })
            }
            nnrp::Reply::Dropped { reason, packet, .. } => {
                let drop_reason = reason.map(wire::ResultHintReason::value);
                Some(Self { packet, body: None, drop_reason, beyond_policy: false })
            }
            _ => None,
        }
    }
}

#[pymethods]
impl Result {
    /// The packet.
    #[getter]
    fn packet(&self) -> Packet {
        Packet::new(self.packet.clone())
    }

    /// The frame it is about.
    #[getter]
    fn frame_id(&self) -> u32 {
        self.packet.header.frame_id
    }

    /// The frame's view.
    #[getter]
    fn view_id(&self) -> u16 {
        self.packet.header.view_id
    }

    /// Whether it is a drop.
    #[getter]
    fn is_drop(&self) -> bool {
        self.packet.header.msg_type == MessageType::ResultDrop
    }

    /// The body of a result; `None` for a drop.
    #[getter]
    fn body(&self) -> Option<FrameBody> {
        self.body.clone()
    }

    /// Why the frame was dropped, if a hint said so.
    #[getter]
    fn drop_reason(&self) -> Option<u32> {
        self.drop_reason
    }

    /// Whether it applied a policy that its frame did not allow.
    #[getter]
    fn beyond_policy(&self) -> bool {
        self.beyond_policy
    }
}

/// Header, metadata and body as a caller hands them in.
///
/// # Errors
/// `ValueError` for bytes that are no header, `TypeError` for objects that are not bytes-like.
pub(crate) fn from_parts(
    header: &[u8],
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
) -> PyResult<wire::Packet> {
    let raw: &[u8; Header::LEN] = header.try_into().map_err(|_| {
        pyo3::exceptions::PyValueError::new_err(format!(
            "expected {} bytes, got {}",
            Header::LEN,
            header.len()
        ))
    })?;
    let header = Header::decode(raw).map_err(refused)?;
    Ok(wire::Packet::build(header, buffer::take_bytes(metadata)?, buffer::take_bytes(body)?))
}

fn refused(error: wire::WireError) -> PyErr {
    pyo3::exceptions::PyValueError::new_err(error.to_string())
}

/// Decodes a FRAME_SUBMIT that did not come over a connection of this package.
#[pyfunction]
pub(crate) fn decode_submit(
    header: &[u8],
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
) -> PyResult<Submit> {
    let packet = from_parts(header, metadata, body)?;
    let decoded = FrameSubmitMetadata::decode(&packet.metadata).map_err(refused)?;
    let body = wire::FrameBody::decode_submit(&decoded, &packet.body, &[]).map_err(refused)?;
    let body = FrameBody::new(body, decoded.payload_kind_bitmap);
    Ok(Submit { packet, body, received_at: clock::now() })
}

/// Decodes a RESULT_PUSH that did not come over a connection of this package.
#[pyfunction]
pub(crate) fn decode_result(
    header: &[u8],
    metadata: &Bound<'_, PyAny>,
    body: &Bound<'_, PyAny>,
) -> PyResult<Result> {
    let packet = from_parts(header, metadata, body)?;
    let decoded = ResultPushMetadata::decode(&packet.metadata).map_err(refused)?;
    let body = wire::FrameBody::decode_result(&decoded, &packet.body, &[]).map_err(refused)?;
    let body = FrameBody::new(body, decoded.payload_kind_bitmap);
    Ok(Result { packet, body: Some(body), drop_reason: None, beyond_policy: false })
}
