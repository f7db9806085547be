//! The one place where errors of the `nnrp` crate become Python exceptions. The classes are those of `nnrp.errors`.

use nnrp::wire::rules::RuleId;
use nnrp::wire::{Packet as WirePacket, TransportId};
use nnrp::{
    BindError, Closed, ConnectError, EndedBy, FailedFrame, FailedHandshake, Fault, HandshakeError,
    MigrateError, ReceiveError, RejectedPacket, SendError, SessionError, TlsError, TlsFault,
};
use pyo3::exceptions::{PyOSError, PyTimeoutError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::packet::Packet;

/// An exception class of `nnrp.errors`.
macro_rules! exception {
    ($py:expr, $name:literal, $message:expr) => {{
        static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        match CLASS.import($py, "nnrp.errors", $name) {
            Ok(class) => PyErr::from_type(class.clone(), ($message,)),
            Err(error) => error,
        }
    }};
}

/// Broken rules that mean "this is no sequence of packets" rather than "this packet is not allowed".
const FRAMING_RULES: &[RuleId] = &[
    RuleId::HDR_1,
    RuleId::HDR_2,
    RuleId::HDR_3,
    RuleId::HDR_4,
    RuleId::HDR_5,
    RuleId::PKT_1,
    RuleId::PKT_2,
    RuleId::PKT_3,
    RuleId::TCP_2,
    RuleId::QUIC_5,
];

/// Words that every error about a closed QUIC connection contains.
const TERMINATED: &str = "connection terminated";

/// How an error begins that says the same in other words.
const LOST: &str = "connection lost: ";

/// The connection is over.
pub(crate) fn closed(py: Python<'_>, transport: TransportId, closed: &Closed) -> PyErr {
    let ended = &closed.0;
    if let Some(found) = ended.fault.as_ref().filter(|_| ended.by == EndedBy::Fault) {
        let framing = found.rule.is_some_and(|rule| FRAMING_RULES.contains(&rule));
        return if framing {
            stream_broken(py, transport, found.text.clone())
        } else {
            fault(py, found, None)
        };
    }
    let error = connection_closed(py, transport, closed.to_string());
    // The class has a default; without the attribute users would only get that.
    let _ = error.value(py).setattr(intern!(py, "ended_by"), ended_by(ended.by));
    with_tls_fault(py, error, closed.tls_fault())
}

/// `error` that says what was wrong with TLS, if that is why.
fn with_tls_fault(py: Python<'_>, error: PyErr, fault: Option<TlsFault>) -> PyErr {
    if let Some(fault) = fault {
        let _ = error.value(py).setattr(intern!(py, "tls_fault"), fault.name());
    }
    error
}

/// The word that `NnrpConnectionClosedError.ended_by` has for who ended a connection.
fn ended_by(by: EndedBy) -> &'static str {
    match by {
        EndedBy::Local => "application",
        EndedBy::Peer => "peer",
        EndedBy::Fault => "fault",
        EndedBy::Transport => "transport",
    }
}

fn connection_closed(py: Python<'_>, transport: TransportId, text: String) -> PyErr {
    if transport != TransportId::Quic {
        return exception!(py, "NnrpTcpConnectionClosedError", without_number(&text));
    }
    // Users match on these words, which the transport's own text has in some cases only.
    let text = without_number(&text);
    let text = if text.contains(TERMINATED) {
        text
    } else {
        format!("{TERMINATED}: {}", text.strip_prefix(LOST).unwrap_or(&text))
    };
    exception!(py, "NnrpQuicConnectionClosedError", text)
}

/// The listener is closed.
pub(crate) fn listener_closed(py: Python<'_>, transport: TransportId) -> PyErr {
    connection_closed(py, transport, "the listener is closed".to_owned())
}

fn stream_broken(py: Python<'_>, transport: TransportId, text: String) -> PyErr {
    if transport == TransportId::Quic {
        exception!(py, "NnrpQuicProtocolError", text)
    } else {
        exception!(py, "NnrpTcpProtocolError", text)
    }
}

