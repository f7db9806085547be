//! `nnrps://` and `nnrp://`.

use nnrp::wire::TransportId;
use nnrp::{
    Address, ClientConfig, ClientSession, ClientTls, ConnectError, DialError, ServerConfig, TlsFault,
};

use super::certificates::{Authority, When};
use super::harness::{Kind, listen, soon};

fn address(scheme: &str, host: &str, port: u16) -> Address {
    format!("{scheme}://{host}:{port}").parse().unwrap()
}

pub(crate) async fn an_address_with_tls_is_connected_and_verified(kind: Kind) {
    let transport = kind.transport();
    let authority = Authority::new();
    let identity = authority.sign("127.0.0.1", When::Now).identity();
    let listener = listen(kind, identity, ServerConfig::new()).await;
    let port = listener.local_addr().port();
    let good = address("nnrps", "127.0.0.1", port);
    let dialling = ClientSession::connect(&good, transport, authority.trust(), ClientConfig::new());
    let (dialled, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    assert!(dialled.is_ok() && accepted.is_some());

    // The same place by a name that its certificate is not for.
    let named = address("nnrps", "localhost", port);
    let dialled = ClientSession::connect(&named, transport, authority.trust(), ClientConfig::new());
    let Err(DialError::Connect(error)) = soon("a refusal", dialled).await else { panic!("connected") };
    assert_eq!(error.tls_fault(), Some(TlsFault::WrongName), "{error}");
}

#[cfg(feature = "tcp")]
pub(crate) async fn an_address_without_tls_is_plain() {
    let authority = Authority::new();
    let listener = listen(Kind::Tcp, authority.server(), ServerConfig::new()).await;
    let plain = address("nnrp", "127.0.0.1", listener.local_addr().port());
    let dialling =
        ClientSession::connect(&plain, TransportId::Quic, ClientTls::default(), ClientConfig::new());
    let (dialled, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    assert!(dialled.unwrap().peer_certificates().is_empty());
    assert!(accepted.unwrap().peer_certificates().is_empty());
}

#[cfg(all(feature = "quic", feature = "tcp"))]
pub(crate) async fn tls_is_never_given_up_for_a_plain_listener() {
    let authority = Authority::new();
    let listener = listen(Kind::Tcp, authority.server(), ServerConfig::new()).await;
    let port = listener.local_addr().port();
    let tls = address("nnrps", "127.0.0.1", port);
    for transport in [TransportId::Tcp, TransportId::Quic] {
        let mut config = ClientConfig::new();
        if transport == TransportId::Quic {
            // Nobody answers there.
            config = config.handshake_timeout(std::time::Duration::from_millis(300));
        }
        let dialling = ClientSession::connect(&tls, transport, authority.trust(), config);
        let error = tokio::select! {
            dialled = soon("a refusal", dialling) => match dialled {
                Err(DialError::Connect(error)) => error,
                other => panic!("{other:?}"),
            },
            _ = listener.accept() => panic!("somebody was admitted"),
        };
        match transport {
            TransportId::Tcp => assert_eq!(error.tls_fault(), Some(TlsFault::NotTls), "{error}"),
            _ => assert!(matches!(
                error,
                ConnectError::Timeout { .. } | ConnectError::Io { .. } | ConnectError::Handshake { .. }
            )),
        }
    }
}
