//! A server's session, as `nnrp.server` wraps it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use nnrp::wire::{MessageType, ResultHintMetadata, ResultHintReason, TransportId};
use nnrp::{DropFrame, Received, RejectedPacket};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

use crate::bridge::Bridge;
use crate::codec::values::Arguments;
use crate::connection::Connection;
use crate::errors;
use crate::frame::{self, GivenResult};
use crate::listener::counts;
use crate::open::Held;
use crate::operation::Operation;
use crate::options::Limits;
use crate::packet::{Packet, Submit};
use crate::runtime::{Owned, lock};
use crate::stats::{Measured, traffic};
use crate::wait::{Patience, given_limit};

/// A session.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct ServerSession {
    parts: Owned<Parts>,
    /// Frames handed out since a task last had to wait for one.
    in_a_row: AtomicU32,
    /// A packet that was refused behind frames that were taken together: the next call tells of it.
    refused: Mutex<Option<Box<RejectedPacket>>>,
}

/// Frames handed out without a turn of the event loop: a client that always has one more must not keep other tasks from
/// running.
const MAX_IN_A_ROW: u32 = 64;

#[derive(Clone)]
struct Parts {
    session: nnrp::ServerSession,
    held: Arc<Held>,
}

impl ServerSession {
    pub(crate) fn new(session: nnrp::ServerSession, held: Arc<Held>) -> Self {
        Self {
            parts: Owned::new(Parts { session, held }),
            in_a_row: AtomicU32::new(0),
            refused: Mutex::default(),
        }
    }
}

#[pymethods]
impl ServerSession {
    /// The connection underneath.
    #[getter]
    fn connection(&self) -> PyResult<Connection> {
        Ok(Connection::new(Arc::clone(&self.parts.get()?.held), Limits::default()))
    }

    /// The session's id.
    #[getter]
    fn session_id(&self) -> PyResult<u32> {
        Ok(self.parts.get()?.session.id())
    }

