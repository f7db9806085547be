//! The QUIC binding: endpoints, their tuning, and connections.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nnrp_session::{IDLE_TIMEOUT, Side};
use nnrp_wire::TransportId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{AckFrequencyConfig, Endpoint, IdleTimeout, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};

use crate::buffer::BufferPool;
use crate::congestion::{MAX_ACK_DELAY, TolerantConfig};
use crate::connection::Connection;
use crate::error::{BindError, ConnectError};
use crate::qlog;
use crate::quic_driver;
use crate::quic_link::QuicLink;
use crate::quic_packets::Packets;
use crate::quic_socket::{DatagramSocket, Surroundings};
use crate::quic_window::MOST_BYTES;
use crate::shared::Parts;
use crate::tls::{self, ClientTls, Current, Failure, QUIC_ALPN, Reload, ServerTls, TlsError};

/// One stream may be this far ahead of its reader. A tensor of a few megabytes should arrive in one go.
const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// All streams together: several such tensors, and a bound on what a peer can make us hold undecoded.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;

/// What a client may send before it is admitted: a hello of the largest size and some overhead.
const HELLO_WINDOW_BYTES: u32 = 128 * 1024;

/// Frames the peer may have under way at once; beyond it, it waits for credit (wire reference 2.1: at least 128).
pub(crate) const MAX_CONCURRENT_FRAMES: u32 = 1024;

/// The control stream, and one more so that a peer that opens a second gets told (R-QUIC-8).
const MAX_BIDI_STREAMS: u32 = 2;

/// A packet that overtakes another by this many is acknowledged at once: a gap of one already tells of a loss, and the rest of a
/// small frame is not followed by much.
const OVERTAKEN_BY: u32 = 1;

/// Kernel buffers of the UDP socket: bursts of a whole tensor must not overflow them. The kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Largest datagram taken, as the rc2 peer announces it.
const DATAGRAM_BYTES: usize = 65536;

nnrp_session::options! {
    /// How QUIC connections behave.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub struct QuicOptions {
        /// Silence after which the connection counts as lost; `None` = never. The shorter of both sides counts.
        pub idle_timeout: Option<Duration>,
        /// Largest datagram accepted; 0 turns datagrams off.
        pub max_datagram_frame_size: usize,
        /// ALPN protocols, normally `nnrp/1` alone.
        pub alpn: Vec<String>,
        /// For debugging: a folder in which each listener, and each connection of a client, writes what QUIC does into a
        /// file of its own, in the format qlog. Writing is synchronous and slows connections down. Needs the feature
        /// `qlog`; without it, connecting and binding fail with [`std::io::ErrorKind::Unsupported`].
        pub qlog: Option<PathBuf>,
    }
}

impl Default for QuicOptions {
    fn default() -> Self {
        QuicOptions {
            idle_timeout: Some(IDLE_TIMEOUT),
            max_datagram_frame_size: DATAGRAM_BYTES,
            alpn: vec![QUIC_ALPN.to_owned()],
            qlog: None,
        }
    }
}

