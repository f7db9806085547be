//! Errors of connections. Which one you get says what to do; the text is for people.

use std::io;
use std::sync::Arc;

use nnrp_session::{CommandError, Ended, Fault};

use crate::tls::{Failure, TlsFault};

/// How a connection ended. Cheap to clone; every error about a closed connection carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed(pub Arc<Ended>, pub(crate) Option<TlsFault>);

impl Closed {
    /// What of TLS ended it, if that is why: a server reports what it has against a client's certificate only after
    /// the client's handshake.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        self.1
    }

    /// Whether one of the two sides ended it on purpose: neither an error nor the network did.
    pub fn is_orderly(&self) -> bool {
        use nnrp_session::EndedBy;
        matches!(self.0.by, EndedBy::Local | EndedBy::Peer)
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use nnrp_session::EndedBy;
        let who = match self.0.by {
            EndedBy::Local => "closed by us",
            EndedBy::Peer => "closed by peer",
            EndedBy::Fault => "ended by an error",
            EndedBy::Transport => "connection lost",
        };
        f.write_str(who)?;
        if !self.0.reason.is_empty() {
            write!(f, ": {}", self.0.reason)?;
        }
        Ok(())
    }
}

impl std::error::Error for Closed {}

/// A listener could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is in use, not ours, or forbidden. Choose another.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// What was asked for.
        address: std::net::SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Certificate or key do not make a TLS configuration. Correct them.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
}

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody listens there, or the network does not reach it.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// Where to.
        address: std::net::SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The host has no address that we can find out. Correct its name.
    #[error("cannot find {host:?}: {source}")]
    Resolve {
        /// Its name.
        host: String,
        /// The resolver's answer.
        source: io::Error,
    },
    /// The transport handshake failed: certificate, ALPN, refusal.
    #[error("cannot connect to {address}: connection terminated: {reason}")]
    Handshake {
        /// Where to; on a server, the client.
        address: std::net::SocketAddr,
        /// What happened, and what to do about it.
        reason: String,
        /// What was wrong with TLS, if that is why.
        fault: Option<TlsFault>,
    },
    /// This program was built without that binding. Enable the feature `quic` or `tcp`.
    #[error("this program was built without {0}")]
    NotBuilt(nnrp_wire::TransportId),
    /// Nothing came back in time.
    #[error("cannot connect to {address} within {} ms", .timeout.as_millis())]
    Timeout {
        /// Where to.
        address: std::net::SocketAddr,
        /// How long it was tried.
        timeout: std::time::Duration,
    },
    /// The TLS configuration is unusable. Correct it.
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
}

impl ConnectError {
    pub(crate) fn handshake(address: std::net::SocketAddr, failure: Failure) -> Self {
        ConnectError::Handshake { address, reason: failure.text, fault: failure.fault }
    }

    /// What was wrong with TLS, if that is why.
    pub fn tls_fault(&self) -> Option<TlsFault> {
        match self {
            ConnectError::Handshake { fault, .. } => *fault,
            _ => None,
        }
    }
}

/// A packet was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The packet is not legal or not possible now; nothing was sent and the connection lives on.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The connection is over.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// This transport has no such thing (datagrams on TCP).
    #[error("{0}")]
    Unsupported(&'static str),
}

/// Nothing more will be received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// The peer sent something that ends or refuses what was waited for.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
    /// The connection is over and everything that had arrived was handed out.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// This transport has no such thing (datagrams on TCP).
    #[error("{0}")]
    Unsupported(&'static str),
}
