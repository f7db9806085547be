//! The TCP binding, plain or with TLS. Packets follow each other on one stream; there is no other framing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nnrp_session::{IDLE_TIMEOUT, Side};
use nnrp_wire::TransportId;
use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsStream;

use crate::buffer::BufferPool;
use crate::connection::Connection;
use crate::error::{BindError, ConnectError};
use crate::shared::Parts;
use crate::socket::Socket;
use crate::tls::{self, ClientTls, Current, Reload, ServerTls, TCP_ALPN};
use crate::{stream_driver, tcp_tls};

/// Connections the kernel keeps for a listener that is not accepting.
const ACCEPT_BACKLOG: u32 = 1024;

/// Questions of the kernel that a peer may leave unanswered. The first comes after a third of the idle timeout, the last at
/// its end.
const KEEPALIVE_PROBES: u32 = 3;

nnrp_session::options! {
    /// How a TCP connection behaves.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct TcpOptions {
        /// Silence after which the connection counts as lost; `None` = never.
        pub idle_timeout: Option<Duration>,
        /// Send small packets at once (TCP_NODELAY).
        pub no_delay: bool,
        /// With TLS: ALPN protocols, normally `nnrp/1-tcp` alone (R-TCP-1).
        pub alpn: Vec<String>,
    }
}

impl Default for TcpOptions {
    fn default() -> Self {
        TcpOptions { idle_timeout: Some(IDLE_TIMEOUT), no_delay: true, alpn: vec![TCP_ALPN.to_owned()] }
    }
}

/// A bound TCP socket.
#[derive(Debug)]
pub struct TcpAcceptor {
    listener: TcpListener,
    handshake: TcpHandshake,
}

/// How a listener makes clients connections.
#[derive(Clone, Debug)]
pub struct TcpHandshake {
    options: TcpOptions,
    /// `None`: plain.
    tls: Option<Arc<Current<ServerConfig>>>,
    pool: BufferPool,
}

impl TcpAcceptor {
    /// Binds `address` for plain TCP; port 0 picks a free one. The address is free again as soon as the acceptor is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`BindError::Io`].
    pub fn bind(address: SocketAddr, options: TcpOptions) -> Result<Self, BindError> {
        Self::listen(address, options, None)
    }

    /// The same with TLS.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn bind_tls(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        options: TcpOptions,
    ) -> Result<Self, BindError> {
        let alpn = options.alpn.clone();
        let current = Current::new(&tls.into(), move |tls| tls.config(&alpn))?;
        Self::listen(address, options, Some(current))
    }

    fn listen(
        address: SocketAddr,
        options: TcpOptions,
        tls: Option<Arc<Current<ServerConfig>>>,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError::Io { address, source };
        let socket =
            if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        let listener = socket.listen(ACCEPT_BACKLOG).map_err(failed)?;
        let handshake = TcpHandshake { options, tls, pool: BufferPool::default() };
        Ok(TcpAcceptor { listener, handshake })
    }

    /// Exchanges its certificates for the handshakes to come; `None` on plain TCP.
    pub fn reload(&self) -> Option<Reload> {
        self.handshake.tls.as_ref().map(Current::reload)
    }

    /// The bound address.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next client that knocks. Its handshake has yet to be done with [`TcpHandshake::finish`], beside those of the
    /// others. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Those of the operating system; the acceptor stays usable (too many open files is temporary).
    pub async fn accept(&self) -> std::io::Result<Accepted> {
        let (stream, peer) = self.listener.accept().await?;
        Ok(Accepted { stream, peer })
    }

    /// What is done with the clients it accepts. Outlives it.
    pub fn handshake(&self) -> TcpHandshake {
        self.handshake.clone()
    }
}

impl TcpHandshake {
    /// Whether there is no TLS, so that a client is a connection at once.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none()
    }

    /// Makes a client a connection, which reads nothing until it is claimed. With TLS that takes a handshake; plain TCP
    /// is ready at once.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the client left, does not speak TLS, offered another ALPN, showed no certificate that is
    /// believed, or took longer than `timeout`.
    pub async fn finish(&self, accepted: Accepted, timeout: Duration) -> Result<Connection, ConnectError> {
        let Accepted { stream, peer: address } = accepted;
        tune(&stream, &self.options);
        let local = stream.local_addr().map_err(|source| ConnectError::Io { address, source })?;
        let ends = Ends { side: Side::Server, peer: address, local };
        let Some(tls) = &self.tls else {
            return Ok(ends.start(stream, &self.options, self.pool.clone()));
        };
        let handshake = tcp_tls::accept(Socket::new(stream), tls.get());
        let stream = tokio::time::timeout(timeout, handshake)
            .await
            .map_err(|_| ConnectError::Timeout { address, timeout })?
            .map_err(|failure| ConnectError::handshake(address, failure))?;
        Ok(ends.start_tls(stream.into(), &self.options, self.pool.clone()))
    }
}

