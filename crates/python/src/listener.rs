//! Listeners, and clients that wait to be admitted.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use nnrp::wire::{ControlExtension, ControlExtensionFlags, ErrorCode};
use nnrp::{Admission, Drained, HandshakeOptions, SessionRegistry};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

use crate::connection::{Connection, quic_options, socket_address, tcp_options};
use crate::open::Held;
use crate::operation::Operation;
use crate::options::{Limits, Listening, Terms};
use crate::packet::Packet;
use crate::runtime::{Owned, PerProcess, lock};
use crate::server::ServerSession;
use crate::stats::{Measured, measured};
use crate::tls::{self, ServerSide, server_tls};
use crate::wait::{Patience, given_limit, optional_duration, time_limit};
use crate::{errors, log};

/// The sessions of this process that may move: a listener for QUIC and one for TCP take over each other's.
static SESSIONS: PerProcess<SessionRegistry> = PerProcess::new();

/// Those of this one.
pub(crate) fn sessions() -> &'static SessionRegistry {
    SESSIONS.get()
}

/// Makes what a forked child needs, which has no other threads yet.
pub(crate) fn after_fork() {
    SESSIONS.get();
}

/// What a drain did, as Python gets it.
pub(crate) fn counts(py: Python<'_>, drained: Drained) -> PyResult<Py<PyAny>> {
    let counts = (drained.answered, drained.dropped, drained.refused, drained.lost);
    Ok(counts.into_pyobject(py)?.into_any().unbind())
}

/// A bound socket that clients connect to.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Listener {
    listener: Owned<nnrp::Listener>,
    limits: Limits,
    /// What its transport was told, for those who compare.
    transport: Vec<(&'static str, String)>,
}

#[pymethods]
impl Listener {
    /// Host and port it is bound to.
    #[getter]
    fn address(&self) -> PyResult<(String, u16)> {
        let address = self.listener.get()?.local_addr();
        Ok((address.ip().to_string(), address.port()))
    }

    /// Whether it accepts nobody any more.
    #[getter]
    fn is_closed(&self) -> PyResult<bool> {
        Ok(self.listener.get()?.is_closed())
    }

    /// Yields the next connection, raw.
    #[pyo3(signature = (timeout))]
    fn accept(&self, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Operation> {
        let patience = Patience::of(timeout)?;
        let listener = self.listener.get()?.clone();
        let (transport, limits) = (listener.transport(), self.limits);
        Operation::new(
            async move { patience.limit(listener.accept_connection()).await },
            move |py, accepted| match accepted {
                None => Err(patience.timed_out("no connection")),
                Some(None) => Err(errors::listener_closed(py, transport)),
                Some(Some(connection)) => {
                    Ok(Py::new(py, Connection::new(Held::new(connection)?, limits))?.into_any())
                }
            },
        )
    }

    /// Yields the next client whose hello is complete, or raises for the next handshake that failed.
    fn accept_hello(&self, terms: Terms, timeout: &Bound<'_, PyAny>) -> PyResult<Operation> {
        let timeout = given_limit(timeout)?;
        let options = HandshakeOptions { settings: terms.settings(self.limits)?, timeout };
        let listener = self.listener.get()?.clone();
        let (transport, limits) = (listener.transport(), self.limits);
        Operation::new(async move { listener.accept_hello(&options).await }, move |py, accepted| {
            match accepted {
                None => Err(errors::listener_closed(py, transport)),
                Some(Ok(pending)) => {
                    Ok(Py::new(py, PendingSession::from_listener(pending, limits))?.into_any())
                }
                Some(Err(failed)) => Err(errors::failed_handshake(py, transport, &failed)),
            }
        })
    }

    /// Gives back a client nobody has decided about; the next accept gets it first.
    fn put_back(&self, pending: &PendingSession) -> PyResult<()> {
        if let Some(waiting) = lock(&pending.waiting).take() {
            self.listener.get()?.put_back(waiting);
        }
        Ok(())
    }

    /// Uses other certificates for the handshakes to come; raises and changes nothing if they are not usable.
    fn reload_tls(&self, py: Python<'_>, tls: ServerSide) -> PyResult<()> {
        let listener = self.listener.get()?;
        if listener.is_closed() {
            return Err(errors::listener_closed(py, listener.transport()));
        }
        listener.reload_tls(server_tls(tls)?).map_err(|error| errors::tls(&error))
    }

    /// Stops accepting.
    fn close(&self) -> PyResult<()> {
        self.listener.get()?.close();
        Ok(())
    }

    /// Ends every session in order; yields how many frames were answered, dropped, refused and lost.
    fn drain(&self, timeout: &Bound<'_, PyAny>, reason: String) -> PyResult<Operation> {
        let timeout = given_limit(timeout)?;
        let listener = self.listener.get()?.clone();
        Operation::new(async move { listener.drain(timeout, &reason).await }, counts)
    }

    /// What it and its transport were told, as Rust's `Debug` shows it.
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let told = self.listener.get()?.config().named();
        told.chain(self.transport.iter().cloned()).into_py_dict(py)
    }

