//! What a server answers to hellos: each refusal with its code, and each agreement as both sides see it.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use nnrp::wire::{
    ClientHello, ControlExtension, ControlExtensionFlags, DegradePolicy, ErrorCode, ErrorMessage, ErrorScope,
    Header, LossTolerance, LossToleranceAckExtension, LossToleranceExtension, MessageType, Packet,
    PayloadCapabilitiesAckExtension, PayloadCapabilitiesExtension, PayloadKind, ServerFlags, TransportId,
    TransportPolicy, TransportPolicyAckExtension, TransportPolicyExtension,
};
use nnrp::{
    Admission, ClientConfig, ClientSession, Connection, FailedHandshake, Filter, HandshakeError,
    HandshakeOptions, Item, PendingSession, ServerConfig, ServerSession, ServerSettings,
};

use super::harness::{Kind, Server, soon};
use nnrp_testkit::packets;

/// A raw client, and what will read its hello. The server stays alive with it.
struct Knock {
    client: Connection,
    server: Knocked,
}

enum Knocked {
    Memory(Connection),
    Network(Server),
}

impl Knock {
    async fn at(kind: Kind) -> Self {
        if kind == Kind::Memory {
            let (client, server) = nnrp::memory::pair();
            return Knock { client, server: Knocked::Memory(server) };
        }
        let server = Server::start(kind, ServerConfig::new()).await;
        Knock { client: server.dial_raw(kind).await, server: Knocked::Network(server) }
    }

    /// What the server reads.
    async fn heard(&self, settings: ServerSettings) -> Result<PendingSession, HandshakeError> {
        match &self.server {
            Knocked::Memory(server) => PendingSession::read(server.clone(), settings, None).await,
            Knocked::Network(server) => {
                let options = HandshakeOptions { settings, ..HandshakeOptions::default() };
                let heard = server.listener.accept_hello(&options).await.expect("the listener is open");
                heard.map_err(|FailedHandshake { error, .. }| error)
            }
        }
    }
}

/// Sends `packet` first, lets `decide` decide about a hello that is correct, and returns the ERROR that comes back.
async fn refused(kind: Kind, packet: Packet, decide: impl FnOnce(PendingSession)) -> ErrorMessage {
    let knock = Knock::at(kind).await;
    knock.client.send(packet).await.unwrap();
    if let Ok(pending) = soon("a hello", knock.heard(ServerSettings::default())).await {
        decide(pending);
    }
    let answer = soon("an ERROR", knock.client.receive(Filter::Message(MessageType::Error))).await;
    let Ok(Item::Packet(answer)) = answer else { panic!("{answer:?}") };
    ErrorMessage::decode(&answer).unwrap()
}

/// A client that should be let in, and cannot be.
fn admit(pending: PendingSession) {
    assert!(pending.admit(Admission::default()).is_err());
}

/// An ordinary hello whose metadata has other bytes at `offset`.
fn hello_with(offset: usize, bytes: &[u8]) -> Packet {
    let mut packet = packets::hello_packet(&packets::hello());
    let mut metadata = BytesMut::from(&packet.metadata[..]);
    metadata[offset..offset + bytes.len()].copy_from_slice(bytes);
    packet.metadata = metadata.freeze();
    packet
}

/// An ordinary hello with these extensions, whole or not.
fn hello_and(block: &[u8]) -> Packet {
    let mut packet = hello_with(60, &u32::try_from(block.len()).unwrap().to_le_bytes());
    packet.header.body_len = u32::try_from(block.len()).unwrap();
    packet.body = Bytes::copy_from_slice(block);
    packet
}

