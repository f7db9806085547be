//! Errors, one enum for each kind of operation. All are `#[non_exhaustive]`; none is matched by its text.

use std::net::SocketAddr;
use std::time::Duration;

use nnrp_session::HandshakeFailure;
pub use nnrp_transport::tls::TlsError;
pub use nnrp_transport::{BindError, Closed, ConnectError, ReceiveError, SendError};
use nnrp_wire::ErrorCode;

/// A client and a server did not come to a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// One side refused the other: authentication, version, capability, or bytes that break a rule.
    /// `fault.from_peer` says which side.
    #[error("{}", .0.fault)]
    Refused(Box<HandshakeFailure>),
    /// The other side did not finish in time.
    #[error("no handshake within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection ended first.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// What was asked for cannot be sent. Correct it.
    #[error(transparent)]
    Send(#[from] SendError),
}

impl HandshakeError {
    /// The code of the refusal, when it was one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            HandshakeError::Refused(failure) => Some(failure.fault.code),
            _ => None,
        }
    }

    /// How long to wait before trying again, when the other side said so (a busy server does).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            HandshakeError::Refused(failure) if failure.fault.retry_after_ms != 0 => {
                Some(Duration::from_millis(u64::from(failure.fault.retry_after_ms)))
            }
            _ => None,
        }
    }
}

/// A client of a listener that did not get as far as asking to be let in. It has been answered and closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("handshake with {peer} failed: {error}")]
pub struct FailedHandshake {
    /// Who it was.
    pub peer: SocketAddr,
    /// Why.
    #[source]
    pub error: HandshakeError,
}

/// A session came to its end, or something in it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session is over and everything that had arrived was handed out. When an ERROR ended it, the fault is
    /// in [`nnrp_session::Ended::fault`].
    #[error(transparent)]
    Closed(#[from] Closed),
    /// The other side did not answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// What was asked for cannot be sent. Correct it.
    #[error(transparent)]
    Send(#[from] SendError),
}
