//! A QUIC session through a relay.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nnrp::wire::{ResultFrame, SubmitFrame, TypedPayload};
use nnrp::{
    ClientConfig, ClientSession, Identity, Listener, Reply, ServerConfig, ServerSession, Trust,
    development_certificate,
};
use nnrp_testkit::relay::{UdpRelay, Weather};

/// Nothing goes wrong.
pub(crate) const FAIR: Weather = Weather { delay: Duration::ZERO, jitter: Duration::ZERO, loss_percent: 0 };

/// 5 % lost, 50 ms ± 20 ms, in each direction: a bad mobile connection.
pub(crate) const ROUGH: Weather =
    Weather { delay: Duration::from_millis(50), jitter: Duration::from_millis(20), loss_percent: 5 };

/// Both ends of a session, and what is between them.
pub(crate) struct Relayed {
    pub(crate) client: ClientSession,
    pub(crate) server: ServerSession,
    pub(crate) relay: UdpRelay,
    #[expect(dead_code, reason = "held so that it stays open")]
    listener: Listener,
}

pub(crate) async fn session(weather: Weather, seed: u64, config: ClientConfig) -> Relayed {
    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let trust = Trust::Certificates(made.certificate.into_bytes());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = ServerConfig::new().max_concurrent_frames(64);
    let listener = Listener::bind_quic(address, identity, server).await.unwrap();
    let relay = UdpRelay::start(listener.local_addr(), weather, seed).await.unwrap();
    let dialling = ClientSession::connect_quic(relay.address(), "localhost", &trust, config);
    let (client, server) = tokio::join!(dialling, listener.accept());
    Relayed { client: client.unwrap(), server: server.unwrap(), relay, listener }
}

/// A frame that says who it is, with some tens of bytes.
pub(crate) fn small(frame_id: u32) -> SubmitFrame {
    SubmitFrame {
        typed_payloads: vec![TypedPayload::opaque_bytes(format!("frame {frame_id}").into_bytes())],
        ..SubmitFrame::new(frame_id)
    }
}

/// A result of this many bytes, which say whose it is.
pub(crate) fn result_of(frame_id: u32, bytes: usize) -> ResultFrame {
    let mut data = format!("frame {frame_id}").into_bytes();
    data.resize(bytes.max(data.len()), b'.');
    ResultFrame { frame_id, typed_payloads: vec![TypedPayload::opaque_bytes(data)], ..ResultFrame::default() }
}

/// Whose result it is by its body, and its size; none may be a drop.
pub(crate) fn told(reply: &Reply) -> (u32, String, usize) {
    let Reply::Result(result) = reply else { panic!("{reply:?}") };
    let data = result.payloads().next().expect("a payload").data;
    let text = String::from_utf8(data.iter().copied().take_while(|byte| *byte != b'.').collect()).unwrap();
    (result.packet.header.frame_id, text, data.len())
}