fn entry(ext_type: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes =
        [&ext_type.to_le_bytes()[..], &flags.to_le_bytes(), &length.to_le_bytes(), payload].concat();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

pub(crate) async fn hellos_that_break_a_rule_are_refused_with_its_code(kind: Kind) {
    use ErrorCode::{InvalidState, MalformedBody, UnsupportedCapability, UnsupportedVersion};
    let twice = [entry(0x0103, 0, &[0; 8]), entry(0x0103, 0, &[0; 8])].concat();
    let cases = [
        ("another version", hello_with(0, &[2, 3]), UnsupportedVersion),
        ("another wire format", hello_with(2, &[2, 0]), UnsupportedVersion),
        ("no common profile", hello_with(4, &[0x10, 0, 0, 0]), UnsupportedCapability),
        ("unknown payload kinds", hello_with(8, &[0, 0, 0x10, 0]), UnsupportedCapability),
        ("lengths that do not add up", hello_with(56, &[99, 0, 0, 0]), MalformedBody),
        ("half an extension", hello_and(&[1, 1, 0, 0]), MalformedBody),
        ("an extension beyond its block", hello_and(&[1, 1, 0, 0, 64, 0, 0, 0]), MalformedBody),
        ("an extension of another length", hello_and(&entry(0x0101, 0, &[0; 4])), MalformedBody),
        ("one extension twice", hello_and(&twice), MalformedBody),
        ("an unknown policy", hello_and(&entry(0x0101, 0, &[9; 8])), UnsupportedCapability),
        (
            "an unknown loss tolerance",
            hello_and(&entry(0x0103, 0, &[9, 0, 0, 0, 0, 0, 0, 0])),
            UnsupportedCapability,
        ),
        (
            "kinds nobody knows",
            hello_and(&entry(0x0105, 0, &[0, 0, 1, 0, 0, 0, 0, 0])),
            UnsupportedCapability,
        ),
        ("an unknown critical extension", hello_and(&entry(0x8002, 1, b"?")), UnsupportedCapability),
        ("no hello at all", packets::control(MessageType::FlowUpdate, 1, &[0; 32]), InvalidState),
    ];
    for (what, packet, code) in cases {
        let error = refused(kind, packet, admit).await;
        assert_eq!(error.metadata.error_code, code, "{what}: {}", error.diagnostic);
        assert_eq!(
            (error.metadata.error_scope, error.metadata.is_fatal),
            (ErrorScope::Connection, 1),
            "{what}"
        );
        assert!(!error.diagnostic.is_empty(), "{what}");
    }
}

pub(crate) async fn forcing_the_other_transport_is_refused(kind: Kind) {
    let forced = |transport: TransportId| match transport {
        TransportId::Quic => TransportPolicy::ForceTcp,
        _ => TransportPolicy::ForceQuic,
    };
    let transport = Knock::at(kind).await.client.transport();
    let block = entry(0x0101, 0, &[u8::from(forced(transport)), 0, 0, 0, 0, 0, 0, 0]);
    let error = refused(kind, hello_and(&block), admit).await;
    assert_eq!(error.metadata.error_code, ErrorCode::UnsupportedCapability);
}

pub(crate) async fn the_application_refuses_with_the_code_it_likes(kind: Kind) {
    let hello = || packets::hello_packet(&packets::hello());
    let error = refused(kind, hello(), |pending| pending.refuse(ErrorCode::AuthFailed, "no")).await;
    assert_eq!((error.metadata.error_code, error.diagnostic.as_str()), (ErrorCode::AuthFailed, "no"));
    let error = refused(kind, hello(), |pending| pending.turn_away(Duration::from_secs(3))).await;
    assert_eq!((error.metadata.error_code, error.metadata.retry_after_ms), (ErrorCode::ServerBusy, 3000));
}

/// Opens a session: what the client asks for, and how the server admits it.
async fn agreed(
    kind: Kind,
    hello: ClientHello,
    settings: ServerSettings,
    admission: Admission,
) -> (ClientSession, ServerSession) {
    let Knock { client, server } = Knock::at(kind).await;
    let knock = Knock { client: client.clone(), server };
    let admitting = async { knock.heard(settings).await.unwrap().admit(admission).unwrap() };
    let opening = ClientSession::open(client, ClientConfig::from_hello(hello));
    let (opened, admitted) = soon("a session", async { tokio::join!(opening, admitting) }).await;
    (opened.unwrap(), admitted)
}

pub(crate) async fn both_sides_see_what_was_agreed(kind: Kind) {
    let application = |ext_type, payload: &'static str| ControlExtension {
        ext_type,
        flags: ControlExtensionFlags::NONE,
        payload: payload.into(),
    };
    let transport = Knock::at(kind).await.client.transport();
    let mut hello = packets::hello();
    let offer = &mut hello.metadata;
    (offer.supported_codec_bitmap, offer.supported_compression_bitmap) = (0b11, 0b110);
    (offer.supported_dtype_bitmap, offer.supported_layout_bitmap) = (0x1F, 0b10);
    (offer.max_lane_count, offer.requested_session_id) = (8, 0);
    (offer.cache_object_bitmap, offer.cache_digest_bitmap) = (0b111, 1);
    (offer.target_cadence_x100, offer.quality_tier) = (3_000, 4);
    offer.degrade_policy = DegradePolicy::PreferQuality;
    let kinds = PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK | PayloadKind::AUDIO_CHUNK;
    hello.extensions = vec![
        TransportPolicyExtension { transport_policy: TransportPolicy::PreferQuic, ..Default::default() }
            .to_extension(),
        LossToleranceExtension { session_loss_tolerance: LossTolerance::LowLatency, ..Default::default() }
            .to_extension(),
        PayloadCapabilitiesExtension { payload_kind_bitmap: kinds, ..Default::default() }.to_extension(),
        application(0x7001, "asked"),
    ];
    let mut settings = ServerSettings::default();
    (settings.codecs, settings.compressions, settings.dtypes, settings.layouts) = (0b1, 0b10, 0b1010, 0b11);
    (settings.max_lanes, settings.max_concurrent_frames, settings.max_body_bytes) = (2, 6, 1 << 20);
    (settings.max_cache_entries, settings.max_cache_bytes) = (9, 4096);
    settings.payload_kinds = PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK | PayloadKind::VIDEO_CHUNK;
    settings.max_loss_tolerance = LossTolerance::BestEffort;
    let admission = Admission {
        session_id: Some(77),
        model_name: "sr-2x".into(),
        extra_extensions: vec![application(0x7002, "answered")],
        token_ttl: Some(Duration::from_secs(3600)),
        ..Admission::default()
    };
    let (client, server) = agreed(kind, hello, settings, admission).await;
    assert_eq!(server.hello().hello.extensions.last(), Some(&application(0x7001, "asked")));
    // What the server has in its hands lacks one thing: the length that encoding fills in.
    let mut said = server.ack().metadata;
    said.control_extension_bytes = client.ack().metadata.control_extension_bytes;
    assert_eq!(client.ack().metadata, said);
    assert_eq!(client.ack().extensions, server.ack().extensions);
    assert_eq!((client.id(), server.id(), client.ack().model_name.as_str()), (77, 77, "sr-2x"));

    let ack = &client.ack().metadata;
    assert_eq!((ack.selected_version_major, ack.selected_wire_format, ack.auth_status), (1, 0, 0));
    assert_eq!((ack.accepted_profile_bitmap, ack.accepted_codec_bitmap), (1, 0b1));
    assert_eq!((ack.accepted_compression_bitmap, ack.accepted_dtype_bitmap), (0b10, 0b1010));
    assert_eq!((ack.accepted_layout_bitmap, ack.max_lane_count), (0b10, 2));
    assert_eq!((ack.max_concurrent_frames, ack.max_body_bytes), (6, 1 << 20));
    assert_eq!((ack.cache_object_bitmap, ack.cache_digest_bitmap), (0b111, 1));
    assert_eq!((ack.max_cache_entries, ack.max_cache_bytes), (9, 4096));
    assert_eq!(ack.server_flags, ServerFlags::CACHE_ENABLED);
    assert_eq!((ack.target_cadence_x100, ack.quality_tier), (3_000, 4));
    assert_eq!((ack.degrade_policy, ack.token_ttl_ms), (DegradePolicy::PreferQuality, 3_600_000));
    let common = PayloadKind::TENSOR | PayloadKind::TOKEN_CHUNK;
    assert_eq!(ack.accepted_payload_kind_bitmap, common);

    let [policy, loss, capabilities, extra] = &client.ack().extensions[..] else {
        panic!("{:?}", client.ack().extensions)
    };
    let policy = TransportPolicyAckExtension::from_extension(policy).unwrap();
    assert_eq!(
        (policy.transport_policy, policy.active_transport_id),
        (TransportPolicy::PreferQuic, transport)
    );
    let honoured =
        if transport == TransportId::Quic { TransportPolicy::PreferQuic } else { TransportPolicy::Auto };
    assert_eq!(policy.accepted_transport_policy, honoured);
    let loss = LossToleranceAckExtension::from_extension(loss).unwrap();
    assert_eq!(loss.accepted_loss_tolerance, LossTolerance::BestEffort);
    let capabilities = PayloadCapabilitiesAckExtension::from_extension(capabilities).unwrap();
    assert_eq!(capabilities.accepted_payload_kind_bitmap, common);
    assert_eq!(extra, &application(0x7002, "answered"));
}

