//! What a client makes of a server that breaks a rule: packets made by hand, on each transport.

use bytes::Bytes;
use nnrp::wire::{
    CacheAckMetadata, ErrorCode, ErrorMetadata, ErrorScope, FlowUpdateFlags, FlowUpdateMetadata,
    FlowUpdateReason, FlowUpdateScopeKind, Header, HeaderFlags, MessageType, Packet, ResultClass,
    ResultFrame, Revision, ServerHelloAckMetadata,
};
use nnrp::{
    ClientConfig, ClientSession, Connection, DialError, Filter, HandshakeError, Item, Reply, ServerConfig,
    memory,
};
use nnrp_testkit::packets;

use super::harness::{Kind, Server, frame, soon, text_of, text_result};

const SESSION: u32 = 1;

fn ack_metadata() -> ServerHelloAckMetadata {
    ServerHelloAckMetadata {
        selected_version_major: 1,
        session_id: SESSION,
        accepted_profile_bitmap: 1,
        max_concurrent_frames: 4,
        ..ServerHelloAckMetadata::default()
    }
}

fn packet(message: MessageType, metadata: &[u8], body: &'static [u8]) -> Packet {
    let header = Header { session_id: SESSION, ..Header::new(message) };
    Packet::build(header, Bytes::copy_from_slice(metadata), Bytes::from_static(body))
}

/// A client whose hello was answered by `answer`, and the server, which has no library.
async fn answered(kind: Kind, answer: Packet) -> (Result<ClientSession, HandshakeError>, Connection) {
    let by_hand = |connection: Connection| async move {
        connection.claim();
        let hello = soon("a hello", connection.receive(Filter::Any)).await;
        assert!(matches!(hello, Ok(Item::Packet(_))), "{hello:?}");
        connection.send(answer).await.unwrap();
        connection
    };
    if kind == Kind::Memory {
        let (client, server) = memory::pair();
        return tokio::join!(ClientSession::open(client, ClientConfig::new()), by_hand(server));
    }
    let server = Server::start(kind, ServerConfig::new()).await;
    let accepting = async { by_hand(server.listener.accept_connection().await.unwrap()).await };
    let (client, connection) = tokio::join!(server.dial(kind, ClientConfig::new()), accepting);
    let client = client.map_err(|error| match error {
        DialError::Handshake(error) => error,
        other => panic!("{other:?}"),
    });
    (client, connection)
}

async fn session(kind: Kind) -> (ClientSession, Connection) {
    let (client, server) =
        answered(kind, packet(MessageType::ServerHelloAck, &ack_metadata().encode(), b"")).await;
    (client.unwrap(), server)
}

/// Proves that the session works, by a result of frame `frame_id`.
async fn goes_on(client: &ClientSession, server: &Connection, frame_id: u32) {
    client.send(&frame(frame_id)).await.unwrap();
    let result = text_result(frame_id, "on it goes").encode(SESSION, Revision::Current).unwrap();
    server.send(result.to_packet()).await.unwrap();
    let reply = soon("a result", client.receive_for(frame_id, None)).await.unwrap();
    assert_eq!(text_of(&reply), "on it goes");
}

// Rules R-ACK-1, R-ACK-2, R-ACK-3, R-ACK-6
pub(crate) async fn an_answer_that_breaks_a_rule_is_no_session(kind: Kind) {
    let ack = |change: fn(&mut ServerHelloAckMetadata)| {
        let mut metadata = ack_metadata();
        change(&mut metadata);
        packet(MessageType::ServerHelloAck, &metadata.encode(), b"")
    };
    for (answer, code) in [
        (ack(|ack| ack.selected_version_major = 2), ErrorCode::UnsupportedVersion),
        (ack(|ack| ack.auth_status = 1), ErrorCode::AuthFailed),
        (ack(|ack| ack.session_id = 0), ErrorCode::InvalidState),
        (ack(|ack| ack.session_id = SESSION + 1), ErrorCode::InvalidState),
        (packet(MessageType::ResultHint, &[0; 16], b""), ErrorCode::InvalidState),
    ] {
        let (client, _server) = answered(kind, answer).await;
        let Err(HandshakeError::Refused(failure)) = client else { panic!("{client:?}") };
        assert_eq!(failure.fault.code, code);
    }
}

