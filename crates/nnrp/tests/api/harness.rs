//! Ends of sessions over each transport.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nnrp::wire::{
    ResultFrame, ResultHintReason, Section, SubmitFrame, TensorDType, TransportId, TypedPayload,
};
use nnrp::{
    Admission, BindError, ClientConfig, ClientSession, ClientTls, ConnectError, Connection, DialError,
    Identity, Listener, Outcome, PendingSession, Reply, ServerConfig, ServerSession, ServerSettings,
    ServerTls, Trust, development_certificate,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    #[cfg(feature = "tcp")]
    Tcp,
    #[cfg(feature = "tcp")]
    Tls,
    #[cfg(feature = "quic")]
    Quic,
}

impl Kind {
    /// Whether frames have streams of their own and may overtake each other.
    pub(crate) fn is_quic(self) -> bool {
        self.transport() == TransportId::Quic
    }

    pub(crate) fn transport(self) -> TransportId {
        match self {
            #[cfg(feature = "quic")]
            Kind::Quic => TransportId::Quic,
            _ => TransportId::Tcp,
        }
    }
}

/// Both ends of one session, and the listener it came through, which must stay alive with it.
pub(crate) struct Ends {
    pub(crate) client: ClientSession,
    pub(crate) server: ServerSession,
    #[expect(dead_code, reason = "held so that it stays open")]
    listener: Option<Server>,
}

/// A listener and what its clients have to know.
pub(crate) struct Server {
    pub(crate) listener: Listener,
    trust: Trust,
}

pub(crate) async fn within_a_minute(test: impl Future<Output = ()>) {
    if tokio::time::timeout(Duration::from_secs(60), test).await.is_err() {
        panic!("the test hangs");
    }
}

/// Waits for something that should happen soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within 10 s"),
    }
}

impl Server {
    pub(crate) async fn start(kind: Kind, config: ServerConfig) -> Self {
        let made = development_certificate().unwrap();
        let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
        let trust = Trust::Certificates(made.certificate.into_bytes());
        Server { listener: listen(kind, identity, config).await, trust }
    }

    pub(crate) async fn dial(&self, kind: Kind, config: ClientConfig) -> Result<ClientSession, DialError> {
        dial(kind, self.listener.local_addr(), &self.trust, config).await
    }

    /// The same by way of another address.
    pub(crate) async fn dial_at(
        &self,
        kind: Kind,
        address: SocketAddr,
        config: ClientConfig,
    ) -> Result<ClientSession, DialError> {
        dial(kind, address, &self.trust, config).await
    }

    /// A transport connection without a word said on it.
    pub(crate) async fn dial_raw(&self, kind: Kind) -> Connection {
        self.dial_raw_at(kind, self.listener.local_addr()).await
    }

    /// The same by way of another address.
    pub(crate) async fn dial_raw_at(&self, kind: Kind, address: SocketAddr) -> Connection {
        let dialled: Result<Connection, ConnectError> = match kind {
            Kind::Memory => panic!("there is no listener in memory"),
            #[cfg(feature = "tcp")]
            Kind::Tcp => nnrp::tcp::connect(address, &nnrp::TcpOptions::default(), None).await,
            #[cfg(feature = "tcp")]
            Kind::Tls => {
                let options = nnrp::TcpOptions::default();
                nnrp::tcp::connect_tls(address, "localhost", &self.trust, &options, None).await
            }
            #[cfg(feature = "quic")]
            Kind::Quic => {
                let options = nnrp::QuicOptions::default();
                nnrp::quic::connect(address, "localhost", &self.trust, &options, None).await
            }
        };
        dialled.unwrap()
    }
}

pub(crate) async fn listen(kind: Kind, tls: impl Into<ServerTls>, config: ServerConfig) -> Listener {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bound: Result<Listener, BindError> = match kind {
        Kind::Memory => panic!("there is no listener in memory"),
        #[cfg(feature = "tcp")]
        Kind::Tcp => Listener::bind_tcp(address, config).await,
        #[cfg(feature = "tcp")]
        Kind::Tls => Listener::bind_tcp_tls(address, tls, config).await,
        #[cfg(feature = "quic")]
        Kind::Quic => Listener::bind_quic(address, tls, config).await,
    };
    bound.unwrap()
}