pub(crate) async fn an_acknowledgement_with_another_auth_status_is_a_refusal(kind: Kind) {
    use nnrp::wire::{ServerHelloAck, ServerHelloAckMetadata};
    let (client, server) = if kind == Kind::Memory {
        nnrp::memory::pair()
    } else {
        let server = Server::start(kind, ServerConfig::new()).await;
        let (client, accepted) = tokio::join!(server.dial_raw(kind), server.listener.accept_connection());
        (client, accepted.unwrap())
    };
    server.claim();
    let answering = async {
        server.receive(Filter::Any).await.unwrap();
        let metadata = ServerHelloAckMetadata {
            selected_version_major: 1,
            session_id: 1,
            auth_status: 1,
            retry_after_ms: 40,
            ..Default::default()
        };
        let mut header = Header::new(MessageType::ServerHelloAck);
        header.session_id = 1;
        let ack = ServerHelloAck { metadata, ..Default::default() }.encode(header).unwrap();
        server.send(ack.to_packet()).await.unwrap();
    };
    let opening = ClientSession::open(client, ClientConfig::new());
    let (opened, ()) = soon("a refusal", async { tokio::join!(opening, answering) }).await;
    let error = opened.map(|_| ()).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
    assert_eq!(error.retry_after(), Some(Duration::from_millis(40)));
}