// Rules R-MODEL-1
pub(crate) async fn a_model_name_that_is_not_utf_8_is_read_with_replacements(kind: Kind) {
    let ack = packet(MessageType::ServerHelloAck, &ack_metadata().encode(), b"\xFFsr");
    let (client, _server) = answered(kind, ack).await;
    assert_eq!(client.unwrap().ack().model_name, "\u{FFFD}sr");
}

// Rules R-ERR-2, R-ERR-4
pub(crate) async fn the_text_of_an_error_is_what_there_is_of_it(kind: Kind) {
    let (client, server) = session(kind).await;
    for (frame_id, diagnostic_bytes, body) in [(1, 1000, &b"oops"[..]), (2, 4, b"oops\0\0\0\0\xFF\xFF\xFF")] {
        client.send(&frame(frame_id)).await.unwrap();
        let metadata = ErrorMetadata {
            error_scope: ErrorScope::Frame,
            error_code: ErrorCode::CacheMiss,
            related_frame_id: frame_id,
            diagnostic_bytes,
            ..ErrorMetadata::default()
        };
        server.send(packet(MessageType::Error, &metadata.encode(), body)).await.unwrap();
        let reply = soon("a failure", client.receive_for(frame_id, None)).await.unwrap();
        let Reply::Failed(failed) = reply else { panic!("{reply:?}") };
        assert_eq!(failed.fault.text, "oops");
    }
    goes_on(&client, &server, 3).await;
}

// Rules R-ERR-1
pub(crate) async fn an_error_of_an_unknown_scope_ends_the_session(kind: Kind) {
    let (client, server) = session(kind).await;
    let metadata = ErrorMetadata { error_scope: 200.into(), is_fatal: 1, ..ErrorMetadata::default() };
    server.send(packet(MessageType::Error, &metadata.encode(), b"")).await.unwrap();
    soon("the end", client.closed()).await;
}

// Rules R-ERR-3, R-CACHE-9, R-PROBE-3
pub(crate) async fn what_is_about_nothing_does_no_harm(kind: Kind) {
    let (client, server) = session(kind).await;
    let gone =
        ErrorMetadata { error_scope: ErrorScope::Frame, related_frame_id: 99, ..ErrorMetadata::default() };
    server.send(packet(MessageType::Error, &gone.encode(), b"")).await.unwrap();
    let ack = CacheAckMetadata::default().encode();
    server.send(packet(MessageType::CacheAck, &ack, b"")).await.unwrap();
    server.send(packets::control(MessageType::TransportProbeAck, 0, &[0; 16])).await.unwrap();
    goes_on(&client, &server, 1).await;
}

// Rules R-RES-9, R-RES-10, R-HDR-7
pub(crate) async fn results_nobody_expects_like_that_are_delivered(kind: Kind) {
    let (client, server) = session(kind).await;
    for result in [
        ResultFrame { result_class: ResultClass::StaleReuse, ..text_result(1, "stale") },
        ResultFrame { flags: HeaderFlags::CAN_DROP, ..text_result(2, "stale") },
    ] {
        let packet = result.encode(SESSION, Revision::Current).unwrap().to_packet();
        server.send(packet).await.unwrap();
        let reply = soon("a result", client.receive_for(result.frame_id, None)).await.unwrap();
        assert_eq!(text_of(&reply), "stale");
    }
}

// Rules R-FLOW-6
pub(crate) async fn an_older_flow_update_is_not_told(kind: Kind) {
    let (client, server) = session(kind).await;
    let mut updates = client.flow_updates();
    for credit_epoch in [5, 4, 5, 6] {
        let update = FlowUpdateMetadata {
            scope_kind: FlowUpdateScopeKind::Session,
            update_reason: FlowUpdateReason::Grant,
            session_credit: 2,
            credit_epoch,
            flow_flags: FlowUpdateFlags::CREDIT_VALID,
            ..FlowUpdateMetadata::default()
        };
        server.send(packet(MessageType::FlowUpdate, &update.encode(), b"")).await.unwrap();
    }
    for epoch in [5, 6] {
        let (_, update) = soon("a flow update", updates.next()).await.unwrap();
        assert_eq!(update.credit_epoch, epoch);
    }
}