/// A client that knocked. Dropping it closes its socket.
#[derive(Debug)]
pub struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
}

/// Connects to `address` over plain TCP. Cancel-safe: a half-open connection is closed.
///
/// # Errors
///
/// [`ConnectError::Io`] and [`ConnectError::Timeout`].
pub async fn connect(
    address: SocketAddr,
    options: &TcpOptions,
    timeout: Option<Duration>,
) -> Result<Connection, ConnectError> {
    let (stream, ends) = within(address, timeout, dial(address, options)).await?;
    Ok(ends.start(stream, options, BufferPool::default()))
}

/// Connects to `address` over TCP with TLS, verifying the certificate for `server_name`. Cancel-safe: a half-open
/// connection is closed. What a server has against the client's certificate, it says only after this.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn connect_tls(
    address: SocketAddr,
    server_name: &str,
    tls: impl Into<ClientTls>,
    options: &TcpOptions,
    timeout: Option<Duration>,
) -> Result<Connection, ConnectError> {
    let name = tls::server_name(server_name)?;
    let (config, _) = tls.into().config(&options.alpn)?;
    let connecting = async {
        let (stream, ends) = dial(address, options).await?;
        let stream = tcp_tls::connect(Socket::new(stream), name, config)
            .await
            .map_err(|failure| ConnectError::handshake(address, failure))?;
        Ok((stream, ends))
    };
    let (stream, ends) = within(address, timeout, connecting).await?;
    Ok(ends.start_tls(stream.into(), options, BufferPool::default()))
}

async fn within<T>(
    address: SocketAddr,
    timeout: Option<Duration>,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    match timeout {
        None => connecting.await,
        Some(timeout) => tokio::time::timeout(timeout, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout { address, timeout })),
    }
}

async fn dial(address: SocketAddr, options: &TcpOptions) -> Result<(TcpStream, Ends), ConnectError> {
    let failed = |source| ConnectError::Io { address, source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    let peer = stream.peer_addr().map_err(failed)?;
    let local = stream.local_addr().map_err(failed)?;
    tune(&stream, options);
    Ok((stream, Ends { side: Side::Client, peer, local }))
}

/// A socket that refuses an option still works, only less promptly.
fn tune(stream: &TcpStream, options: &TcpOptions) {
    let _ = stream.set_nodelay(options.no_delay);
    // While the application takes nothing, nothing is read and nobody notices a silence: the kernel asks.
    if let Some(limit) = options.idle_timeout {
        let first = limit / KEEPALIVE_PROBES;
        let probes = TcpKeepalive::new()
            .with_time(first)
            .with_interval((limit - first) / KEEPALIVE_PROBES)
            .with_retries(KEEPALIVE_PROBES);
        let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
    }
}

/// Which end of which connection this is.
struct Ends {
    side: Side,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Ends {
    fn start(self, stream: TcpStream, options: &TcpOptions, pool: BufferPool) -> Connection {
        let socket = Socket::new(stream);
        let (connection, path) = Connection::new(self.parts(None, pool));
        stream_driver::spawn(&path, socket.clone(), socket.clone(), options.idle_timeout, Some(socket));
        connection
    }

    fn start_tls(self, stream: TlsStream<Socket>, options: &TcpOptions, pool: BufferPool) -> Connection {
        let (socket, session) = stream.get_ref();
        let socket = socket.clone();
        let certificates = session.peer_certificates().map(tls::shown).unwrap_or_default();
        let (connection, path) = Connection::new(self.parts(Some(certificates), pool));
        let (read, write) = tokio::io::split(stream);
        stream_driver::spawn(&path, read, write, options.idle_timeout, Some(socket));
        connection
    }

    /// `tls`: what the peer showed; `None` on plain TCP.
    fn parts(self, tls: Option<Vec<bytes::Bytes>>, pool: BufferPool) -> Parts {
        Parts {
            side: self.side,
            transport: TransportId::Tcp,
            peer: self.peer,
            local: self.local,
            quic: None,
            encrypted: tls.is_some(),
            certificates: tls.unwrap_or_default(),
            pool,
            claimed: self.side == Side::Client,
        }
    }
}
