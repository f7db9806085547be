//! Connections, as `nnrp.adapters` wraps them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use nnrp::wire::{
    self, ClientHello, ClientHelloMetadata, ControlExtensions, MessageType, TransportId, WireError,
};
use nnrp::{
    ClientConfig, ClientSession as FacadeClientSession, Filter, Item, PendingSession as FacadePendingSession,
    QuicOptions, TcpOptions,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes, PyDict};

use crate::client::ClientSession;
use crate::listener::{PendingSession, sessions};
use crate::open::Held;
use crate::operation::Operation;
use crate::options::{Connecting, Limits, Terms};
use crate::packet::{self, Packet};
use crate::runtime::Owned;
use crate::tls::{self, ClientSide, client_tls};
use crate::wait::{Patience, optional_duration, time_limit};
use crate::{buffer, errors, log};

/// One transport connection.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Connection {
    held: Owned<Arc<Held>>,
    limits: Limits,
    /// What its transport was told when it was opened, for those who compare.
    told: Vec<(&'static str, String)>,
}

impl Connection {
    pub(crate) fn new(held: Arc<Held>, limits: Limits) -> Self {
        Self { held: Owned::new(held), limits, told: Vec::new() }
    }

    pub(crate) fn held(&self) -> PyResult<&Arc<Held>> {
        self.held.get()
    }
}

