//! A client's session, as `nnrp.client` wraps it.

use std::sync::Arc;
use std::time::Duration;

use nnrp::wire::MessageType;
use nnrp::{Reply, SessionError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyTuple};
use tokio::sync::Mutex;

use crate::bridge::Bridge;
use crate::codec::values::{Arguments, number};
use crate::connection::Connection;
use crate::errors;
use crate::frame;
use crate::open::Held;
use crate::operation::Operation;
use crate::options;
use crate::packet::{Packet, Result as ReceivedResult};
use crate::runtime::Owned;
use crate::server::sending;
use crate::stats::{Measured, traffic};
use crate::wait::Patience;

/// A session.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct ClientSession(Owned<Parts>);

#[derive(Clone)]
struct Parts {
    session: nnrp::ClientSession,
    held: Arc<Held>,
}

impl ClientSession {
    pub(crate) fn new(session: nnrp::ClientSession, held: Arc<Held>) -> Self {
        Self(Owned::new(Parts { session, held }))
    }
}

#[pymethods]
impl ClientSession {
    /// The session's id.
    #[getter]
    fn session_id(&self) -> PyResult<u32> {
        Ok(self.0.get()?.session.id())
    }

    /// The SERVER_HELLO_ACK.
    #[getter]
    fn ack_packet(&self) -> PyResult<Packet> {
        Ok(Packet::new(self.0.get()?.session.ack_packet().clone()))
    }

    /// The model name the server told.
    #[getter]
    fn model_name(&self) -> PyResult<String> {
        Ok(self.0.get()?.session.ack().model_name.clone())
    }

