//! Streams and datagrams of QUIC peers without a library, on either side.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use nnrp::wire::{
    ErrorCode, ErrorMessage, ErrorScope, FlowUpdateFlags, FlowUpdateMetadata, FlowUpdateReason,
    FlowUpdateScopeKind, Header, MessageType, Packet, ResultClass, Revision, ServerHelloAckMetadata,
};
use nnrp::{
    ClientConfig, ClientSession, EndedBy, FrameKey, Identity, Listener, ServerConfig, ServerSession,
    SessionError, Trust, development_certificate,
};
use nnrp_testkit::packets;
use nnrp_transport::UNREAD_BODIES;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, ReadError, RecvStream, SendStream, VarInt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::harness::{Kind, dial, frame, listen, soon, text_of, text_result};
use super::quic_peer;

const SESSION: u32 = 1;

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// One end of a QUIC connection that does what it is told.
struct Raw {
    quic: quinn::Connection,
    control: SendStream,
    answers: RecvStream,
    _endpoint: Endpoint,
}

impl Raw {
    /// Writes on the control stream.
    async fn say(&mut self, packet: &Packet) {
        self.control.write_all(&packet.to_bytes()).await.unwrap();
    }

    /// A unidirectional stream with `bytes` on it, not finished.
    async fn stream(&self, bytes: &[u8]) -> SendStream {
        let mut stream = self.quic.open_uni().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn finished(&self, bytes: &[u8]) {
        self.stream(bytes).await.finish().unwrap();
    }

    /// The next packet of the control stream.
    async fn next(&mut self) -> Packet {
        soon("a control packet", read_packet(&mut self.answers)).await
    }

    async fn error(&mut self) -> (ErrorCode, ErrorScope, bool) {
        let error = ErrorMessage::decode(&self.next().await).unwrap().metadata;
        (error.error_code, error.error_scope, error.is_fatal == 1)
    }

    /// What was sent so far has been dealt with, and no ERROR came of it.
    async fn is_alive(&mut self) {
        self.say(&packets::bare(MessageType::Ping, SESSION)).await;
        assert_eq!(self.next().await.header.msg_type, MessageType::Pong);
    }
}

async fn read_packet(stream: &mut RecvStream) -> Packet {
    let mut head = [0; Header::LEN];
    stream.read_exact(&mut head).await.unwrap();
    let header = Header::decode(&head).unwrap();
    let mut metadata = vec![0; header.meta_len as usize];
    stream.read_exact(&mut metadata).await.unwrap();
    let mut body = vec![0; header.body_len as usize];
    stream.read_exact(&mut body).await.unwrap();
    Packet { header, metadata: metadata.into(), body: body.into() }
}

/// A session of our server with a raw client.
async fn served() -> (Raw, ServerSession, Listener) {
    let made = development_certificate().unwrap();
    let identity = Identity::from_pem(made.certificate.as_bytes(), made.private_key.as_bytes()).unwrap();
    let listener = listen(Kind::Quic, identity, ServerConfig::new()).await;
    let config = quic_peer::client_config(&made.certificate);
    let endpoint = Endpoint::client(loopback()).unwrap();
    let dialling = endpoint.connect_with(config, listener.local_addr(), "localhost").unwrap();
    let opening = async {
        let quic = dialling.await.unwrap();
        let (control, answers) = quic.open_bi().await.unwrap();
        let mut raw = Raw { quic, control, answers, _endpoint: endpoint };
        raw.say(&packets::hello_packet(&packets::hello())).await;
        assert_eq!(raw.next().await.header.msg_type, MessageType::ServerHelloAck);
        raw
    };
    let (raw, session) = tokio::join!(opening, listener.accept());
    (raw, session.unwrap(), listener)
}

/// A session of our client with a raw server.
async fn dialled() -> (ClientSession, Raw) {
    dialled_as(ClientConfig::new()).await
}

async fn dialled_as(config: ClientConfig) -> (ClientSession, Raw) {
    let made = development_certificate().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(made.private_key.as_bytes()).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(quic_peer::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![quic_peer::ALPN.to_vec()];
    let tls = QuicServerConfig::try_from(tls).unwrap();
    let endpoint = Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(tls)), loopback()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let trust = Trust::Certificates(made.certificate.into_bytes());
    let accepting = async {
        let quic = endpoint.accept().await.unwrap().await.unwrap();
        let (control, mut answers) = quic.accept_bi().await.unwrap();
        assert_eq!(read_packet(&mut answers).await.header.msg_type, MessageType::ClientHello);
        let mut raw = Raw { quic, control, answers, _endpoint: endpoint };
        let ack = ServerHelloAckMetadata {
            selected_version_major: 1,
            session_id: SESSION,
            accepted_profile_bitmap: 1,
            max_concurrent_frames: 4,
            ..ServerHelloAckMetadata::default()
        };
        raw.say(&packets::control(MessageType::ServerHelloAck, SESSION, &ack.encode())).await;
        raw
    };
    let (client, raw) = tokio::join!(dial(Kind::Quic, address, trust, config), accepting);
    (client.unwrap(), raw)
}

fn submit(frame_id: u32) -> Vec<u8> {
    packets::submit_packet(SESSION, frame_id).to_bytes().to_vec()
}

fn result(frame_id: u32) -> Packet {
    text_result(frame_id, "here").encode(SESSION, Revision::Current).unwrap().to_packet()
}

async fn takes(session: &ServerSession, frame_id: u32) -> nnrp::Submit {
    let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
    assert_eq!(submit.key().frame_id, frame_id);
    submit
}

/// Proves that the session works, by frame `frame_id`.
async fn goes_on(raw: &Raw, session: &ServerSession, frame_id: u32) {
    raw.finished(&submit(frame_id)).await;
    takes(session, frame_id).await.reply(text_result(0, "here")).await.unwrap();
    loop {
        let mut stream = soon("a result", raw.quic.accept_uni()).await.unwrap();
        let header = read_packet(&mut stream).await.header;
        if (header.msg_type, header.frame_id) == (MessageType::ResultPush, frame_id) {
            return;
        }
    }
}

// Rules R-QUIC-2
pub(crate) async fn a_frame_on_the_control_stream_is_refused() {
    let (mut raw, session, _listener) = served().await;
    raw.say(&packets::submit_packet(SESSION, 1)).await;
    assert_eq!(raw.error().await, (ErrorCode::InvalidState, ErrorScope::Frame, false));
    goes_on(&raw, &session, 2).await;
}

// Rules R-QUIC-3
pub(crate) async fn results_on_the_control_stream_are_results() {
    let (client, mut raw) = dialled().await;
    for frame_id in [1, 2] {
        client.send(&frame(frame_id)).await.unwrap();
    }
    raw.say(&result(1)).await;
    assert_eq!(text_of(&soon("a result", client.receive_for(1, None)).await.unwrap()), "here");
    let mut drop = packets::bare(MessageType::ResultDrop, SESSION);
    drop.header.frame_id = 2;
    raw.say(&drop).await;
    let reply = soon("a drop", client.receive_for(2, None)).await.unwrap();
    assert!(matches!(&reply, nnrp::Reply::Dropped { .. }), "{reply:?}");
}

// Rules R-QUIC-4
pub(crate) async fn control_messages_on_streams_of_frames_are_what_they_are() {
    let (mut raw, session, _listener) = served().await;
    raw.finished(&packets::bare(MessageType::Ping, SESSION).to_bytes()).await;
    assert_eq!(raw.next().await.header.msg_type, MessageType::Pong);
    goes_on(&raw, &session, 1).await;

    let (client, raw) = dialled().await;
    let mut updates = client.flow_updates();
    let update = FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Session,
        update_reason: FlowUpdateReason::Grant,
        session_credit: 7,
        credit_epoch: 1,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        ..FlowUpdateMetadata::default()
    };
    raw.finished(&packets::control(MessageType::FlowUpdate, SESSION, &update.encode()).to_bytes()).await;
    assert_eq!(soon("a flow update", updates.next()).await.unwrap().1.session_credit, 7);
}