/// One of a number of things, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one_more(number: &Arc<AtomicUsize>) -> Self {
        number.fetch_add(1, Ordering::Relaxed);
        Counted(number.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bound QUIC endpoint that accepts connections.
#[derive(Debug)]
pub struct QuicAcceptor {
    endpoint: Endpoint,
    socket: Weak<DatagramSocket>,
    config: Arc<Current<Configs>>,
    pool: BufferPool,
    /// Connections whose driver is at work.
    established: Arc<AtomicUsize>,
}

impl QuicAcceptor {
    /// Binds `address`; port 0 picks a free one. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// [`BindError`].
    pub fn bind(
        address: SocketAddr,
        tls: impl Into<ServerTls>,
        options: &QuicOptions,
    ) -> Result<Self, BindError> {
        let options = options.clone();
        let events =
            qlog::open(&options, Side::Server).map_err(|source| BindError::Io { address, source })?;
        let config = Current::new(&tls.into(), move |tls| Configs::new(tls, &options, events.as_ref()))?;
        let first = quinn::ServerConfig::clone(&config.get().anywhere);
        let (endpoint, socket) = endpoint(address, Some(first), Packets::ANY)
            .map_err(|source| BindError::Io { address, source })?;
        Ok(QuicAcceptor {
            endpoint,
            socket,
            config,
            pool: BufferPool::default(),
            established: Arc::default(),
        })
    }

    /// Exchanges its certificates for the handshakes to come.
    pub fn reload(&self) -> Reload {
        self.config.reload()
    }

    /// The bound address.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next client that knocks; `None` after [`QuicAcceptor::close`]. Its handshake has yet to be done
    /// with [`QuicAcceptor::finish`], beside those of the others. Cancel-safe.
    pub async fn accept(&self) -> Option<quinn::Incoming> {
        self.endpoint.accept().await
    }

    /// Does the QUIC handshake. The connection reads nothing until it is claimed.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]: the client left, offered another ALPN, showed no certificate that is believed, or took longer
    /// than `timeout`.
    pub async fn finish(
        &self,
        incoming: quinn::Incoming,
        timeout: Duration,
    ) -> Result<Connection, ConnectError> {
        let address = incoming.remote_address();
        let failed = |error| ConnectError::handshake(address, Failure::of_quic(&error, None));
        let connecting = incoming.accept_with(self.config.get().with(address)).map_err(failed)?;
        let connection = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| ConnectError::Timeout { address, timeout })?
            .map_err(failed)?;
        let local = self.local_addr().map_err(|source| ConnectError::Io { address, source })?;
        let counted = Counted::one_more(&self.established);
        let link = QuicLink::new(connection, self.socket.clone());
        Ok(start(link, Side::Server, local, self.endpoint.clone(), self.pool.clone(), Some(counted)))
    }

    /// Connections the endpoint keeps that are not, or no more, anybody's: their handshake has not finished, or they have
    /// been closed and linger. A client that closes with its first packet leaves one for as long as the idle timeout.
    pub fn lingering(&self) -> usize {
        self.endpoint.open_connections().saturating_sub(self.established.load(Ordering::Relaxed))
    }

    /// Accepts no more connections; existing ones live on.
    pub fn close(&self) {
        self.endpoint.set_server_config(None);
    }
}

/// Connects to `address`, verifying the certificate for `server_name`. Cancel-safe: a half-open connection is
/// closed. Needs a tokio runtime around it. What a server has against the client's certificate, it says only after this.
///
/// # Errors
///
/// [`ConnectError`].
pub async fn connect(
    address: SocketAddr,
    server_name: &str,
    tls: impl Into<ClientTls>,
    options: &QuicOptions,
    timeout: Option<Duration>,
) -> Result<Connection, ConnectError> {
    let server_name = tls::server_name(server_name)?.to_str().into_owned();
    let (tls, refusal) = tls.into().config(&options.alpn)?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| TlsError::Config(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let packets = Packets::with(address);
    let mut transport = transport_config(options, packets);
    let events = qlog::open(options, Side::Client).map_err(|source| ConnectError::Io { address, source })?;
    qlog::attach(&mut transport, events.as_ref());
    config.transport_config(Arc::new(transport));
    let any: SocketAddr =
        if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let (endpoint, socket) =
        endpoint(any, None, packets).map_err(|source| ConnectError::Io { address, source })?;
    let connecting = endpoint
        .connect_with(config, address, &server_name)
        .map_err(|error| ConnectError::Handshake { address, reason: error.to_string(), fault: None })?;
    let connection = match timeout {
        None => connecting.await,
        Some(timeout) => tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| ConnectError::Timeout { address, timeout })?,
    }
    .map_err(|error| ConnectError::handshake(address, Failure::of_quic(&error, refusal.get())))?;
    let local = endpoint.local_addr().map_err(|source| ConnectError::Io { address, source })?;
    Ok(start(QuicLink::new(connection, socket), Side::Client, local, endpoint, BufferPool::default(), None))
}

fn start(
    link: QuicLink,
    side: Side,
    local: SocketAddr,
    endpoint: Endpoint,
    pool: BufferPool,
    counted: Option<Counted>,
) -> Connection {
    let quic = link.connection();
    let shown = quic.peer_identity().and_then(|shown| shown.downcast::<Vec<CertificateDer<'static>>>().ok());
    let (connection, path) = Connection::new(Parts {
        side,
        transport: TransportId::Quic,
        peer: quic.remote_address(),
        local,
        quic: Some(link.clone()),
        encrypted: true,
        certificates: shown.as_deref().map(|shown| tls::shown(shown)).unwrap_or_default(),
        pool,
        claimed: side == Side::Client,
    });
    quic_driver::spawn(&path, link, endpoint, counted);
    connection
}

/// How long an address that was asked to prove itself may take to come back: a machine with hundreds of them at once may be
/// slow to answer, and a token that has run out ends the client's attempt for good.
const RETRY_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// What a listener's next handshake is done with.
struct Configs {
    anywhere: Arc<quinn::ServerConfig>,
    within: Arc<quinn::ServerConfig>,
}

impl Configs {
    fn new(tls: &ServerTls, options: &QuicOptions, events: Option<&qlog::Stream>) -> Result<Self, TlsError> {
        let tls = tls.config(&options.alpn)?;
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| TlsError::Config(error.to_string()))?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
        config.retry_token_lifetime(RETRY_TOKEN_LIFETIME);
        let with = |packets| {
            let mut transport = transport_config(options, packets);
            // Until somebody is admitted: no frames, and room for a hello. See open_windows.
            transport
                .receive_window(VarInt::from_u32(HELLO_WINDOW_BYTES))
                .max_concurrent_uni_streams(VarInt::from_u32(0));
            qlog::attach(&mut transport, events);
            let mut config = config.clone();
            config.transport_config(Arc::new(transport));
            Arc::new(config)
        };
        Ok(Configs { anywhere: with(Packets::ANYWHERE), within: with(Packets::WITHIN) })
    }

    fn with(&self, peer: SocketAddr) -> Arc<quinn::ServerConfig> {
        if Packets::with(peer) == Packets::WITHIN { self.within.clone() } else { self.anywhere.clone() }
    }
}

