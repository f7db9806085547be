//! The TCP binding, plain. Packets follow each other on one stream; there is no other framing.

use std::net::SocketAddr;
use std::time::Duration;

use nnrp_session::{IDLE_TIMEOUT, Side};
use nnrp_wire::TransportId;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::buffer::BufferPool;
use crate::connection::Connection;
use crate::error::{BindError, ConnectError};
use crate::shared::Parts;
use crate::stream_driver;

/// Connections the kernel keeps for a listener that is not accepting.
const ACCEPT_BACKLOG: u32 = 1024;

/// How a TCP connection behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpOptions {
    /// Silence after which the connection counts as lost; `None` = never.
    pub idle_timeout: Option<Duration>,
    /// Send small packets at once (TCP_NODELAY).
    pub no_delay: bool,
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { idle_timeout: Some(IDLE_TIMEOUT), no_delay: true }
    }
}

/// A bound TCP socket.
#[derive(Debug)]
pub struct TcpAcceptor {
    listener: TcpListener,
    options: TcpOptions,
    pool: BufferPool,
}

impl TcpAcceptor {
    /// Binds `address`; port 0 picks a free one. The address is free again as soon as the acceptor is dropped.
    ///
    /// # Errors
    ///
    /// [`BindError::Io`].
    pub fn bind(address: SocketAddr, options: TcpOptions) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { address, source };
        let socket =
            if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        let listener = socket.listen(ACCEPT_BACKLOG).map_err(failed)?;
        Ok(TcpAcceptor { listener, options, pool: BufferPool::default() })
    }

    /// The bound address.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next client that knocks, to be made a connection with [`TcpAcceptor::start`]. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the operating system; the acceptor stays usable (too many open files is temporary).
    pub async fn accept(&self) -> std::io::Result<Accepted> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(Accepted { stream, peer })
    }

    /// Makes a client a connection, which reads nothing until it is claimed.
    ///
    /// # Errors
    ///
    /// Those of the operating system: the client has left.
    pub fn start(&self, accepted: Accepted) -> std::io::Result<Connection> {
        let local = accepted.stream.local_addr()?;
        Ok(start(accepted.stream, Side::Server, (accepted.peer, local), &self.options, self.pool.clone()))
    }
}

/// A client that knocked. Dropping it closes its socket.
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
}

/// Connects to `address`. Cancel-safe: a half-open connection is closed.
///
/// # Errors
///
/// [`ConnectError::Io`] and [`ConnectError::Timeout`].
pub async fn connect(
    address: SocketAddr,
    options: &TcpOptions,
    timeout: Option<Duration>,
) -> Result<Connection, ConnectError> {
    let failed = |source| ConnectError::Io { address, source };
    let connecting = TcpStream::connect(address);
    let stream = match timeout {
        None => connecting.await,
        Some(timeout) => tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| ConnectError::Timeout { address, timeout })?,
    }
    .map_err(failed)?;
    let peer = stream.peer_addr().map_err(failed)?;
    let local = stream.local_addr().map_err(failed)?;
    Ok(start(stream, Side::Client, (peer, local), options, BufferPool::default()))
}

fn start(
    stream: TcpStream,
    side: Side,
    (peer, local): (SocketAddr, SocketAddr),
    options: &TcpOptions,
    pool: BufferPool,
) -> Connection {
    // A socket that refuses the option still works, only less promptly.
    let _ = stream.set_nodelay(options.no_delay);
    let (read, write) = stream.into_split();
    let (connection, shared) = Connection::new(Parts {
        side,
        transport: TransportId::Tcp,
        peer,
        local,
        quic: None,
        pool,
        claimed: side == Side::Client,
    });
    stream_driver::spawn(&shared, read, write, options.idle_timeout);
    connection
}