// Rules R-QUIC-5
pub(crate) async fn a_stream_that_ends_inside_a_header_ends_the_connection() {
    for bytes in [1, 39] {
        let (mut raw, session, _listener) = served().await;
        raw.finished(&submit(1)[..bytes]).await;
        assert_eq!(raw.error().await, (ErrorCode::MalformedHeader, ErrorScope::Connection, true));
        assert_eq!(soon("the end", session.closed()).await.0.by, EndedBy::Fault);
    }
}

// Rules R-QUIC-6
pub(crate) async fn a_stream_that_ends_inside_a_body_costs_its_frame() {
    let (mut raw, session, _listener) = served().await;
    let whole = submit(1);
    for bytes in [40, 50, whole.len() - 1] {
        raw.finished(&whole[..bytes]).await;
        assert_eq!(raw.error().await, (ErrorCode::MalformedBody, ErrorScope::Frame, false));
        let mut stream = soon("a drop", raw.quic.accept_uni()).await.unwrap();
        assert_eq!(read_packet(&mut stream).await.header.msg_type, MessageType::ResultDrop);
    }
    goes_on(&raw, &session, 2).await;
}

// Rules R-QUIC-7
pub(crate) async fn a_frame_that_is_withdrawn_never_was() {
    let (mut raw, session, _listener) = served().await;
    let whole = submit(1);
    for bytes in [1, 39, 40, 50, whole.len() - 1] {
        raw.stream(&whole[..bytes]).await.reset(VarInt::from_u32(0)).unwrap();
    }
    raw.is_alive().await;
    goes_on(&raw, &session, 2).await;
    raw.is_alive().await;
}

// Rules R-QUIC-7
pub(crate) async fn without_its_control_stream_a_session_is_lost() {
    // Frames sent before may still arrive, so each takes the drain time.
    let lose = async |end: fn(&mut SendStream)| {
        let (mut raw, session, _listener) = served().await;
        raw.finished(&submit(1)).await;
        let owed = takes(&session, 1).await;
        end(&mut raw.control);
        let Err(SessionError::Closed(closed)) = soon("the end", session.receive()).await else { panic!() };
        assert_eq!(closed.0.by, EndedBy::Transport);
        drop(owed);
    };
    tokio::join!(
        lose(|control| control.finish().unwrap()),
        lose(|control| control.reset(VarInt::from_u32(0)).unwrap())
    );
}