/// Tuning for frames of some kilobytes to some megabytes. The numbers are the constants above.
fn transport_config(options: &QuicOptions, packets: Packets) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(MOST_BYTES)
        .congestion_controller_factory(Arc::new(TolerantConfig::new(packets.initial_window)))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_CONCURRENT_FRAMES))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_BIDI_STREAMS))
        // No two frames share a priority, so nothing takes turns; without this, a stream that was begun is finished before those of
        // higher priority: small frames and control packets would wait for the rest of a big frame.
        .send_fairness(true)
        .max_idle_timeout(options.idle_timeout.and_then(|limit| IdleTimeout::try_from(limit).ok()))
        // A third of the idle timeout: two may be lost.
        .keep_alive_interval(options.idle_timeout.map(|limit| limit / 3));
    let mut acknowledging = AckFrequencyConfig::default();
    acknowledging.reordering_threshold(VarInt::from_u32(OVERTAKEN_BY)).max_ack_delay(Some(MAX_ACK_DELAY));
    packets.apply(&mut config, &mut acknowledging);
    config.ack_frequency_config(Some(acknowledging));
    if options.max_datagram_frame_size == 0 {
        config.datagram_receive_buffer_size(None);
    } else {
        config.datagram_receive_buffer_size(Some(options.max_datagram_frame_size));
    }
    config
}

/// Gives an admitted peer the windows of a session.
pub(crate) fn open_windows(quic: &quinn::Connection) {
    quic.set_receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
    quic.set_max_concurrent_uni_streams(VarInt::from_u32(MAX_CONCURRENT_FRAMES));
}

fn endpoint(
    address: SocketAddr,
    server: Option<quinn::ServerConfig>,
    packets: Packets,
) -> std::io::Result<(Endpoint, Weak<DatagramSocket>)> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    // Smaller buffers than asked for are not an error, only slower.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_BYTES);
    socket.bind(&address.into())?;
    let surroundings = Surroundings { largest_packet: packets.largest.into() };
    let socket = surroundings.socket(socket.into())?;
    let config = packets.endpoint_config();
    let weak = Arc::downgrade(&socket);
    let endpoint = Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(surroundings))?;
    Ok((endpoint, weak))
}

#[cfg(test)]
mod full_windows;

#[cfg(test)]
mod tests {
    use super::*;

    use crate::tls::{Identity, Trust, development_certificate};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn packet_size(connection: &Connection) -> u16 {
        connection.link().quic.as_ref().map_or(0, |quic| quic.connection().stats().path.current_mtu)
    }

    #[tokio::test]
    async fn within_a_machine_both_sides_find_out_that_large_packets_arrive() {
        let made = development_certificate().unwrap();
        let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
        let trust = Trust::Certificates(made.certificate.into_bytes());
        let options = QuicOptions::default();
        let acceptor = QuicAcceptor::bind((Ipv4Addr::LOCALHOST, 0).into(), &identity, &options).unwrap();
        let address = acceptor.local_addr().unwrap();
        let accepted = async { acceptor.finish(acceptor.accept().await.unwrap(), PATIENCE).await };
        let dialled = connect(address, "localhost", &trust, &options, Some(PATIENCE));
        let (dialled, accepted) = tokio::join!(dialled, accepted);
        let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
        let found = tokio::time::timeout(PATIENCE, async {
            while [&dialled, &accepted].iter().any(|side| packet_size(side) < Packets::WITHIN.largest) {
                tokio::task::yield_now().await;
            }
        });
        let (found, sizes) = (found.await, [packet_size(&dialled), packet_size(&accepted)]);
        assert!(found.is_ok(), "packets of {sizes:?} bytes");
    }
}