    /// What there is now, and counters, by name; how long frames took.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>, Measured)> {
        let listener = self.listener.get()?;
        let stats = py.detach(|| listener.stats());
        let counters = stats.counters().into_py_dict(py)?;
        Ok((stats.gauges().into_py_dict(py)?, counters, measured(&stats.traffic.frames.latency)))
    }

    /// Waits until the socket is closed.
    fn wait_closed(&self) -> PyResult<Operation> {
        let listener = self.listener.get()?.clone();
        Operation::new(async move { listener.closed().await }, |py, ()| Ok(py.None()))
    }
}

/// A client that has said hello and waits for a decision.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct PendingSession {
    waiting: Mutex<Option<nnrp::PendingSession>>,
    /// Set when the application holds the connection already.
    held: Option<Owned<Arc<Held>>>,
    limits: Limits,
}

impl PendingSession {
    fn from_listener(pending: nnrp::PendingSession, limits: Limits) -> Self {
        Self { waiting: Mutex::new(Some(pending)), held: None, limits }
    }

    /// A client on a connection that the application accepted.
    pub(crate) fn on(pending: nnrp::PendingSession, held: Arc<Held>, limits: Limits) -> Self {
        Self { waiting: Mutex::new(Some(pending)), held: Some(Owned::new(held)), limits }
    }

    fn look<R>(&self, look: impl FnOnce(&nnrp::PendingSession) -> R) -> PyResult<R> {
        lock(&self.waiting).as_ref().map(look).ok_or_else(decided)
    }
}

fn decided() -> PyErr {
    PyRuntimeError::new_err("this client has been decided about")
}

#[pymethods]
impl PendingSession {
    /// The CLIENT_HELLO.
    #[getter]
    fn packet(&self) -> PyResult<Packet> {
        self.look(|pending| Packet::new(pending.hello().packet.clone()))
    }

    /// Whether the client wants to go on with a session it has.
    #[getter]
    fn is_migration(&self) -> PyResult<bool> {
        self.look(nnrp::PendingSession::is_migration)
    }

    /// Moves that session to the client's new connection, or tells the client why not.
    fn migrate(&self, py: Python<'_>) -> PyResult<()> {
        let pending = lock(&self.waiting).take().ok_or_else(decided)?;
        let transport = pending.connection().transport();
        pending.migrate().map(drop).map_err(|error| errors::handshake(py, transport, &error))
    }

