//! What a client makes of a server that breaks a rule: packets made by hand, on each transport.

use bytes::Bytes;
use nnrp::wire::{
    CacheAckMetadata, CacheObjectKind, ErrorCode, ErrorMetadata, ErrorScope, FlowUpdateFlags,
    FlowUpdateMetadata, FlowUpdateReason, FlowUpdateScopeKind, Header, HeaderFlags, MessageType,
    ObjectReferenceBlock, Packet, PayloadCapabilitiesExtension, PayloadKind, ResultClass, ResultFrame,
    Revision, ServerHelloAckMetadata, SessionPatchAckMetadata,
};
use nnrp::{
    ClientConfig, ClientSession, CommandError, Connection, CreditPolicy, DialError, Filter, HandshakeError,
    Item, ProbeOptions, Reply, SendError, ServerConfig, memory, probe_by,
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
    answered_as(kind, ClientConfig::new(), answer).await
}

/// The same of a client that is set up otherwise.
async fn answered_as(
    kind: Kind,
    config: ClientConfig,
    answer: Packet,
) -> (Result<ClientSession, HandshakeError>, Connection) {
    let by_hand = |connection: Connection| async move {
        connection.claim();
        let hello = soon("a hello", connection.receive(Filter::Any)).await;
        assert!(matches!(hello, Ok(Item::Packet(_))), "{hello:?}");
        connection.send(answer).await.unwrap();
        connection
    };
    if kind == Kind::Memory {
        let (client, server) = memory::pair();
        return tokio::join!(ClientSession::open(client, config), by_hand(server));
    }
    let server = Server::start(kind, ServerConfig::new()).await;
    let accepting = async { by_hand(server.listener.accept_connection().await.unwrap()).await };
    let (client, connection) = tokio::join!(server.dial(kind, config), accepting);
    let client = client.map_err(|error| match error {
        DialError::Handshake(error) => error,
        other => panic!("{other:?}"),
    });
    (client, connection)
}

