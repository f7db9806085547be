//! A server's session, as `nnrp.server` wraps it.

use std::sync::Arc;

use nnrp::wire::{MessageType, ResultHintMetadata, ResultHintReason};
use nnrp::{DropFrame, Received};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

use crate::codec::values::Arguments;
use crate::connection::Connection;
use crate::errors;
use crate::frame;
use crate::listener::counts;
use crate::open::Held;
use crate::operation::Operation;
use crate::options::Limits;
use crate::packet::{Packet, Submit};
use crate::runtime::Owned;
use crate::wait::{Patience, time_limit};

/// A session.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct ServerSession(Owned<Parts>);

#[derive(Clone)]
struct Parts {
    session: nnrp::ServerSession,
    held: Arc<Held>,
}

impl ServerSession {
    pub(crate) fn new(session: nnrp::ServerSession, held: Arc<Held>) -> Self {
        Self(Owned::new(Parts { session, held }))
    }
}

#[pymethods]
impl ServerSession {
    /// The connection underneath.
    #[getter]
    fn connection(&self) -> PyResult<Connection> {
        Ok(Connection::new(Arc::clone(&self.0.get()?.held), Limits::default()))
    }

    /// The session's id.
    #[getter]
    fn session_id(&self) -> PyResult<u32> {
        Ok(self.0.get()?.session.id())
    }

    /// The metadata of SERVER_HELLO_ACK.
    #[getter]
    fn ack_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.get()?.session.ack().metadata.encode()))
    }

    /// Yields the next frame; raises for a packet that was refused.
    #[pyo3(signature = (timeout))]
    fn receive(&self, timeout: Option<f64>) -> PyResult<Operation> {
        let patience = Patience::from_seconds(timeout)?;
        let Parts { session, held } = self.0.get()?.clone();
        let transport = held.transport();
        Operation::new(async move { patience.limit(session.receive()).await }, move |py, received| {
            match received {
                None => Err(patience.timed_out("no frame")),
                Some(Ok(Received::Submit(submit))) => Ok(Py::new(py, Submit::from(*submit))?.into_any()),
                Some(Ok(Received::Rejected(rejected))) => Err(errors::rejected(py, &rejected)),
                Some(Ok(_)) => Err(PyValueError::new_err("a message that a server does not take")),
                Some(Err(error)) => Err(errors::session(py, transport, &error)),
            }
        })
    }

    /// Yields the next control packet the runtime does not answer by itself.
    #[pyo3(signature = (timeout))]
    fn receive_control(&self, timeout: Option<f64>) -> PyResult<Operation> {
        let patience = Patience::from_seconds(timeout)?;
        let Parts { session, held } = self.0.get()?.clone();
        let transport = held.transport();
        Operation::new(async move { patience.limit(session.receive_control()).await }, move |py, received| {
            match received {
                None => Err(patience.timed_out("no control packet")),
                Some(Ok(packet)) => Ok(Py::new(py, Packet::new(packet))?.into_any()),
                Some(Err(error)) => Err(errors::session(py, transport, &error)),
            }
        })
    }

    /// Sends one result; yields the bytes of its packet.
    fn send_result(&self, arguments: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let result = frame::result(arguments)?;
        let Parts { session, held } = self.0.get()?.clone();
        sending(&held, async move { session.send_result(result).await })
    }

    /// Ends a frame without a result; yields the bytes of the drop.
    fn send_drop(&self, arguments: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let given = Arguments(arguments);
        let header = frame::header(&given, MessageType::ResultDrop)?;
        let reason = ResultHintReason::from(given.number::<u32>(intern!(arguments.py(), "reason"))?);
        let drop = DropFrame {
            frame_id: header.frame_id,
            view_id: header.view_id,
            reason: (reason != ResultHintReason::None).then_some(reason),
            flags: header.flags,
            route_id: header.route_id,
            trace_id: header.trace_id,
        };
        let Parts { session, held } = self.0.get()?.clone();
        sending(&held, async move { session.send_drop(drop).await })
    }

    /// Sends a RESULT_HINT with packed metadata; yields the bytes of its packet.
    fn send_hint(&self, metadata: &[u8], arguments: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let hint =
            ResultHintMetadata::decode(metadata).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let header = frame::header(&Arguments(arguments), MessageType::ResultHint)?;
        let Parts { session, held } = self.0.get()?.clone();
        sending(&held, async move { session.send_hint(header, &hint).await })
    }

    /// Whether the client cancelled a frame.
    fn frame_cancelled(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.0.get()?.session.frame_cancelled(frame::key(frame_id, view_id)?))
    }

    /// Waits until nobody wants a frame any more: cancelled, expired, or the session over.
    fn cancelled(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let key = frame::key(frame_id, view_id)?;
        let session = self.0.get()?.session.clone();
        Operation::new(async move { session.cancelled(key).await }, |py, ()| Ok(py.None()))
    }

    /// Says CLOSE; waits until what was sent before has left.
    fn close(&self) -> PyResult<Operation> {
        let session = self.0.get()?.session.clone();
        Operation::new(async move { session.close("").await }, |py, ()| Ok(py.None()))
    }

    /// Ends the session in order; yields as `Listener.drain` does.
    fn drain(&self, timeout: f64, reason: String) -> PyResult<Operation> {
        let timeout = time_limit(timeout)?;
        let session = self.0.get()?.session.clone();
        Operation::new(async move { session.drain(timeout, &reason).await }, counts)
    }

    /// The values that SESSION_PATCH can change, as they are now.
    fn patched<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let named = PyDict::new(py);
        let now = self.0.get()?.held.with(|machine, _| machine.parameters().cloned());
        if let Some(now) = now {
            named.set_item("target_cadence_x100", now.target_cadence_x100)?;
            named.set_item("quality_tier", now.quality_tier)?;
            named.set_item("degrade_policy", now.degrade_policy)?;
            named.set_item("active_lane_mask", now.active_lane_mask)?;
            named.set_item("preferred_codec_bitmap", now.codec_bitmap)?;
            named.set_item("preferred_compression_bitmap", now.compression_bitmap)?;
        }
        Ok(named)
    }

    /// What it offers, as Rust's `Debug` shows it.
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let offered = self.0.get()?.held.with(|machine, _| machine.server_settings().cloned());
        offered.iter().flat_map(nnrp::ServerSettings::named).into_py_dict(py)
    }

    /// Counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.get()?.held.stats().named().into_py_dict(py)
    }
}

/// An operation that yields how many bytes were sent.
pub(crate) fn sending(
    held: &Held,
    sending: impl Future<Output = Result<usize, nnrp::SendError>> + Send + 'static,
) -> PyResult<Operation> {
    let transport = held.transport();
    Operation::new(sending, move |py, sent| match sent {
        Ok(bytes) => Ok(bytes.into_pyobject(py)?.into_any().unbind()),
        Err(error) => Err(errors::send(py, transport, &error)),
    })
}