pub(crate) async fn dial(
    kind: Kind,
    address: SocketAddr,
    tls: impl Into<ClientTls>,
    config: ClientConfig,
) -> Result<ClientSession, DialError> {
    match kind {
        Kind::Memory => panic!("there is no listener in memory"),
        #[cfg(feature = "tcp")]
        Kind::Tcp => ClientSession::connect_tcp(address, config).await,
        #[cfg(feature = "tcp")]
        Kind::Tls => ClientSession::connect_tcp_tls(address, "localhost", tls, config).await,
        #[cfg(feature = "quic")]
        Kind::Quic => ClientSession::connect_quic(address, "localhost", tls, config).await,
    }
}

/// A session with the default configuration.
pub(crate) async fn session(kind: Kind) -> Ends {
    session_with(kind, ServerSettings::default()).await
}

pub(crate) async fn session_with(kind: Kind, settings: ServerSettings) -> Ends {
    session_of(kind, settings, ClientConfig::new()).await
}

pub(crate) async fn session_of(kind: Kind, settings: ServerSettings, client: ClientConfig) -> Ends {
    if kind == Kind::Memory {
        let (near, far) = nnrp::memory::pair();
        let accept = async {
            let pending = PendingSession::read(far, settings, None).await.unwrap();
            pending.admit(Admission::default()).unwrap()
        };
        let (client, server) = tokio::join!(ClientSession::open(near, client), accept);
        return Ends { client: client.unwrap(), server, listener: None };
    }
    let server = Server::start(kind, ServerConfig::new().settings(settings)).await;
    let (client, accepted) = tokio::join!(server.dial(kind, client), server.listener.accept());
    Ends { client: client.unwrap(), server: accepted.unwrap(), listener: Some(server) }
}

/// A frame with one tile of text.
pub(crate) fn frame(frame_id: u32) -> SubmitFrame {
    SubmitFrame {
        tile_ids: vec![5],
        sections: vec![Section::new(1, TensorDType::Uint8).tiles([format!("tile of frame {frame_id}")])],
        ..SubmitFrame::new(frame_id)
    }
}

/// A frame with one opaque payload of `bytes` bytes.
pub(crate) fn bulky(frame_id: u32, bytes: usize) -> SubmitFrame {
    SubmitFrame {
        typed_payloads: vec![TypedPayload::opaque_bytes(vec![0x5A; bytes])],
        ..SubmitFrame::new(frame_id)
    }
}

/// A result with one text payload.
pub(crate) fn text_result(frame_id: u32, text: &str) -> ResultFrame {
    ResultFrame {
        frame_id,
        typed_payloads: vec![TypedPayload::token_chunk(text.to_owned())],
        ..ResultFrame::default()
    }
}

/// The text of a [`text_result`].
pub(crate) fn text_of(reply: &Reply) -> String {
    let Reply::Result(result) = reply else { panic!("{reply:?}") };
    let payload = result.payloads().next().expect("a payload");
    String::from_utf8(payload.data.to_vec()).unwrap()
}

/// Why a frame was dropped; nothing else may have become of it.
pub(crate) fn drop_reason(reply: &Reply) -> Option<ResultHintReason> {
    let Reply::Dropped { reason, .. } = reply else { panic!("{reply:?}") };
    *reason
}

impl Ends {
    /// Proves that the session works.
    pub(crate) async fn echo(&self, frame_id: u32) {
        let answer = async {
            let submit = self.server.recv().await.unwrap().expect("a frame");
            assert_eq!(submit.key().frame_id, frame_id);
            let answer = Outcome::complete().sections(submit.sections());
            submit.reply(answer).await.unwrap();
        };
        let frame = frame(frame_id);
        let (reply, ()) = soon("an echo", async { tokio::join!(self.client.submit(&frame), answer) }).await;
        let Ok(Reply::Result(result)) = reply else { panic!("{reply:?}") };
        assert_eq!(result.packet.header.frame_id, frame_id);
    }
}
