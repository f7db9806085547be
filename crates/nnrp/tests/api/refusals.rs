use bytes::Bytes;
use nnrp::wire::{ErrorCode, MessageType, Packet, ResultHintReason, Revision};
use nnrp::{ClientConfig, DialError, HandshakeError, Received, Reply, ServerConfig, ServerSettings};

use super::harness::{Kind, Server, bulky, drop_reason, frame, session, session_with, soon};

pub(crate) async fn a_drop_carries_its_reason(kind: Kind) {
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    let submit = soon("a frame", ends.server.recv()).await.unwrap().unwrap();
    submit.reject(ResultHintReason::QueueFull).await.unwrap();
    let reply = soon("a drop", ends.client.receive_for(1, None)).await.unwrap();
    assert_eq!(drop_reason(&reply), Some(ResultHintReason::QueueFull));
    ends.echo(2).await;
}

pub(crate) async fn a_frame_nobody_answers_is_dropped(kind: Kind) {
    let ends = session(kind).await;
    ends.client.send(&frame(1)).await.unwrap();
    drop(soon("a frame", ends.server.recv()).await.unwrap().unwrap());
    drop_reason(&soon("a drop", ends.client.receive_for(1, None)).await.unwrap());
    ends.echo(2).await;
}

// Rules R-HDR-6
pub(crate) async fn a_refused_frame_costs_itself_only(kind: Kind) {
    let ends = session(kind).await;
    // A frame of another session: the client's own checks let it through, the server's do not.
    let packet = frame(1).encode(ends.client.id() + 1, Revision::Current).unwrap().to_packet();
    assert_eq!(packet.header.msg_type, MessageType::FrameSubmit);
    ends.client.connection().send(Packet::clone(&packet)).await.unwrap();
    let Received::Rejected(rejected) = soon("a refusal", ends.server.receive()).await.unwrap() else {
        panic!()
    };
    assert_eq!(rejected.fault.code, ErrorCode::InvalidState);
    let Reply::Failed(failed) = soon("an ERROR", ends.client.receive_for(1, None)).await.unwrap() else {
        panic!()
    };
    assert_eq!(failed.fault.code, ErrorCode::InvalidState);
    ends.echo(2).await;
}

// Rules R-LIM-1
pub(crate) async fn a_body_beyond_the_limit_is_refused_unread(kind: Kind) {
    let mut settings = ServerSettings::default();
    settings.max_body_bytes = 100_000;
    let ends = session_with(kind, settings).await;
    ends.client.send(&bulky(1, 200_000)).await.unwrap();
    match soon("an answer", ends.client.receive_for(1, None)).await.unwrap() {
        // ERROR and RESULT_DROP travel on different QUIC streams; whichever comes first ends the frame.
        Reply::Failed(failed) => assert_eq!(failed.fault.code, ErrorCode::LimitExceeded),
        Reply::Dropped { .. } => {}
        other => panic!("{other:?}"),
    }
    ends.echo(2).await;
}

// Rules R-HELLO-4
pub(crate) async fn a_refused_client_is_told_and_the_next_one_is_served(kind: Kind) {
    let config = ServerConfig::new().authenticate(|hello| async move { hello.hello.auth_block == "good" });
    let server = Server::start(kind, config).await;
    let accepting = server.listener.accept();
    let dialling = async {
        for bad in ["", "bad"] {
            let refused = server.dial(kind, ClientConfig::new().auth_block(bad)).await;
            let Err(DialError::Handshake(HandshakeError::Refused(failure))) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(failure.fault.code, ErrorCode::AuthFailed);
            assert!(failure.fault.from_peer);
        }
        server.dial(kind, ClientConfig::new().auth_block("good")).await.unwrap()
    };
    let (accepted, client) = soon("a session", async { tokio::join!(accepting, dialling) }).await;
    assert_eq!(accepted.unwrap().hello().hello.auth_block, Bytes::from("good"));
    client.close("").await;
}

pub(crate) async fn a_silent_client_delays_nobody(kind: Kind) {
    let server = Server::start(kind, ServerConfig::new()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(server.dial_raw(kind).await);
    }
    let session = soon("a session", async {
        tokio::join!(server.listener.accept(), server.dial(kind, ClientConfig::new()))
    })
    .await;
    assert!(session.0.is_some() && session.1.is_ok());
}

pub(crate) async fn a_slow_decision_delays_nobody(kind: Kind) {
    let config = ServerConfig::new().authenticate(|hello| async move {
        if hello.hello.auth_block == "slow" {
            std::future::pending::<()>().await;
        }
        true
    });
    let server = Server::start(kind, config).await;
    let slow = server.dial(kind, ClientConfig::new().auth_block("slow"));
    let quick = server.dial(kind, ClientConfig::new().auth_block("quick"));
    tokio::select! {
        _ = slow => panic!("nobody decided about it"),
        (quick, accepted) = async { soon("a session", async { tokio::join!(quick, server.listener.accept()) }).await } => {
            assert!(quick.is_ok());
            assert_eq!(accepted.unwrap().hello().hello.auth_block, Bytes::from("quick"));
        }
    }
}

pub(crate) async fn a_client_the_library_refuses_always_learns_why(kind: Kind) {
    use nnrp::wire::{ControlExtension, ControlExtensionFlags};
    let server = Server::start(kind, ServerConfig::new()).await;
    let critical =
        ControlExtension { ext_type: 0x8002, flags: ControlExtensionFlags::CRITICAL, payload: Bytes::new() };
    let dialling = async {
        for _ in 0..40 {
            let refused = server.dial(kind, ClientConfig::new().extension(critical.clone())).await;
            let Err(DialError::Handshake(HandshakeError::Refused(failure))) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!(failure.fault.code, ErrorCode::UnsupportedCapability);
        }
    };
    tokio::select! {
        _ = server.listener.accept() => panic!("somebody was admitted"),
        () = dialling => {}
    }
}