    /// The client's credentials.
    #[getter]
    fn auth_block<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.look(|pending| PyBytes::new(py, &pending.hello().hello.auth_block))
    }

    /// Type, flags and payload of each extension.
    #[getter]
    fn extensions<'py>(&self, py: Python<'py>) -> PyResult<Vec<(u16, u16, Bound<'py, PyBytes>)>> {
        self.look(|pending| {
            let entries = &pending.hello().hello.extensions;
            entries
                .iter()
                .map(|entry| (entry.ext_type, entry.flags.bits(), PyBytes::new(py, &entry.payload)))
                .collect()
        })
    }

    /// Host and port of the client.
    #[getter]
    fn peer_address(&self) -> PyResult<(String, u16)> {
        self.look(|pending| {
            let address = pending.connection().peer_addr();
            (address.ip().to_string(), address.port())
        })
    }

    /// The certificates the client showed, DER, its own first.
    #[getter]
    fn peer_certificates<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        self.look(|pending| tls::shown(py, pending.peer_certificates()))
    }

    /// Seconds of its handshake timeout that the client has left.
    #[getter]
    fn time_left(&self) -> PyResult<f64> {
        self.look(|pending| pending.time_left().as_secs_f64())
    }

    /// Sends SERVER_HELLO_ACK and returns the session.
    #[pyo3(signature = (terms, session_id, model_name, extensions, token_ttl))]
    fn admit(
        &self,
        py: Python<'_>,
        terms: Terms,
        session_id: Option<u32>,
        model_name: &str,
        extensions: Vec<(u16, u16, Vec<u8>)>,
        token_ttl: Option<f64>,
    ) -> PyResult<ServerSession> {
        let extension = |(ext_type, flags, payload): (u16, u16, Vec<u8>)| ControlExtension {
            ext_type,
            flags: ControlExtensionFlags::from_bits(flags),
            payload: payload.into(),
        };
        let admission = Admission {
            session_id,
            model_name: model_name.to_owned(),
            extra_extensions: extensions.into_iter().map(extension).collect(),
            token_ttl: optional_duration(token_ttl)?,
            ..Admission::default()
        };
        let pending = lock(&self.waiting).take().ok_or_else(decided)?;
        pending.set_settings(terms.settings(self.limits)?);
        let transport = pending.connection().transport();
        let session = pending.admit(admission).map_err(|error| errors::handshake(py, transport, &error))?;
        let held = match &self.held {
            Some(held) => Arc::clone(held.get()?),
            None => Held::new(session.connection().clone())?,
        };
        Ok(ServerSession::new(session, held))
    }

    /// Sends ERROR with `code` and `text`, then closes.
    fn refuse(&self, code: u32, text: &str) -> PyResult<()> {
        let pending = lock(&self.waiting).take().ok_or_else(decided)?;
        pending.refuse(ErrorCode::from(code), text);
        Ok(())
    }

    /// Sends ERROR with SERVER_BUSY, to be tried again after this many seconds, then closes.
    fn turn_away(&self, retry_after: f64) -> PyResult<()> {
        let wait = time_limit(retry_after)?;
        lock(&self.waiting).take().ok_or_else(decided)?.turn_away(wait);
        Ok(())
    }
}

fn listening(
    binding: impl Future<Output = Result<nnrp::Listener, nnrp::BindError>> + Send + 'static,
    limits: Limits,
    transport: Vec<(&'static str, String)>,
) -> PyResult<Operation> {
    Python::attach(log::check_levels);
    Operation::new(binding, move |py, bound| match bound {
        Ok(listener) => {
            let listener = Owned::new(listener);
            Ok(Py::new(py, Listener { listener, limits, transport })?.into_any())
        }
        Err(error) => Err(errors::bind(&error)),
    })
}

/// Drains all of them together; yields how many frames were answered, dropped, refused and lost.
#[pyfunction]
pub(crate) fn drain(
    listeners: Vec<PyRef<'_, Listener>>,
    timeout: &Bound<'_, PyAny>,
    reason: String,
) -> PyResult<Operation> {
    let timeout = given_limit(timeout)?;
    let listeners = listeners.iter().map(|one| one.listener.get().cloned()).collect::<PyResult<Vec<_>>>()?;
    Operation::new(async move { nnrp::Listener::drain_all(&listeners, timeout, &reason).await }, counts)
}

/// Yields a listener for QUIC.
#[pyfunction]
#[pyo3(signature = (host, port, *, tls, alpn, idle_timeout, max_datagram_frame_size, qlog, listening))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python configuration object")]
pub(crate) fn bind_quic(
    host: &str,
    port: u16,
    tls: ServerSide,
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    max_datagram_frame_size: usize,
    qlog: Option<PathBuf>,
    listening: Listening,
) -> PyResult<Operation> {
    let address = socket_address(host, port)?;
    let tls = server_tls(tls)?;
    let options = quic_options(alpn, idle_timeout, max_datagram_frame_size, qlog)?;
    let transport = options.named().collect();
    let config = listening.config()?.quic(options);
    let binding = async move { nnrp::Listener::bind_quic(address, tls, config).await };
    self::listening(binding, listening.limits()?, transport)
}

/// Yields a listener for TCP, plain without `tls`.
#[pyfunction]
#[pyo3(signature = (host, port, *, tls, alpn, idle_timeout, no_delay, listening))]
pub(crate) fn bind_tcp(
    host: &str,
    port: u16,
    tls: Option<ServerSide>,
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    no_delay: bool,
    listening: Listening,
) -> PyResult<Operation> {
    let address = socket_address(host, port)?;
    let options = tcp_options(alpn, idle_timeout, no_delay)?;
    let tls = tls.map(server_tls).transpose()?;
    let transport = options.named().collect();
    let config = listening.config()?.tcp(options);
    let binding = async move {
        match tls {
            None => nnrp::Listener::bind_tcp(address, config).await,
            Some(tls) => nnrp::Listener::bind_tcp_tls(address, tls, config).await,
        }
    };
    self::listening(binding, listening.limits()?, transport)
}
