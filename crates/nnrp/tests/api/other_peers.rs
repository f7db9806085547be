//! Peers on TCP that are not what they should be.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nnrp::wire::{ErrorCode, Header, MessageType};
use nnrp::{
    ClientConfig, DialError, EndedBy, HandshakeError, Listener, ServerConfig, SessionError, TcpOptions,
    TlsFault,
};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::{Authority, When};
use super::harness::{Kind, dial, listen, soon};

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Shakes hands with a listener as somebody else's TLS client would.
async fn foreign_client(
    listener: &Listener,
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(listener.local_addr()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(())
}

fn alert(error: &std::io::Error) -> Option<rustls::AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

pub(crate) async fn a_plain_client_is_told_to_use_tls() {
    let listener = listen(Kind::Tls, Authority::new().server(), ServerConfig::new()).await;
    // A hello of one segment, and one that is still on its way when the server has seen enough.
    for token in [0, 60_000] {
        let config = ClientConfig::new().auth_block(vec![7; token]);
        let dialling = dial(Kind::Tcp, listener.local_addr(), nnrp::Trust::Platform, config);
        let refused = tokio::select! {
            refused = soon("a refusal", dialling) => refused,
            _ = listener.accept() => panic!("admitted"),
        };
        let Err(DialError::Handshake(HandshakeError::Closed(closed))) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(closed.tls_fault(), Some(TlsFault::TlsRequired), "{closed}");
        assert!(closed.to_string().contains("connect with TLS"), "{closed}");
    }
}

pub(crate) async fn a_tls_client_of_a_plain_listener_is_told() {
    let authority = Authority::new();
    let listener = listen(Kind::Tcp, authority.server(), ServerConfig::new()).await;
    let dialling = dial(Kind::Tls, listener.local_addr(), authority.trust(), ClientConfig::new());
    let options = nnrp::HandshakeOptions::default();
    let refusal = listener.accept_hello(&options);
    let (dialled, refusal) = soon("both errors", async { tokio::join!(dialling, refusal) }).await;
    let Err(DialError::Connect(error)) = dialled else { panic!("{dialled:?}") };
    assert_eq!(error.tls_fault(), Some(TlsFault::NotTls));
    assert!(error.to_string().contains("is it meant to be plain TCP?"), "{error}");
    let Some(Err(failed)) = refusal else { panic!("{refusal:?}") };
    let HandshakeError::Refused(failure) = failed.error else { panic!("{failed}") };
    assert_eq!(failure.fault.code, ErrorCode::MalformedHeader);
}

// Rules R-HDR-1
pub(crate) async fn a_few_bytes_that_are_no_packet_are_refused_before_there_is_a_header() {
    let config = ServerConfig::new().handshake_timeout(Duration::from_secs(60));
    let listener = listen(Kind::Tcp, Authority::new().server(), config).await;
    for sent in ["GET / HTTP/1.1\r\n\r\n", "NNTP", "\0"] {
        let mut peer = TcpStream::connect(listener.local_addr()).await.unwrap();
        peer.write_all(sent.as_bytes()).await.unwrap();
        let refusal = soon("a refusal", listener.accept_hello(&nnrp::HandshakeOptions::default())).await;
        let Some(Err(failed)) = refusal else { panic!("{refusal:?}") };
        let HandshakeError::Refused(failure) = failed.error else { panic!("{failed}") };
        assert_eq!((failure.fault.code, failure.fault.fatal), (ErrorCode::MalformedHeader, true), "{sent:?}");
        let mut header = [0; Header::LEN];
        soon("an ERROR", peer.read_exact(&mut header)).await.unwrap();
        assert_eq!(Header::decode(&header).unwrap().msg_type, MessageType::Error);
    }
}

pub(crate) async fn a_server_that_answers_in_few_other_bytes_is_no_server() {
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = ClientConfig::new().handshake_timeout(Duration::from_secs(60));
    let dialling = dial(Kind::Tcp, other.local_addr().unwrap(), nnrp::Trust::Platform, config);
    let answering = async {
        let (mut stream, _) = other.accept().await.unwrap();
        stream.write_all(b"-ERR unknown command\r\n").await.unwrap();
        stream
    };
    let (dialled, _open) = soon("an error", async { tokio::join!(dialling, answering) }).await;
    let error = dialled.expect_err("a session").to_string();
    assert!(error.contains("not an NNRP packet"), "{error}");
}

pub(crate) async fn a_client_without_alpn_fails_in_its_handshake() {
    let authority = Authority::new();
    let listener = listen(Kind::Tls, authority.server(), ServerConfig::new()).await;
    let connecting = foreign_client(&listener, &authority, &rustls::version::TLS13);
    let error = soon("an alert", connecting).await.expect_err("TLS let it pass");
    assert_eq!(alert(&error), Some(rustls::AlertDescription::AccessDenied), "{error}");
}

pub(crate) async fn a_client_of_tls_1_2_is_refused() {
    let authority = Authority::new();
    let listener = listen(Kind::Tls, authority.server(), ServerConfig::new()).await;
    let connecting = foreign_client(&listener, &authority, &rustls::version::TLS12);
    let error = soon("an alert", connecting).await.expect_err("TLS 1.2 was spoken");
    assert_eq!(alert(&error), Some(rustls::AlertDescription::ProtocolVersion), "{error}");
}

pub(crate) async fn a_server_without_alpn_is_not_believed() {
    let authority = Authority::new();
    let pem = authority.sign("localhost", When::Now);
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(pem.private_key.as_bytes()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    };
    let dialling = dial(Kind::Tls, address, authority.trust(), ClientConfig::new());
    let (dialled, ()) = soon("a refusal", async { tokio::join!(dialling, serving) }).await;
    let Err(DialError::Connect(error)) = dialled else { panic!("{dialled:?}") };
    assert_eq!(error.tls_fault(), Some(TlsFault::Alpn), "{error}");
}

/// Forwards one connection until it is told to cut it.
async fn wire_to(address: SocketAddr) -> (SocketAddr, tokio::sync::oneshot::Sender<()>) {
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let local = proxy.local_addr().unwrap();
    let (cut, is_cut) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let (mut near, _) = proxy.accept().await.unwrap();
        let mut far = TcpStream::connect(address).await.unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = is_cut => {}
        }
    });
    (local, cut)
}

