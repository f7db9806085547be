//! Connections by the thousand, and what is no connection at all.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use nnrp::clock;
use quinn::TransportConfig;
use tokio::net::UdpSocket;

use super::{Scale, dialer};
use crate::{Dialer, Kind, Result, Victim, failed};

/// Sessions that come, get an answer, and go, one after the other, half of them without goodbye.
pub(super) async fn churn(victim: &Victim, scale: Scale) -> Result<()> {
    let dialer = dialer(victim)?;
    for round in 0..scale.of(if victim.kind == Kind::Quic { 5_000 } else { 10_000 }) {
        let mut client = dialer.session().await?;
        client.echo(1).await?;
        if round % 2 == 0 {
            client
                .send(&crate::raw::packet(nnrp::wire::MessageType::Close, client.session, 0, &[], &[]))
                .await?;
        }
        if let Some(quic) = &client.quic {
            quic.close(0_u32.into(), b"");
        }
        drop(client);
    }
    Ok(())
}

/// Connections that are begun and never finished.
pub(super) async fn half_open(victim: &Victim, scale: Scale) -> Result<()> {
    match victim.kind {
        Kind::Quic => half_open_quic(victim, scale).await,
        Kind::Tcp => half_open_tcp(victim, scale, b"NNRP").await,
        // A record of TLS 1.2 or 1.3 with some handshake message.
        Kind::Tls => half_open_tcp(victim, scale, b"\x16\x03\x01\x02").await,
    }
}

/// Sockets with the first bytes of what they ought to say.
async fn half_open_tcp(victim: &Victim, scale: Scale, bytes: &[u8]) -> Result<()> {
    let dialer = dialer(victim)?;
    let mut clients = Vec::new();
    for _ in 0..scale.of(1000) {
        let mut client = dialer.bare().await?;
        client.send(bytes).await?;
        clients.push(client);
    }
    victim.serves().await
}

/// First packets whose senders never answer: what comes back goes to a socket nobody reads.
async fn half_open_quic(victim: &Victim, scale: Scale) -> Result<()> {
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let nowhere = hole.local_addr()?;
    let dialer = Dialer::new(victim, TransportConfig::default())?;
    let mut datagram = vec![0; 2048];
    let mut knocks = tokio::task::JoinSet::new();
    let (knocks_in_all, mut retries) = (scale.of(3000), 0);
    let mut strangers = HashSet::new();
    for _ in 0..knocks_in_all {
        // A client knocks at a socket that only listens, and what it said is sent on.
        let dialer = dialer.clone();
        knocks.spawn(async move { dialer.dial_to(nowhere).await.is_ok() });
        let knock = loop {
            let len = hole.recv(&mut datagram).await?;
            let knock = datagram.get(..len).unwrap_or_default();
            // Those that were here before knock again every second.
            if strangers.insert(wished_id(knock).to_vec()) {
                break knock;
            }
        };
        relay.send_to(knock, victim.address).await?;
        // Each of them is answered. Without waiting for that, answers to the first overflow the socket's buffer.
        let _ = tokio::time::timeout(ANSWER, relay.readable()).await;
        retries += count_retries(&relay);
    }
    victim.serves().await?;
    retries += count_retries(&relay);
    // Some answers may be lost on the way to a socket that is read now and then.
    if retries < (knocks_in_all - PENDING_BEFORE_RETRY) / 2 {
        return failed(format!("{retries} of {knocks_in_all} strangers had to show where they are"));
    }
    Ok(())
}

/// How long a server takes to answer a first packet when it has much else to do.
const ANSWER: Duration = Duration::from_secs(1);

/// An eighth of the clients that may be pending: from there on addresses have to be proved.
const PENDING_BEFORE_RETRY: usize = 128;

/// The id that a client's first packet has chosen for its server: behind a byte and the version, with its length before it.
fn wished_id(packet: &[u8]) -> &[u8] {
    let len = packet.get(5).map_or(0, |len| usize::from(*len));
    packet.get(6..6 + len).unwrap_or_default()
}

/// Retry packets that have arrived.
fn count_retries(socket: &UdpSocket) -> usize {
    let mut datagram = [0; 2048];
    let mut retries = 0;
    while let Ok(len) = socket.try_recv(&mut datagram) {
        // A long header of type 3.
        retries += usize::from(len > 0 && datagram[0] & 0xF0 == 0xF0);
    }
    retries
}

/// First packets that say goodbye: what a server keeps of them must be bounded too.
pub(super) async fn goodbye_first(victim: &Victim, scale: Scale) -> Result<()> {
    let hole = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let nowhere = hole.local_addr()?;
    let dialer = Dialer::new(victim, TransportConfig::default())?;
    let mut datagram = vec![0; 2048];
    for _ in 0..scale.of(30_000) {
        let knock = dialer.dial_to(nowhere);
        tokio::select! {
            _ = knock => return failed("a hole in the ground has answered"),
            received = hole.recv(&mut datagram) => received?,
        };
        // The client has been dropped, and says so.
        let len = hole.recv(&mut datagram).await?;
        relay.send_to(datagram.get(..len).unwrap_or(&[]), victim.address).await?;
    }
    victim.serves().await
}

/// Datagrams that are not QUIC, or look a little like it.
pub(super) async fn garbage_on_the_udp_port(victim: &Victim, scale: Scale) -> Result<()> {
    let mut bystander = dialer(victim)?.session().await?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut noise = 0x1234_5678_9ABC_DEF0_u64;
    for round in 0..scale.of(100_000) {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let len = usize::try_from(noise >> 32)? % 1400;
        let mut bytes: Vec<u8> = noise.to_le_bytes().iter().copied().cycle().take(len.max(1)).collect();
        if round % 2 == 0 {
            // A long header, version 1, an Initial or what else the noise says.
            if let Some(first) = bytes.first_mut() {
                *first |= 0xC0;
            }
            if let Some(version) = bytes.get_mut(1..5) {
                version.copy_from_slice(&[0, 0, 0, 1]);
            }
            bytes.resize(1200, 7);
        }
        socket.send_to(&bytes, victim.address).await?;
        if round % 1000 == 999 {
            // The kernel's queue is not what is under attack.
            clock::sleep_until(Some(clock::now() + Duration::from_millis(5))).await;
        }
    }
    bystander.ping().await?;
    bystander.echo(1).await
}