#[pymethods]
impl Connection {
    /// What its transport was told when it was opened, as Rust's `Debug` shows it.
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.told.iter().cloned().into_py_dict(py)
    }

    /// Host and port of the other end.
    #[getter]
    fn peer_address(&self) -> PyResult<(String, u16)> {
        Ok(host_and_port(self.held()?.peer_addr()))
    }

    /// Host and port of this end.
    #[getter]
    fn local_address(&self) -> PyResult<(String, u16)> {
        Ok(host_and_port(self.held()?.local_addr()))
    }

    /// The certificates the peer showed, DER, its own first.
    #[getter]
    fn peer_certificates<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        Ok(tls::shown(py, self.held()?.peer_certificates()))
    }

    /// The id of the session; 0 before there is one.
    #[getter]
    fn session_id(&self) -> PyResult<u32> {
        Ok(self.held()?.session_id())
    }

    /// The transport it is on now, after whatever moves there were.
    #[getter]
    fn transport_id(&self) -> PyResult<u32> {
        Ok(self.held()?.transport().value())
    }

    /// Whether either side has ended it.
    #[getter]
    fn is_closed(&self) -> PyResult<bool> {
        Ok(!self.held()?.is_open())
    }

    /// Whether it is still open although this object is about to go away.
    fn is_abandoned(&self) -> bool {
        self.held.get().is_ok_and(|held| held.is_open())
    }

    /// The id of the control stream; 0 by definition.
    #[getter]
    fn control_stream_id(&self) -> u64 {
        0
    }

    /// The stream of the last submit.
    #[getter]
    fn last_submit_stream_id(&self) -> PyResult<Option<u64>> {
        let held = self.held()?;
        Ok(if held.side() == nnrp::Side::Client {
            held.last_sent_stream_id()
        } else {
            held.last_received_stream_id()
        })
    }

    /// The stream of the last result.
    #[getter]
    fn last_result_stream_id(&self) -> PyResult<Option<u64>> {
        let held = self.held()?;
        Ok(if held.side() == nnrp::Side::Server {
            held.last_sent_stream_id()
        } else {
            held.last_received_stream_id()
        })
    }

    /// Raises the closed error if the connection has ended.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        let held = self.held()?;
        held.ended().map_or(Ok(()), |reason| Err(errors::closed(py, held.transport(), &reason)))
    }

    /// Sends one packet; yields the stream id of a frame, 0 for other packets.
    fn send(
        &self,
        header: &[u8],
        metadata: &Bound<'_, PyAny>,
        body: &Bound<'_, PyAny>,
    ) -> PyResult<Operation> {
        let packet = packet::from_parts(header, metadata, body)?;
        let held = Arc::clone(self.held()?);
        let transport = held.transport();
        Operation::new(async move { held.send(packet).await }, move |py, sent| match sent {
            Ok(sent) => Ok(sent.stream_id.unwrap_or_default().into_pyobject(py)?.into_any().unbind()),
            Err(error) => Err(errors::send(py, transport, &error)),
        })
    }

    /// Yields the next packet of a kind: `any`, `control`, `submit` or `result`.
    #[pyo3(signature = (kind, timeout))]
    fn receive(&self, kind: &str, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Operation> {
        let (filter, missing) = match kind {
            "any" => (Filter::Any, "no packet"),
            "control" => (Filter::Control, "no control packet"),
            "submit" => (Filter::Submit, "no FRAME_SUBMIT"),
            "result" => (Filter::Result, "no RESULT_PUSH or RESULT_DROP"),
            _ => return Err(PyValueError::new_err(format!("no such kind of packet: {kind}"))),
        };
        let patience = Patience::of(timeout)?;
        let held = Arc::clone(self.held()?);
        let transport = held.transport();
        Operation::new(
            async move { patience.limit(next_packet(&held, filter)).await },
            move |py, received| match received {
                None => Err(patience.timed_out(missing)),
                Some(Ok(packet)) => Ok(Py::new(py, packet)?.into_any()),
                Some(Err(reason)) => Err(errors::closed(py, transport, &reason)),
            },
        )
    }

    /// Begins to close.
    fn close(&self, error_code: u32, reason: &str) -> PyResult<()> {
        let held = self.held()?;
        if held.is_open() {
            held.with(|machine, now| {
                if machine.is_raw() { machine.abort(error_code, reason) } else { machine.close(now, reason) }
            });
            held.claim();
        }
        Ok(())
    }

    /// Waits until the transport is gone.
    fn wait_closed(&self) -> PyResult<Operation> {
        let held = Arc::clone(self.held()?);
        Operation::new(async move { held.gone().await }, |py, ()| Ok(py.None()))
    }

    /// Sends one datagram.
    fn send_datagram(&self, payload: &Bound<'_, PyAny>) -> PyResult<()> {
        let held = self.held()?;
        let sent = held.send_datagram(buffer::take_bytes(payload)?);
        sent.map_err(|error| errors::send(payload.py(), held.transport(), &error))
    }

    /// Yields the next datagram.
    #[pyo3(signature = (timeout))]
    fn receive_datagram(&self, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Operation> {
        let patience = Patience::of(timeout)?;
        let held = Arc::clone(self.held()?);
        let transport = held.transport();
        Operation::new(async move { patience.limit(held.receive_datagram()).await }, move |py, received| {
            match received {
                None => Err(patience.timed_out("no datagram")),
                Some(Ok(payload)) => Ok(PyBytes::new(py, &payload).into_any().unbind()),
                Some(Err(error)) => Err(errors::receive(py, transport, &error)),
            }
        })
    }

    /// Waits until everything sent so far has been acknowledged by the other transport.
    fn flush(&self) -> PyResult<Operation> {
        let held = Arc::clone(self.held()?);
        Operation::new(async move { held.flush().await }, |py, ()| Ok(py.None()))
    }

    /// Yields the client that says hello on this connection. `first` is a packet that was read already.
    #[pyo3(signature = (terms, timeout, first = None))]
    fn accept_hello(
        &self,
        terms: Terms,
        timeout: f64,
        first: Option<(Vec<u8>, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
    ) -> PyResult<Operation> {
        let held = Arc::clone(self.held()?);
        let limits = self.limits;
        let settings = terms.settings(limits)?;
        if let Some((header, metadata, body)) = first {
            let packet = packet::from_parts(&header, &metadata, &body)?;
            held.with(|machine, now| {
                machine.serve(settings.clone());
                machine.handle_packet(now, packet, nnrp::Arrival::Control);
            });
        }
        let timeout = time_limit(timeout)?;
        let transport = held.transport();
        Operation::new(
            async move {
                let read =
                    FacadePendingSession::read_among(held.connection(), settings, sessions(), Some(timeout))
                        .await;
                read.map(|pending| (pending, held))
            },
            move |py, read| match read {
                Ok((pending, held)) => Ok(Py::new(py, PendingSession::on(pending, held, limits))?.into_any()),
                Err(error) => Err(errors::handshake(py, transport, &error)),
            },
        )
    }

    /// Opens a session with a CLIENT_HELLO given as header, metadata and body; yields it.
    fn open_session(
        &self,
        header: &[u8],
        metadata: &Bound<'_, PyAny>,
        body: &Bound<'_, PyAny>,
        timeout: f64,
    ) -> PyResult<Operation> {
        let hello = own_hello(packet::from_parts(header, metadata, body)?)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let timeout = time_limit(timeout)?;
        let config = self.limits.apply_to(ClientConfig::from_hello(hello).handshake_timeout(timeout));
        let held = Arc::clone(self.held()?);
        let transport = held.transport();
        Operation::new(
            async move {
                let opened = FacadeClientSession::open(held.connection(), config).await;
                opened.map(|session| (session, held))
            },
            move |py, opened| match opened {
                Ok((session, held)) => Ok(Py::new(py, ClientSession::new(session, held))?.into_any()),
                Err(error) => Err(errors::handshake(py, transport, &error)),
            },
        )
    }
}

/// The hello in a packet of our own making. Unlike a received one it may have critical extensions that only the other
/// side knows.
fn own_hello(packet: wire::Packet) -> Result<ClientHello, WireError> {
    let metadata = ClientHelloMetadata::decode(&packet.metadata)?;
    let mut block = packet.body;
    let split = usize::try_from(metadata.control_extension_bytes).unwrap_or(usize::MAX).min(block.len());
    let auth_block = block.split_off(split);
    let extensions = ControlExtensions::decode(&block, None, MessageType::ClientHello)?;
    Ok(ClientHello { metadata, extensions, auth_block })
}

async fn next_packet(held: &Held, filter: Filter) -> Result<Packet, nnrp::Closed> {
    loop {
        let item = held.receive(filter).await?;
        let packet = match item {
            Item::Packet(packet) => *packet,
            Item::Submit(submit) => submit.packet,
            Item::Result(result) => result.packet,
            // What was refused has been answered; a reader of packets only sees packets.
            _ => continue,
        };
        return Ok(Packet::new(packet));
    }
}

fn host_and_port(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

/// A numeric address, which may carry a scope (`fe80::1%eth0`).
///
/// # Errors
/// `ValueError` when it is not one.
pub(crate) fn socket_address(host: &str, port: u16) -> PyResult<SocketAddr> {
    if let Ok(ip) = IpAddr::from_str(host) {
        return Ok(SocketAddr::new(ip, port));
    }
    SocketAddr::from_str(&format!("[{host}]:{port}"))
        .map_err(|_| PyValueError::new_err(format!("{host:?} is not a numeric address")))
}

fn opened(
    connecting: impl Future<Output = Result<nnrp::Connection, nnrp::ConnectError>> + Send + 'static,
    transport: TransportId,
    limits: Limits,
    told: Vec<(&'static str, String)>,
) -> PyResult<Operation> {
    Python::attach(log::check_levels);
    Operation::new(connecting, move |py, connected| {
        let connection = connected.map_err(|error| errors::connect(py, transport, &error))?;
        let connection = Connection { told, ..Connection::new(Held::new(connection)?, limits) };
        Ok(Py::new(py, connection)?.into_any())
    })
}

/// Yields a connection over QUIC.
#[pyfunction]
#[pyo3(signature = (
    host, port, *, tls, alpn, idle_timeout, max_datagram_frame_size, qlog, connecting, timeout
))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python configuration object")]
pub(crate) fn connect_quic(
    host: &str,
    port: u16,
    tls: ClientSide,
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    max_datagram_frame_size: usize,
    qlog: Option<PathBuf>,
    connecting: Connecting,
    timeout: Option<f64>,
) -> PyResult<Operation> {
    let address = socket_address(host, port)?;
    let (server_name, tls) = client_tls(tls)?;
    let options = quic_options(alpn, idle_timeout, max_datagram_frame_size, qlog)?;
    let (limits, transport) = (connecting.limits()?, options.named().collect());
    let timeout = optional_duration(timeout)?;
    let connecting = async move { nnrp::quic::connect(address, &server_name, tls, &options, timeout).await };
    opened(connecting, TransportId::Quic, limits, transport)
}

pub(crate) fn quic_options(
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    max_datagram_frame_size: usize,
    qlog: Option<PathBuf>,
) -> PyResult<QuicOptions> {
    let mut options = QuicOptions::default();
    options.alpn = alpn;
    options.idle_timeout = optional_duration(idle_timeout)?;
    options.max_datagram_frame_size = max_datagram_frame_size;
    options.qlog = qlog;
    Ok(options)
}

/// Yields a connection over TCP, plain without `tls`.
#[pyfunction]
#[pyo3(signature = (
    host, port, *, tls, alpn, idle_timeout, no_delay, connecting, timeout
))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of a Python configuration object")]
pub(crate) fn connect_tcp(
    host: &str,
    port: u16,
    tls: Option<ClientSide>,
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    no_delay: bool,
    connecting: Connecting,
    timeout: Option<f64>,
) -> PyResult<Operation> {
    let address = socket_address(host, port)?;
    let options = tcp_options(alpn, idle_timeout, no_delay)?;
    let tls = tls.map(client_tls).transpose()?;
    let (limits, transport) = (connecting.limits()?, options.named().collect());
    let timeout = optional_duration(timeout)?;
    let connecting = async move {
        match tls {
            None => nnrp::tcp::connect(address, &options, timeout).await,
            Some((name, tls)) => nnrp::tcp::connect_tls(address, &name, tls, &options, timeout).await,
        }
    };
    opened(connecting, TransportId::Tcp, limits, transport)
}

pub(crate) fn tcp_options(
    alpn: Vec<String>,
    idle_timeout: Option<f64>,
    no_delay: bool,
) -> PyResult<TcpOptions> {
    let mut options = TcpOptions::default();
    options.alpn = alpn;
    options.idle_timeout = optional_duration(idle_timeout)?;
    options.no_delay = no_delay;
    Ok(options)
}