/// The peer reported an error, or broke a rule.
pub(crate) fn fault(py: Python<'_>, fault: &Fault, packet: Option<&WirePacket>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let made = || {
        let packet = packet.map(|packet| Py::new(py, Packet::new(packet.clone()))).transpose()?;
        MAKE.import(py, "nnrp._faults", "protocol_error")?.call1((
            fault.to_string(),
            fault.code.value(),
            fault.scope.value(),
            fault.fatal,
            fault.retry_after_ms,
            fault.session_id,
            fault.frame_id,
            fault.view_id,
            fault.text.as_str(),
            packet,
        ))
    };
    match made() {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// A packet was not sent.
pub(crate) fn send(py: Python<'_>, transport: TransportId, error: &SendError) -> PyErr {
    match error {
        SendError::Closed(reason) => closed(py, transport, reason),
        SendError::Command(nnrp::CommandError::Held(_)) => PyTimeoutError::new_err(error.to_string()),
        SendError::Command(nnrp::CommandError::State { .. }) => {
            connection_closed(py, transport, error.to_string())
        }
        SendError::Unsupported(_) if transport == TransportId::Tcp => {
            exception!(py, "NnrpTcpUnsupportedOperationError", error.to_string())
        }
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// Nothing more will be received.
pub(crate) fn receive(py: Python<'_>, transport: TransportId, error: &ReceiveError) -> PyErr {
    match error {
        ReceiveError::Closed(reason) => closed(py, transport, reason),
        ReceiveError::Fault(found) => fault(py, found, None),
        _ if transport == TransportId::Tcp => {
            exception!(py, "NnrpTcpUnsupportedOperationError", error.to_string())
        }
        _ => PyValueError::new_err(error.to_string()),
    }
}

/// A session ended or something in it failed.
pub(crate) fn session(py: Python<'_>, transport: TransportId, error: &SessionError) -> PyErr {
    match error {
        SessionError::Closed(reason) => closed(py, transport, reason),
        SessionError::Send(error) => send(py, transport, error),
        _ => PyTimeoutError::new_err(error.to_string()),
    }
}

/// A handshake did not lead to a session.
pub(crate) fn handshake(py: Python<'_>, transport: TransportId, error: &HandshakeError) -> PyErr {
    match error {
        HandshakeError::Refused(failure) => {
            fault(py, &failure.fault, failure.packet.as_ref().filter(|_| failure.fault.from_peer))
        }
        HandshakeError::Closed(reason) => closed(py, transport, reason),
        HandshakeError::Send(error) => send(py, transport, error),
        _ => PyTimeoutError::new_err(error.to_string()),
    }
}

/// A client of a listener was refused before it could be asked about: the same error, saying who it was.
pub(crate) fn failed_handshake(py: Python<'_>, transport: TransportId, failed: &FailedHandshake) -> PyErr {
    let error = handshake(py, transport, &failed.error);
    let text = failed.to_string();
    // The words are what a log shows; the attributes stay those of the error itself.
    let value = error.value(py);
    let told = value
        .setattr(intern!(py, "args"), (text,))
        .and_then(|()| value.setattr(intern!(py, "_peer"), failed.peer.to_string()));
    match told {
        Ok(()) => error,
        Err(failure) => failure,
    }
}

/// A session was not moved. `answer` is the server's, if it came.
pub(crate) fn migration(
    py: Python<'_>,
    transport: TransportId,
    error: &MigrateError,
    answer: Option<&WirePacket>,
) -> PyErr {
    match error {
        MigrateError::Refused(refused) => fault(py, refused, answer),
        MigrateError::Closed(reason) => closed(py, transport, reason),
        MigrateError::State(error) => send(py, transport, error),
        _ => PyTimeoutError::new_err(error.to_string()),
    }
}

/// A frame failed: the server refused it, or its result breaks a rule.
pub(crate) fn frame_failed(py: Python<'_>, failed: &FailedFrame) -> PyErr {
    fault(py, &failed.fault, failed.packet.as_ref())
}

/// The peer sent a packet that does not belong here.
pub(crate) fn rejected(py: Python<'_>, rejected: &RejectedPacket) -> PyErr {
    fault(py, &rejected.fault, rejected.packet.as_ref())
}

/// A listener could not be set up.
pub(crate) fn bind(error: &BindError) -> PyErr {
    match error {
        BindError::Io { source, .. } => os_error(source, error.to_string()),
        BindError::Tls(error) => tls(error),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// A connection could not be opened.
pub(crate) fn connect(py: Python<'_>, transport: TransportId, error: &ConnectError) -> PyErr {
    match error {
        ConnectError::Io { source, .. } => os_error(source, error.to_string()),
        ConnectError::Handshake { fault, .. } => {
            with_tls_fault(py, connection_closed(py, transport, error.to_string()), *fault)
        }
        ConnectError::Timeout { .. } => PyTimeoutError::new_err(error.to_string()),
        ConnectError::Tls(error) => tls(error),
        _ => PyOSError::new_err(error.to_string()),
    }
}

/// A certificate or key cannot be used.
pub(crate) fn tls(error: &TlsError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// `OSError` chooses its subclass by the number, as it does for errors of Python's own sockets.
fn os_error(source: &std::io::Error, text: String) -> PyErr {
    match source.raw_os_error() {
        Some(number) => PyOSError::new_err((number, without_number(&text))),
        None => PyOSError::new_err(text),
    }
}

/// `text` without the numbers that the standard library appends to the system's words, as in "Connection refused (os
/// error 111)". Python has them in `errno`.
fn without_number(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(" (os error ") {
        plain.push_str(before);
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    plain.push_str(rest);
    plain
}
