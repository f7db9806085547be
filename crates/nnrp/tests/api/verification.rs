//! Whom a client believes.

use nnrp::{ClientConfig, ClientTls, DialError, Listener, ServerConfig, ServerTls, TlsFault, Trust};

use super::certificates::{Authority, Pem, When, self_signed, self_signed_and_signing};
use super::harness::{Kind, dial, listen, soon};

/// Dials a listener with this certificate; the fault and the words if that fails.
async fn attempt(
    kind: Kind,
    server: impl Into<ServerTls>,
    client: impl Into<ClientTls>,
) -> Result<(), (TlsFault, String)> {
    let listener = listen(kind, server, ServerConfig::new()).await;
    let dialling = dial(kind, listener.local_addr(), client, ClientConfig::new());
    tokio::select! {
        dialled = soon("an answer", dialling) => match dialled {
            Ok(_) => Ok(()),
            Err(DialError::Connect(error)) => Err((error.tls_fault().expect("a fault"), error.to_string())),
            Err(error) => panic!("{error:?}"),
        },
        () = accept_all(&listener) => panic!("the listener closed"),
    }
}

async fn accept_all(listener: &Listener) {
    let mut held = Vec::new();
    while let Some(session) = listener.accept().await {
        held.push(session);
    }
}

async fn refused(kind: Kind, server: &Pem, client: impl Into<ClientTls>) -> (TlsFault, String) {
    attempt(kind, server.identity(), client).await.expect_err("believed")
}

pub(crate) async fn a_certificate_of_a_trusted_authority_is_believed(kind: Kind) {
    let authority = Authority::new();
    assert_eq!(attempt(kind, authority.server(), authority.trust()).await, Ok(()));
}

pub(crate) async fn a_certificate_of_a_stranger_is_refused(kind: Kind) {
    let (mine, other) = (Authority::new(), Authority::new());
    let (fault, text) = refused(kind, &other.sign("localhost", When::Now), mine.trust()).await;
    assert_eq!(fault, TlsFault::UnknownAuthority);
    assert!(text.contains("trust the authority that signed it"), "{text}");
    // The platform does not know it either.
    let (fault, _) = refused(kind, &other.sign("localhost", When::Now), Trust::Platform).await;
    assert_eq!(fault, TlsFault::UnknownAuthority);
}

pub(crate) async fn a_certificate_for_another_name_is_refused(kind: Kind) {
    let authority = Authority::new();
    let (fault, text) = refused(kind, &authority.sign("render.example", When::Now), authority.trust()).await;
    assert_eq!(fault, TlsFault::WrongName);
    assert!(text.contains("render.example") && text.contains("localhost"), "{text}");
    // Naming the very certificate does not make it one of another host.
    let named = self_signed("render.example", When::Now, true);
    assert_eq!(refused(kind, &named, named.trust()).await.0, TlsFault::WrongName);
}

pub(crate) async fn an_expired_certificate_is_refused_named_or_not(kind: Kind) {
    let authority = Authority::new();
    let (fault, text) = refused(kind, &authority.sign("localhost", When::Before), authority.trust()).await;
    assert_eq!(fault, TlsFault::Expired);
    assert!(text.contains("renew"), "{text}");
    let named = self_signed("localhost", When::Before, true);
    assert_eq!(refused(kind, &named, named.trust()).await.0, TlsFault::Expired);
}

pub(crate) async fn a_certificate_of_tomorrow_is_refused(kind: Kind) {
    let authority = Authority::new();
    let (fault, _) = refused(kind, &authority.sign("localhost", When::Later), authority.trust()).await;
    assert_eq!(fault, TlsFault::NotYetValid);
}

pub(crate) async fn a_self_signed_authority_that_is_named_is_believed(kind: Kind) {
    for authority in [false, true] {
        let named = self_signed("localhost", When::Now, authority);
        assert_eq!(attempt(kind, named.identity(), named.trust()).await, Ok(()));
    }
}

pub(crate) async fn naming_a_certificate_believes_no_server_it_signs(kind: Kind) {
    let (named, signed) = self_signed_and_signing("localhost", When::Now, "localhost");
    assert_eq!(attempt(kind, named.identity(), named.trust()).await, Ok(()));
    let (fault, text) = refused(kind, &signed, named.trust()).await;
    assert_eq!(fault, TlsFault::UnknownAuthority, "{text}");
}

pub(crate) async fn whoever_accepts_anyone_accepts_anyone(kind: Kind) {
    let stranger = self_signed("elsewhere.example", When::Before, false);
    assert_eq!(attempt(kind, stranger.identity(), Trust::DangerAcceptAnyone).await, Ok(()));
}

/// A client that offers this protocol and no other.
fn with_alpn(name: &str) -> ClientConfig {
    let config = ClientConfig::new();
    #[cfg(feature = "quic")]
    let config = {
        let mut options = nnrp::QuicOptions::default();
        options.alpn = vec![name.to_owned()];
        config.quic(options)
    };
    #[cfg(feature = "tcp")]
    let config = {
        let mut options = nnrp::TcpOptions::default();
        options.alpn = vec![name.to_owned()];
        config.tcp(options)
    };
    config
}

// Rules R-QUIC-1, R-TCP-1
pub(crate) async fn without_a_common_alpn_there_is_no_connection(kind: Kind) {
    let authority = Authority::new();
    let listener = listen(kind, authority.server(), ServerConfig::new()).await;
    let address = listener.local_addr();
    let refused = dial(kind, address, authority.trust(), with_alpn("h2")).await;
    let Err(DialError::Connect(error)) = refused else { panic!("connected") };
    assert_eq!(error.tls_fault(), Some(TlsFault::Alpn), "{error}");
    assert!(error.to_string().contains("R-TCP-1"), "{error}");
}
