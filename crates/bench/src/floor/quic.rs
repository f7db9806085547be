//! QUIC: quinn, a unidirectional stream per frame each way, packets as large as Ethernet takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, RecvStream, TransportConfig, VarInt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use super::{ALPN, PREFIX_BYTES, parse, prefix};
use crate::Error;
use crate::certificates::SERVER_NAME;
use crate::options::{Congestion, Options};
use crate::recorder::{Departures, Recorder, looks_right, payload};

/// UDP payload of a packet on Ethernet, over IPv4 and with room for a header of a tunnel.
const MTU: u16 = 1452;

/// Larger windows let more be under way than the sockets' buffers hold: packets get lost, and megabytes take a third longer.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const SOCKET_BUFFER_BYTES: usize = 8 << 20;
const STREAMS: u32 = 4096;

/// How long a client waits for the server to have read its goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

pub(super) async fn serve(options: &Options) -> Result<(), Error> {
    let tls = crate::certificates::server(&options.certificates, ALPN)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(options.congestion));
    let endpoint = endpoint(options.address, Some(config))?;
    crate::announce(endpoint.local_addr()?.port());
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            // A client that is done hangs up, at whatever moment.
            if let Ok(connection) = incoming.await {
                let _ = echo(connection).await;
            }
        });
    }
    Ok(())
}

async fn echo(connection: Connection) -> Result<(), Error> {
    let mut buffer = Vec::new();
    loop {
        let mut arriving = connection.accept_uni().await?;
        let id = read(&mut arriving, &mut buffer).await?;
        write(&connection, id, &buffer).await?;
    }
}

pub(super) async fn load(options: &Options) -> Result<(), Error> {
    let tls = crate::certificates::client(&options.certificates, ALPN)?;
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport(options.congestion));
    let address = options.address;
    let from = if address.ip().is_loopback() { address.ip() } else { Ipv4Addr::UNSPECIFIED.into() };
    let endpoint = endpoint((from, 0).into(), None)?;
    if let Some(options) = options.background() {
        let connection = endpoint.connect_with(config.clone(), address, SERVER_NAME)?.await?;
        let recorder = Arc::new(Recorder::silent(&options));
        tokio::spawn(many(connection, options, recorder));
    }
    // All are there before any begins, as in our client: a handshake beside other sessions' frames takes its time.
    let mut connections = Vec::new();
    for _ in 0..options.sessions {
        connections.push(endpoint.connect_with(config.clone(), address, SERVER_NAME)?.await?);
    }
    let recorder = Arc::new(Recorder::new(options));
    let mut sessions = JoinSet::new();
    for connection in connections {
        let (options, recorder) = (options.clone(), recorder.clone());
        if options.in_flight == 1 {
            sessions.spawn(one_by_one(connection, options, recorder));
        } else {
            sessions.spawn(many(connection, options, recorder));
        }
    }
    while let Some(ended) = sessions.join_next().await {
        ended??;
    }
    endpoint.close(VarInt::from_u32(0), b"done");
    let _ = tokio::time::timeout(GOODBYE, endpoint.wait_idle()).await;
    Ok(())
}

async fn one_by_one(connection: Connection, options: Options, recorder: Arc<Recorder>) -> Result<(), Error> {
    let payload = payload(options.size);
    let mut buffer = Vec::new();
    for id in 0.. {
        let sent = Instant::now();
        write(&connection, id, &payload).await?;
        let mut arriving = connection.accept_uni().await?;
        if read(&mut arriving, &mut buffer).await? != id || !looks_right(&buffer, &payload) {
            return Err("another frame came back".into());
        }
        if !recorder.arrived(sent) {
            break;
        }
    }
    Ok(())
}

/// A task that writes as long as there is room in the window, and one that reads and makes room.
async fn many(connection: Connection, options: Options, recorder: Arc<Recorder>) -> Result<(), Error> {
    let payload = payload(options.size);
    let window = Arc::new(Semaphore::new(options.in_flight));
    let departures = Arc::new(Mutex::new(Departures::new(options.in_flight)));
    tokio::spawn({
        let (payload, window, departures) = (payload.clone(), window.clone(), departures.clone());
        let connection = connection.clone();
        async move {
            let mut id = 0;
            while let Ok(permit) = window.acquire().await {
                permit.forget();
                departures.lock().await.note(id);
                if write(&connection, id, &payload).await.is_err() {
                    break;
                }
                id += 1;
            }
        }
    });
    let mut buffer = Vec::new();
    loop {
        let mut arriving = connection.accept_uni().await?;
        let id = read(&mut arriving, &mut buffer).await?;
        if !looks_right(&buffer, &payload) {
            return Err("another frame came back".into());
        }
        if !recorder.arrived(departures.lock().await.of(id)) {
            break;
        }
        window.add_permits(1);
    }
    window.close();
    Ok(())
}

/// Reads one frame into `buffer`, which has the payload afterwards, and nothing else; returns its number.
async fn read(stream: &mut RecvStream, buffer: &mut Vec<u8>) -> Result<u32, Error> {
    let mut prefix = [0; PREFIX_BYTES];
    stream.read_exact(&mut prefix).await?;
    let (length, id) = parse(prefix)?;
    buffer.resize(length, 0);
    stream.read_exact(buffer).await?;
    // The end of the stream, which quinn wants to be read.
    match stream.read(&mut prefix).await? {
        None => Ok(id),
        Some(_) => Err("more than one frame".into()),
    }
}

async fn write(connection: &Connection, id: u32, payload: &[u8]) -> Result<(), Error> {
    let mut stream = connection.open_uni().await?;
    stream.write_all(&prefix(payload.len(), id)?).await?;
    stream.write_all(payload).await?;
    stream.finish()?;
    Ok(())
}

fn transport(congestion: Congestion) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(MTU);
    config
        .initial_mtu(MTU)
        .mtu_discovery_config(Some(discovery))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS))
        // A frame leaves whole before the next one begins. Taking turns, all arrive when the last does.
        .send_fairness(false);
    match congestion {
        Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
        Congestion::NewReno => config.congestion_controller_factory(Arc::new(NewRenoConfig::default())),
    };
    Arc::new(config)
}

fn endpoint(address: SocketAddr, server: Option<quinn::ServerConfig>) -> Result<Endpoint, Error> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel may grant less.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    let runtime = Arc::new(quinn::TokioRuntime);
    Ok(Endpoint::new(EndpointConfig::default(), server, socket.into(), runtime)?)
}