// Rules R-TCP-2
pub(crate) async fn a_stream_that_is_cut_off_is_a_lost_connection() {
    let authority = Authority::new();
    let listener = listen(Kind::Tls, authority.server(), ServerConfig::new()).await;
    let (address, cut) = wire_to(listener.local_addr()).await;
    let dialling = dial(Kind::Tls, address, authority.trust(), ClientConfig::new());
    let (dialled, accepted) = soon("a session", async { tokio::join!(dialling, listener.accept()) }).await;
    let (client, server) = (dialled.unwrap(), accepted.unwrap());
    cut.send(()).unwrap();
    // R-TCP-2: the end of the stream is nobody's word unless TLS says so.
    let closed = soon("the end", server.closed()).await;
    assert_eq!(
        (closed.0.by, closed.tls_fault()),
        (EndedBy::Transport, Some(TlsFault::Truncated)),
        "{closed}"
    );
    let Err(SessionError::Closed(closed)) = soon("the end", client.receive()).await else { panic!() };
    assert_eq!(
        (closed.0.by, closed.tls_fault()),
        (EndedBy::Transport, Some(TlsFault::Truncated)),
        "{closed}"
    );
}

pub(crate) async fn a_peer_that_does_not_shake_hands_is_given_up() {
    let authority = Authority::new();
    let config = ServerConfig::new().handshake_timeout(Duration::from_millis(200));
    let listener = listen(Kind::Tls, authority.server(), config).await;
    // Nobody has to accept for this: TLS comes before anything an application waits for.
    let mut silent = TcpStream::connect(listener.local_addr()).await.unwrap();
    assert_eq!(soon("the end of the silent one", silent.read(&mut [0; 16])).await.unwrap(), 0);

    // The other way round: a server that accepts and says nothing.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (options, limit) = (TcpOptions::default(), Some(Duration::from_millis(200)));
    let connecting =
        nnrp::tcp::connect_tls(mute.local_addr().unwrap(), "localhost", authority.trust(), &options, limit);
    let error = soon("a timeout", connecting).await.expect_err("connected");
    assert!(matches!(error, nnrp::ConnectError::Timeout { .. }), "{error}");
}

/// What a client has sent that the server has not read when it gives up: closing the socket over that would be a reset, which
/// may destroy the alert on its way.
const UNREAD: usize = 100_000;

// Whether the handshake fails with its ClientHello or behind it.
pub(crate) async fn an_alert_is_not_destroyed_by_a_reset() {
    let authority = Authority::new();
    let listener = listen(Kind::Tls, authority.server(), ServerConfig::new()).await;
    let mut without_alpn = Vec::new();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    client.write_tls(&mut without_alpn).unwrap();
    // The one compression method there may be is none. Before it stand two headers, version and random, session id, ciphers.
    let mut compressed = without_alpn.clone();
    let ciphers = 44 + usize::from(compressed[43]);
    let method =
        ciphers + 3 + usize::from(u16::from_be_bytes([compressed[ciphers], compressed[ciphers + 1]]));
    assert_eq!(compressed[method - 1..=method], [1, 0]);
    compressed[method] = 1;
    for mut sent in [compressed, without_alpn] {
        let mut stream = TcpStream::connect(listener.local_addr()).await.unwrap();
        sent.extend(vec![0x17; UNREAD]);
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let ended = soon("the end", stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{ended:?} after {answer:?}");
        // A record of two bytes: fatal, and what it is.
        assert!(matches!(answer[..], [0x15, 3, 3, 0, 2, 2, _]), "{answer:?}");
    }
}