// Rules R-QUIC-8
pub(crate) async fn a_second_control_stream_is_refused() {
    let (mut raw, session, _listener) = served().await;
    let (mut send, mut receive) = raw.quic.open_bi().await.unwrap();
    send.write_all(&packets::bare(MessageType::Ping, SESSION).to_bytes()).await.unwrap();
    let stopped = soon("STOP_SENDING", send.stopped()).await.unwrap();
    assert_eq!(stopped, Some(VarInt::from_u32(3)));
    let reset = soon("RESET_STREAM", receive.read_chunk(1, true)).await;
    assert!(matches!(reset, Err(ReadError::Reset(code)) if code == VarInt::from_u32(3)), "{reset:?}");
    raw.is_alive().await;
    goes_on(&raw, &session, 1).await;
}

// Rules R-QUIC-9
pub(crate) async fn every_packet_of_a_stream_is_taken() {
    let (raw, session, _listener) = served().await;
    raw.finished(&[submit(1), submit(2), submit(3)].concat()).await;
    for frame_id in 1..=3 {
        takes(&session, frame_id).await.reply(text_result(0, "here")).await.unwrap();
    }
    let (client, raw) = dialled().await;
    client.send(&frame(1)).await.unwrap();
    raw.finished(&[result(1).to_bytes(), result(1).to_bytes()].concat()).await;
    for _ in 0..2 {
        assert_eq!(text_of(&soon("a result", client.receive()).await.unwrap()), "here");
    }
}

// Rules R-QUIC-10
pub(crate) async fn datagrams_are_one_small_packet_or_nothing() {
    let (mut raw, session, _listener) = served().await;
    let ping = packets::bare(MessageType::Ping, SESSION).to_bytes();
    let mut longer = ping.to_vec();
    longer[16] = 1; // body_len
    for nothing in [
        Vec::new(),
        b"NNRP".to_vec(),
        vec![0xFF; 40],
        submit(1),
        [ping.clone(), ping.clone()].concat(),
        packets::bare(MessageType::Close, SESSION).to_bytes().to_vec(),
        longer,
    ] {
        raw.quic.send_datagram_wait(nothing.into()).await.unwrap();
    }
    raw.is_alive().await;
    // One may be lost on the way, a few are not.
    for _ in 0..3 {
        raw.quic.send_datagram_wait(ping.clone()).await.unwrap();
    }
    // What came in a datagram is answered in one.
    let pong = soon("a PONG", raw.quic.read_datagram()).await.unwrap();
    assert_eq!(Header::decode(pong.first_chunk().unwrap()).unwrap().msg_type, MessageType::Pong);
    raw.finished(&submit(2)).await;
    let submit = takes(&session, 2).await;
    let mut cancel = packets::bare(MessageType::FrameCancel, SESSION);
    cancel.header.frame_id = 2;
    for _ in 0..3 {
        raw.quic.send_datagram_wait(cancel.to_bytes()).await.unwrap();
    }
    soon("the cancellation", submit.cancelled()).await;
    assert!(session.frame_cancelled(FrameKey::new(2)));
}

/// Results of one frame are handed out in the order of their streams. Those behind the first take all the room there is for
/// bodies: were the first to wait for room, all of them would wait for ever.
pub(crate) async fn a_result_that_others_wait_for_needs_no_room_that_they_take() {
    const BODY: u32 = 64 * 1024;
    let (client, mut raw) = dialled_as(ClientConfig::new().max_body_bytes(BODY)).await;
    client.send(&frame(1)).await.unwrap();
    let part = |number: usize| {
        let text = format!("{number} {}", "x".repeat(BODY as usize - 1000));
        let mut result = text_result(1, &text);
        result.result_class =
            if number < UNREAD_BODIES { ResultClass::Partial } else { ResultClass::Complete };
        result.encode(SESSION, Revision::Current).unwrap().to_bytes()
    };
    // The first stream is there, and not a byte on it.
    let mut first = raw.quic.open_uni().await.unwrap();
    for number in 1..=UNREAD_BODIES {
        let mut stream = raw.stream(&part(number)).await;
        stream.finish().unwrap();
        assert_eq!(soon("an acknowledgement", stream.stopped()).await.unwrap(), None);
    }
    // The client's tasks are through with them when it has answered a few questions.
    for _ in 0..20 {
        raw.say(&packets::bare(MessageType::Ping, SESSION)).await;
        // It asks, too.
        while raw.next().await.header.msg_type != MessageType::Pong {}
    }
    first.write_all(&part(0)).await.unwrap();
    first.finish().unwrap();
    for number in 0..=UNREAD_BODIES {
        let reply = soon("a part", client.receive()).await.unwrap();
        assert_eq!(text_of(&reply).split(' ').next().unwrap(), number.to_string());
    }
    client.close("").await;
}
