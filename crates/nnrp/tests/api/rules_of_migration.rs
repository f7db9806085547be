//! Rules of migration that only a peer without a library breaks: packets made by hand, on each network.

use nnrp::wire::{
    ErrorCode, ErrorScope, MessageType, Packet, RuleId, SessionMigrate, SessionMigrateAckMetadata,
    SessionMigrateMetadata, TransportId,
};
use nnrp::{ClientConfig, Connection, Filter, Item, MigrateError, ServerConfig, ServerSession};
use nnrp_testkit::packets;

use super::harness::{Kind, Server, frame, soon, text_of, text_result};
use super::migration::{TOKEN, config};
use super::rules::{SESSION, error, header, next};

fn request(to: TransportId, last_result_frame_id: u64) -> Packet {
    let metadata = SessionMigrateMetadata {
        old_transport_id: to,
        new_transport_id: to,
        last_result_frame_id,
        client_migrate_ts_us: 0,
    };
    let request = SessionMigrate { metadata, token: TOKEN.into() };
    request.encode(header(MessageType::SessionMigrate)).unwrap().to_packet()
}

/// A session whose client is made by hand; its server still accepts.
async fn session(kind: Kind) -> (Server, Connection, ServerSession) {
    let server = Server::start(kind, config()).await;
    let connection = server.dial_raw(kind).await;
    let mut hello = packets::hello();
    hello.auth_block = TOKEN.into();
    connection.send(packets::hello_packet(&hello)).await.unwrap();
    let ack = next(&connection, MessageType::ServerHelloAck);
    let (_, session) = tokio::join!(ack, server.listener.accept());
    (server, connection, session.unwrap())
}

/// What the server says to a SESSION_MIGRATE on a connection of its own.
async fn ask(
    server: &Server,
    kind: Kind,
    request: impl Fn(TransportId) -> Packet,
) -> (Connection, SessionMigrateAckMetadata) {
    let newcomer = server.dial_raw(kind).await;
    let packet = request(newcomer.transport());
    let asking = async {
        newcomer.send(packet).await.unwrap();
        next(&newcomer, MessageType::SessionMigrateAck).await
    };
    let ack = tokio::select! {
        ack = asking => ack,
        session = server.listener.accept() => panic!("a migration is no new session: {session:?}"),
    };
    (newcomer, SessionMigrateAckMetadata::decode(&ack.metadata).unwrap())
}

// Rules R-MIG-2, R-MIG-10
pub(crate) async fn a_request_that_contradicts_itself_is_refused(kind: Kind) {
    let (server, old, session) = session(kind).await;
    let (_, ack) = ask(&server, kind, |transport| request(transport, 1 << 32)).await;
    assert_eq!(ack.accept_code, ErrorCode::MalformedBody.value());
    let other = |transport| match transport {
        TransportId::Quic => TransportId::Tcp,
        _ => TransportId::Quic,
    };
    let (_, ack) = ask(&server, kind, |transport| request(other(transport), 0)).await;
    assert_eq!(ack.accept_code, ErrorCode::InvalidState.value());
    // It is where it was.
    old.send(packets::submit_packet(SESSION, 1)).await.unwrap();
    soon("a frame", session.recv()).await.unwrap().unwrap();
}

// Rules R-MIG-8, R-MIG-9, R-MIG-11
pub(crate) async fn frames_that_come_too_late_or_again_are_refused(kind: Kind) {
    let (server, old, session) = session(kind).await;
    old.send(packets::submit_packet(SESSION, 5)).await.unwrap();
    let running = soon("a frame", session.recv()).await.unwrap().unwrap();
    // From a binding to itself, which is a way to reconnect.
    let (new, ack) = ask(&server, kind, |transport| request(transport, 0)).await;
    assert_eq!((ack.accept_code, ack.resume_from_frame_id), (0, 6));
    let too_late = (ErrorCode::InvalidState, ErrorScope::Frame, false);
    new.send(packets::submit_packet(SESSION, 4)).await.unwrap();
    assert_eq!(error(&new).await, too_late);
    old.send(packets::submit_packet(SESSION, 6)).await.unwrap();
    assert_eq!(error(&new).await, too_late);
    new.send(packets::submit_packet(SESSION, 7)).await.unwrap();
    assert_eq!(soon("a frame", session.recv()).await.unwrap().unwrap().key().frame_id, 7);
    drop(running);
}

// Rules R-MIG-7
pub(crate) async fn an_answer_about_something_else_moves_nothing(kind: Kind) {
    let server = Server::start(kind, config()).await;
    let dialling = server.dial(kind, ClientConfig::new().auth_block(TOKEN));
    let (client, session) = tokio::join!(dialling, server.listener.accept());
    let (client, session) = (client.unwrap(), session.unwrap());
    let impostor = Server::start(kind, ServerConfig::new()).await;
    for (session_id, resume_from_frame_id) in [(SESSION, 1 << 32), (SESSION + 1, 0)] {
        let newcomer = impostor.dial_raw(kind).await;
        let answering = async {
            let connection = impostor.listener.accept_connection().await.unwrap();
            connection.claim();
            let asked = soon("a SESSION_MIGRATE", connection.receive(Filter::Any)).await;
            assert!(matches!(asked, Ok(Item::Packet(_))), "{asked:?}");
            let ack = SessionMigrateAckMetadata { resume_from_frame_id, ..Default::default() };
            let ack = packets::control(MessageType::SessionMigrateAck, session_id, &ack.encode());
            connection.send(ack).await.unwrap();
            soon("the end of the new connection", connection.gone()).await;
        };
        let (moved, ()) = tokio::join!(client.migrate(newcomer), answering);
        let Err(MigrateError::Refused(fault)) = moved else { panic!("{moved:?}") };
        assert_eq!(fault.rule, Some(RuleId::MIG_7));
    }
    client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", session.recv()).await.unwrap().unwrap();
    submit.reply(text_result(0, "still here")).await.unwrap();
    assert_eq!(text_of(&soon("a result", client.receive()).await.unwrap()), "still here");
}