    /// The metadata of SERVER_HELLO_ACK.
    #[getter]
    fn ack_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.parts.get()?.session.ack().metadata.encode()))
    }

    /// The next frame, or an operation that yields it; raises for a packet that was refused.
    #[pyo3(signature = (timeout))]
    fn receive(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let patience = Patience::of(timeout)?;
        if let Some(refused) = lock(&self.refused).take() {
            return Err(errors::rejected(py, &refused));
        }
        let Parts { session, held } = self.parts.get()?;
        let row = self.in_a_row.fetch_add(1, Ordering::Relaxed);
        if row < MAX_IN_A_ROW {
            if let Some(received) = session.receive_now() {
                return handed_out(py, session, received);
            }
            if matches!(patience, Patience::None) {
                return Err(patience.timed_out("no frame"));
            }
        }
        self.in_a_row.store(0, Ordering::Relaxed);
        let over = session.clone();
        let session = session.clone();
        let operation = match patience {
            Patience::Endless => {
                Operation::without_runtime(async move { session.receive().await }, move |py, received| {
                    handed_out(py, &over, received)
                })
            }
            _ => Operation::new(
                async move { patience.limit(session.receive()).await },
                move |py, received| match received {
                    None => Err(patience.timed_out("no frame")),
                    Some(received) => handed_out(py, &over, received),
                },
            )?,
        };
        if row >= MAX_IN_A_ROW {
            return Ok(Py::new(py, operation.after_others())?.into_any());
        }
        // The client may be waiting for just that before it sends more.
        held.uncork();
        Bridge::lend(py, held)?;
        Ok(Py::new(py, operation)?.into_any())
    }

    /// The frames that are there already, at most `limit`.
    fn receive_more(&self, limit: usize) -> PyResult<Vec<Submit>> {
        let session = &self.parts.get()?.session;
        let mut frames = Vec::new();
        while frames.len() < limit && lock(&self.refused).is_none() {
            match session.receive_now() {
                Some(Ok(Received::Submit(submit))) => frames.push(Submit::from(*submit)),
                Some(Ok(Received::Rejected(refused))) => *lock(&self.refused) = Some(refused),
                // The end of the session is told to who waits for it.
                _ => break,
            }
        }
        Ok(frames)
    }

    /// Yields the next control packet the runtime does not answer by itself.
    #[pyo3(signature = (timeout))]
    fn receive_control(&self, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Operation> {
        let patience = Patience::of(timeout)?;
        let Parts { session, held } = self.parts.get()?.clone();
        let transport = held.transport();
        Operation::new(async move { patience.limit(session.receive_control()).await }, move |py, received| {
            match received {
                None => Err(patience.timed_out("no control packet")),
                Some(Ok(packet)) => Ok(Py::new(py, Packet::new(packet))?.into_any()),
                Some(Err(error)) => Err(errors::session(py, transport, &error)),
            }
        })
    }

    /// Sends one result: the bytes of its packet, or an operation that yields them once there is room. `others` are the
    /// arguments that were given beyond the usual ones.
    fn send_result(
        &self,
        py: Python<'_>,
        frame_id: &Bound<'_, PyAny>,
        view_id: &Bound<'_, PyAny>,
        sections: &Bound<'_, PyAny>,
        others: &Bound<'_, PyDict>,
    ) -> PyResult<Py<PyAny>> {
        let result = GivenResult { frame_id, view_id, sections, others }.result()?;
        let Parts { session, held } = self.parts.get()?.clone();
        if held.live_frames() > 1 {
            Bridge::cork(py, &held)?;
        }
        Operation::now_or_later(py, session.send_result(result), move |py, sent| {
            bytes_sent(py, || session.transport(), sent)
        })
    }

    /// Ends a frame without a result; yields the bytes of the drop.
    fn send_drop(&self, arguments: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let given = Arguments::Named(arguments);
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
        let Parts { session, held } = self.parts.get()?.clone();
        sending(&held, async move { session.send_drop(drop).await })
    }

    /// Sends a RESULT_HINT with packed metadata; yields the bytes of its packet.
    fn send_hint(&self, metadata: &[u8], arguments: &Bound<'_, PyDict>) -> PyResult<Operation> {
        let hint =
            ResultHintMetadata::decode(metadata).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let header = frame::header(&Arguments::Named(arguments), MessageType::ResultHint)?;
        let Parts { session, held } = self.parts.get()?.clone();
        sending(&held, async move { session.send_hint(header, &hint).await })
    }

    /// Whether the client cancelled a frame.
    fn frame_cancelled(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.parts.get()?.session.frame_cancelled(frame::key(frame_id, view_id)?))
    }

    /// Waits until nobody wants a frame any more: cancelled, expired, or the session over.
    fn cancelled(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let key = frame::key(frame_id, view_id)?;
        let session = self.parts.get()?.session.clone();
        Operation::new(async move { session.cancelled(key).await }, |py, ()| Ok(py.None()))
    }

    /// Says CLOSE; waits until what was sent before has left.
    fn close(&self) -> PyResult<Operation> {
        let session = self.parts.get()?.session.clone();
        Operation::new(async move { session.close("").await }, |py, ()| Ok(py.None()))
    }

    /// Ends the session in order; yields as `Listener.drain` does.
    fn drain(&self, timeout: &Bound<'_, PyAny>, reason: String) -> PyResult<Operation> {
        let timeout = given_limit(timeout)?;
        let session = self.parts.get()?.session.clone();
        Operation::new(async move { session.drain(timeout, &reason).await }, counts)
    }

    /// The values that SESSION_PATCH can change, as they are now.
    fn patched<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let named = PyDict::new(py);
        let now = self.parts.get()?.held.with(|machine, _| machine.parameters().cloned());
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
        let offered = self.parts.get()?.held.with(|machine, _| machine.server_settings().cloned());
        offered.iter().flat_map(nnrp::ServerSettings::named).into_py_dict(py)
    }

    /// Counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Measured)> {
        traffic(py, &self.parts.get()?.held.stats())
    }
}

/// What Python gets of what was received.
fn handed_out(
    py: Python<'_>,
    session: &nnrp::ServerSession,
    received: Result<Received, nnrp::SessionError>,
) -> PyResult<Py<PyAny>> {
    match received {
        Ok(Received::Submit(submit)) => Ok(Py::new(py, Submit::from(*submit))?.into_any()),
        Ok(Received::Rejected(rejected)) => Err(errors::rejected(py, &rejected)),
        Ok(_) => Err(PyValueError::new_err("a message that a server does not take")),
        Err(error) => Err(errors::session(py, session.transport(), &error)),
    }
}

/// An operation that yields how many bytes were sent.
pub(crate) fn sending(
    held: &Held,
    sending: impl Future<Output = Result<usize, nnrp::SendError>> + Send + 'static,
) -> PyResult<Operation> {
    let transport = held.transport();
    Operation::new(sending, move |py, sent| bytes_sent(py, || transport, sent))
}

fn bytes_sent(
    py: Python<'_>,
    transport: impl FnOnce() -> TransportId,
    sent: Result<usize, nnrp::SendError>,
) -> PyResult<Py<PyAny>> {
    match sent {
        Ok(bytes) => Ok(bytes.into_pyobject(py)?.into_any().unbind()),
        Err(error) => Err(errors::send(py, transport(), &error)),
    }
}
