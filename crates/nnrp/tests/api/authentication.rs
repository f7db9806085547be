//! Who is let in, for how long, and what the others hear.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use nnrp::wire::ErrorCode;
use nnrp::{ClientConfig, DialError, HandshakeError, ServerConfig, Verdict, constant_time_eq};

use super::harness::{Kind, Server, soon};

/// Dials while somebody accepts, and returns why it came to nothing.
async fn refused(server: &Server, kind: Kind, config: ClientConfig) -> HandshakeError {
    tokio::select! {
        _ = server.listener.accept() => panic!("somebody was admitted"),
        dialled = soon("a refusal", server.dial(kind, config)) => match dialled {
            Err(DialError::Handshake(error)) => error,
            other => panic!("{other:?}"),
        },
    }
}

pub(crate) async fn a_busy_server_says_when_to_try_again(kind: Kind) {
    let retry_after = Duration::from_millis(700);
    let config = ServerConfig::new().authenticate(move |_| async move { Verdict::Busy { retry_after } });
    let error = refused(&Server::start(kind, config).await, kind, ClientConfig::new()).await;
    assert_eq!((error.code(), error.retry_after()), (Some(ErrorCode::ServerBusy), Some(retry_after)));
}

pub(crate) async fn beyond_the_limit_clients_are_told_to_come_back(kind: Kind) {
    let wait = Duration::from_millis(1234);
    let server =
        Server::start(kind, ServerConfig::new().max_pending_handshakes(2).busy_retry_after(wait)).await;
    let silent = [server.dial_raw(kind).await, server.dial_raw(kind).await];
    let error = refused(&server, kind, ClientConfig::new()).await;
    assert_eq!((error.code(), error.retry_after()), (Some(ErrorCode::ServerBusy), Some(wait)));
    // Places come back with those who leave.
    drop(silent);
    let accepting = server.listener.accept();
    let trying = async {
        loop {
            match server.dial(kind, ClientConfig::new()).await {
                Ok(client) => return client,
                Err(DialError::Handshake(error)) => assert_eq!(error.code(), Some(ErrorCode::ServerBusy)),
                Err(other) => panic!("{other}"),
            }
        }
    };
    let (accepted, _client) = soon("a session", async { tokio::join!(accepting, trying) }).await;
    assert!(accepted.is_some());
}

pub(crate) async fn a_session_lasts_as_long_as_its_authentication(kind: Kind) {
    let ttl = Duration::from_millis(300);
    let config = ServerConfig::new().authenticate(move |_| async move { Verdict::AdmitFor(ttl) });
    let server = Server::start(kind, config).await;
    let opening = async { tokio::join!(server.listener.accept(), server.dial(kind, ClientConfig::new())) };
    let (accepted, client) = soon("a session", opening).await;
    let (accepted, client) = (accepted.unwrap(), client.unwrap());
    assert_eq!(client.ack().metadata.token_ttl_ms, 300);
    let ended = soon("the end", client.connection().closed()).await;
    assert_eq!(ended.0.fault.as_ref().expect("an ERROR").code, ErrorCode::AuthFailed);
    let ended = soon("the end", accepted.connection().closed()).await;
    assert!(ended.to_string().contains("authentication has run out"), "{ended}");
}

pub(crate) async fn functions_that_block_delay_nobody(kind: Kind) {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(1);
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let config = ServerConfig::new().authenticate_blocking(move |hello| {
        if hello.hello.auth_block == "slow" {
            asked.try_send(()).unwrap();
            let _ = held.lock().unwrap().recv();
        }
        constant_time_eq(&hello.hello.auth_block, b"quick")
    });
    let server = Server::start(kind, config).await;
    let slow = server.dial(kind, ClientConfig::new().auth_block("slow"));
    let quick = async {
        was_asked.recv().await;
        let client = server.dial(kind, ClientConfig::new().auth_block("quick")).await;
        release.send(()).unwrap();
        client
    };
    let all = async { tokio::join!(server.listener.accept(), quick, slow) };
    let (accepted, quick, slow) = soon("both answers", all).await;
    assert_eq!(accepted.unwrap().hello().hello.auth_block, Bytes::from("quick"));
    assert!(quick.is_ok());
    let Err(DialError::Handshake(error)) = slow else { panic!("{slow:?}") };
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
}

pub(crate) async fn who_sent_no_auth_block_is_told_so(kind: Kind) {
    let config = ServerConfig::new().authenticate(|_| async { false });
    let server = Server::start(kind, config).await;
    let none = refused(&server, kind, ClientConfig::new()).await.to_string();
    assert!(none.ends_with("authentication refused; no auth block was sent"), "{none}");
    let wrong = refused(&server, kind, ClientConfig::new().auth_block("wrong")).await.to_string();
    assert!(wrong.ends_with("authentication refused"), "{wrong}");
}

pub(crate) async fn a_decision_that_panics_refuses(kind: Kind) {
    let config = ServerConfig::new().authenticate_blocking(|hello| {
        assert!(hello.hello.auth_block.is_empty(), "a bug of the application");
        true
    });
    let server = Server::start(kind, config).await;
    let error = refused(&server, kind, ClientConfig::new().auth_block("x")).await;
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
}

pub(crate) async fn the_decision_takes_of_the_clients_time(kind: Kind) {
    let config = ServerConfig::new()
        .handshake_timeout(Duration::from_secs(1))
        .authenticate(|_| std::future::pending::<bool>());
    let error = refused(&Server::start(kind, config).await, kind, ClientConfig::new()).await;
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
}

pub(crate) async fn a_session_decided_about_is_not_lost_with_its_accept(kind: Kind) {
    let (asked, mut was_asked) = tokio::sync::mpsc::channel(1);
    let (decide, decided) = tokio::sync::watch::channel(false);
    let config = ServerConfig::new().authenticate(move |_| {
        let (asked, mut decided) = (asked.clone(), decided.clone());
        async move {
            asked.try_send(()).unwrap();
            decided.wait_for(|decided| *decided).await.is_ok()
        }
    });
    let server = Server::start(kind, config).await;
    let dialling = server.dial(kind, ClientConfig::new());
    let accepting = async {
        tokio::select! {
            _ = server.listener.accept() => panic!("nothing was decided"),
            _ = was_asked.recv() => {}
        }
        decide.send_replace(true);
        // The one that waited is gone; the next one gets the client, without asking about it again.
        let session = server.listener.accept().await;
        assert!(was_asked.try_recv().is_err());
        session
    };
    let (client, accepted) = soon("a session", async { tokio::join!(dialling, accepting) }).await;
    assert!(client.is_ok() && accepted.is_some());
}