    /// How the server's credit and pauses are treated.
    #[getter]
    fn credit_policy(&self) -> PyResult<&'static str> {
        Ok(options::credit_policy_name(self.0.get()?.session.credit_policy()))
    }

    /// Treats them differently from now on.
    fn set_credit_policy(&self, policy: &str) -> PyResult<()> {
        self.0.get()?.session.set_credit_policy(options::credit_policy(policy)?);
        Ok(())
    }

    /// What it was told when it was opened, as Rust's `Debug` shows it.
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.0.get()?.session.settings().named().into_py_dict(py)
    }

    /// Counters by name.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Measured)> {
        traffic(py, &self.0.get()?.held.stats())
    }

    /// Submits a frame, which credit or a pause hold back for at most `timeout` seconds, or as long as the session's own
    /// limit: its stream id, or an operation that yields it. The arguments come as their names and, in the same order, their
    /// values.
    #[pyo3(signature = (names, values, timeout))]
    fn submit(
        &self,
        py: Python<'_>,
        names: &Bound<'_, PyTuple>,
        values: &Bound<'_, PyTuple>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let frame = frame::submit(&Arguments::listed(names, values))?;
        let limit = match Patience::of(timeout)? {
            Patience::Endless => None,
            Patience::None => Some(Duration::ZERO),
            Patience::For(time) => Some(time),
        };
        let Parts { session, held } = self.0.get()?.clone();
        if held.live_frames() > 0 {
            Bridge::cork(py, &held)?;
        }
        let sender = session.clone();
        let sending = async move {
            match limit {
                None => sender.send(&frame).await,
                Some(limit) => sender.send_within(&frame, limit).await,
            }
        };
        Operation::now_or_later(py, sending, move |py, sent| match sent {
            Ok(sent) => Ok(sent.stream_id.unwrap_or_default().into_pyobject(py)?.into_any().unbind()),
            Err(error) => Err(errors::send(py, session.transport(), &error)),
        })
    }

    /// The next result or drop, of any frame or of one, or an operation that yields it; raises for a frame that failed.
    #[pyo3(signature = (timeout, frame_id, view_id))]
    fn receive_result(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        frame_id: Option<&Bound<'_, PyAny>>,
        view_id: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let patience = Patience::of(timeout)?;
        let frame_id = frame_id.map(|id| number(id, "frame_id")).transpose()?;
        let view_id = view_id.map(|id| number(id, "view_id")).transpose()?;
        let Parts { session, held } = self.0.get()?.clone();
        let over = session.clone();
        let receive = async move {
            match frame_id {
                Some(frame_id) => patience.limit(session.receive_for(frame_id, view_id)).await,
                None => patience.limit(session.receive()).await,
            }
        };
        let received = Operation::now_or_later(py, receive, move |py, received| match received {
            None => Err(patience.timed_out(&no_result(frame_id))),
            Some(Ok(Reply::Failed(failed))) => Err(errors::frame_failed(py, &failed)),
            Some(Ok(reply)) => match ReceivedResult::new(reply) {
                Some(result) => Ok(Py::new(py, result)?.into_any()),
                None => Err(patience.timed_out(&no_result(frame_id))),
            },
            Some(Err(error)) => Err(errors::session(py, over.transport(), &error)),
        })?;
        if received.bind(py).is_exact_instance_of::<Operation>() {
            Bridge::lend(py, &held)?;
        }
        Ok(received)
    }

    /// Throws away what arrived and what still comes for a frame; returns how much had arrived.
    fn discard_frame(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<usize> {
        Ok(self.0.get()?.session.discard(frame::key(frame_id, view_id)?))
    }

    /// Sends FRAME_CANCEL; yields the bytes of its packet.
    fn cancel_frame(&self, frame_id: &Bound<'_, PyAny>, view_id: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let key = frame::key(frame_id, view_id)?;
        let Parts { session, held } = self.0.get()?.clone();
        sending(&held, async move { session.cancel(key).await })
    }

    /// Yields the round trip to the server's runtime in seconds.
    #[pyo3(signature = (timeout))]
    fn ping(&self, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Operation> {
        let patience = Patience::of(timeout)?;
        let limit = match patience {
            Patience::For(time) => time,
            Patience::Endless | Patience::None => Duration::MAX / 4,
        };
        let Parts { session, held } = self.0.get()?.clone();
        let transport = held.transport();
        Operation::new(async move { session.ping(limit).await }, move |py, answered| match answered {
            Ok(time) => Ok(time.as_secs_f64().into_pyobject(py)?.into_any().unbind()),
            Err(SessionError::Timeout(_)) => Err(patience.timed_out("no PONG")),
            Err(error) => Err(errors::session(py, transport, &error)),
        })
    }

    /// Yields the next control packet, of any type or of one.
    #[pyo3(signature = (timeout, message))]
    fn receive_control(
        &self,
        timeout: Option<&Bound<'_, PyAny>>,
        message: Option<u8>,
    ) -> PyResult<Operation> {
        let patience = Patience::of(timeout)?;
        let Parts { session, held } = self.0.get()?.clone();
        let transport = held.transport();
        let message = message.map(MessageType::from);
        let missing = format!("no {}", message.and_then(MessageType::name).unwrap_or("control packet"));
        Operation::new(
            async move { patience.limit(session.receive_control(message)).await },
            move |py, received| match received {
                None => Err(patience.timed_out(&missing)),
                Some(Ok(packet)) => Ok(Py::new(py, Packet::new(packet))?.into_any()),
                Some(Err(error)) => Err(errors::session(py, transport, &error)),
            },
        )
    }

    /// The RESULT_HINTs from now on.
    fn hints(&self) -> PyResult<Subscription> {
        Ok(Subscription::new(Source::Hints(self.0.get()?.session.hints())))
    }

    /// The FLOW_UPDATEs from now on.
    fn flow_updates(&self) -> PyResult<Subscription> {
        Ok(Subscription::new(Source::FlowUpdates(self.0.get()?.session.flow_updates())))
    }

    /// Moves the session to another connection; yields the server's answer.
    fn migrate(&self, connection: &Connection, trigger: String) -> PyResult<Operation> {
        let session = self.0.get()?.session.clone();
        let newcomer = connection.held()?.connection();
        let transport = newcomer.transport();
        let moving = async move {
            let moved = session.migrate_because(newcomer, trigger).await;
            let answer = session.migrations().pop().and_then(|record| record.answer);
            moved.map(|record| record.answer).map_err(|error| (error, answer))
        };
        Operation::new(moving, move |py, moved| match moved {
            Ok(Some(answer)) => Ok(Py::new(py, Packet::new(answer))?.into_any()),
            Ok(None) => Ok(py.None()),
            Err((error, answer)) => Err(errors::migration(py, transport, &error, answer.as_ref())),
        })
    }

    /// Says CLOSE; waits until what was sent before has left.
    fn close(&self) -> PyResult<Operation> {
        let session = self.0.get()?.session.clone();
        Operation::new(async move { session.close("").await }, |py, ()| Ok(py.None()))
    }
}

fn no_result(frame_id: Option<u32>) -> String {
    frame_id.map_or("no result".to_owned(), |id| format!("no result of frame {id}"))
}

enum Source {
    Hints(nnrp::Subscription<nnrp::wire::ResultHintMetadata>),
    FlowUpdates(nnrp::Subscription<nnrp::wire::FlowUpdateMetadata>),
}

/// Packets of one type from the moment of subscribing.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Subscription(Owned<Arc<Mutex<Source>>>);

impl Subscription {
    fn new(source: Source) -> Self {
        Self(Owned::new(Arc::new(Mutex::new(source))))
    }
}

#[pymethods]
impl Subscription {
    /// Yields the next packet, `None` once the session is over.
    fn next(&self) -> PyResult<Operation> {
        let source = Arc::clone(self.0.get()?);
        let receive = async move {
            match &mut *source.lock().await {
                Source::Hints(hints) => hints.next().await.map(|(packet, _)| packet),
                Source::FlowUpdates(updates) => updates.next().await.map(|(packet, _)| packet),
            }
        };
        Operation::new(receive, |py, packet| match packet {
            Some(packet) => Ok(Py::new(py, Packet::new(packet))?.into_any()),
            None => Ok(py.None()),
        })
    }
}