pub(super) async fn session(kind: Kind) -> (ClientSession, Connection) {
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

// Rules R-ACK-4
pub(crate) async fn an_acknowledgement_without_credit_is_a_session(kind: Kind) {
    let metadata = ServerHelloAckMetadata { max_concurrent_frames: 0, ..ack_metadata() };
    let ack = packet(MessageType::ServerHelloAck, &metadata.encode(), b"");
    let config = ClientConfig::new().credit(CreditPolicy::Strict);
    let (client, server) = answered_as(kind, config, ack).await;
    let client = client.unwrap();
    let held = client.try_send(&frame(1)).await;
    assert!(matches!(held, Err(SendError::Command(CommandError::Held(_)))), "{held:?}");
    let grant = FlowUpdateMetadata {
        scope_kind: FlowUpdateScopeKind::Connection,
        update_reason: FlowUpdateReason::Grant,
        connection_credit: 1,
        flow_flags: FlowUpdateFlags::CREDIT_VALID,
        ..FlowUpdateMetadata::default()
    };
    let grants = [
        grant,
        FlowUpdateMetadata {
            scope_kind: FlowUpdateScopeKind::Session,
            connection_credit: 0,
            session_credit: 1,
            ..grant
        },
    ];
    for grant in grants {
        let mut packet = packet(MessageType::FlowUpdate, &grant.encode(), b"");
        if grant.scope_kind == FlowUpdateScopeKind::Connection {
            packet.header.session_id = 0;
        }
        server.send(packet).await.unwrap();
    }
    soon("the credit", client.send(&frame(1))).await.unwrap();
}

// Rules R-LIFE-4
pub(crate) async fn a_second_drop_says_nothing_new(kind: Kind) {
    let (client, server) = session(kind).await;
    client.send(&frame(1)).await.unwrap();
    let mut drop = packets::bare(MessageType::ResultDrop, SESSION);
    drop.header.frame_id = 1;
    for _ in 0..2 {
        server.send(drop.clone()).await.unwrap();
    }
    let reply = soon("a drop", client.receive()).await.unwrap();
    assert!(matches!(&reply, Reply::Dropped { .. }), "{reply:?}");
    client.send(&frame(2)).await.unwrap();
    let result = text_result(2, "of the next").encode(SESSION, Revision::Current).unwrap();
    server.send(result.to_packet()).await.unwrap();
    assert_eq!(text_of(&soon("a result", client.receive()).await.unwrap()), "of the next");
}

// Rules R-NEG-3
pub(crate) async fn a_result_of_a_kind_that_was_not_declared_is_delivered(kind: Kind) {
    let kinds =
        PayloadCapabilitiesExtension { payload_kind_bitmap: PayloadKind::TENSOR, ..Default::default() };
    let config = ClientConfig::new().extension(kinds.to_extension());
    let ack = packet(MessageType::ServerHelloAck, &ack_metadata().encode(), b"");
    let (client, server) = answered_as(kind, config, ack).await;
    // With text, which is no tensor.
    goes_on(&client.unwrap(), &server, 1).await;
}

// Rules R-OBJ-37
pub(crate) async fn a_result_that_refers_to_what_is_not_there_fails_its_frame_only(kind: Kind) {
    let (client, server) = session(kind).await;
    client.send(&frame(1)).await.unwrap();
    let reference = ObjectReferenceBlock {
        object_kind: CacheObjectKind::ToolSchema,
        cache_key_lo: 7,
        ..ObjectReferenceBlock::default()
    };
    let result = ResultFrame { references: vec![reference], ..text_result(1, "with a schema") };
    server.send(result.encode(SESSION, Revision::Current).unwrap().to_packet()).await.unwrap();
    let reply = soon("a failure", client.receive_for(1, None)).await.unwrap();
    assert!(
        matches!(&reply, Reply::Failed(failed) if failed.fault.code == ErrorCode::CacheMiss),
        "{reply:?}"
    );
    goes_on(&client, &server, 2).await;
}

// Rules R-PROBE-4
pub(crate) async fn a_probe_that_is_answered_with_a_body_has_failed(kind: Kind) {
    let (probing, answering) = match kind {
        Kind::Memory => {
            let (client, server) = memory::pair();
            (client, server)
        }
        _ => {
            let server = Server::start(kind, ServerConfig::new()).await;
            (server.dial_raw(kind).await, server.listener.accept_connection().await.unwrap())
        }
    };
    answering.claim();
    let answer = async {
        let item = soon("a probe", answering.receive(Filter::Any)).await;
        let Ok(Item::Packet(probe)) = item else { panic!("{item:?}") };
        let metadata = probe.metadata.slice(..4); // probe_id, and nothing of interest after it
        let metadata = [&metadata[..], &[0; 12]].concat().into();
        let ack = Header::new(MessageType::TransportProbeAck);
        answering.send(Packet::build(ack, metadata, Bytes::from_static(b"a body"))).await.unwrap();
    };
    let options = ProbeOptions { samples: 1, ..ProbeOptions::default() };
    let transport = probing.transport();
    let connect = || std::future::ready(Ok(probing.clone()));
    let (probed, ()) =
        soon("a failed sample", async { tokio::join!(probe_by(transport, connect, &options), answer) }).await;
    assert_eq!((probed.round_trips.len(), probed.failures), (0, 1));
}

// Rules R-PACK-2
pub(crate) async fn an_acknowledged_patch_that_contradicts_itself_is_read(kind: Kind) {
    use nnrp::wire::SessionPatchField as Field;
    let (client, server) = session(kind).await;
    let both = SessionPatchAckMetadata {
        applied_patch_mask: Field::QUALITY_TIER | Field::ACTIVE_LANE_MASK,
        rejected_patch_mask: Field::ACTIVE_LANE_MASK,
        ..SessionPatchAckMetadata::default()
    };
    server.send(packet(MessageType::SessionPatchAck, &both.encode(), b"")).await.unwrap();
    let ack = soon("the answer", client.receive_control(Some(MessageType::SessionPatchAck))).await.unwrap();
    assert_eq!(SessionPatchAckMetadata::decode(&ack.metadata).unwrap().applied(), Field::QUALITY_TIER);
    goes_on(&client, &server, 1).await;
}
